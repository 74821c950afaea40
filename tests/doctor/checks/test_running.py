import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.checks import running
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def held(host: Host, *locks: Path) -> None:
    """Make the kernel's table say that these locks are held by process 4711."""
    lines = []
    for number, lock in enumerate(locks):
        lock.touch()
        made = lock.stat()
        device = f"{os.major(made.st_dev):02x}:{os.minor(made.st_dev):02x}"
        lines.append(f"{number}: FLOCK  ADVISORY  WRITE 4711 {device}:{made.st_ino} 0 EOF")
    (host.roots.proc / "locks").write_text("\n".join(lines) + "\n")


def test_that_nothing_runs_is_only_a_note(host: Host, tell: Tell) -> None:
    assert tell(running.check(host)) == [("note", "eagent", f"not running with {host.paths.run}")]


def test_a_halt_is_noted_with_or_without_an_agent(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    host.paths.halt.touch()
    noted = ("note", "eagent", "halted: no policy acts but the budget's")
    assert tell(running.check(host))[0] == noted
    assert tell(running.check(replace(host, status=status())))[0] == noted


def test_both_halves_running_is_ok(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    assert tell(running.check(replace(host, status=status()))) == [("ok", "eagent", "agent and warden run, on 2 GPUs")]


def test_packages_are_counted_beside_the_gpus(
    host: Host, status: Callable[..., Any], package: Callable[..., Any], tell: Tell
) -> None:
    said = status()
    said["devices"] += [package(0), package(1)]
    ((_, _, what),) = tell(running.check(replace(host, status=said)))
    assert what == "agent and warden run, on 2 GPUs and 2 CPU packages"


@pytest.mark.parametrize(
    ("warden", "what"),
    [
        ({"connected": False, "stale_s": 1.0}, "the agent runs, but no warden answers it"),
        ({"connected": True, "stale_s": None}, "the ring is stale: there is no reading yet"),
        ({"connected": True, "stale_s": 12.2}, "the ring is stale: the newest reading is 12 s old"),
    ],
)
def test_an_agent_that_is_blind_is_a_problem(
    host: Host, status: Callable[..., Any], tell: Tell, warden: dict[str, Any], what: str
) -> None:
    ((severity, subject, said),) = tell(running.check(replace(host, status={**status(), "warden": warden})))
    assert (severity, subject) == ("problem", "warden")
    assert what in said


def test_another_version_that_runs_and_alarms_are_told(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    alarms = ["the budget can't be read", "gpu0: power limit: changed by somebody else 1 s ago, and overruled"]
    said = {**status(), "version": "0.0.1", "alarms": alarms}
    assert [found[:2] for found in tell(running.check(replace(host, status=said)))] == [
        ("ok", "eagent"),
        ("warning", "eagent"),
        ("problem", "alarm"),  # the other one is told among the writers
    ]


def test_an_agent_that_does_not_answer_is_a_problem_unless_it_may_not_be_asked(host: Host, tell: Tell) -> None:
    held(host, host.paths.agent_lock, host.paths.warden_lock)
    mute = replace(host, status_problem="the agent did not answer within 5 s: is it stopped?")
    assert tell(running.check(mute)) == [
        ("problem", "agent", "the agent (pid 4711) can't be asked: the agent did not answer within 5 s: is it stopped?")
    ]
    foreign = replace(host, status_problem="you may not open /run/eagent/api.sock: run as root")
    assert [found[:2] for found in tell(running.check(foreign))] == [("warning", "agent")]


def test_a_warden_without_an_agent_is_a_warning(host: Host, tell: Tell) -> None:
    held(host, host.paths.warden_lock)
    ((severity, subject, what),) = tell(running.check(host))
    assert (severity, subject) == ("warning", "agent")
    assert "a warden (pid 4711) runs without an agent" in what


def test_sockets_and_ring_of_the_dead_are_noted(host: Host, tell: Tell) -> None:
    for path, kind in ((host.paths.api_socket, socket.SOCK_STREAM), (host.paths.warden_socket, socket.SOCK_SEQPACKET)):
        with socket.socket(socket.AF_UNIX, kind) as left:
            path.parent.mkdir(exist_ok=True)
            left.bind(str(path))
    host.paths.ring.touch()
    assert tell(running.check(host))[1:] == [
        ("note", str(host.paths.api_socket), "left by an agent that is dead. The next one replaces it"),
        ("note", str(host.paths.warden_socket), "left by a warden that is dead. The next one replaces it"),
        ("note", str(host.paths.ring), "stale: the warden that wrote it is dead. The next one replaces it"),
    ]
