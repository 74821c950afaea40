"""The demo's part without a budget: real processes on two simulated hosts, for a few seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagent.demo import quiet, report
from eagent.errors import DriverError, InputError
from eagent.sim.trace import Request, Trace

TRACE = Trace(tuple(Request(0.05 * n, 200, 20) for n in range(20)), 1.0, "twenty short requests")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where hosts are put: a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="eagent-demo-") as path:
        yield Path(path)


def test_both_hosts_answer_the_same_and_every_clock_comes_back(directory: Path, fuse: None) -> None:  # noqa: ARG001  # only skips
    said: list[str] = []
    outcome = quiet.run(TRACE, 1.0, directory, said.append)
    part = report.quiet_document(outcome)
    assert part["without"]["requests_done"] == part["eagent"]["requests_done"] == part["requests"] > 0
    assert part["knobs_restored"] is True
    assert part["cpu_left_out"] is None
    assert 0 < part["eagent"]["cpu_energy_j"] < part["eagent"]["energy_j"]
    assert "every clock is back" in "\n".join(report.quiet_summary(part))
    assert any("by eagent: 0 GPUs low, CPUs at most 3400 MHz" in line for line in said)


def test_without_fuse_the_cpus_are_left_out_and_it_is_said_why(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> int:
        raise DriverError("/dev/fuse is missing")

    monkeypatch.setattr(quiet.sysfs, "start", refuse)
    said: list[str] = []
    part = report.quiet_document(quiet.run(TRACE, 1.0, directory, said.append))
    assert part["cpu_left_out"] == "/dev/fuse is missing"
    assert part["knobs_restored"] is True
    assert "  CPUs are left out: /dev/fuse is missing" in said
    assert "CPUs were left out: /dev/fuse is missing" in report.quiet_summary(part)


def test_a_trace_of_which_nothing_is_left_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "BUSY_SHARE", 1e-6)
    with pytest.raises(InputError, match=r"twenty short requests, .*: no request is left"):
        quiet.run(TRACE, 1.0, tmp_path, print)
