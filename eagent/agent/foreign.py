"""What somebody else did to a knob, as JSON-ready dicts and in words. Pure."""

from __future__ import annotations

from typing import Any

from eagent.agent.warden import ClockStatus, KnobStatus, PreferenceStatus
from eagent.model import KnobName
from eagent.telemetry.locks import Inference
from eagent.wire import watts

Json = dict[str, Any]
STANDS = "stands"
RESPECTED = "foreign"  # the state of a knob that is left alone
ENDS = "`eagent restore`, a pin or a new budget takes it back"
SHOWN_S = 60  # how long what does not stand any more is worth a note


def foreign_limit_w(limit: KnobStatus | None) -> float | None:
    """What somebody else has set a power limit to, while it is left alone; None: it is not."""
    if limit is None or limit.foreign is None or limit.state != RESPECTED:
        return None
    return watts(int(limit.foreign.value))


def told(knob: KnobName, status: KnobStatus | ClockStatus | PreferenceStatus | None, now_ns: int) -> Json | None:
    """The last write of somebody else, None: there was none. Limits are in watts, `ago_s` is up to now."""
    foreign = status.foreign if status else None
    if foreign is None:
        return None
    return {
        "count": foreign.count,
        "ago_s": None if foreign.at_ns is None else max(0.0, (now_ns - foreign.at_ns) / 1e9),
        "value": _value(knob, foreign.value),
        "before": None if foreign.before is None else _value(knob, foreign.before),
        "stands": foreign.fate == STANDS,
        "fate": foreign.fate,
    }


def words(knob: KnobName, found: Json | None, ours: float | str | None) -> str:
    """For a person; empty where there is nothing to tell."""
    if found is None:
        return ""
    ago = "before this warden" if found["ago_s"] is None else f"{found['ago_s']:.0f} s ago"
    what = f"{_shown(knob, found['value'])} set by somebody else {ago}"
    if found["stands"]:
        would = "" if ours is None else f", ours would be {_shown(knob, ours)}"
        return f"{what}{would}; left alone: {ENDS}"
    if found["ago_s"] is None or found["ago_s"] > SHOWN_S:
        return ""
    return f"{what}, and {found['fate']}"


def inferred(made: Inference | None) -> Json | None:
    """What is inferred of a lock that can't be read back, with its evidence; None: nothing is."""
    if made is None:
        return None
    return {
        "what": "ours is not in force" if made.is_above else "somebody else's is in force",
        "clock_mhz": made.clock_mhz,
        "expected_mhz": made.expected_mhz,
        "window_s": (made.until_ns - made.since_ns) / 1e9,
        "looks": made.looks,
    }


def _value(knob: KnobName, value: int | str) -> float | str:
    return watts(value) if knob is KnobName.POWER_LIMIT and isinstance(value, int) else value


def _shown(knob: KnobName, value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g} {knob.unit}".rstrip()
