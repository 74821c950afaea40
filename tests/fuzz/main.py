"""`python -m tests.fuzz`: hostile input at every door of eagent, on a simulated host. `make fuzz` runs it.

Each target runs in a process of its own, with bounded memory, in slices of one seed each. What fails is shown as
Hypothesis has made it smallest, with the line that plays it again.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings

from tests.fuzz import commands, forms, http

TARGETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "commands": commands.target,
    "http": http.target,
    "configuration": forms.configuration,
    "journal": forms.journal,
    "mesh": forms.mesh,
    "ring": forms.ring,
    "ipmitool": forms.ipmitool,
}
SHARES = {"commands": 8.0, "http": 3.0, "ipmitool": 0.5}  # of the time; the others have 1
EXAMPLES = 100  # of a slice
SECONDS = 320.0
MEMORY_MAX_B = 2 << 30  # address space beyond what a process has at its start
HANG_S = 600.0  # a slice that takes longer hangs: its stack is shown


def play(name: str, first: int, seconds: float, examples: int = EXAMPLES, *, shrink: bool = True) -> int:
    """Run slices of one target from this seed on until the time is over; returns how many there were.

    Args:
        name: Of the target.
        first: The seed of the first slice.
        seconds: The time; there is one slice at least.
        examples: Of a slice.
        shrink: Whether what is found is made smaller.

    Raises:
        AssertionError, Exception: what was found, noted with the seed of its slice.
    """
    bounds = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    until, slices = time.monotonic() + seconds, 0
    while slices == 0 or time.monotonic() < until:
        check, close = TARGETS[name]()
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            seed(first + slices)(bounds(check))()
        except BaseException as problem:
            problem.add_note(f"again: make fuzz SEED={first + slices} ARGS='{name} --seconds 0 --examples {examples}'")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
            close()
        slices += 1
    return slices


def _child(name: str, first: int, seconds: float, examples: int) -> int:
    faulthandler.enable()
    size_b = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (size_b + MEMORY_MAX_B,) * 2)
    began = time.monotonic()
    try:
        slices = play(name, first, seconds, examples)
    except BaseException:  # whatever it is, it was found
        traceback.print_exc()
        print(f"{name:<14} FAILED, from seed {first}", flush=True)
        return 1
    took_s = time.monotonic() - began
    print(f"{name:<14} ok  {slices * examples:6d} examples, seeds {first} to {first + slices - 1}, {took_s:.0f} s")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"else all: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of all targets together; 0: one slice of each")
    parser.add_argument("--seed", type=int, help="of the first slice; the others follow. Else drawn, and printed")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of a slice")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    names = args.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target {unknown[0]!r}: there are {', '.join(TARGETS)}")
    first = random.SystemRandom().randrange(1, 1_000_000_000) if args.seed is None else args.seed
    if args.child:
        return _child(names[0], first, args.seconds, args.examples)
    print(f"fuzz: {args.seconds:g} s from seed {first}, on a simulated host", flush=True)
    total, failed = sum(SHARES.get(name, 1.0) for name in names), 0
    for name in names:
        seconds = args.seconds * SHARES.get(name, 1.0) / total
        options = ["--child", "--seed", str(first), "--seconds", str(seconds), "--examples", str(args.examples)]
        ended = subprocess.run([sys.executable, "-m", "tests.fuzz", name, *options], check=False)
        if ended.returncode not in (0, 1):
            print(f"{name:<14} DIED with {ended.returncode}; again: make fuzz SEED={first} ARGS={name}", flush=True)
        failed += ended.returncode != 0
    return 1 if failed else 0
