"""A rack's permission by its logs, against an oracle that looks anew at every stretch between two events."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from eagent.demo.permission import SLACK_W, Allowed, Exposure, Log, Moment, over_budget_s, permissions

GPUS = 2
RESERVE_W, APART_W = 300.0, 100.0
FULL_W = APART_W + GPUS * 400.0
TIMES_S = st.integers(0, 12).map(float)
LIMITS_W = st.sampled_from((0.0, 50.0, 100.0, 150.0, 400.0))
END_S = 25.0  # later than all that is drawn

Logs = st.builds(
    lambda first, power, limits, initial: Log(
        power=[(0.0, first), *sorted(power, key=lambda change: change[0])],
        limits=sorted(limits, key=lambda change: change[0]),
        initial_w=initial,
        reserve_w=RESERVE_W,
        apart_w=APART_W,
    ),
    st.sampled_from(("off", "booting", "on")),
    st.lists(st.tuples(TIMES_S, st.sampled_from(("off", "booting", "on"))), max_size=6),
    st.lists(st.tuples(TIMES_S, st.integers(0, GPUS - 1), LIMITS_W), max_size=10),
    st.lists(LIMITS_W, min_size=GPUS, max_size=GPUS),
)


def boot(on_s: float, *lowered: tuple[float, int, float], until: tuple[tuple[float, str], ...] = ()) -> Log:
    """A host that was on, went off at 1 s, and is on again from `on_s`."""
    driver = [(at_s, gpu, watts) for at_s, watts in ((1.0, 0.0), (on_s, 400.0)) for gpu in range(GPUS)]
    power = [(0.0, "on"), (1.0, "off"), (2.0, "booting"), (on_s, "on"), *until]
    return Log(power, [*driver, *lowered], [400.0] * GPUS, RESERVE_W, APART_W)


def looked_at(log: Log, at_s: float) -> tuple[float, bool]:
    """Permission and whether the host is exposed at a moment at which nothing happens: by going over all before it."""

    def limits_sum_w(until: tuple[float, int]) -> float:
        limits = dict(enumerate(log.initial_w))
        limits |= {gpu: watts for when_s, gpu, watts in log.limits if (when_s, 0) <= until}
        return APART_W + sum(limits.values())

    state, on_since = log.power[0][1], None
    for when_s, what in log.power[1:]:
        if when_s < at_s:
            on_since = (when_s, 1) if what == "on" and (state != "on" or on_since is None) else on_since
            on_since = None if what != "on" else on_since
            state = what
    if state != "on":
        return RESERVE_W, False
    stayed_on = log.power[0][1] == "on" and all(what == "on" for when_s, what in log.power if when_s < at_s)
    now_w = limits_sum_w((at_s, 0))
    if stayed_on:
        return max(RESERVE_W, now_w), False
    assert on_since is not None
    looks = [on_since, *((when_s, 0) for when_s, _, _ in log.limits if on_since[0] < when_s < at_s)]
    if any(limits_sum_w(look) <= RESERVE_W + SLACK_W for look in looks):
        return max(RESERVE_W, now_w), False
    return RESERVE_W, True


def stretches(*logs: Log) -> list[tuple[float, float]]:
    """From -1 s to END_S, cut at each event."""
    times = {at_s for log in logs for at_s, *_ in (*log.power, *log.limits)}
    return list(itertools.pairwise(sorted({-1.0, END_S} | times)))


def at(allowed: Allowed, at_s: float) -> float:
    return [moment.watts for moment in allowed.moments if moment.at_s <= at_s][-1]


@given(Logs)
def test_permission_and_exposure_are_what_one_finds_by_looking_at_any_moment(log: Log) -> None:
    allowed = permissions(log)
    exposed_s = 0.0
    for from_s, until_s in stretches(log):
        watts, is_exposed = looked_at(log, (from_s + until_s) / 2)
        exposed_s += (until_s - from_s) * is_exposed
        assert at(allowed, (from_s + until_s) / 2) == watts
    assert math.isclose(allowed.exposed_s(-1.0, END_S), exposed_s, abs_tol=1e-9)


@given(st.lists(Logs, min_size=1, max_size=3), st.sampled_from((300.0, 600.0, 900.0, 1500.0, 2000.0)), TIMES_S, TIMES_S)
def test_time_above_the_budget_is_what_one_finds_by_looking_at_any_moment(
    logs: list[Log], budget_w: float, start_s: float, more_s: float
) -> None:
    end_s = start_s + more_s
    over_s = 0.0
    for from_s, until_s in stretches(*logs):
        if sum(looked_at(log, (from_s + until_s) / 2)[0] for log in logs) > budget_w:
            over_s += max(0.0, min(until_s, end_s) - max(from_s, start_s))
    assert math.isclose(over_budget_s(map(permissions, logs), budget_w, start_s, end_s), over_s, abs_tol=1e-9)


@given(Logs)
def test_the_greatest_permission_is_one_that_stood_for_a_time(log: Log) -> None:
    found = max(looked_at(log, (from_s + until_s) / 2)[0] for from_s, until_s in stretches(log))
    assert permissions(log).greatest_w(-1.0, END_S) == found


def test_of_two_changes_at_one_moment_the_last_holds() -> None:
    lowered = Allowed((Moment(-math.inf, 400.0), Moment(1.0, 900.0), Moment(1.0, 300.0)), ())
    assert over_budget_s([lowered], 500.0, 0.0, 10.0) == 0.0
    assert lowered.greatest_w(0.0, 10.0) == 400.0


def test_limits_that_are_low_only_between_two_writes_at_one_moment_hold_nobody() -> None:
    allowed = permissions(boot(5.0, (6.0, 0, 0.0), (6.0, 1, 0.0), (6.0, 0, 400.0)))
    assert allowed.exposures == (Exposure(5.0, math.inf),)


def test_a_lender_that_lowers_when_a_borrower_raises_is_within_the_budget() -> None:
    lender = Allowed((Moment(-math.inf, 900.0), Moment(2.0, 400.0)), ())
    borrower = Allowed((Moment(-math.inf, 400.0), Moment(2.0, 900.0)), ())
    assert over_budget_s([lender, borrower], 1300.0, 0.0, 10.0) == 0.0
    assert over_budget_s([borrower, lender], 1300.0, 0.0, 10.0) == 0.0
    early = Allowed((Moment(-math.inf, 400.0), Moment(1.75, 900.0)), ())
    assert over_budget_s([lender, early], 1300.0, 0.0, 10.0) == 0.25


def test_a_host_that_boots_is_exposed_until_its_limits_are_low() -> None:
    allowed = permissions(boot(5.0, (5.5, 0, 100.0), (6.0, 1, 100.0), (8.0, 0, 400.0)))
    assert allowed.exposures == (Exposure(5.0, 6.0),)
    assert [at(allowed, at_s) for at_s in (0.5, 3.0, 5.7, 7.0, 8.0)] == [FULL_W, 300.0, 300.0, 300.0, 600.0]


def test_an_exposure_that_has_not_ended_counts_to_the_end() -> None:
    allowed = permissions(boot(5.0))
    assert allowed.exposures == (Exposure(5.0, math.inf),)
    assert allowed.exposed_s(0.0, 7.0) == 2.0


def test_an_exposure_that_a_power_cut_ends_counts_as_well() -> None:
    allowed = permissions(boot(5.0, until=((6.5, "off"),)))
    assert allowed.exposures == (Exposure(5.0, 6.5),)


def test_what_was_before_the_start_is_no_exposure_of_the_run() -> None:
    allowed = permissions(boot(5.0, (6.0, 0, 100.0), (6.0, 1, 100.0)))
    assert [allowed.exposed_s(*window) for window in ((0.0, 5.0), (5.5, 9.0), (7.0, 9.0))] == [0.0, 0.5, 0.0]


def test_a_host_that_is_off_as_the_logs_begin_has_its_reserve() -> None:
    log = Log([(0.0, "off")], [], [400.0] * GPUS, RESERVE_W, APART_W)
    assert permissions(log).greatest_w(0.0, 1.0) == RESERVE_W
