"""All runs of a sweep, one after the other, and the knobs back at the end of it, whatever that is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from eagent.cli.dispatch import FAILED, INTERRUPTED
from eagent.cli.quantities import format_duration
from eagent.cli.sweep.knobs import Knobs
from eagent.cli.sweep.one import OneRun
from eagent.cli.sweep.show import Progress, outcome, report
from eagent.errors import EagentError
from eagent.sweep.front import points_of
from eagent.sweep.order import Sweep, document
from eagent.sweep.plot import svg
from eagent.sweep.run import Run
from eagent.sweep.setting import Setting


class Whole:
    """A sweep under way."""

    def __init__(
        self, sweep: Sweep, knobs: Knobs, target: Path | None, plot: Path | None, log: IO[bytes] | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            sweep: As far as it came.
            knobs: The way to its settings.
            target: Where it is kept, after each run.
            plot: Where the front is drawn at the end.
            log: Where the command's output goes.
        """
        self._sweep, self._knobs, self._target, self._plot, self._log = sweep, knobs, target, plot, log
        self._progress = Progress()
        self._took_s: list[float] = []

    def make(self) -> int:
        """Run all that remains, tell what was found; the exit code.

        Raises:
            EagentError: it can't go on; what was measured is kept and the knobs are back.
        """
        code = 0
        try:
            self._keep()
            self._runs()
        except KeyboardInterrupt:
            code = INTERRUPTED
        finally:
            self._give_back()
            self._keep()
        if code:
            again = f"; `eagent sweep --resume {self._target}` goes on" if self._target else ""
            self._progress.say(f"eagent: broken off after {len(self._sweep.runs)} runs{again}")
        print("\n".join(report(self._sweep)))
        self._draw()
        return code or (0 if points_of(self._sweep.runs) else FAILED)

    def _runs(self) -> None:
        order = self._sweep.order
        for number in range(order.warmup if not self._sweep.runs else 0):
            run = self._one(order.space.default, f"warm-up {number + 1} of {order.warmup}", 0)
            self._progress.say(f"warm-up, not counted: {outcome(run, order)}")
            if number == 0:
                count = len(self._sweep.remaining())
                self._progress.say(f"{count} runs to come, about {format_duration(count * self._took_s[0])}")
        while True:
            while remaining := self._sweep.remaining():
                self._counted(remaining)
            further = self._sweep.further()
            if further is None:
                return
            self._sweep = further
            self._progress.say(f"looking closer: {'; '.join(map(Setting.label, further.rounds[-1]))}")

    def _counted(self, remaining: Sequence[Setting]) -> None:
        done = len(self._sweep.runs)
        run = self._one(remaining[0], remaining[0].label(), len(remaining))
        self._sweep = self._sweep.and_run(run)
        self._keep()
        self._progress.say(f"{done + 1}/{done + len(remaining)} {outcome(run, self._sweep.order)}")

    def _one(self, setting: Setting, doing: str, remaining: int) -> Run:
        """One run.

        Raises:
            EagentError: it is one of the default and can't be used: then nothing can be said of any other.
        """
        done = len(self._sweep.runs)
        usual_s = sum(self._took_s) / len(self._took_s) if self._took_s else None
        self._progress.run(doing, done, done + max(1, remaining), usual_s)
        begun_s = time.monotonic()
        one = OneRun(self._sweep.order, setting, self._knobs, self._progress.tick, self._log)
        run = one.make()
        self._took_s.append(time.monotonic() - begun_s)
        default = self._sweep.order.space.default
        if run.why and setting == default and not any(each.setting == default for each in self._sweep.runs):
            said = f"; its last line: {one.last_lines[-1]}" if one.last_lines else ""
            raise EagentError(f"the default can't be measured: {run.why}{said}")
        return run

    def _give_back(self) -> None:
        try:
            self._knobs.clear()
        except EagentError as problem:
            self._progress.say(f"eagent: {problem}: what is set ends by itself within a few seconds")

    def _keep(self) -> None:
        if self._target is None:
            return
        draft = self._target.with_name(self._target.name + ".new")
        try:
            draft.write_text(json.dumps(document(self._sweep), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            draft.replace(self._target)
        except OSError as problem:
            raise EagentError(f"{self._target}: {problem.strerror}: the sweep can't be kept there") from None

    def _draw(self) -> None:
        points, order = points_of(self._sweep.runs), self._sweep.order
        if self._plot is None or not points:
            return
        simulated = any(run.simulated for run in self._sweep.runs)
        picture = svg(points, order.space.default, " ".join(order.command), order.unit, simulated=simulated)
        try:
            self._plot.write_text(picture, encoding="utf-8")
        except OSError as problem:
            print(f"eagent: {self._plot}: {problem.strerror}: nothing is drawn", file=sys.stderr)


def plan_lines(sweep: Sweep) -> list[str]:
    """What is going to happen, before it does."""
    order, space = sweep.order, sweep.order.space
    remaining = len(sweep.remaining())
    often = "once" if order.repeat == 1 else f"{order.repeat} times"
    lines = [
        f"eagent: {remaining} runs of the command, each setting {often}, on {', '.join(order.devices)}; how long that "
        "takes is told after the first"
    ]
    if order.refined:
        ladder = ", ".join(f"{value:g}" for value in space.clocks_mhz or space.caps_w)
        unit = "MHz" if space.clocks_mhz else "W"
        lines.append(
            f"nothing was said of knobs: {ladder} {unit} first, down to where a clock saves no more, then finer around "
            f"the best; at most {order.most} runs"
        )
    if sweep.runs:
        lines.append(f"{len(sweep.runs)} runs are done already")
    return lines
