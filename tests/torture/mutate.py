"""Torture each mutant: the torture must fail for it. `python -m tests.torture.mutate`; `make torture-mutants` runs it.

What a mechanism is for comes by chance in one round of a hundred for some. Their mutants are tortured with a bias
towards it: so that a survivor is a mechanism that nobody looks at, and not bad luck.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture.main import Outcome, run
from tests.torture.mutants import MUTANTS
from tests.torture.native_mutants import NATIVE, built
from tests.torture.script import EVEN, Bias

HERE = Path(__file__).parent
ROUNDS = 40  # without a failure, and a mutant has survived
WORKERS = 2
FIRST_SEED = 1

BIASES: dict[str, Bias] = {
    "entry-retired-early": Bias(layout="driven", probe="return"),
    "lease-end-ignored": Bias(layout="driven", ending="let-go", more={"lease": 2.0}),
    "envelope-unchecked": Bias(layout="driven", more={"lease": 2.0, "budget": 2.0}),
    "clocks-not-journalled": Bias(layout="driven", ending="kill-and-restore", more={"lease": 2.0}),
    "detachment-not-written": Bias(layout="driven", more={"detach": 4.0, "kill": 3.0, "start": 2.0}),
    "detached-without-room": Bias(layout="driven", more={"detach": 4.0, "budget": 2.0}),
    "raises-before-it-lowers": Bias(layout="driven", close=True, more={"lease": 5.0, "clear": 0.2}),
    "foreign-write-not-noticed": Bias(layout="driven", probe="foreign"),
    "hand-over-lets-go": Bias(layout="driven", probe="renewal"),
    "successor-forgets-the-lease": Bias(layout="driven", probe="renewal"),
    "last-writes-unknown": Bias(layout="driven", probe="absence"),
    "driver-life-untold": Bias(layout="driven", probe="reload"),
    "persistence-mode-later": Bias(layout="driven", probe="drop"),
    "limits-not-tried-again": Bias(layout="driven", probe="refusal"),
    "abilities-of-the-start": Bias(layout="driven", probe="refusal"),
    "disk-not-tried-again": Bias(layout="driven", probe="disk"),
    "observed-untold": Bias(layout="driven", probe="disk"),
}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one mutant."""

    name: str
    rounds: int  # until it was caught, that one included; or all
    took_s: float
    caught: bool
    crashed: bool  # it broke the program, and not a mechanism: it is to be brought up to date

    def __str__(self) -> str:
        """A row of the table."""
        word = f"caught in round {self.rounds}" if self.caught else f"SURVIVED {self.rounds} rounds"
        word = "CRASHED: out of date" if self.crashed else word
        return f"{self.name:<28} {word:<20} {self.took_s:5.0f} s"


def torture(name: str, rounds: int) -> Fate:
    """Torture one until it is caught.

    Raises:
        ValueError: it is native, and its text is not in the source any more.
        CalledProcessError: it does not build.
    """
    began = time.monotonic()
    if name in NATIVE:
        with built(name) as environ:
            outcome = _run(name, rounds, environ)
    else:
        path = os.pathsep.join((str(HERE / "hook"), str(HERE.parent.parent)))
        outcome = _run(name, rounds, {"PYTHONPATH": path, "EAGENT_TORTURE_MUTANT": name})
    took_s, crashed = time.monotonic() - began, outcome.crashed
    return Fate(
        name, outcome.first or outcome.played, took_s, caught=outcome.failed > 0 and not crashed, crashed=crashed
    )


def _run(name: str, rounds: int, environ: dict[str, str]) -> Outcome:
    seeds = range(FIRST_SEED, FIRST_SEED + rounds)
    return run(seeds, environ, min(WORKERS, rounds), 1, bias=BIASES.get(name, EVEN), quiet=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Torture each; the exit status is 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.mutate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="else all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args(argv)
    names = args.names or [*MUTANTS, *NATIVE]
    if unknown := set(names) - {*MUTANTS, *NATIVE}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}; there are {', '.join([*MUTANTS, *NATIVE])}")
    fates = []
    for name in names:
        fates.append(torture(name, args.rounds))
        print(f"-- {fates[-1]}", flush=True)
    survivors = [fate.name for fate in fates if not fate.caught]
    print("\n".join(["", *map(str, fates)]))
    print(f"{len(fates)} mutants, {len(survivors)} not caught (simulated hosts)")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
