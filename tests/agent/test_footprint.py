from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.footprint import PAGE_B, TICKS, Footprints, Usage, parse
from eagent.model import Status

SECOND_NS = 1_000_000_000


def stat(name: str = "eagent", user: int = 0, system: int = 0, started: int = 7, pages: int = 0) -> str:
    """A line as proc_pid_stat(5) describes it; what is not asked for is a number that must not be taken."""
    before = " ".join(["R", *(["999999"] * 10)])
    between = " ".join(["888888"] * 6)
    return f"4711 ({name}) {before} {user} {system} {between} {started} 777777 {pages} 666666 555555\n"


def show(proc: Path, pid: int, text: str) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(text)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_program_may_be_called_whatever_it_likes(name: str, ticks: int, pages: int) -> None:
    assert parse(stat(name, user=ticks, system=3, pages=pages)) == Usage(7, (ticks + 3) / TICKS, pages * PAGE_B)


@given(st.text())
def test_what_is_no_such_line_is_nothing(text: str) -> None:
    found = parse(text)
    assert found is None or len(text.rpartition(")")[2].split()) >= 22


@pytest.mark.parametrize("text", ["", "4711 (eagent)", stat().replace(" 7 ", " x ")])
def test_a_line_that_is_cut_short_or_no_numbers_is_nothing(text: str) -> None:
    assert parse(text) is None


def test_a_share_is_of_one_cpu_between_two_looks(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path, lambda: 60.0)
    show(tmp_path, 11, stat(user=100, system=20, started=10 * TICKS, pages=10))
    first = footprints.look({"agent": 11}, SECOND_NS)["agent"]
    assert first is not None
    assert (first.pid, first.cpu_s, first.resident_b) == (11, 120 / TICKS, 10 * PAGE_B)
    assert (first.cpu_share.value, first.cpu_share.window_s) == (pytest.approx(120 / TICKS / 50), 50.0), (
        "since it began"
    )
    show(tmp_path, 11, stat(user=100 + TICKS, system=20, started=10 * TICKS, pages=12))
    second = footprints.look({"agent": 11}, 11 * SECOND_NS)["agent"]
    assert second is not None
    assert (second.cpu_share.value, second.cpu_share.window_s) == (pytest.approx(0.1), 10.0)
    assert second.resident_b == 12 * PAGE_B


def test_it_looks_once_in_some_seconds(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path)
    show(tmp_path, 11, stat(pages=1))
    footprints.look({"agent": 11}, SECOND_NS)
    show(tmp_path, 11, stat(pages=2))
    early, late = (footprints.look({"agent": 11}, at_s * SECOND_NS)["agent"] for at_s in (2, 7))
    assert early is not None
    assert late is not None
    assert (early.resident_b, late.resident_b) == (PAGE_B, 2 * PAGE_B)


def test_another_process_is_looked_at_at_once_and_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path, lambda: 20.0)
    show(tmp_path, 11, stat(user=100))
    show(tmp_path, 12, stat(user=5 * TICKS, started=10 * TICKS))
    footprints.look({"warden": 11}, SECOND_NS)
    found = footprints.look({"warden": 12}, 2 * SECOND_NS)["warden"]
    assert found is not None
    assert (found.pid, found.cpu_share.value, found.cpu_share.window_s) == (12, pytest.approx(0.5), 10.0)


def test_a_pid_that_was_used_again_has_no_share_of_both(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path, lambda: 20.0)
    show(tmp_path, 11, stat(user=100, started=7))
    footprints.look({"warden": 11}, SECOND_NS)
    show(tmp_path, 11, stat(user=5 * TICKS, started=10 * TICKS))
    found = footprints.look({"warden": 11}, 7 * SECOND_NS)["warden"]
    assert found is not None
    assert found.cpu_share.value == pytest.approx(0.5), "that of the new one, since it began"


def test_a_process_that_began_at_this_very_moment_has_no_share_yet(tmp_path: Path) -> None:
    show(tmp_path, 11, stat(started=20 * TICKS))
    found = Footprints(tmp_path, lambda: 20.0).look({"warden": 11}, SECOND_NS)["warden"]
    assert found is not None
    assert found.cpu_share.status is Status.MISSING


def test_a_process_that_is_gone_or_not_known_is_nothing(tmp_path: Path) -> None:
    footprints = Footprints(tmp_path)
    show(tmp_path, 11, stat())
    assert footprints.look({"warden": None, "agent": 11}, SECOND_NS)["warden"] is None
    (tmp_path / "11" / "stat").unlink()
    assert footprints.look({"warden": None, "agent": 11}, 7 * SECOND_NS) == {"warden": None, "agent": None}


def test_the_kernels_own_line_agrees_with_what_it_tells_the_process_itself() -> None:
    found = Footprints().look({"agent": os.getpid()}, 0)["agent"]
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert found is not None
    assert found.cpu_s == pytest.approx(used.ru_utime + used.ru_stime, abs=1.0)
    assert 2**20 < found.resident_b <= used.ru_maxrss * 1024 * 1.1
