"""Wardens and agents of a rack die and stand still while watts move: by the plants' own logs the budget holds."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.integration.rack import Member, Rack, until
from tests.integration.test_mesh import BUDGET_W, GRANT_W, MOVED_S, NAMES, OPEN_S, margin_w, rack

__all__ = ["rack"]

STORM_S = float(os.environ.get("EAGENT_STORM_S", "15"))
LONG_STORM_S = 300.0  # in which odd orders come up, too
SEED = int(os.environ.get("EAGENT_STORM_SEED", "1"))
STILL_S = float(os.environ.get("EAGENT_STORM_STILL_S", "8"))  # longer than any request to a warden is waited for
BACK_S = 40.0  # `eagent up` waits for up to 30 s before it starts what dies again and again
LOST = {"agent": "run/mesh", "warden": "state"}  # what a host may lose with either of them: its life, its disk


def alive(member: Member, who: str) -> int | None:
    """The pid of a host's present agent or warden; None: it is dead, and not started again yet."""
    pid = int((member.made.dir / "run" / f"{who}.lock").read_text() or 0)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return pid if who.encode() in command and any(str(member.made.dir).encode() in part for part in command) else None


def test_the_budget_holds_whoever_dies_or_stands_still_at_any_moment(rack: Rack) -> None:
    storm(rack, STORM_S)


@pytest.mark.soak
def test_the_budget_holds_through_minutes_of_deaths(rack: Rack) -> None:
    storm(rack, LONG_STORM_S)


def storm(rack: Rack, length_s: float) -> None:
    chance = random.Random(SEED)
    began_s = time.monotonic()
    resume: list[tuple[float, int]] = []
    done: list[str] = []
    working: set[str] = set()
    while time.monotonic() - began_s < length_s:
        for name in NAMES:  # watts must move all the time
            if chance.random() < 0.25:
                member = rack[name]
                if name in working:
                    member.rest()
                    working.discard(name)
                elif len(working) < 2:
                    member.work()
                    working.add(name)
        name, who = chance.choice(NAMES), chance.choice(("agent", "warden"))
        how = chance.choice((signal.SIGKILL, signal.SIGSTOP))
        pid = alive(rack[name], who)
        if pid is not None:
            os.kill(pid, how)
            done.append(f"{time.monotonic() - began_s:.1f} {how.name} {name} {who}")
            if how is signal.SIGKILL and chance.random() < 0.3:
                shutil.rmtree(rack[name].made.dir / LOST[who], ignore_errors=True)
                done[-1] += f", and loses {LOST[who]}"
            if how is signal.SIGSTOP:
                resume.append((time.monotonic() + chance.uniform(0.5, STILL_S), pid))
        until_s = time.monotonic() + chance.uniform(0.3, 4.0)
        while time.monotonic() < until_s:
            for at_s, pid in list(resume):
                if time.monotonic() >= at_s:
                    resume.remove((at_s, pid))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
    for _, pid in resume:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    story = "\n".join(done)
    assert margin_w(rack, began_s) >= 0, (story, rack.sums_w(began_s))
    assert until(lambda: all(rack.lives().values()), BACK_S + OPEN_S), (story, rack.told())
    for name in NAMES:
        rack[name].rest()
    # What was lost with lives is given out again. (Who lost its state takes the limits of then for its owner's.)
    rack.sign(2, BUDGET_W, dict.fromkeys(NAMES, GRANT_W), "n3")
    assert until(lambda: [each.domain().get("epoch") for each in rack.members.values()] == [2] * 3, OPEN_S), story
    assert until(lambda: sum(each.rights_w() for each in rack.members.values()) == BUDGET_W, MOVED_S), rack.told()
    assert margin_w(rack, began_s) >= 0, (story, rack.sums_w(began_s))
    print(
        f"{time.monotonic() - began_s:.0f} s",
        story,
        "\nmargin",
        margin_w(rack, began_s),
        "changes",
        len(rack.sums_w(began_s)),
    )
