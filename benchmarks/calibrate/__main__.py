"""Set the plant against published measurements, and write how near it comes.

make calibrate DATA=FOLDER       FOLDER has the layout of benchmarks/calibrate/data.py, which says what is missing

What each figure means and what was fitted to what stands in docs/calibration.md. Exit status: 0 all goals hold, 1 one
is missed, 2 data are missing.
"""

from __future__ import annotations

import sys

from benchmarks.calibrate import acme, cap, data, grid, square, step, zeus
from benchmarks.figures import Figure, publish
from eagent.errors import InputError

GOALS = (grid, square, step, zeus, cap, acme)


def main() -> int:
    """Judge every goal, print, and write the figures."""
    try:
        folder = data.folder(sys.argv[1:])
        figures: list[Figure] = []
        for goal in GOALS:
            print(f"{(goal.__doc__ or '').splitlines()[0]}", flush=True)
            figures += goal.judge(folder)
    except InputError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    publish("calibrate", figures)
    return 0 if all(figure.holds is not False for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
