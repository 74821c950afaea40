"""Live knobs against what eagent says it holds. Pure: who asks both is `eagent verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eagent.doctor.driver import Driver, Gpu
from eagent.doctor.packages import Package

Json = dict[str, Any]

SAME_W = 0.0005  # limits are whole milliwatts
WAITING_SHARE = 0.1  # of a limit: lowerings by more don't wait for anything
SAME_MHZ = 0.5
NOT_ASKED = "the warden can't be asked"


class Verdict(StrEnum):
    """How a live value and what is held compare."""

    AGREES = "agrees"
    NOT_HELD = "not held"  # nobody's claim
    READ_ONLY = "read-only"  # nobody's claim either, and never will be
    DIFFERS = "DIFFERS"
    UNKNOWN = "unknown"  # one of the two can't be learnt

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to object to."""
        return self not in (Verdict.DIFFERS, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Row:
    """One knob, or the budget over all of them. `live` and `held` are in `unit`, texts without one; None: not known."""

    subject: str
    uuid: str | None
    knob: str
    unit: str
    live: float | str | None
    held: float | str | None
    verdict: Verdict
    why: str = ""


def compare(driver: Driver, packages: Sequence[Package], status: Json | None) -> tuple[Row, ...]:
    """What NVML and the kernel say, beside what the agent says that the warden holds.

    Args:
        driver: NVML's answer.
        packages: What the kernel shows of the CPUs. Those that the agent does not speak of are nobody's claim.
        status: The agent's; None if it can't be asked.
    """
    told = {device["uuid"]: device for device in status["devices"]} if status else {}
    asked = status is not None and bool(status["warden"]["connected"])
    rows: list[Row] = []
    for gpu in driver.gpus:
        device = told.pop(gpu.uuid, None)
        rows.append(_power_limit(gpu, device, asked=asked))
        if device is not None and asked:
            rows += _gpu_clock(gpu, device["gpu_clock"])
    for package in packages:
        device = told.pop(package.uuid, None)
        if device is not None or status is None:
            rows += _package(package, device if asked else None)
    for device in told.values():
        who = "NVML" if device["kind"] == "gpu" else "the kernel"
        held_w = device["power_limit"]["ours_w"]
        why = f"the agent knows it, and {who} does not show it"
        rows.append(Row(device["device"], device["uuid"], "power limit", "W", None, held_w, Verdict.UNKNOWN, why))
    return (*rows, *_budget(driver, packages, status, asked=asked))


def _power_limit(gpu: Gpu, device: Json | None, *, asked: bool) -> Row:
    limit = device["power_limit"] if device and asked else None
    held_w = limit["ours_w"] if limit else None
    if not asked:
        verdict, why = Verdict.UNKNOWN, NOT_ASKED
    elif limit is None:
        verdict, why = Verdict.UNKNOWN, "NVML shows it, and the agent does not know it"
    else:
        verdict, why = _judge_limit(gpu.requested_w, limit)
    return Row(f"gpu{gpu.index}", gpu.uuid, "power limit", "W", gpu.requested_w, held_w, verdict, why)


def _gpu_clock(gpu: Gpu, clock: Json) -> Iterator[Row]:
    """A ceiling that is held, against the clock itself: no driver tells its lock."""
    held_mhz, live_mhz = clock["ours_mhz"], gpu.sm_clock_mhz
    if held_mhz is None:
        return
    if live_mhz is None:
        verdict, why = Verdict.UNKNOWN, "NVML does not tell its clock"
    elif live_mhz > held_mhz:
        verdict, why = Verdict.DIFFERS, f"it runs {live_mhz - held_mhz} MHz above what is held"
    else:
        verdict, why = Verdict.AGREES, "as far as the clock shows; the lock can't be read"
    yield Row(f"gpu{gpu.index}", gpu.uuid, "gpu clock", "MHz", live_mhz, held_mhz, verdict, why)


def _package(package: Package, device: Json | None) -> Iterator[Row]:
    """All knobs of a package that the kernel shows or the warden holds; no `device`: the warden can't be asked."""
    name = device["device"] if device else f"cpu{package.number}"
    limit, clock, preference = (
        device[knob] if device else None for knob in ("power_limit", "cpu_clock", "cpu_preference")
    )
    held_w, held_mhz, held = (
        knob[key] if knob else None for knob, key in ((limit, "ours_w"), (clock, "ours_mhz"), (preference, "ours"))
    )
    # While nothing is held what counts is the longer term; a lower one of them is no limit of ours.
    live_w = max(package.limits_w, default=None) if held_w is not None else next(iter(package.limits_w), None)
    for knob_name, unit, live, ours, (verdict, why) in (
        ("power limit", "W", live_w, held_w, _judge_limit(live_w, limit)),
        ("cpu clock", "MHz", package.ceiling_mhz, held_mhz, _judge_ceiling(package, clock)),
        ("cpu preference", "", package.preference, held, _judge_preference(package.preference, preference)),
    ):
        if live is not None or ours is not None:
            yield Row(name, package.uuid, knob_name, unit, live, ours, verdict, why)


def _judge_limit(live_w: float | None, limit: Json | None) -> tuple[Verdict, str]:
    if limit is None:
        return Verdict.UNKNOWN, NOT_ASKED
    held_w = limit["ours_w"]
    if not limit["writable"] or held_w is None or _is_theirs(limit):
        return _unheld(limit)
    if live_w is None:
        return Verdict.UNKNOWN, "its limit can't be read"
    if abs(live_w - held_w) < SAME_W:
        return Verdict.AGREES, ""
    known = limit["requested_w"] is not None and abs(limit["requested_w"] - live_w) < SAME_W
    if live_w > held_w:
        if known and live_w - held_w < WAITING_SHARE * live_w:
            return Verdict.AGREES, "a little above, as the warden knows: small changes wait"
        return Verdict.DIFFERS, f"{live_w - held_w:g} W above what is held: see `eagent doctor` for other writers"
    if known:
        return Verdict.AGREES, "below, as the warden knows: raises are paced, and small ones wait"
    return Verdict.DIFFERS, f"{held_w - live_w:g} W below what is held, and the warden does not know it"


def _judge_ceiling(package: Package, clock: Json | None) -> tuple[Verdict, str]:
    live_mhz = package.ceiling_mhz
    if clock is None:
        return Verdict.UNKNOWN, NOT_ASKED
    held_mhz = clock["ours_mhz"]
    if not clock["writable"] or held_mhz is None or _is_theirs(clock):
        return _unheld(clock)
    if live_mhz is None:
        return Verdict.UNKNOWN, "its ceiling can't be read"
    if live_mhz > held_mhz + SAME_MHZ:
        above = f"{live_mhz - held_mhz:g} MHz above what is held"
        return Verdict.DIFFERS, f"{above}: see `eagent doctor` for other writers"
    least_mhz = package.ceilings_mhz[0]
    known_mhz = held_mhz if clock["held_mhz"] is None else clock["held_mhz"]
    if least_mhz < min(held_mhz, known_mhz) - SAME_MHZ:
        return Verdict.DIFFERS, f"{held_mhz - least_mhz:g} MHz below what is held, and the warden does not know it"
    return Verdict.AGREES, ""


def _judge_preference(live: str | None, preference: Json | None) -> tuple[Verdict, str]:
    if preference is None:
        return Verdict.UNKNOWN, NOT_ASKED
    held = preference["ours"]
    if not preference["writable"] or held is None or _is_theirs(preference):
        return _unheld(preference)
    if live is None:
        return Verdict.UNKNOWN, "its preference can't be read"
    if live != held:
        return Verdict.DIFFERS, "not what is held: see `eagent doctor` for other writers"
    return Verdict.AGREES, ""


def _is_theirs(knob: Json) -> bool:
    foreign = knob.get("foreign")
    return bool(foreign and foreign["stands"])


def _unheld(knob: Json) -> tuple[Verdict, str]:
    if _is_theirs(knob):
        return Verdict.NOT_HELD, "somebody else has set it, and eagent leaves it alone"
    return (Verdict.NOT_HELD if knob["writable"] else Verdict.READ_ONLY), ""


def _budget(driver: Driver, packages: Sequence[Package], status: Json | None, *, asked: bool) -> Iterator[Row]:
    """Live limits and the fixed draw against the budget.

    A device whose limit eagent can't set counts at its most; a package only if the budget names it, else it is a part
    of the fixed draw.
    """
    budget = status["budget"] if status else None
    if status is None or budget is None:
        return
    unwritable = {each["uuid"] for each in status["devices"] if not each["power_limit"]["writable"]}
    limits_w = [
        gpu.max_limit_w if gpu.uuid in unwritable else gpu.requested_w or gpu.max_limit_w for gpu in driver.gpus
    ]
    live = {package.uuid: max(package.limits_w, default=None) for package in packages}
    for device in (each for each in status["devices"] if each["kind"] == "cpu"):
        if device["uuid"] not in unwritable:
            limits_w.append(live.get(device["uuid"]))
        elif device["uuid"] in budget["safe_caps_w"]:
            limits_w.append(device["power_limit"]["max_w"])
    known = [limit_w for limit_w in limits_w if limit_w is not None]
    live_w = sum(known) + budget["fixed_w"]
    if live_w > budget["budget_w"] + SAME_W:
        verdict, why = Verdict.DIFFERS, f"limits + fixed draw are {live_w - budget['budget_w']:g} W above the budget"
    elif len(known) < len(limits_w):
        verdict, why = Verdict.UNKNOWN, "not every limit can be read"
    elif not asked:
        verdict, why = Verdict.UNKNOWN, "the warden can't be asked whether it still stands"
    else:
        verdict, why = Verdict.AGREES, ""
    yield Row("host", None, "budget", "W", live_w, budget["budget_w"], verdict, why)
