"""`python -m tests.torture`: rounds of deaths, faults and foreign writes on simulated hosts. `make torture` runs it."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing.util import Finalize
from pathlib import Path

from tests.torture import script
from tests.torture.round import Round
from tests.torture.world import World

ROUNDS_PER_HOST = 25  # then a fresh one: its log has an end, and a host that is new is a case of its own
TRACE_LINES = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one round."""

    seed: int
    line: str
    wrong: tuple[str, ...]
    trace: tuple[str, ...]
    took_s: float
    exposures: int
    crashed: bool  # whether a process of eagent met an error of its program


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some rounds."""

    played: int
    failed: int
    first: int  # to fail: so many had been played with it; 0: none failed
    crashed: bool  # whether a failing one was by an error of the program


class _Worker:
    """What a process of the pool keeps from round to round."""

    world: World | None = None
    directory = Path()
    environ: dict[str, str] = {}  # noqa: RUF012  # set once, at the process's start
    bias = script.EVEN


def _begin(directory: str, environ: dict[str, str], bias: script.Bias) -> None:
    _Worker.directory = Path(directory) / str(os.getpid())
    _Worker.environ = environ
    _Worker.bias = bias
    Finalize(None, _end, exitpriority=1)  # a process of a pool runs no other


def _end() -> None:
    if _Worker.world is not None:
        _Worker.world.close()
        _Worker.world = None


def play(seed: int) -> Verdict:
    """Run the round of a seed, on the host of this process."""
    began = time.monotonic()
    world = _Worker.world
    if world is None:
        world = _Worker.world = World(_Worker.directory, _Worker.environ)
    drawn = script.draw(seed, _Worker.bias)
    world.rounds += 1
    world.trace.clear()
    round_ = Round(world, drawn)
    try:
        wrong = round_.run()
    except Exception as problem:  # whatever it is, the round has a seed and the others go on
        wrong = [*round_.wrong, f"the round itself failed: {type(problem).__name__}: {problem}"]
    kinds = Counter(step.action for step in drawn.steps)
    line = f"{drawn.layout:<6} {drawn.ending:<16} " + " ".join(f"{name}:{count}" for name, count in kinds.items())
    trace: tuple[str, ...] = ()
    if wrong:
        lines = [f"{at_s - world.trace[0][0]:8.3f} ({at_s:.3f})  {text}" for at_s, text in sorted(world.trace)]
        trace = (*lines[-TRACE_LINES:], "-- what the processes said last:", world.tail())
    crashed = bool(wrong) and world.has_crashed()
    if wrong or world.rounds >= ROUNDS_PER_HOST:
        _end()
    return Verdict(seed, line, tuple(wrong), trace, time.monotonic() - began, len(round_.exposures), crashed)


def run(
    seeds: Sequence[int],
    environ: dict[str, str],
    workers: int,
    stop_at: int,
    *,
    bias: script.Bias = script.EVEN,
    quiet: bool = False,
) -> Outcome:
    """Play the rounds of these seeds. Each prints a line, a failing one all that is known of it.

    Args:
        seeds: One a round.
        environ: What the processes of eagent find in their environment beside the host's own.
        workers: So many hosts at a time.
        stop_at: So many failures are enough.
        bias: What is drawn more often.
        quiet: Print failures only in one line.
    """
    began, done, failed, first, exposures, crashed = time.monotonic(), 0, 0, 0, 0, False
    left = iter(seeds)
    with (
        tempfile.TemporaryDirectory(prefix="t", dir=os.environ.get("TMPDIR")) as directory,  # short, for sockets' paths
        ProcessPoolExecutor(workers, initializer=_begin, initargs=(directory, environ, bias)) as pool,
    ):
        pending = {pool.submit(play, seed) for seed in islice(left, workers)}
        while pending:
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            for verdict in (future.result() for future in ended):
                done += 1
                exposures += verdict.exposures
                crashed |= verdict.crashed
                if not quiet or verdict.wrong:
                    word = "FAILED" if verdict.wrong else "ok"
                    said = f"seed {verdict.seed:<10} {word} {verdict.took_s:5.1f} s  {verdict.line}"
                    print(f"{done:4d}/{len(seeds)} {said}")
                if verdict.wrong:
                    failed, first = failed + 1, first or done
                    _tell(verdict, bias, quiet=quiet)
                if failed < stop_at:
                    pending |= {pool.submit(play, seed) for seed in islice(left, 1)}
            sys.stdout.flush()
    took_s = time.monotonic() - began
    if not quiet:
        print(f"{done} rounds in {took_s:.0f} s, {failed} failed; {exposures} times exposed by others (simulated)")
    return Outcome(done, failed, first, crashed)


def _tell(verdict: Verdict, bias: script.Bias, *, quiet: bool) -> None:
    for line in verdict.wrong:
        print(f"    {line}")
    if quiet:
        return
    print("  what was done, by seconds of the round (and of the host):")
    for line in verdict.trace:
        print(f"    {line}")
    print(f"  again: make torture ROUNDS=1 SEED={verdict.seed}{bias}")


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, help="of the first round; the others follow. Else drawn, and printed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stop-at", type=int, default=5, help="so many failures are enough")
    parser.add_argument("--probe", choices=sorted(script.PROBES), default="", help="in each round")
    parser.add_argument("--layout", choices=script.LAYOUTS, default="", help="in each round")
    args = parser.parse_args(argv)
    first = random.SystemRandom().randrange(1, 1_000_000_000) if args.seed is None else args.seed
    print(f"torture: {args.rounds} rounds from seed {first}, on simulated hosts")
    bias = script.Bias(layout=args.layout, probe=args.probe)
    workers = min(args.workers, args.rounds)
    return 1 if run(range(first, first + args.rounds), {}, workers, args.stop_at, bias=bias).failed else 0
