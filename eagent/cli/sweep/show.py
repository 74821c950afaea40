"""What a person sees of a sweep: a line of progress, a table, the setting to use."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence

from eagent.cli.quantities import format_duration
from eagent.cli.table import table
from eagent.sweep.front import Point, drift_of, front_of, points_of
from eagent.sweep.order import Order, Sweep
from eagent.sweep.recommend import Advice, advise, saving, slowdown
from eagent.sweep.run import Run
from eagent.sweep.setting import Setting

BAR = 20
AGAIN_S = 0.5
NOISY = 0.05
WIDTH = 110
SIMULATED = "SIMULATED: no hardware is behind these numbers; every joule and watt is simulated."
CLEAR, TO_END = "\r\x1b[K", "\x1b[K"
SCALES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"))


class Progress:
    """A line on stderr: drawn over itself on a terminal, else one for each run."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._live = sys.stderr.isatty()
        self._doing = ""
        self._begun_s = self._drawn_s = 0.0
        self._usual_s: float | None = None
        self._done = self._all = 0

    def run(self, doing: str, done: int, all_runs: int, usual_s: float | None) -> None:
        """A run begins; `usual_s`: what one has taken so far, all in all."""
        self._doing, self._done, self._all, self._usual_s = doing, done, all_runs, usual_s
        self._begun_s, self._drawn_s = time.monotonic(), 0.0

    def tick(self) -> None:
        """Draw again, if it is time to."""
        now_s = time.monotonic()
        if not self._live or now_s - self._drawn_s < AGAIN_S:
            return
        self._drawn_s = now_s
        full = round(BAR * self._done / max(1, self._all))
        took_s = now_s - self._begun_s
        left = ""
        if self._usual_s is not None:
            left_s = max(0.0, self._usual_s - took_s) + (self._all - self._done - 1) * self._usual_s
            left = f", about {format_duration(max(1.0, left_s))} left"
        bar = f"[{'#' * full}{'.' * (BAR - full)}]"
        line = f"{bar} {self._done + 1}/{self._all} {self._doing}: {format_duration(took_s)}{left}"
        print(f"\r{line[:WIDTH]}{TO_END}", end="", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line that stays."""
        print(f"{CLEAR if self._live else ''}{line}", file=sys.stderr, flush=True)


def outcome(run: Run, order: Order) -> str:
    """What a run came to, in a line."""
    if run.why:
        return f"{run.setting.label()}: not counted: {run.why}"
    kind = " simulated" if run.simulated else ""
    notes = f" ({'; '.join(run.notes)})" if run.notes else ""
    units = f", {run.units:g} {order.unit}s" if order.unit != "run" else ""
    return f"{run.setting.label()}: {run.seconds:.2f} s, {run.energy_j:.1f} J{kind}{units}{notes}"


def report(sweep: Sweep) -> list[str]:
    """All that was found."""
    order, points = sweep.order, points_of(sweep.runs)
    if not points:
        return ["Nothing was measured that counts."]
    base = next((point for point in points if point.setting == order.space.default), None)
    simulated = any(run.simulated for run in sweep.runs)
    lines = [SIMULATED] if simulated else []
    lines += _table(sweep, points, base, simulated=simulated)
    lines += _not_counted(sweep.runs)
    lines += sorted({f"{run.setting.label()}: {note}" for run in sweep.runs if not run.why for note in run.notes})
    if base is None:
        return [*lines, "Nothing is advised: no run of the default counts, and without one there is no slowdown."]
    if (drift := drift_of(sweep.runs, order.space.default)) is not None:
        lines.append(f"Drift of the default from first to last: time {drift.time:+.1%}, energy {drift.energy:+.1%}.")
    lines += _noise(base)
    return [*lines, "", *advice_lines(order, advise(points, order.space.default))]


def _table(sweep: Sweep, points: Sequence[Point], base: Point | None, *, simulated: bool) -> list[str]:
    order, front = sweep.order, front_of(points)
    names = [name for name, _ in order.space.varied]
    second, joule = _scale([each.time_s for each in points]), _scale([each.energy_j for each in points])
    of_unit = "" if order.unit == "run" else f"/{order.unit.upper()}"
    headings = [
        *("CLOCK", "CAP", *(name.upper() for name in names), "RUNS"),
        *(
            f"TIME{of_unit} ({second[1]}s)",
            "+-",
            "SLOWER",
            f"{'SIM. ' if simulated else ''}ENERGY{of_unit} ({joule[1]}J)",
        ),
        *("+-", "SAVED", "FRONT"),
    ]
    rows = []
    for point in sorted(points, key=lambda each: (each.time_s, each.energy_j)):
        setting = point.setting
        rows.append(
            [
                "as it is" if setting.clock_mhz is None else f"{setting.clock_mhz:g} MHz",
                "as it is" if setting.cap_w is None else f"{setting.cap_w:g} W",
                *(value for _, value in setting.words),
                str(point.runs),
                f"{point.time_s / second[0]:.4g}",
                _share(point.time_error),
                "—" if base is None else f"{slowdown(point, base)[0]:+.1%}",
                f"{point.energy_j / joule[0]:.4g}",
                _share(point.energy_error),
                "—" if base is None else f"{saving(point, base)[0]:+.1%}",
                ("front" if point in front else "") + (" default" if point is base else ""),
            ]
        )
    return table(headings, range(2 + len(names), len(headings) - 1), rows)


def _noise(base: Point) -> list[str]:
    """A word where so much is noise that little can be told apart."""
    if max(base.time_error, base.energy_error) <= NOISY:
        return []
    known = f"+- {_share(base.time_error)} in time and +- {_share(base.energy_error)} in energy for the default"
    return [f"The noise is {known}: longer runs, or a higher --repeat, tell more apart."]


def _not_counted(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(f"Not counted: {run.setting.label()}: {run.why}" for run in runs if run.why))


def advice_lines(order: Order, advice: Sequence[Advice]) -> list[str]:
    """The setting to use at each bound, with the command that sets it."""
    lines = []
    for each in advice:
        setting = each.point.setting
        what = f"at most {each.bound:.0%} slower:"
        if setting == order.space.default:
            better = (
                "nothing else is surely better" if not math.isinf(each.point.energy_error) else "the noise is not known"
            )
            lines.append(f"{what:<22} leave it as it is: {better}")
        else:
            came = f"{each.slowdown:+.1%} +- {_share(each.slowdown_error)} time"
            lines.append(f"{what:<22} {setting.label()}: saves {each.saved:.1%} +- {_share(each.saved_error)}, {came}")
            lines += [f"{'':<22}   {command}" for command in commands(order, setting)]
        if each.equals:
            lines.append(f"{'':<22}   no different, as far as is known: {'; '.join(map(Setting.label, each.equals))}")
    return lines


def commands(order: Order, setting: Setting) -> list[str]:
    """What sets it."""
    clock = [] if setting.clock_mhz is None else [f"--clock {setting.clock_mhz:g}"]
    cap = (
        [] if setting.cap_w is None else [f"--cap {setting.cap_w:g}W" if order.by == "hint" else f"{setting.cap_w:g}W"]
    )
    lines = [f"eagent {order.by} set {device} {' '.join([*cap, *clock])}" for device in order.devices if clock or cap]
    changed = [
        f"{name}={value}"
        for (name, value), default in zip(setting.words, order.space.default.words, strict=True)
        if (name, value) != default
    ]
    return [*lines, *([f"run it with {', '.join(changed)}"] if changed else [])]


def _scale(values: Sequence[float]) -> tuple[float, str]:
    """What to divide by, so that the greatest is above 1, and the prefix for it."""
    return next((scale for scale in SCALES if max(values) >= scale[0]), SCALES[-1])


def _share(error: float) -> str:
    return "?" if math.isinf(error) else f"{error:.1%}"
