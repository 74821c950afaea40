"""What sharing must keep whatever its numbers are tuned to, and what the numbers mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.model import Budget, DeviceKind, DeviceState, HostState, Priority, Reading, Status
from eagent.policy.budget import decide
from eagent.policy.goals import Goals, Pin, Sharing

# Numbers that a test can be followed with: all that is left is given out, straight by pressure, to the watt.
PLAIN = Goals(Sharing(spend=1.0, sharpness=1.0, least_weight=1e-9, step_w=1.0))
MISERLY = Goals(replace(PLAIN.sharing, spend=0.0))  # nothing is left over for anybody: use alone is seen


def host(states: list[DeviceState], envelope_w: float, *gangs: set[str], safe_w: float = 100) -> HostState:
    caps = {state.device.uuid: safe_w for state in states}
    return HostState(tuple(states), Budget(envelope_w + 400, 400, caps), tuple(frozenset(gang) for gang in gangs))


def shares(state: HostState, goals: Goals = PLAIN) -> list[float]:
    """The limit of each device that can be capped, in the order of the devices."""
    limits = {proposal.uuid: proposal.high for proposal in decide(state, goals, 0)}
    return [limits[each.device.uuid] for each in state.devices if each.device.uuid in limits]


def test_without_a_budget_nothing_is_asked(gpus: Any) -> None:
    state = replace(host([gpus.state(gpus.device(0), 300)], 1000), budget=None)
    assert decide(state, Goals(), 0) == []


def test_what_is_used_comes_first_and_the_lowest_of_it_first(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), used_w) for n, used_w in enumerate((60, 160, 390))]
    assert shares(host(states, 1000), MISERLY) == [100, 160, 390]
    assert shares(host(states, 500), MISERLY) == [100, 160, 240]
    assert shares(host(states, 360), MISERLY) == [100, 130, 130]


def test_what_is_left_goes_to_those_whose_limit_holds_them_down(gpus: Any) -> None:
    pressed, half, free = (gpus.state(gpus.device(n), 150, capped=capped) for n, capped in enumerate((0.8, 0.4, 0.0)))
    assert shares(host([pressed, half, free], 750)) == [pytest.approx(350, abs=1), pytest.approx(250, abs=1), 150]


def test_those_who_are_held_down_alike_come_to_one_level_whatever_they_had(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), used_w, capped=1.0) for n, used_w in enumerate((350, 150, 250))]
    assert shares(host(states, 750)) == [pytest.approx(250, abs=1)] * 3


def test_who_is_full_leaves_the_rest_to_the_others(gpus: Any) -> None:
    pressed, half = gpus.state(gpus.device(0), 350, capped=1.0), gpus.state(gpus.device(1), 150, capped=0.5)
    assert shares(host([pressed, half], 700)) == [400, pytest.approx(300, abs=1)]


def test_a_sharper_sharing_gives_more_to_who_is_held_down_longer(gpus: Any) -> None:
    states = [gpus.state(gpus.device(0), 150, capped=1.0), gpus.state(gpus.device(1), 150, capped=0.5)]
    blunt = shares(host(states, 450), PLAIN)
    sharp = shares(host(states, 450), Goals(replace(PLAIN.sharing, sharpness=2.0)))
    assert sharp[0] > blunt[0]


def test_with_nobody_held_down_what_is_left_is_spread_so_that_a_load_that_returns_finds_it(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 60) for n in range(2)]
    assert shares(host(states, 600)) == [pytest.approx(300, abs=1)] * 2


def test_only_the_share_to_be_spent_of_what_is_left_is_given_out(gpus: Any) -> None:
    state = host([gpus.state(gpus.device(0), 150, capped=1.0)], 350)
    half = Goals(replace(PLAIN.sharing, spend=0.5))
    assert shares(state, half) == [250]


def test_limits_are_in_whole_steps_so_that_noise_moves_none(gpus: Any) -> None:
    def limits(used_w: float) -> list[float]:
        busy, idle = gpus.state(gpus.device(0), used_w, capped=0.9), gpus.state(gpus.device(1), 61, capped=0.0)
        return shares(host([busy, idle], 455, safe_w=150), Goals())

    assert limits(201) == limits(202) == limits(204)
    assert all(limit % Sharing().step_w == 0 for limit in limits(201))


def test_where_the_driver_does_not_tell_a_draw_near_the_limit_is_taken_for_held_down(gpus: Any) -> None:
    near = gpus.state(gpus.device(0), 195, limit_w=200, capped=None)
    far = gpus.state(gpus.device(1), 150, limit_w=200, capped=None)
    assert shares(host([near, far], 500)) == [pytest.approx(350, abs=1), 150]


def test_no_device_gets_less_than_its_safe_cap_though_it_is_idle(gpus: Any) -> None:
    idle, pressed = gpus.state(gpus.device(0), 60), gpus.state(gpus.device(1), 240, capped=1.0)
    assert shares(host([idle, pressed], 450, safe_w=150)) == [150, pytest.approx(300, abs=1)]


@pytest.mark.parametrize("status", [Status.MISSING, Status.STALE, Status.GPU_LOST, Status.FAILED])
def test_a_device_nobody_sees_keeps_its_safe_cap_and_its_reason_says_so(gpus: Any, status: Status) -> None:
    blind = replace(gpus.state(gpus.device(0), None, capped=None), power_recent_w=Reading(None, status, "test"))
    pressed = gpus.state(gpus.device(1), 245, capped=1.0)
    state = host([blind, pressed], 450, safe_w=150)
    assert shares(state) == [150, pytest.approx(300, abs=1)]
    assert decide(state, PLAIN, 0)[0].reason == (
        f"its power reading is {status.name.lower()}: is assured of its safe cap"
    )


def test_safe_caps_that_do_not_fit_are_approached_alike(gpus: Any) -> None:
    blind = [gpus.state(gpus.device(n), None) for n in range(2)]
    assert shares(host(blind, 250, safe_w=150)) == [125, 125]


def test_a_device_that_cannot_be_capped_is_counted_at_its_most(gpus: Any) -> None:
    fixed = gpus.state(gpus.device(0, writable=False), 50)
    pressed = gpus.state(gpus.device(1), 195, capped=1.0)
    proposals = decide(host([fixed, pressed], 650), PLAIN, 0)
    assert [(proposal.uuid, proposal.high) for proposal in proposals] == [("GPU-01", 250)]


def test_an_envelope_below_the_least_limits_is_not_shared(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 195, capped=1.0) for n in range(2)]
    assert shares(host(states, 199.999)) == []
    assert shares(host(states, 200)) == [100, 100]


def test_no_limit_goes_above_what_the_owner_had_set(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 240, capped=1.0, prior_w=prior) for n, prior in enumerate((250.0, None))]
    assert shares(host(states, 900)) == [250, 400]


def test_a_gang_has_one_cap_that_its_most_pressed_member_sets(gpus: Any) -> None:
    gang = [gpus.state(gpus.device(0), 195, capped=1.0), gpus.state(gpus.device(1), 110, capped=0.0)]
    alone = gpus.state(gpus.device(2), 195, capped=1.0)
    assert shares(host([gang[0], alone, gang[1]], 660, {"GPU-00", "GPU-01"})) == [220, 220, 220]


def test_a_gang_uses_what_its_members_use_at_most(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), used_w) for n, used_w in enumerate((60, 210))]
    assert shares(host(states, 900, {"GPU-00", "GPU-01"}), MISERLY) == [210, 210]


def test_gangs_that_share_a_device_are_one(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), used_w) for n, used_w in enumerate((60, 60, 300))]
    gangs = {"GPU-00", "GPU-01"}, {"GPU-01", "GPU-02"}
    assert shares(host(states, 1200, *gangs), MISERLY) == [300, 300, 300]


def test_a_gang_whose_ranges_do_not_meet_is_treated_one_by_one(gpus: Any) -> None:
    states = [gpus.state(gpus.device(0), 90), gpus.state(gpus.device(1, low=500, high=700), 550)]
    assert shares(host(states, 2000, {"GPU-00", "GPU-01"}), MISERLY) == [100, 550]


def test_what_a_pin_leaves_is_shared_among_the_others(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 250, capped=1.0) for n in range(2)]
    pinned = replace(PLAIN, pins=(Pin("GPU-00", 150, until_ns=100),))
    state = host(states, 550)
    assert [proposal.high for proposal in decide(state, pinned, 99)] == [150, 400]
    assert [proposal.high for proposal in decide(state, pinned, 100)] == [275, 275]


def test_a_pin_above_the_load_claims_its_watts(gpus: Any) -> None:
    states = [gpus.state(gpus.device(0), 60), gpus.state(gpus.device(1), 295, capped=1.0)]
    assert shares(host(states, 600), replace(PLAIN, pins=(Pin("GPU-00", 250),))) == [250, 350]
    of_its_clock = replace(PLAIN, pins=(Pin("GPU-00", None, clock_mhz=1200),))
    assert shares(host(states, 600), of_its_clock) == shares(host(states, 600), PLAIN)


def test_proposals_are_upper_bounds_of_the_budget_and_say_why(gpus: Any) -> None:
    (proposal,) = decide(host([gpus.state(gpus.device(0), 250, capped=0.3)], 400), PLAIN, 0)
    assert (proposal.policy, proposal.priority, proposal.low, proposal.until_ns) == ("budget", Priority.BUDGET, 0, None)
    assert proposal.reason == "drew 250 W in the last 10 s, held down by its limit for 30% of it"


milliwatts = st.integers(0, 800_000).map(lambda mw: mw / 1000)


@st.composite
def hosts(draw: st.DrawFn, gpus: Any) -> HostState:
    """Any host: odd ranges, unreadable sensors, limits enforced by others, overlapping gangs, absurd safe caps."""
    maybe = st.one_of(st.none(), milliwatts)
    states = []
    for n in range(draw(st.integers(1, 8))):
        low, high = sorted((draw(st.integers(1, 700_000)) / 1000, draw(st.integers(1, 700_000)) / 1000))
        device = gpus.device(n, low=low, high=high, writable=draw(st.integers(0, 4)) > 0)
        capped = draw(st.one_of(st.none(), st.floats(0, 1)))
        state = gpus.state(device, draw(maybe), limit_w=draw(maybe), capped=capped, prior_w=draw(maybe))
        states.append(replace(state, enforced_limit_w=gpus.ok(draw(maybe))))
    uuids = [state.device.uuid for state in states]
    gangs = tuple(frozenset(gang) for gang in draw(st.lists(st.sets(st.sampled_from(uuids)), max_size=3)))
    fixed_mw, budget_mw = draw(st.integers(0, 3_000_000)), draw(st.integers(0, 9_000_000))
    caps = {uuid: draw(milliwatts) for uuid in uuids if draw(st.booleans())}
    return HostState(tuple(states), Budget(budget_mw / 1000, fixed_mw / 1000, caps), gangs)


sharings = st.builds(
    Sharing,
    spend=st.floats(0, 1),
    sharpness=st.floats(0, 4),
    least_weight=st.floats(1e-6, 1),
    step_w=st.floats(0.5, 50),
    near_limit=st.floats(0.5, 1),
)
pins = st.lists(st.builds(Pin, st.sampled_from([f"GPU-{n:02}" for n in range(8)]), milliwatts), max_size=3).map(tuple)


@given(st.data(), st.builds(Goals, sharings, pins))
def test_limits_never_exceed_the_envelope_nor_leave_a_devices_range(gpus: Any, data: Any, goals: Goals) -> None:
    state = data.draw(hosts(gpus))
    proposals = decide(state, goals, 0)
    capped = {each.device.uuid: each.device for each in state.devices if each.device.power_limit.writable}
    least_mw = sum(round(device.min_limit_w * 1000) for device in capped.values())
    uncapped = (each.device for each in state.devices if not each.device.power_limit.writable)
    uncapped_mw = sum(round(state.budget.uncapped_w(device) * 1000) for device in uncapped)
    envelope_mw = round(state.budget.budget_w * 1000) - round(state.budget.fixed_w * 1000)
    if not proposals:
        # devices in a gang share the greatest of their least limits, so only without gangs is this sum all that decides
        assert not capped or state.gangs or least_mw + uncapped_mw > envelope_mw
        return
    assert sorted(proposal.uuid for proposal in proposals) == sorted(capped)
    assert sum(round(proposal.high * 1000) for proposal in proposals) + uncapped_mw <= envelope_mw
    for proposal in proposals:
        assert capped[proposal.uuid].min_limit_w <= proposal.high <= capped[proposal.uuid].max_limit_w


@given(st.data(), sharings)
def test_a_gang_whose_ranges_meet_has_one_cap(gpus: Any, data: Any, sharing: Sharing) -> None:
    state = data.draw(hosts(gpus))
    gang = data.draw(st.frozensets(st.sampled_from([each.device.uuid for each in state.devices])))
    limits = {each.uuid: each.high for each in decide(replace(state, gangs=(gang,)), Goals(sharing), 0)}
    members = [each.device for each in state.devices if each.device.uuid in gang and each.device.uuid in limits]
    if members and max(each.min_limit_w for each in members) <= min(each.max_limit_w for each in members):
        assert len({limits[each.uuid] for each in members}) == 1


@given(st.data(), st.builds(Goals, sharings))
def test_every_device_gets_its_safe_cap_whenever_all_of_them_fit(gpus: Any, data: Any, goals: Goals) -> None:
    powers = data.draw(st.lists(st.one_of(st.none(), st.floats(1, 400)), min_size=1, max_size=6))
    states = [gpus.state(gpus.device(n), power, limit_w=200, capped=0.5) for n, power in enumerate(powers)]
    safe_w = data.draw(st.integers(100, 400))
    envelope_w = safe_w * len(powers) + data.draw(st.integers(0, 1000))
    assert all(share >= safe_w for share in shares(host(states, envelope_w, safe_w=safe_w), goals))


def test_a_cpu_package_that_the_budget_names_and_the_kernel_does_not_show_keeps_its_share(gpus: Any) -> None:
    state = host([gpus.state(gpus.device(n), 300) for n in range(2)], 700)
    assert sum(shares(state)) == 700
    assert state.budget is not None
    named = replace(state.budget, safe_caps_w={**state.budget.safe_caps_w, "CPU-0": 150.0})
    assert sum(shares(replace(state, budget=named))) == 550


def test_a_cpu_package_shares_like_a_gpu(gpus: Any) -> None:
    package = replace(gpus.device(1, low=125, high=250), kind=DeviceKind.CPU, uuid="CPU-0")
    state = host([gpus.state(gpus.device(0), 300), gpus.state(package, 140)], 450, safe_w=125)
    assert shares(state, MISERLY) == [300, 140]


def test_what_somebody_else_has_set_counts_at_that_and_the_others_share_the_rest(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 300, limit_w=200, capped=1.0) for n in range(3)]
    lowered = replace(states[0], foreign_limit_w=150.0)
    assert shares(host([lowered, *states[1:]], 750)) == [150, 300, 300]
    raised = replace(states[0], foreign_limit_w=350.0)
    assert shares(host([raised, *states[1:]], 750)) == [350, 200, 200]
    assert shares(host([raised, *states[1:]], 540)) == []  # the least of the others is more than there is: the warden's
    proposal = decide(host([lowered], 750), PLAIN, 0)[0]
    assert proposal.reason == "somebody else has set it to 150 W"


def test_a_gang_is_not_held_to_what_somebody_else_has_set_one_member_to(gpus: Any) -> None:
    states = [gpus.state(gpus.device(n), 300, limit_w=200, capped=1.0) for n in range(2)]
    lowered = replace(states[0], foreign_limit_w=150.0)
    assert shares(host([lowered, states[1]], 500, {states[0].device.uuid, states[1].device.uuid})) == [150, 350]
