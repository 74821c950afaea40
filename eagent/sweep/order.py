"""What a user asked for, and what of it is done: the file that a broken sweep goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from eagent.errors import InputError
from eagent.sweep.front import drift_of, front_of, points_of
from eagent.sweep.recommend import advise, finer, saving, slowdown
from eagent.sweep.run import Run
from eagent.sweep.schedule import left, schedule
from eagent.sweep.setting import Setting, Space

VERSION = 1
FINER_ROUNDS = 2
NOT_ONE = "it was not written by `eagent sweep --json`, or by another version"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A sweep as it was asked for."""

    command: tuple[str, ...]
    devices: tuple[str, ...]
    by: str  # "pin" or "hint"
    space: Space
    refined: str = ""  # the knob whose ladder gets finer around the best: "clock_mhz", "cap_w" or none
    highest: float = 0.0  # where that knob is without eagent
    repeat: int = 2
    warmup: int = 1
    seed: int = 1
    most: int = 200  # runs
    timeout_s: float | None = None
    units: float = 1.0
    unit: str = "run"
    units_from: str = ""  # patterns of lines of the command
    begin: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The order, the settings of each round so far, and the runs that were made."""

    order: Order
    rounds: tuple[tuple[Setting, ...], ...]
    runs: tuple[Run, ...] = ()

    def remaining(self) -> list[Setting]:
        """The runs that the rounds so far still need."""
        order = self.order
        return left(schedule(order.space.default, self.rounds, order.repeat, order.seed), self.runs)

    def further(self) -> Sweep | None:
        """With one more round, if there is something to look at more closely, and room for it."""
        order = self.order
        if not order.refined or len(self.rounds) > FINER_ROUNDS:
            return None
        tried = {setting for settings in self.rounds for setting in settings}
        found = finer(points_of(self.runs), order.space, order.highest, order.refined)
        new = [setting for setting in found if setting not in tried]
        room = (order.most - len(self.runs) - order.repeat) // order.repeat
        return replace(self, rounds=(*self.rounds, tuple(new[:room]))) if new and room > 0 else None

    def and_run(self, run: Run) -> Sweep:
        """With one more run."""
        return replace(self, runs=(*self.runs, run))


def begun(order: Order) -> Sweep:
    """A sweep that nothing of is done.

    Raises:
        InputError: it takes more runs than it may.
    """
    sweep = Sweep(order, (tuple(order.space.others()),))
    count = len(sweep.remaining())
    if count > order.most:
        raise InputError(
            f"{len(order.space.others()) + 1} settings, {order.repeat} times each, the default in between: {count} "
            f"runs, more than --max {order.most}; try fewer values, or raise it"
        )
    return sweep


def document(sweep: Sweep) -> Json:
    """All of it, and what follows, for a program and for `--resume`."""
    points, default = points_of(sweep.runs), sweep.order.space.default
    front = {point.setting for point in front_of(points)}
    base = next((point for point in points if point.setting == default), None)
    drift = drift_of(sweep.runs, default)
    return {
        "version": VERSION,
        "simulated": any(run.simulated for run in sweep.runs),
        "order": asdict(sweep.order),
        "rounds": [[asdict(setting) for setting in settings] for settings in sweep.rounds],
        "runs": [asdict(run) for run in sweep.runs],
        "drift": asdict(drift) if drift else None,
        "points": [
            {
                **_finite(asdict(point)),
                "label": point.setting.label(),
                "front": point.setting in front,
                "slowdown": slowdown(point, base)[0] if base else None,
                "saved": saving(point, base)[0] if base else None,
            }
            for point in points
        ],
        "advice": [
            {
                **_finite(asdict(advice) | {"point": None}),
                "setting": asdict(advice.point.setting),
                "label": advice.point.setting.label(),
                "equals": [asdict(setting) for setting in advice.equals],
            }
            for advice in advise(points, default)
        ],
    }


def read(told: Any) -> Sweep:
    """The sweep in such a document.

    Raises:
        InputError: it is none.
    """
    try:
        if told["version"] != VERSION:
            raise InputError(NOT_ONE)
        order = told["order"]
        space = Space(
            tuple(float(value) for value in order["space"]["clocks_mhz"]),
            tuple(float(value) for value in order["space"]["caps_w"]),
            _pairs_of(order["space"]["varied"]),
            bool(order["space"]["pairs"]),
        )
        plain = {field.name: order[field.name] for field in fields(Order)}
        lists = {"command": tuple(order["command"]), "devices": tuple(order["devices"]), "space": space}
        rounds = tuple(tuple(_setting(each) for each in settings) for settings in told["rounds"])
        runs = tuple(
            Run(**{**each, "setting": _setting(each["setting"]), "notes": tuple(each["notes"])})
            for each in told["runs"]
        )
        return Sweep(Order(**{**plain, **lists}), rounds, runs)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(NOT_ONE) from None


def _setting(told: Json) -> Setting:
    return Setting(told["clock_mhz"], told["cap_w"], tuple((str(name), str(value)) for name, value in told["words"]))


def _pairs_of(told: Sequence[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((str(name), tuple(str(value) for value in values)) for name, values in told)


def _finite(told: Json) -> Json:
    """JSON has no infinity: an error that is not known is null."""
    return {key: None if value == float("inf") else value for key, value in told.items()}
