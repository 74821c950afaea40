from hypothesis import given
from hypothesis import strategies as st

from eagent.mesh.permission import binding_mw, limits_mw, permission_mw

WATTS = st.integers(0, 10_000_000)
EFFICIENCY = st.integers(500, 1000)


@given(WATTS, WATTS, EFFICIENCY)
def test_limits_that_are_derived_from_a_permission_stay_within_it(ceiling: int, rest: int, efficiency: int) -> None:
    limits = limits_mw(ceiling + rest, rest, efficiency)
    assert permission_mw(rest, [limits], efficiency) <= ceiling + rest
    assert permission_mw(rest, [limits + 2], efficiency) > ceiling + rest  # and they are not wasteful


@given(st.lists(WATTS, max_size=8), WATTS, EFFICIENCY)
def test_a_permission_is_never_less_than_what_the_wall_delivers(limits: list[int], rest: int, efficiency: int) -> None:
    assert permission_mw(rest, limits, efficiency) >= rest + sum(limits) * 1000 / efficiency - 1e-6


def test_the_power_supply_takes_its_share() -> None:
    assert permission_mw(400_000, [2_000_000, 700_000], 900) == 400_000 + 3_000_000


def test_nothing_is_left_for_devices_when_the_rest_takes_all() -> None:
    assert limits_mw(300_000, 400_000, 900) == 0


def test_the_smallest_of_several_domains_binds() -> None:
    assert binding_mw([5, 3, 9]) == 3
