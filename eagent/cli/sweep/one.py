"""One run: the setting in force, the command from its beginning to its end, what it drew, and how much it did."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import IO

from eagent.cli.sweep import command
from eagent.cli.sweep.knobs import RENEW_S, Knobs
from eagent.errors import EagentError
from eagent.measuring import Window, measure
from eagent.sweep.order import Order
from eagent.sweep.run import Run
from eagent.sweep.setting import Setting

FORCE_S = 10.0  # clocks are written once a second, limits raised once a second
LOOK_S = 0.5
POLL_S = 0.1
LATE_SHARE = 0.02  # of a window that may have passed before the setting was in force
AWAY_SHARE = 0.1  # of the looks that may not have found it in force


class OneRun:
    """Of an order, under one setting."""

    def __init__(
        self, order: Order, setting: Setting, knobs: Knobs, tick: Callable[[], None], log: IO[bytes] | None = None
    ) -> None:
        """A run that has not begun; `tick` is called ten times a second while the command runs."""
        self._order, self._setting, self._knobs, self._tick, self._log = order, setting, knobs, tick, log
        self._window: Window | None = None
        self._patterns = {name: re.compile(getattr(order, name)) for name in ("begin", "end", "units_from")}
        self._units: float | None = None
        self._forced_ns = 0  # when the setting was first found in force
        self._renewed_s = self._looked_s = 0.0
        self._looks = self._away = 0
        self._away_why = ""
        self._notes: set[str] = set()
        self.last_lines: tuple[str, ...] = ()

    def make(self) -> Run:
        """Do it. The knobs stay set.

        Raises:
            EagentError: the setting can't be asked for at all.
        """
        words = self._setting.filled(self._order.command)
        self._knobs.set(self._setting)
        self._renewed_s = time.monotonic()
        if self._knobs.early and (problem := self._await_force()):
            return self._unused(f"not in force: {problem}")
        if self._knobs.problem() is None:
            self._forced_ns = time.monotonic_ns()
        if not self._order.begin:
            self._window = measure("sweep", self._order.devices).begin()
        try:
            ended = command.run(words, self._told, self._look, self._order.timeout_s, self._log)
        except OSError as problem:
            return self._unused(f"{words[0]}: {problem.strerror}")
        self.last_lines = ended.last_lines
        if self._window is not None:
            self._window.end()
        if ended.code is None:
            return self._unused(f"it ran longer than --timeout {self._order.timeout_s:g} s")
        if ended.code:
            return self._unused(f"exit code {ended.code}")
        return self._judged()

    def _await_force(self) -> str | None:
        """Wait until the setting is in force; why it is not, if that takes too long."""
        deadline = time.monotonic() + FORCE_S
        while (problem := self._knobs.problem()) is not None and time.monotonic() < deadline:
            self._tick()
            time.sleep(POLL_S)
        return problem

    def _told(self, line: str) -> None:
        """A line of the command."""
        if self._window is None and self._order.begin and self._patterns["begin"].search(line):
            self._window = measure("sweep", self._order.devices).begin()
        if self._window is None or self._window.end_ns:
            return
        if self._order.units_from and (found := self._patterns["units_from"].search(line)):
            self._units = _number(found[1])
        if self._order.end and self._patterns["end"].search(line):
            self._window.end()

    def _look(self) -> None:
        """Ten times a second: renew what would run out, and look whether it is in force."""
        self._tick()
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        try:
            if now_s - self._renewed_s >= RENEW_S or (not self._knobs.early and not self._forced_ns):
                self._knobs.set(self._setting)
                self._renewed_s = now_s
            problem = self._knobs.problem()
            self._notes.update(self._knobs.notes())
        except EagentError as trouble:
            problem = str(trouble)
        if problem is None:
            self._forced_ns = self._forced_ns or time.monotonic_ns()
        if self._forced_ns or self._knobs.early:
            self._looks += 1
            self._away += problem is not None
        self._away_why = problem or self._away_why

    def _judged(self) -> Run:
        window, order = self._window, self._order
        if window is None:
            return self._unused(f"no line of it matched --begin {order.begin!r}")
        if order.units_from and not self._units:
            return self._unused(f"no line of it told units by --units-from {order.units_from!r}")
        seconds = window.seconds or 0.0
        late_s = (self._forced_ns - window.begin_ns) / 1e9
        if not self._forced_ns:
            return self._unused(f"not in force: {self._away_why}")
        if late_s > LATE_SHARE * seconds:
            return self._unused(
                f"the hint came into force {late_s:.1f} s after the window of {seconds:.1f} s had begun: begin it "
                "later, with --begin REGEX of a line that the command prints when its work begins"
            )
        if self._away > AWAY_SHARE * self._looks:
            return self._unused(f"not in force in {self._away} of {self._looks} looks: {self._away_why}")
        joules = window.energy()
        if joules.energy_j is None:
            return self._unused(f"no joules: {joules.why}")
        notes = [*sorted(self._notes), *([f"shared with {joules.others} other processes"] if joules.others else [])]
        notes += [f"the sensor: {', '.join(joules.flags)}"] if joules.flags else []
        return Run(
            self._setting,
            seconds,
            joules.energy_j,
            joules.half_width_j or 0.0,
            joules.gain_j or 0.0,
            self._units or order.units,
            notes=tuple(notes),
            simulated=joules.simulated,
        )

    def _unused(self, why: str) -> Run:
        return Run(self._setting, self._window.seconds if self._window else None, why=why)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").replace("_", ""))
    except ValueError:
        return None
