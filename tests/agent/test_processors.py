from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.processors import Processors, Used, busy_cpus, used_s
from eagent.model import Status

SECOND_NS = 1_000_000_000
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")


def times(**seconds: float) -> Any:
    return SimpleNamespace(**{**dict.fromkeys(FIELDS, 0.0), **seconds})


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Path]:
    """A /proc of our own, that psutil reads."""
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(tmp_path)
    yield tmp_path
    psutil.PROCFS_PATH = before


def write_stat(proc: Path, user_ticks: int, idle_ticks: int) -> None:
    (proc / "stat").write_text(f"cpu  {user_ticks} 0 0 {idle_ticks} 0 0 0 0 0 0\ncpu0 {user_ticks} 0 0 0 0 0 0 0 0 0\n")


@pytest.mark.parametrize("field", ["user", "nice", "system", "irq", "softirq"])
def test_time_in_which_a_cpu_did_something_counts(field: str) -> None:
    assert used_s(times(**{field: 3.0})) == 3.0


@pytest.mark.parametrize("field", ["idle", "iowait", "steal"])
def test_time_in_which_no_cpu_did_anything_for_us_does_not_count(field: str) -> None:
    assert used_s(times(user=1.0, **{field: 3.0})) == 1.0


def test_the_time_of_guests_counts_once() -> None:
    assert used_s(times(user=4.0, guest=3.0, nice=2.0, guest_nice=2.0)) == 6.0


@given(st.integers(0, 10**15), st.integers(1_000_000, 10 * SECOND_NS), st.floats(0, 1e9), st.floats(0, 1e4))
def test_busy_cpus_are_seconds_used_in_a_second(at_ns: int, elapsed_ns: int, before_s: float, used: float) -> None:
    reading = busy_cpus(Used(at_ns, before_s), Used(at_ns + elapsed_ns, before_s + used))
    assert reading.ok
    assert reading.window_s == pytest.approx(elapsed_ns / SECOND_NS)
    assert reading.value == pytest.approx(used / reading.window_s, rel=1e-6, abs=1e-6 / reading.window_s)


@pytest.mark.parametrize("after", [Used(2 * SECOND_NS, 9.9), Used(SECOND_NS, 12.0), Used(0, 12.0)])
def test_counters_or_a_clock_that_ran_backwards_are_a_failure_and_not_a_zero(after: Used) -> None:
    reading = busy_cpus(Used(SECOND_NS, 10.0), after)
    assert (reading.status, reading.value) == (Status.FAILED, None)


def test_the_first_look_tells_nothing_and_the_second_the_mean_between_them(proc: Path) -> None:
    processors = Processors()
    write_stat(proc, 1000, 5000)
    assert processors.busy(SECOND_NS).status is Status.MISSING
    write_stat(proc, 1350, 9000)
    reading = processors.busy(2 * SECOND_NS)
    assert (reading.value, reading.window_s, reading.age_s) == (pytest.approx(3.5), 1.0, 0.0)
    assert reading.sensor == "kernel cpu times"


def test_between_two_looks_the_last_one_is_told_with_its_age(proc: Path) -> None:
    processors = Processors()
    for second in range(3):
        write_stat(proc, 100 * second, 0)
        processors.busy(second * SECOND_NS)
    write_stat(proc, 9_000, 0)
    reading = processors.busy(2 * SECOND_NS + SECOND_NS // 2)
    assert (reading.value, reading.age_s) == (pytest.approx(1.0), 0.5)


def test_hosts_whose_cpus_do_nothing_read_as_zero(proc: Path) -> None:
    processors = Processors()
    write_stat(proc, 100, 0)
    processors.busy(0)
    write_stat(proc, 100, 6400)
    assert processors.busy(SECOND_NS).value == 0.0


def test_a_proc_that_is_not_there_is_missing(proc: Path) -> None:
    processors = Processors()
    for second in range(3):
        reading = processors.busy(second * SECOND_NS)
        assert (reading.status, reading.value) == (Status.MISSING, None)
    assert not list(proc.iterdir())


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu 1 2\n", "cpu  x 0 0 0 0 0 0 0 0 0\n", "\0\0\0"])
def test_a_proc_that_makes_no_sense_is_a_failure_and_well_again_after_two_good_looks(proc: Path, text: str) -> None:
    processors = Processors()
    write_stat(proc, 100, 0)
    processors.busy(0)
    (proc / "stat").write_text(text)
    assert processors.busy(SECOND_NS).status is Status.FAILED
    write_stat(proc, 900, 0)
    assert processors.busy(2 * SECOND_NS).status is Status.MISSING, "a mean over more than a second would be of then"
    write_stat(proc, 1000, 0)
    assert processors.busy(3 * SECOND_NS).value == pytest.approx(1.0)


def test_counters_that_may_not_be_read_are_told_so() -> None:
    def refuse() -> Any:
        raise PermissionError

    processors = Processors(refuse)
    assert processors.busy(0).status is Status.NO_PERMISSION


def test_looks_that_lie_far_apart_are_no_mean_of_now(proc: Path) -> None:
    processors = Processors()
    write_stat(proc, 100, 0)
    processors.busy(0)
    write_stat(proc, 90_000, 0)
    assert processors.busy(3600 * SECOND_NS).status is Status.MISSING
