"""What was learnt of jobs, kept for their next runs: a small database of the agent's own, in its state directory.

Nothing hangs on it. What can't be read or written costs a search from the beginning, and a line in the log.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eagent.policy.efficiency import CURVES, Curves, Memory, all_curves
from eagent.policy.search.curve import Curve, Point
from eagent.policy.search.trial import Noise

log = logging.getLogger(__name__)

MOST = 500  # jobs; who ran longest ago goes first
POINTS_MOST = 200  # of one curve
BYTES_MOST = 100_000  # of one job
TABLE = "CREATE TABLE IF NOT EXISTS curves_1 (job TEXT PRIMARY KEY, at REAL NOT NULL, curves TEXT NOT NULL)"


class CurveStore:
    """The curves of jobs by their name. A damaged file is begun anew."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Of the database at `path`, which need not be there; `clock` dates what is written."""
        self._path = path
        self._clock = clock
        self._kept: Curves = {}

    def load(self) -> Curves:
        """All that is known; empty if it can't be read."""
        if not self._path.exists():
            return {}
        try:
            with closing(sqlite3.connect(self._path, timeout=1)) as database:
                rows = database.execute("SELECT job, curves FROM curves_1 ORDER BY at DESC LIMIT ?", (MOST,)).fetchall()
        except (sqlite3.OperationalError, OSError) as problem:  # busy, or of another version: no reason to lose it
            log.warning("%s: what is known of jobs can't be read: %s", self._path, problem)
            return {}
        except sqlite3.DatabaseError as problem:
            self._begin_anew(problem)
            return {}
        known = {}
        for job, text in rows:
            with suppress(ValueError, TypeError, KeyError, RecursionError):  # of another version, or damaged
                known[job] = tuple(_curve(each) for each in json.loads(text)[:CURVES])
        self._kept = known
        return known

    def follow(self, memory: Memory) -> None:
        """Keep what has been learnt of jobs that have ended since the last call."""
        if memory.curves is not self._kept:
            changed = {job: curves for job, curves in memory.curves.items() if self._kept.get(job) is not curves}
            self._kept = memory.curves
            if changed:
                self.save(changed)

    def close(self, memory: Memory) -> None:
        """Keep what has been learnt of all jobs, those that still run included."""
        running = {job: curves for job, curves in all_curves(memory).items() if self._kept.get(job) is not curves}
        if running:
            self.save(running)

    def save(self, changed: Curves) -> None:
        """Keep what is known now of some jobs, in the place of what was."""
        rows = [
            (job, self._clock(), text)
            for job, curves in changed.items()
            if len(text := json.dumps([asdict(curve) for curve in curves])) <= BYTES_MOST
        ]
        for _ in range(2):
            try:
                self._write(rows)
            except (sqlite3.OperationalError, OSError) as problem:  # such as a full disk: what is there stays
                log.warning("%s: what was learnt of jobs is not kept: %s", self._path, problem)
                return
            except sqlite3.DatabaseError as problem:
                self._begin_anew(problem)
            else:
                return

    def _write(self, rows: list[tuple[str, float, str]]) -> None:
        with closing(sqlite3.connect(self._path, timeout=1)) as database, database:
            self._path.chmod(0o600)
            database.execute(TABLE)
            database.executemany("INSERT OR REPLACE INTO curves_1 VALUES (?, ?, ?)", rows)
            last = "SELECT job FROM curves_1 ORDER BY at DESC LIMIT -1 OFFSET ?"
            database.execute(f"DELETE FROM curves_1 WHERE job IN ({last})", (MOST,))

    def _begin_anew(self, problem: Exception) -> None:
        log.warning("%s: what is known of jobs is begun anew: %s", self._path, problem)
        with suppress(OSError):
            self._path.unlink()


def _curve(told: Mapping[str, Any]) -> Curve:
    """A curve of what was written.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    points = tuple(sorted((Point(**each) for each in told["points"][:POINTS_MOST]), key=lambda each: each.setting))
    curve = Curve(float(told["top"]), points, Noise(**told["rate_noise"]), Noise(**told["power_noise"]))
    parts: tuple[Point | Noise, ...] = (*points, curve.rate_noise, curve.power_noise)
    numbers = [curve.top, *(value for part in parts for value in _numbers(part))]
    if not all(math.isfinite(value) and 0 < value < 1e15 for value in numbers) or curve.base is None:
        raise ValueError("not a curve")
    return curve


def _numbers(part: Point | Noise) -> list[float]:
    return [float(value) for value in asdict(part).values()]
