from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eagent.agent.lineage import KNOWN_MAX, REMEMBER_NS, TICK_NS, Lineage, Process

SECOND_TICKS = 1_000_000_000 // TICK_NS
NOW_NS = 1000 * 1_000_000_000
ALL = (1 << 41) - 1
NOBODYS = 5_000_000  # above all pids that a kernel gives, this process's among them


class Proc:
    """A /proc that a test fills; the time since boot is the monotonic time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put(os.getpid(), 1, 1)
        self.lineage = Lineage(path, lambda: 0)

    def put(self, pid: int, parent: int, start_s: float, *, uid: int = 1000, name: str = "python", **more: Any) -> None:
        (self.path / str(pid)).mkdir(exist_ok=True)
        fields = [pid, f"({name})", "S", parent, *[0] * 17, round(start_s * SECOND_TICKS), *[0] * 30]
        (self.path / str(pid) / "stat").write_text(" ".join(map(str, fields)))
        nested, capabilities = more.get("nspid", f"{pid}"), more.get("capabilities", 0)
        status = (
            f"Name:\t{name}\nUid:\t{uid + 1}\t{uid}\t{uid}\t{uid}\nNSpid:\t{nested}\nCapEff:\t{capabilities:016x}\n"
        )
        (self.path / str(pid) / "status").write_text(status)

    def end(self, pid: int) -> None:
        for name in ("stat", "status"):
            (self.path / str(pid) / name).unlink()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def ticks(seconds: float) -> int:
    return round(seconds * SECOND_TICKS)


@pytest.mark.parametrize("name", ["python", "a) (b", "x y\tz", ")", "é"])
def test_a_process_is_known_by_pid_and_start_with_its_user_and_ancestors(proc: Proc, name: str) -> None:
    proc.put(1, 0, 1, uid=0)
    proc.put(50, 1, 20, uid=0)
    proc.put(70, 50, 30, name=name)
    found = proc.lineage.look(70, NOW_NS)
    assert found == Process((70, ticks(30)), 1000, frozenset({(50, ticks(20)), (1, ticks(1))}))
    assert found.descends_from((50, ticks(20)))
    assert found.descends_from((70, ticks(30)))
    assert not found.descends_from((50, ticks(21))), "another that has the pid now"


def test_the_dead_are_remembered_with_their_ancestors(proc: Proc) -> None:
    proc.put(50, 1, 20)
    proc.put(70, 50, 30)
    before = proc.lineage.look(70, NOW_NS)
    proc.end(70)
    proc.end(50)
    assert proc.lineage.look(70, NOW_NS) is before is not None
    assert proc.lineage.look(71, NOW_NS) is None


def test_those_who_come_and_go_are_forgotten_and_those_who_stay_are_not(proc: Proc) -> None:
    proc.put(50, 1, 20)
    proc.put(70, 50, 30)
    staying = proc.lineage.look(70, NOW_NS)
    proc.end(50)
    for minute in range(60):
        pid, at_ns = NOBODYS + minute, NOW_NS + minute * 60_000_000_000
        proc.put(pid, 1, 30)
        proc.lineage.look(pid, at_ns)
        proc.end(pid)
    assert len(proc.lineage) <= 3 + REMEMBER_NS // 60_000_000_000
    assert proc.lineage.look(70, at_ns) is staying is not None, "what it descends from can't be read any more"
    assert proc.lineage.look(NOBODYS + 59, at_ns) is not None
    assert proc.lineage.look(NOBODYS, at_ns) is None


def test_of_too_many_at_a_time_the_oldest_are_forgotten(proc: Proc) -> None:
    proc.put(70, 1, 30)
    stat, status = ((proc.path / "70" / name).read_text() for name in ("stat", "status"))
    for pid in range(NOBODYS, NOBODYS + KNOWN_MAX + 10):
        (proc.path / str(pid)).mkdir()
        (proc.path / str(pid) / "stat").write_text(stat)
        (proc.path / str(pid) / "status").write_text(status)
        proc.lineage.look(pid, NOW_NS)
    assert len(proc.lineage) == KNOWN_MAX
    proc.end(NOBODYS)
    assert proc.lineage.look(NOBODYS, NOW_NS) is None
    proc.end(pid)
    assert proc.lineage.look(pid, NOW_NS) is not None


def test_a_pid_that_is_used_again_is_another_process(proc: Proc) -> None:
    proc.put(70, 1, 30)
    before = proc.lineage.look(70, NOW_NS)
    proc.put(70, 1, 1001)
    assert proc.lineage.look(70, NOW_NS) is before, "who was seen a second ago did not start since"
    after = proc.lineage.look(70, NOW_NS + 2 * 1_000_000_000)
    assert after is not None
    assert before is not None
    assert after.identity != before.identity


def test_a_launcher_that_becomes_its_user_is_its_users(proc: Proc) -> None:
    proc.put(70, 1, 30, uid=0)
    before = proc.lineage.look(70, NOW_NS)
    proc.put(70, 1, 30, uid=1000)
    after = proc.lineage.look(70, NOW_NS)
    assert before is not None
    assert after is not None
    assert (before.uid, after.uid, after.identity) == (0, 1000, before.identity)


def test_one_that_started_after_it_was_seen_was_not_seen(proc: Proc) -> None:
    proc.put(70, 1, 1001)
    assert proc.lineage.look(70, NOW_NS) is None


def test_a_process_that_hides_is_not_known(proc: Proc) -> None:
    proc.put(70, 1, 30)
    (proc.path / "70/status").unlink()
    assert proc.lineage.look(70, NOW_NS) is None
    (proc.path / "71").mkdir()
    (proc.path / "71/stat").write_text("71 (x")
    assert proc.lineage.look(71, NOW_NS) is None


def test_parents_that_go_round_in_circles_end_somewhere(proc: Proc) -> None:
    proc.put(70, 71, 30)
    proc.put(71, 70, 30)
    assert proc.lineage.look(70, NOW_NS) is not None


def test_root_and_the_agents_user_may_name_devices_but_not_from_a_container(proc: Proc) -> None:
    own = os.geteuid()
    proc.put(70, 1, 30, uid=0, capabilities=ALL)
    proc.put(71, 1, 30, uid=0, capabilities=ALL & ~(1 << 21))
    proc.put(72, 1, 30, uid=0, capabilities=ALL, nspid="72\t5")
    proc.put(73, 1, 30, uid=1000)
    assert proc.lineage.may_name(70, 0)
    assert not proc.lineage.may_name(71, 0), "a container's root lacks what root has"
    assert not proc.lineage.may_name(72, 0), "it sees pids of its own"
    assert not proc.lineage.may_name(73, 1000) or own == 1000
    assert not proc.lineage.may_name(73, 0), "the pid is another's by now"
    assert not proc.lineage.may_name(0, 0)
    proc.put(74, 1, 30, uid=own, capabilities=ALL)
    assert proc.lineage.may_name(74, own)


def test_the_kernel_itself_is_understood() -> None:
    script = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert int(child.stdout.readline()) == child.pid
        import time

        lineage = Lineage()
        us = lineage.look(os.getpid(), time.monotonic_ns())
        found = lineage.look(child.pid, time.monotonic_ns())
        assert us is not None
        assert found is not None
        assert found.descends_from(us.identity)
        assert not us.descends_from(found.identity)
        assert found.uid == os.geteuid()
        assert lineage.look(child.pid, time.monotonic_ns() - 10**12) in (None, found)
        child.stdin.close()
