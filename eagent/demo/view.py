"""What the demo shows while it runs: a live table in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from eagent.demo.scenario import Scenario
from eagent.errors import EagentError

if TYPE_CHECKING:
    from rich.table import Table

LINE_EVERY_S = 10.0
BAR_CELLS = 20
FULL_SCALE_W = 400.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One look at both hosts, by the plants' truth."""

    elapsed_s: float
    done: tuple[int, int]  # static, eagent
    power_w: tuple[Sequence[float], Sequence[float]]
    limits_w: tuple[Sequence[float], Sequence[float]]


class View(AbstractContextManager["View"]):
    """Shows frames and lines. With rich and a terminal it is a live table."""

    def __init__(self, scenario: Scenario) -> None:
        """Choose how to show, by where the output goes.

        Raises:
            EagentError: a terminal, but the library that draws in it is not installed.
        """
        self._scenario = scenario
        self._next_line = 0.0
        self._live = None
        if sys.stdout.isatty():
            try:
                from rich.live import Live
            except ImportError:
                raise EagentError("the live view needs the extra `demo`: pip install 'eagent[demo]'") from None
            self._live = Live(refresh_per_second=4)

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Show a line that stays."""
        if self._live:
            self._live.console.print(line, highlight=False, markup=False)
        else:
            print(line, flush=True)

    def show(self, frame: Frame) -> None:
        """Show one frame."""
        if self._live:
            self._live.update(_table(self._scenario, frame))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_EVERY_S
            limits = " ".join(f"{limit:3.0f}" for limit in frame.limits_w[1])
            print(
                f"  {frame.elapsed_s:4.0f} s  answered: static {frame.done[0]}, eagent {frame.done[1]}  "
                f"limits by eagent: {limits} W, sum {sum(frame.limits_w[1]):.0f} of {self._scenario.envelope_w:.0f} W",
                flush=True,
            )


def _table(scenario: Scenario, frame: Frame) -> Table:
    from rich.table import Table

    table = Table(title=f"simulated hosts, {frame.elapsed_s:.0f} s into the trace", title_justify="left")
    table.add_column("")
    for name in ("static split", "eagent"):
        table.add_column(f"{name}: drawn and limit", justify="left", min_width=BAR_CELLS + 14)
    for gpu in range(len(scenario.prior_limits_w)):
        cells = [_bar(frame.power_w[side][gpu], frame.limits_w[side][gpu]) for side in (0, 1)]
        table.add_row(f"gpu{gpu}", *cells)
    table.add_section()
    sums = [
        f"{sum(frame.power_w[side]):4.0f} W of limits {sum(frame.limits_w[side]):4.0f} W <= {scenario.envelope_w:.0f} W"
        for side in (0, 1)
    ]
    table.add_row("all", *sums)
    table.add_row("answered", *(f"{done} of {len(scenario.trace.requests)}" for done in frame.done))
    return table


def _bar(power_w: float, limit_w: float) -> str:
    """Watts as a bar, with a mark where the limit stands."""
    filled = min(BAR_CELLS, round(power_w / FULL_SCALE_W * BAR_CELLS))
    mark = min(BAR_CELLS - 1, int(limit_w / FULL_SCALE_W * BAR_CELLS))
    cells = ["█" if cell < filled else "·" for cell in range(BAR_CELLS)]
    cells[mark] = "┃"
    return f"{''.join(cells)} {power_w:3.0f}/{limit_w:3.0f} W"
