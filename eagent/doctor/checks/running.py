"""A running eagent: its two halves, and what a dead one has left."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eagent import __version__
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host
from eagent.doctor.locks import holder

Json = dict[str, Any]

FRESH_S = 5.0  # an idle GPU is read about once a second: several missed looks are not a hiccup
BY_OTHERS = "by somebody else"  # how the warden's alarms call a foreign writer: told among the other writers
START = "run `sudo eagent up`"


def check(host: Host) -> Iterator[Finding]:
    """Each half by itself, then what they say, then leftovers."""
    if _is_there(host.paths.halt):
        what = "halted: no policy acts but the budget's"
        yield Finding("eagent", Severity.NOTE, what, "run `eagent halt --end` when they may act again")
    warden, agent = (holder(lock, host.roots.proc) for lock in (host.paths.warden_lock, host.paths.agent_lock))
    if host.status is not None:
        yield from _answering(host.status)
    elif agent is not None:
        yield _mute(agent, host)
    elif warden is not None:
        what = f"a warden (pid {warden}) runs without an agent: every limit is at its prior value, or its safe cap"
        yield Finding("agent", Severity.WARNING, what, "start one with `eagent agent`, as the same user or root")
    else:
        yield Finding("eagent", Severity.NOTE, f"not running with {host.paths.run}", START)
    if host.status is None:
        yield from _leftovers(host.paths.api_socket, socket.SOCK_STREAM, "an agent")
    if warden is None and not host.warden_answers:
        yield from _leftovers(host.paths.warden_socket, socket.SOCK_SEQPACKET, "a warden")
        if _is_there(host.paths.ring):
            what = "stale: the warden that wrote it is dead. The next one replaces it"
            yield Finding(str(host.paths.ring), Severity.NOTE, what, START)


def _answering(status: Json) -> Iterator[Finding]:
    warden = status["warden"]
    stale_s = warden["stale_s"]
    restart = "end `eagent up` and start it again: no knob is left behind"
    if not warden["connected"]:
        what = "the agent runs, but no warden answers it: nothing is read and nothing is governed"
        yield Finding("warden", Severity.PROBLEM, what, "start one with `sudo eagent warden`, or restart `eagent up`")
    elif stale_s is None or stale_s > FRESH_S:
        age = "there is no reading yet" if stale_s is None else f"the newest reading is {stale_s:.0f} s old"
        fix = "run `sudo dmesg | grep -i -e nvrm -e xid`: a driver call hangs, and a reset or a reboot ends that"
        yield Finding("warden", Severity.PROBLEM, f"the ring is stale: {age}", fix)
    else:
        kinds = [device["kind"] for device in status["devices"]]
        packages = f" and {kinds.count('cpu')} CPU packages" if "cpu" in kinds else ""
        yield Finding("eagent", Severity.OK, f"agent and warden run, on {kinds.count('gpu')} GPUs{packages}")
    if status["version"] != __version__:
        what = f"version {status['version']} runs, {__version__} is installed"
        yield Finding("eagent", Severity.WARNING, what, restart)
    for alarm in status["alarms"]:
        if BY_OTHERS not in alarm:
            yield Finding("alarm", Severity.PROBLEM, alarm, "`eagent status` and `eagent explain DEVICE` tell more")


def _mute(pid: int, host: Host) -> Finding:
    what = f"the agent (pid {pid}) can't be asked: {host.status_problem}"
    if "may not open" in host.status_problem:
        return Finding("agent", Severity.WARNING, what, "run `sudo eagent doctor`")
    fix = f"run `kill -9 {pid}`, then `eagent up`: limits go to their prior values or safe caps by themselves"
    return Finding("agent", Severity.PROBLEM, what, fix)


def _leftovers(path: Path, kind: socket.SocketKind, whose: str) -> Iterator[Finding]:
    """A socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            yield Finding(str(path), Severity.NOTE, f"left by {whose} that is dead. The next one replaces it", START)
        except OSError:  # not there, or not ours to open
            return


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # Path.exists raises where we may not look
        return False
    return True
