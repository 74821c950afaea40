"""Do so much work on GPUs of a simulated host, at the pace that their clocks allow, and end: a job in small.

It holds the GPUs as long as it runs. A unit is so much work as takes --unit at full clock; with --clock-bound 0 it
takes as long at any clock, as what waits for memory does, with 1 twice as long at half of it. Its last line tells the
units.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eagent.cli.arguments import duration
from eagent.errors import InputError

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from eagent.sim.host import SimulatedHost
    from eagent.sim.workload import Square

SUMMARY = "do so much work and end: a job in small"
LOOK_S = 0.02  # at the longest; near the end more often
UNIT_S = 0.01


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim work`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--units", type=float, required=True, metavar="N", help="how much work, on each GPU")
    parser.add_argument(
        "--unit", type=duration, default=UNIT_S, metavar="TIME", help="that one takes at full clock; default 10ms"
    )
    parser.add_argument("--gpus", metavar="LIST", help="such as 0-3,6; default 0")
    parser.add_argument(
        "--prepare", type=duration, metavar="TIME", help="hold the GPUs for so long before, as who loads a model does"
    )
    parser.add_argument("--compute", type=float, metavar="SHARE", help="how busy the cores are, 0 to 1; default 1")
    parser.add_argument("--memory", type=float, metavar="SHARE", help="how busy the memory is, 0 to 1; default 0.3")
    parser.add_argument(
        "--clock-bound",
        dest="compute_fraction",
        type=float,
        metavar="SHARE",
        help="of the time goes with the clock, 0 to 1; default 0.96",
    )


def run(args: argparse.Namespace) -> list[str]:
    """Hold the GPUs until the work is done.

    Raises:
        InputError: a number is impossible, or a GPU has other work.
    """
    from eagent.sim import host
    from eagent.sim.workload import Square

    work_s = args.units * args.unit
    if not 0 < work_s < float("inf"):
        raise InputError(f"--units {args.units:g}: must be more than 0")
    shares = {name: getattr(args, name) for name in ("compute", "memory", "compute_fraction")}
    load = Square(period_s=1e6, duty=1.0, **{name: value for name, value in shares.items() if value is not None})
    found = host.find(host.root(os.environ), args.name)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way the GPUs are let go
    try:
        seconds = _hold(found, args, load, work_s)
    finally:
        signal.signal(signal.SIGTERM, before)
    return [f"{args.units:g} units in {seconds:.3f} s, simulated"]


def _hold(found: SimulatedHost, args: argparse.Namespace, load: Square, work_s: float) -> float:
    from eagent.sim._plant import Host
    from eagent.sim.gpus import of_host, parse_gpus

    with Host(found.plant) as opened:
        if opened.clock != "wall":
            raise InputError(f"{found.name} has a clock that nobody moves on: only a host of real time can work")
        gpus = of_host(parse_gpus(args.gpus or "0"), opened.gpu_count)
        _let_dead_ones_go(opened)
        if args.prepare is not None:
            _hold_only(opened, gpus, args.prepare)
        begun_s = opened.time_s
        _work(opened, load, gpus, work_s)
        return opened.time_s - begun_s


def _work(opened: Host, load: Square, gpus: tuple[int, ...], work_s: float) -> None:
    load.start(opened, gpus, pid=os.getpid())
    try:
        print("working", flush=True)
        before_s = opened.time_s
        while True:
            done_s = _done_s(opened)
            if done_s >= work_s:
                return
            left_s = (work_s - done_s) * (opened.time_s - before_s) / done_s if done_s else LOOK_S
            time.sleep(min(LOOK_S, max(0.001, left_s)))
    finally:
        opened.stop_load(gpus)


def _hold_only(opened: Host, gpus: tuple[int, ...], seconds: float) -> None:
    from eagent.sim.workload import Square

    Square(period_s=1e6, duty=0.0).start(opened, gpus, pid=os.getpid())
    try:
        time.sleep(seconds)
    finally:
        opened.stop_load(gpus)


def _done_s(opened: Host) -> float:
    """What the slowest of its GPUs has done, in seconds of full clock."""
    own = next((each for each in opened.progress() if each["running"] and each["pid"] == os.getpid()), None)
    if own is None:
        raise InputError(
            "the work was ended from outside: by `eagent sim load NAME none`, or the host was switched off"
        )
    return min(own["units"])


def _let_dead_ones_go(opened: Host) -> None:
    """A driver ends what a process does when it dies; this one does not see that."""
    for each in opened.progress():
        if each["running"] and each["pid"] and not Path(f"/proc/{each['pid']}").exists():
            opened.stop_load(each["gpus"])
