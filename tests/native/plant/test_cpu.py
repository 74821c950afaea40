"""The processors: what they draw, what their knobs do, and how a load can wait for them."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim.workload import Gang, Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

# Idle 65 W, a busy core 8 W at 3.4 GHz, DRAM 12 W and 20 W more when all cores are busy: the shipped Xeon model.
BUSY = Square(period_s=1e5, duty=1.0)
QUIET = Square(period_s=1e5, duty=0.0)  # a process that waits for work
CORES = range(64)


def drive(khz: int) -> float:
    """The model's (f/fmax) v(f)^2, on its own."""
    volt = 0.65 + 0.35 * max(0.0, (khz - 1_200_000) / 2_200_000)
    return khz / 3_400_000 * volt * volt


def watts(host: Host, package: int = 0) -> tuple[float, float]:
    """True mean watts of a package and of its DRAM over the next second."""
    start_s = host.time_s
    before = host.cpu_energy_true_j(package)
    host.advance(start_s + 1.0)
    after = host.cpu_energy_true_j(package)
    return after[0] - before[0], after[1] - before[1]


def set_all(host: Host, khz: int) -> None:
    for cpu in CORES:
        host.set_cpu_max_khz(cpu, khz)


def steps_a_second(host: Host, over_s: float = 20.0) -> float:
    host.advance(host.time_s + 1.0)
    start_s, before = host.time_s, host.progress()[0]["steps"]
    host.advance(start_s + over_s)
    return (host.progress()[0]["steps"] - before) / over_s


# ---- power -----------------------------------------------------------------------------------------------------------


def test_an_idle_package_draws_its_idle_watts(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    assert watts(host) == pytest.approx((65.0, 12.0))
    assert host.cpu_view(0)["current_khz"] == 800_000


@pytest.mark.parametrize("load", [BUSY, QUIET], ids=["busy", "waiting"])
def test_a_process_on_a_gpu_keeps_its_cores_busy_whether_it_works_or_waits(lab: Lab, load: Square) -> None:
    host = lab(gpus=8, cpu={})
    load.start(host, [0, 1, 5])
    host.advance(1.0)
    assert watts(host, 0) == pytest.approx((65 + 2 * 2 * 8, 12 + 20 * 4 / 32))
    assert watts(host, 1) == pytest.approx((65 + 1 * 2 * 8, 12 + 20 * 2 / 32))
    assert sum(host.cpu_view(cpu)["busy"] for cpu in CORES) == 6
    assert {host.cpu_view(cpu)["current_khz"] for cpu in CORES if host.cpu_view(cpu)["busy"]} == {3_400_000}
    host.stop_load()
    assert watts(host, 0) == pytest.approx((65.0, 12.0))


@pytest.mark.parametrize("khz", [800_000, 1_500_000, 2_600_000, 3_400_000])
def test_a_busy_core_draws_with_frequency_and_voltage_squared(lab: Lab, khz: int) -> None:
    host = lab(gpus=8, cpu={})
    BUSY.start(host, range(8))
    set_all(host, khz)
    host.advance(1.0)
    assert watts(host)[0] == pytest.approx(65 + 8 * 8 * drive(khz))


def test_the_log_holds_each_package_with_its_memory_per_100_ms(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    BUSY.start(host, [0], at_s=0.25)
    host.advance(1.0)
    assert host.cpu_power_log()[0] == pytest.approx((77.0, 77.0))
    assert host.cpu_power_log()[2] == pytest.approx((77.0 + (16 + 20 * 2 / 32) / 2, 77.0))  # half of it
    assert host.cpu_power_log()[9] == pytest.approx((77.0 + 16 + 20 * 2 / 32, 77.0))
    assert len(host.cpu_power_log()) == len(host.power_log()) == 10
    truth = [sum(host.cpu_energy_true_j(package)) for package in range(2)]
    assert [sum(row[package] for row in host.cpu_power_log()) * 0.1 for package in range(2)] == pytest.approx(truth)


def test_the_share_of_a_core_that_is_left_over_is_drawn_too(lab: Lab) -> None:
    host = lab(gpus=4, cpu={"topology": {"threads_per_gpu": 1.25}})
    BUSY.start(host, [0])
    host.advance(1.0)
    assert [host.cpu_view(cpu)["busy"] for cpu in range(3)] == [1.0, 0.25, 0.0]
    assert watts(host)[0] == pytest.approx(65 + 1.25 * 8)


def test_more_gpus_than_cores_is_a_host_too(lab: Lab) -> None:
    host = lab(gpus=16, cpu={"topology": {"packages": 1, "cores": 4}})
    Gang(host_s=0.1).start(host, range(16))
    host.advance(2.0)
    assert host.progress()[0]["steps"] == 3


def test_busy_time_is_for_how_long_a_process_was_there(lab: Lab) -> None:
    host = lab(gpus=4, cpu={"topology": {"threads_per_gpu": 1.25}})
    QUIET.start(host, [0], at_s=1.0)
    BUSY.start(host, [3], at_s=2.5)
    host.advance(4.0)
    host.set_cpu_max_khz(0, 1_000_000)  # a change in between; busy is busy at any clock
    host.advance(6.0012)
    host.stop_load()
    host.advance(10.0)
    BUSY.start(host, [0], at_s=12.0)
    host.advance(15.5)
    spans_s = {0: 5.0012 + 3.5, 1: (5.0012 + 3.5) / 4, 2: 0.0, 48: 3.5012, 49: 3.5012 / 4, 63: 0.0}
    views = {cpu: host.cpu_view(cpu) for cpu in spans_s}
    assert {cpu: view["busy_s"] for cpu, view in views.items()} == pytest.approx(spans_s, abs=1e-9)
    assert [view["busy_s"] + view["idle_s"] for view in views.values()] == pytest.approx([15.5] * len(views))


# ---- knobs -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**31 - 1)), max_size=6))
def test_requests_are_kept_and_what_acts_is_within_the_hardware(lab: Lab, writes: list[tuple[bool, int]]) -> None:
    host = lab(cpu={})
    low, high = 800_000, 3_400_000
    for is_max, khz in writes:
        if is_max:
            high = khz
            host.set_cpu_max_khz(3, khz)
        else:
            low = khz
            host.set_cpu_min_khz(3, khz)
        view = host.cpu_view(3)
        assert (view["min_request_khz"], view["max_request_khz"]) == (low, high)
        assert view["max_khz"] == min(max(high, 800_000), 3_400_000)
        assert view["min_khz"] == min(max(low, 800_000), view["max_khz"])
        assert view["min_khz"] <= view["current_khz"] <= view["max_khz"]


def test_the_lower_bound_comes_back_when_the_upper_one_is_raised_again(lab: Lab) -> None:
    host = lab(cpu={})
    host.set_cpu_min_khz(0, 2_000_000)
    host.set_cpu_max_khz(0, 1_000_000)
    assert (host.cpu_view(0)["min_khz"], host.cpu_view(0)["max_khz"]) == (1_000_000, 1_000_000)
    host.set_cpu_max_khz(0, 3_000_000)
    assert (host.cpu_view(0)["min_khz"], host.cpu_view(0)["max_khz"]) == (2_000_000, 3_000_000)


@pytest.mark.parametrize(
    ("driver", "governor", "idle_khz", "busy_khz"),
    [
        ("intel_pstate", "performance", 3_000_000, 3_000_000),
        ("intel_pstate", "powersave", 1_000_000, 3_000_000),
        ("acpi-cpufreq", "performance", 3_000_000, 3_000_000),
        ("acpi-cpufreq", "powersave", 1_000_000, 1_000_000),
        ("acpi-cpufreq", "schedutil", 1_000_000, 3_000_000),
        ("acpi-cpufreq", "ondemand", 1_000_000, 3_000_000),
        ("acpi-cpufreq", "conservative", 1_000_000, 3_000_000),
    ],
)
def test_a_governor_chooses_within_the_bounds(
    lab: Lab, driver: str, governor: str, idle_khz: int, busy_khz: int
) -> None:
    host = lab(cpu={"identity": {"driver": driver}})
    BUSY.start(host, [0])
    host.advance(1.0)
    for cpu in (0, 40):
        host.set_cpu_min_khz(cpu, 1_000_000)
        host.set_cpu_max_khz(cpu, 3_000_000)
        host.set_cpu_governor(cpu, governor)
    assert (host.cpu_view(40)["current_khz"], host.cpu_view(0)["current_khz"]) == (idle_khz, busy_khz)


def test_epp_lowers_a_busy_core_beyond_balance(lab: Lab) -> None:
    host = lab(cpu={})
    BUSY.start(host, [0])
    host.advance(1.0)
    found = []
    for epp in (0, 128, 192, 255):
        host.set_cpu_epp(0, epp)
        found.append(host.cpu_view(0)["current_khz"])
    assert found[:2] == [3_400_000, 3_400_000]
    assert found[3] == 3_400_000 - 0.4 * 2_600_000
    assert found[3] < found[2] < found[1]


def test_under_performance_there_is_one_epp_and_the_other_comes_back_after_it(lab: Lab) -> None:
    host = lab(cpu={})
    host.set_cpu_epp(0, 192)
    host.set_cpu_governor(0, "performance")
    assert host.cpu_view(0)["epp"] == 0
    assert refused(lambda: host.set_cpu_epp(0, 128)) == errno.EBUSY
    host.set_cpu_governor(0, "powersave")
    assert host.cpu_view(0)["epp"] == 192


def refused(call: Any) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  # its number is the result
        call()
    return caught.value.errno


def test_what_the_kernel_refuses_is_refused_and_not_logged(lab: Lab) -> None:
    pstate, acpi = lab(cpu={}), lab(cpu={"identity": {"driver": "acpi-cpufreq", "powercap": "amd"}})
    assert refused(lambda: pstate.set_cpu_governor(0, "schedutil")) == errno.EINVAL
    assert refused(lambda: pstate.set_cpu_governor(0, "nonsense")) == errno.EINVAL
    assert refused(lambda: pstate.set_cpu_epp(0, 256)) == errno.EINVAL
    assert refused(lambda: pstate.set_cpu_max_khz(0, 2**31)) == errno.EINVAL
    assert refused(lambda: pstate.set_cpu_max_khz(64, 2_000_000)) == errno.ERANGE
    assert refused(lambda: pstate.set_rapl_limit_uw(0, 2, 10)) == errno.ENODATA
    assert refused(lambda: acpi.set_cpu_epp(0, 128)) == errno.EINVAL
    assert refused(lambda: acpi.set_rapl_limit_uw(0, 0, 10)) == errno.ENODATA
    assert pstate.cpu_log() == acpi.cpu_log() == []
    for look in (lambda: pstate.cpu_view(64), lambda: pstate.rapl_view(2), lambda: pstate.cpu_energy_true_j(2)):
        with pytest.raises(InputError, match="outside"):
            look()


def test_each_write_is_logged_with_time_and_writer(lab: Lab) -> None:
    host = lab(cpu={})
    host.advance(1.5)
    host.set_cpu_max_khz(7, 99, pid=4711)
    host.set_cpu_governor(7, "performance")
    host.set_rapl_limit_uw(1, 1, 123_456_789)
    host.set_rapl_window_us(1, 0, 5)
    host.set_rapl_enabled(1, False)
    host.set_power_limit(0, 200.0)
    assert host.cpu_log() == [
        (1.5, "max_khz", 7, 0, 3_400_000, 99, 4711),
        (1.5, "governor", 7, 0, "powersave", "performance", os.getpid()),
        (1.5, "limit_uw", 1, 1, 300_000_000, 123_375_000, os.getpid()),
        (1.5, "window_us", 1, 0, 999_424, 5, os.getpid()),
        (1.5, "enabled", 1, 0, 1, 0, os.getpid()),
    ]
    assert len(host.limit_log()) == 1


# ---- RAPL ------------------------------------------------------------------------------------------------------------


def test_the_counter_moves_each_millisecond_and_not_within(lab: Lab) -> None:
    host = lab(cpu={})
    seen = []
    for tenth_ms in range(10_000, 10_030):
        host.advance(tenth_ms * 1e-4)
        seen.append(host.rapl_view(0)["energy_uj"])
    assert len(set(seen)) == 3
    steps = [after - before for before, after in itertools.pairwise(sorted(set(seen)))]
    assert steps == pytest.approx([65_000, 65_000], abs=62)


def test_the_counter_wraps_at_its_range_and_counts_on(lab: Lab) -> None:
    host = lab(cpu={"limits": {"energy_range_uj": 100_000_000}})
    lost = wraps = 0
    before, true_before = host.rapl_view(0)["energy_uj"], host.cpu_energy_true_j(0)[0]
    for second in range(1, 11):
        host.advance(second)
        after, true_after = host.rapl_view(0)["energy_uj"], host.cpu_energy_true_j(0)[0]
        wraps += after < before
        delta = after - before + (100_000_000 if after < before else 0)
        lost = max(lost, abs(delta - 1e6 * (true_after - true_before)))
        before, true_before = after, true_after
    assert wraps == 6  # 650 J
    assert lost < 200  # three counts
    assert host.rapl_view(0)["dram_uj"] == pytest.approx(20_000_000, abs=200)  # 120 J


@pytest.mark.parametrize("limit_w", [70, 90, 120, 128])
def test_a_power_limit_holds_by_slowing_the_cores(lab: Lab, limit_w: int) -> None:
    host = lab(gpus=8, cpu={})
    BUSY.start(host, range(8))
    host.advance(1.0)
    assert watts(host)[0] == pytest.approx(129.0)
    host.set_rapl_limit_uw(0, 0, limit_w * 1_000_000)
    slowed = host.cpu_view(0)["current_khz"]
    floor_w = 65 + 8 * 8 * drive(800_000)
    assert watts(host)[0] == pytest.approx(max(limit_w, floor_w), abs=0.01)
    assert slowed == 800_000 if limit_w < floor_w else 800_000 < slowed < 3_400_000
    assert host.cpu_view(32)["current_khz"] == 3_400_000  # the other package


def test_the_stricter_of_two_limits_holds_and_none_while_they_are_off(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    BUSY.start(host, range(8))
    host.advance(1.0)
    host.set_rapl_limit_uw(0, 0, 110_000_000)
    host.set_rapl_limit_uw(0, 1, 100_000_000)
    assert watts(host)[0] == pytest.approx(100, abs=0.01)
    host.set_rapl_enabled(0, False)
    assert watts(host)[0] == pytest.approx(129)
    host.set_rapl_enabled(0, True)
    assert watts(host)[0] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    ("written", "kept"),
    [(0, 0), (124_999, 0), (100_000_001, 100_000_000), (99_999_999, 99_875_000), (4096 * 10**6, 0)],
)
def test_a_limit_is_kept_in_eighths_of_a_watt_and_cut_to_its_field(lab: Lab, written: int, kept: int) -> None:
    host = lab(cpu={})
    host.set_rapl_limit_uw(0, 0, written)
    assert host.rapl_view(0)["limit_uw"] == (kept, 300_000_000)


# ---- loads that wait for them ----------------------------------------------------------------------------------------


def test_a_gang_whose_processors_keep_up_does_not_notice_their_clock(lab: Lab) -> None:
    fast, slow = lab(gpus=8, cpu={}), lab(gpus=8, cpu={})
    for host, khz in ((fast, 3_400_000), (slow, 1_700_000)):
        Gang(step_s=0.2, imbalance=0.0, host_s=0.09).start(host, range(8))
        set_all(host, khz)
        host.advance(30.0)
    assert slow.progress() == fast.progress()
    assert slow.progress()[0]["starved_s"] == 0
    assert slow.power_log() == fast.power_log()


def test_a_gang_bound_by_its_processors_goes_as_fast_as_they_do(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    Gang(step_s=0.2, imbalance=0.0, host_s=0.25).start(host, range(8))
    assert steps_a_second(host) == pytest.approx(4.0, abs=0.06)
    set_all(host, 1_700_000)
    assert steps_a_second(host) == pytest.approx(2.0, abs=0.06)
    assert host.view(0)["gpu_utilisation_pct"] == pytest.approx(40, abs=8)  # it waits: no kernel runs
    assert host.progress()[0]["starved_s"] == pytest.approx(21 * 0.2 + 21 * 0.6, abs=0.5)
    set_all(host, 3_400_000)
    assert steps_a_second(host) == pytest.approx(4.0, abs=0.06)


def test_one_slow_core_holds_up_the_whole_gang(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    Gang(step_s=0.1, imbalance=0.0, host_s=0.09).start(host, range(8))
    host.set_cpu_max_khz(40, 850_000)  # GPU 5's: 8 cores a GPU, the first of them feeds it
    assert steps_a_second(host) == pytest.approx(1 / 0.36, abs=0.06)


def test_a_package_limit_can_starve_gpus(lab: Lab) -> None:
    host = lab(gpus=8, cpu={})
    Gang(step_s=0.1, imbalance=0.0, host_s=0.09).start(host, range(8))
    free = steps_a_second(host)
    host.set_rapl_limit_uw(1, 0, 80_000_000)
    assert steps_a_second(host) < 0.8 * free


# ---- hosts without --------------------------------------------------------------------------------------------------


def test_a_host_may_have_no_processors_to_speak_of(lab: Lab) -> None:
    host = lab()
    assert host.processor is None
    host.advance(1.0)
    assert host.cpu_power_log() == [()] * 10
    with pytest.raises(InputError):
        host.cpu_view(0)


def test_a_host_tells_what_its_processors_are(lab: Lab) -> None:
    found = lab(cpu={}).processor
    assert found is not None
    assert (found["driver"], found["powercap"], found["packages"], found["cores"]) == (
        "intel_pstate",
        "intel-rapl",
        2,
        32,
    )
    assert found["governors"] == ("performance", "powersave")
    assert found["has_epp"]


@pytest.mark.parametrize(
    "change",
    [
        {"topology": {"cores": 0}},
        {"topology": {"packages": 5}},
        {"topology": {"cores": 200}},
        {"clocks": {"min_khz": 3_400_000}},
        {"clocks": {"min_khz": 1}},
        {"limits": {"energy_range_uj": 1}},
        {"power": {"core_w": float("nan")}},
        {"identity": {"driver": "longrun"}},
    ],
)
def test_a_description_of_no_processor_is_refused(lab: Lab, change: dict[str, dict[str, object]]) -> None:
    with pytest.raises(InputError):
        lab(cpu=change)
