"""The programs of others that sample GPUs, unmodified, each with several settings (`make clients` installs them)."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sampling.rig import Rig, Seen, program

PYTHON = Path(sys.prefix) / "clients/bin/python"
SCRIPTS = Path(__file__).with_name("scripts")
READY_S = 60.0  # to import half of what is on PyPI
WARM_S = 0.5


@dataclass(frozen=True, slots=True)
class Peer:
    """A program in its process, which goes through its settings one after the other."""

    name: str
    script: str
    settings: tuple[tuple[str, Any], ...]  # how it is called in the table, and as the script takes it


PEERS = (
    Peer("pynvml usage", "pynvml_loop.py", tuple((f"{hertz} Hz", (hertz, "usage")) for hertz in (5, 10, 20, 50, 100))),
    Peer("pynvml field", "pynvml_loop.py", tuple((f"{hertz} Hz", (hertz, "instant")) for hertz in (10, 20, 50, 100))),
    Peer(
        "Zeus",
        "zeus_monitor.py",
        (("default", None), *((f"{period_s:g} s", period_s) for period_s in (0.01, 0.02, 0.05, 0.1))),
    ),
    Peer("nvitop", "nvitop_collector.py", tuple((f"{period_s:g} s", period_s) for period_s in (0.01, 0.05, 0.1, 1.0))),
    Peer("CodeCarbon", "codecarbon_tracker.py", tuple((f"{period_s:g} s", period_s) for period_s in (0.1, 1.0))),
)


def missing() -> str | None:
    """What is to be done first, or None."""
    return None if PYTHON.exists() else f"the peers are not installed in {PYTHON.parent.parent}: make clients"


def play(peer: Peer, rigged: Rig, window_s: float) -> Iterator[tuple[str, Seen]]:
    """What it saw and cost with each of its settings."""
    given = json.dumps([value for _, value in peer.settings])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with program([str(PYTHON), str(SCRIPTS / peer.script), given], rigged, "peers.log", **pipes) as process:
        for name, _ in peer.settings:
            await_ready(process, rigged)
            time.sleep(WARM_S)
            yield f"{peer.name} {name}", rigged.watch(window_s, process.pid)
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()


def await_ready(process: subprocess.Popen[str], rigged: Rig) -> None:
    """Wait until a script says that its client runs."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(READY_S) else ""
    if line.strip() != "ready":
        raise SystemExit(f"{process.args}: {line}{(rigged.home / 'peers.log').read_text()[-2000:]}")
