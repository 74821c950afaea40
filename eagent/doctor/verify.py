"""Live knobs against what eagent says it holds. Pure: who asks both is `eagent verify`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eagent.doctor.driver import Driver, Gpu

Json = dict[str, Any]

SAME_W = 0.0005  # limits are whole milliwatts


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
    """One knob, or the budget over all of them. `live` and `held` are in `unit`; None is not known."""

    subject: str
    uuid: str | None
    knob: str
    unit: str
    live: float | None
    held: float | None
    verdict: Verdict
    why: str = ""


def compare(driver: Driver, status: Json | None) -> tuple[Row, ...]:
    """What NVML says, beside what the agent says that the warden holds.

    Args:
        driver: NVML's answer.
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
    for device in told.values():
        why = "the agent knows it, and NVML does not show it"
        held_w = device["power_limit"]["ours_w"]
        rows.append(Row(device["device"], device["uuid"], "power limit", "W", None, held_w, Verdict.UNKNOWN, why))
    return (*rows, *_budget(driver, status, asked=asked))


def _power_limit(gpu: Gpu, device: Json | None, *, asked: bool) -> Row:
    limit = device["power_limit"] if device and asked else None
    held_w = limit["ours_w"] if limit else None
    verdict, why = _judge(gpu.requested_w, limit, asked=asked)
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


def _judge(live_w: float | None, limit: Json | None, *, asked: bool) -> tuple[Verdict, str]:
    if not asked:
        return Verdict.UNKNOWN, "the warden can't be asked"
    if limit is None:
        return Verdict.UNKNOWN, "NVML shows it, and the agent does not know it"
    if not limit["writable"]:
        return Verdict.READ_ONLY, ""
    held_w = limit["ours_w"]
    if held_w is None:
        return Verdict.NOT_HELD, ""
    if live_w is None:
        return Verdict.UNKNOWN, "NVML does not tell its limit"
    if abs(live_w - held_w) < SAME_W:
        return Verdict.AGREES, ""
    if live_w > held_w:
        return Verdict.DIFFERS, f"{live_w - held_w:g} W above what is held: see `eagent doctor` for other writers"
    if limit["requested_w"] is not None and abs(limit["requested_w"] - live_w) < SAME_W:
        return Verdict.AGREES, "below, as the warden knows: raises are paced, and small ones wait"
    return Verdict.DIFFERS, f"{held_w - live_w:g} W below what is held, and the warden does not know it"


def _budget(driver: Driver, status: Json | None, *, asked: bool) -> Iterator[Row]:
    """Live limits and the fixed draw against the budget; a GPU whose limit eagent can't set counts at its most."""
    budget = status["budget"] if status else None
    if status is None or budget is None:
        return
    unwritable = {each["uuid"] for each in status["devices"] if not each["power_limit"]["writable"]}
    limits_w = [
        gpu.max_limit_w if gpu.uuid in unwritable else gpu.requested_w or gpu.max_limit_w for gpu in driver.gpus
    ]
    known = [limit_w for limit_w in limits_w if limit_w is not None]
    live_w = sum(known) + budget["fixed_w"]
    if live_w > budget["budget_w"] + SAME_W:
        verdict, why = Verdict.DIFFERS, f"limits + fixed draw are {live_w - budget['budget_w']:g} W above the budget"
    elif len(known) < len(limits_w):
        verdict, why = Verdict.UNKNOWN, "NVML does not tell every limit"
    elif not asked:
        verdict, why = Verdict.UNKNOWN, "the warden can't be asked whether it still stands"
    else:
        verdict, why = Verdict.AGREES, ""
    yield Row("host", None, "budget", "W", live_w, budget["budget_w"], verdict, why)
