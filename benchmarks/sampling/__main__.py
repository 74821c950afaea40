"""Run all parts of the benchmark, or those that are named; print and publish one file of figures.

make bench NAME=sampling [ARGS='pareto cost']

A part is a module beside this one with `figures()`. Exit status: 0 all goals hold, 1 one is missed, 2 no such part.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

from benchmarks.figures import Figure, publish

PARTS = ("pareto", "cost", "lateness", "energy", "boards", "stuck", "measuring")


def main(names: list[str]) -> int:
    """Run them one after the other, for each measures time."""
    there = [part for part in PARTS if find_spec(f"benchmarks.sampling.{part}")]
    if unknown := set(names) - set(there):
        print(f"sampling: no part {', '.join(sorted(unknown))}; there are {', '.join(there)}", file=sys.stderr)
        return 2
    found: list[Figure] = []
    for name in [part for part in there if part in names or not names]:
        part = importlib.import_module(f"benchmarks.sampling.{name}")
        print(f"{name}: {(part.__doc__ or '').splitlines()[0]}", flush=True)
        found += part.figures()
    publish("sampling", found)
    return 0 if all(figure.holds is not False for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
