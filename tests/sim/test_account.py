import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim import account, host
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.account import LimitChange, Overshoot, Percentiles, PowerLog, Served, Stretch
from eagent.sim.workload import Square

watts = st.integers(0, 700).map(float)
power_logs = st.lists(st.tuples(watts, watts), min_size=20, max_size=80).map(PowerLog)
latencies = st.lists(st.floats(0, 100), max_size=200)


def constant(seconds: float, *gpu_w: float) -> PowerLog:
    return PowerLog([gpu_w] * round(seconds / account.POWER_STEP_S))


def served(latencies_s: Sequence[float | None]) -> list[Served]:
    return [Served(2.0, None, None if wait_s is None else 2.0 + wait_s) for wait_s in latencies_s]


# --- Limits against the envelope ---


def test_limits_that_fit_are_never_over_the_budget() -> None:
    log = [LimitChange(1.0, 0, 400.0, 300.0, 1), LimitChange(2.0, 1, 300.0, 400.0, 1)]
    assert account.limits_over_budget_s(log, [400.0, 300.0], [Stretch(0.0, 10.0, 700.0)]) == 0


def test_a_raise_before_the_lowering_is_counted_for_as_long_as_it_lasts() -> None:
    log = [LimitChange(1.0, 1, 300.0, 400.0, 1), LimitChange(1.25, 0, 400.0, 300.0, 1)]
    assert account.limits_over_budget_s(log, [400.0, 300.0], [Stretch(0.0, 10.0, 700.0)]) == 0.25


def test_only_the_stretch_itself_is_judged_and_each_by_its_own_envelope() -> None:
    log = [LimitChange(4.0, 0, 500.0, 300.0, 1)]
    stretches = [Stretch(1.0, 3.0, 600.0), Stretch(3.0, 6.0, 400.0), Stretch(6.0, 9.0, 200.0)]
    assert account.limits_over_budget_s(log, [500.0], stretches) == 0.0 + 1.0 + 3.0


def test_limits_over_the_budget_until_the_end_count_until_the_end() -> None:
    assert account.limits_over_budget_s([], [500.0], [Stretch(0.0, 8.0, 400.0)]) == 8.0


def test_rounding_is_not_an_excess_and_a_milliwatt_is() -> None:
    thirds = [233.3, 233.3, 233.4]
    assert account.limits_over_budget_s([], thirds, [Stretch(0.0, 1.0, math.nextafter(700.0, 0.0))]) == 0
    assert account.limits_over_budget_s([], thirds, [Stretch(0.0, 1.0, 699.999)]) == 1.0


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ([LimitChange(2.0, 0, 1.0, 2.0, 1), LimitChange(1.0, 0, 2.0, 1.0, 1)], "1 s comes after 2 s"),
        ([LimitChange(2.0, 3, 1.0, 2.0, 1)], "gpu 3 at 2 s: the host has 1"),
        ([LimitChange(2.0, -1, 1.0, 2.0, 1)], "gpu -1 at 2 s: the host has 1"),
    ],
)
def test_a_limit_log_that_cannot_be_is_refused(log: list[LimitChange], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        account.limits_over_budget_s(log, [1.0], [Stretch(0.0, 1.0, 1.0)])


@given(
    changes=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 1), watts), max_size=20),
    cut=st.integers(0, 100),
    envelope_w=watts,
)
def test_time_over_the_budget_adds_up_over_adjacent_stretches(
    changes: list[tuple[int, int, float]], cut: int, envelope_w: float
) -> None:
    log = [LimitChange(float(time), gpu, 0.0, new_w, 1) for time, gpu, new_w in sorted(changes)]

    def over_s(*bounds: int) -> float:
        stretches = [Stretch(bounds[i], bounds[i + 1], envelope_w) for i in range(len(bounds) - 1)]
        return account.limits_over_budget_s(log, [300.0, 300.0], stretches)

    assert over_s(0, 100) == over_s(0, cut, 100) == over_s(0, cut) + over_s(cut, 100)
    assert 0 <= over_s(0, 100) <= 100


# --- Power and energy ---


def test_energy_is_power_times_time_for_all_gpus() -> None:
    assert account.energy_j(constant(10.0, 300.0, 100.0), 2.0, 5.0) == pytest.approx(1200.0)


def test_a_row_that_is_touched_in_part_counts_in_part() -> None:
    assert account.energy_j(PowerLog([[100.0], [200.0]]), 0.05, 0.125) == pytest.approx(5.0 + 5.0)


@given(log=power_logs, start=st.integers(0, 20), cut=st.integers(0, 20), end=st.integers(0, 20))
def test_energy_adds_up_over_adjacent_times(log: PowerLog, start: int, cut: int, end: int) -> None:
    start_s, cut_s, end_s = (log.end_s * part / 20 for part in sorted((start, cut, end)))
    whole_j = account.energy_j(log, start_s, end_s)
    parts_j = account.energy_j(log, start_s, cut_s) + account.energy_j(log, cut_s, end_s)
    assert whole_j == pytest.approx(parts_j, abs=1e-6)
    assert whole_j <= max(map(sum, log.rows)) * (end_s - start_s) + 1e-6


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 1.2), (-0.1, 0.5), (0.7, 0.3)])
def test_time_without_a_log_is_refused_and_not_taken_for_zero(start_s: float, end_s: float) -> None:
    with pytest.raises(InputError, match="the log covers 0 s to 1 s"):
        account.energy_j(constant(1.0, 300.0), start_s, end_s)


def test_power_below_the_envelope_does_not_make_up_for_power_above_it_in_another_second() -> None:
    log = PowerLog([[500.0]] * 10 + [[100.0]] * 10)
    over = account.overshoot_j(log, [Stretch(0.0, 2.0, 400.0)])
    assert over.of_1s_means_j == pytest.approx(100.0)
    assert over.of_100ms_means_j == pytest.approx(100.0)


def test_a_peak_that_evens_out_within_its_second_is_seen_by_the_short_means_alone() -> None:
    log = PowerLog([[500.0]] * 2 + [[300.0]] * 8)
    over = account.overshoot_j(log, [Stretch(0.0, 1.0, 400.0)])
    assert over.of_1s_means_j == 0
    assert over.of_100ms_means_j == pytest.approx(20.0)


def test_no_mean_mixes_two_envelopes() -> None:
    stretches = [Stretch(0.0, 0.5, 1000.0), Stretch(0.5, 1.0, 300.0)]
    assert account.overshoot_j(constant(1.0, 400.0), stretches).of_1s_means_j == pytest.approx(50.0)


@given(log=power_logs, envelope_w=st.integers(0, 1400).map(float))
def test_short_means_overshoot_at_least_as_much_as_long_ones_and_at_most_all_energy(
    log: PowerLog, envelope_w: float
) -> None:
    over = account.overshoot_j(log, [Stretch(0.0, log.end_s, envelope_w)])
    energy_j = account.energy_j(log, 0.0, log.end_s)
    assert 0 <= over.of_1s_means_j <= over.of_100ms_means_j + 1e-6 <= energy_j + 2e-6
    assert over.of_1s_means_j >= energy_j - envelope_w * log.end_s - 1e-6


# --- Latency ---


def test_percentiles_are_by_nearest_rank_and_the_unfinished_are_counted_apart() -> None:
    waits_s = [float(wait_s) for wait_s in range(1, 101)]
    found = account.latency_percentiles(served([None, *reversed(waits_s), None]))
    assert found == Percentiles(100, 2, 50.0, 95.0, 99.0, 100.0)


def test_one_request_is_all_percentiles() -> None:
    assert account.latency_percentiles(served([3.0])) == Percentiles(1, 0, 3.0, 3.0, 3.0, 3.0)


@pytest.mark.parametrize("unfinished", [0, 3])
def test_percentiles_of_nothing_are_missing_and_not_zero(unfinished: int) -> None:
    assert account.latency_percentiles(served([None] * unfinished)) == Percentiles(
        0, unfinished, None, None, None, None
    )


def test_a_first_token_counts_though_the_request_is_unfinished() -> None:
    requests = [Served(1.0, 1.5, None), Served(1.0, None, None)]
    assert account.first_token_percentiles(requests) == Percentiles(1, 1, 0.5, 0.5, 0.5, 0.5)
    assert account.latency_percentiles(requests).unfinished == 2


@given(waits_s=latencies.filter(bool), percent=st.sampled_from([50, 95, 99]))
def test_a_percentile_is_a_wait_that_happened_with_enough_at_or_below_it(waits_s: list[float], percent: int) -> None:
    found = account.latency_percentiles([(0.0, None, wait_s) for wait_s in waits_s])
    value = {50: found.p50_s, 95: found.p95_s, 99: found.p99_s}[percent]
    assert value in waits_s
    assert sum(wait_s <= value for wait_s in waits_s) >= percent / 100 * len(waits_s)
    assert sum(wait_s < value for wait_s in waits_s) < percent / 100 * len(waits_s)


# --- The whole account ---


def test_a_run_account_gathers_the_figures_of_its_time_and_calls_them_simulated() -> None:
    run = account.account(
        "n1",
        1.0,
        3.0,
        power_log=constant(4.0, 300.0, 200.0),
        limit_log=[LimitChange(0.5, 0, 400.0, 300.0, 1), LimitChange(2.0, 1, 200.0, 250.0, 1)],
        initial_limits_w=[400.0, 200.0],
        stretches=[Stretch(1.0, 3.0, 500.0)],
        served=[Served(1.0, 1.5, 2.0), Served(2.5, None, None)],
    )
    assert run.overshoot == Overshoot(0.0, 0.0)
    found = json.loads(json.dumps(run.as_dict()))
    energies_j = found.pop("simulated_gpu_energy_j")
    assert energies_j == pytest.approx([600.0, 400.0])
    assert found.pop("simulated_energy_j") == pytest.approx(1000.0)
    assert found == {
        "host": "n1",
        "simulated": True,
        "simulated_s": 2.0,
        "simulated_overshoot_of_1s_means_j": 0.0,
        "simulated_overshoot_of_100ms_means_j": 0.0,
        "limits_over_budget_s": 1.0,
        "limit_changes": 1,
        "latency": {"finished": 1, "unfinished": 1, "p50_s": 1.0, "p95_s": 1.0, "p99_s": 1.0, "max_s": 1.0},
        "first_token": {"finished": 1, "unfinished": 1, "p50_s": 0.5, "p95_s": 0.5, "p99_s": 0.5, "max_s": 0.5},
        "requests_lost": 0,
    }


def test_a_run_through_a_boot_counts_what_was_lost_and_no_limit_that_nobody_set() -> None:
    run = account.account(
        "n1",
        0.0,
        4.0,
        power_log=constant(4.0, 100.0),
        limit_log=[
            LimitChange(0.5, 0, 400.0, 300.0, 7),
            LimitChange(1.0, 0, 300.0, 0.0, account.NOBODY),
            LimitChange(2.0, 0, 0.0, 400.0, account.NOBODY),
        ],
        initial_limits_w=[400.0],
        stretches=[Stretch(0.0, 4.0, 350.0)],
        served=[Served(0.0, 0.1, None), Served(0.5, None, None)],
        lost=[0, 1],
        wall=account.WallUse(1.0, 1.0, 2.0, 500.0, 90.0, 60.0),
    )
    found = run.as_dict()
    assert (found["requests_lost"], found["limit_changes"], found["latency"]["unfinished"]) == (2, 1, 2)
    assert found["limits_over_budget_s"] == 2.5  # before the first lowering, and from the end of the boot on
    assert found["wall"] == {
        "on_s": 1.0,
        "booting_s": 1.0,
        "off_s": 2.0,
        "simulated_on_j": 500.0,
        "simulated_booting_j": 90.0,
        "simulated_off_j": 60.0,
        "simulated_energy_j": 650.0,
    }


# --- The wall ---

CHANGES = [(0.0, "on"), (10.0, "off"), (12.0, "booting"), (15.0, "on")]
SUPPLY = {"standby_w": 30.0, "boot_w": 900.0}
WALL_LOG = account.PowerLog([(1350.0,)] * 100 + [(30.0,)] * 20 + [(900.0,)] * 30 + [(1350.0,)] * 50)


@pytest.mark.parametrize(
    ("start_s", "end_s", "on_s", "booting_s", "off_s"),
    [
        (0.0, 20.0, 15.0, 3.0, 2.0),
        (10.0, 12.0, 0.0, 0.0, 2.0),
        (11.0, 13.0, 0.0, 1.0, 1.0),
        (16.0, 16.0, 0.0, 0.0, 0.0),
    ],
)
def test_the_wall_is_charged_by_the_state_that_the_host_was_in(
    start_s: float, end_s: float, on_s: float, booting_s: float, off_s: float
) -> None:
    use = account.wall_use(
        start_s,
        end_s,
        power_changes=CHANGES,
        supply=SUPPLY,
        wall_log=WALL_LOG,
    )
    assert (use.on_s, use.booting_s, use.off_s) == (on_s, booting_s, off_s)
    assert use.on_j == pytest.approx(1350.0 * on_s)
    assert (use.booting_j, use.off_j) == (900.0 * booting_s, 30.0 * off_s)


def test_a_record_of_power_that_goes_back_in_time_is_refused() -> None:
    with pytest.raises(InputError, match="expected order of time"):
        account.wall_use(
            0.0,
            1.0,
            power_changes=[(0.0, "on"), (5.0, "off"), (4.0, "booting")],
            supply=SUPPLY,
            wall_log=constant(1.0, 0.0),
        )


def test_the_wall_of_the_logs_is_the_wall_of_the_plant(tmp_path: Path) -> None:
    made = host.create(tmp_path, "n1", gpus=2, clock="virtual", boot_s=7.0)
    with Host(made.plant) as plant, Bmc(made.plant) as bmc:
        Square(duty=0.5).start(plant, [0, 1])
        for until_s, switch in ((10.0, bmc.switch_off), (60.0, bmc.switch_on), (80.0, bmc.switch_off), (90.0, str)):
            plant.advance(until_s)
            switch()
        use = account.wall_use(
            0.0,
            90.0,
            power_changes=bmc.power_changes(),
            supply=bmc.supply,
            wall_log=PowerLog(bmc.power_log()),
        )
        spent = bmc.spent()
    assert (use.on_s, use.on_j) == pytest.approx(spent["on"], rel=1e-6)
    assert (use.booting_s, use.booting_j) == pytest.approx(spent["booting"])
    assert (use.off_s, use.off_j) == pytest.approx(spent["off"])
