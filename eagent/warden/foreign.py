"""What somebody else did to a knob that we hold, in the words of status and alarms. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eagent.wire import Message

OWNER = "foreign"  # of an entry of the journal whose prior value somebody else wrote while we held the knob
RESPECT, REPORT = "respect", "report"
STANDS, OVERRULED, MOVED_BACK = "stands", "overruled", "moved back"  # of the loop's FATES
ALARM_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Foreign:
    """The last of `count` writes of others to one knob; values are in the knob's unit, None: not known.

    `fate` is what became of it: it stands and the knob is left alone, it was overruled, moved back to where we had it,
    or taken back for an operator or a later wish of ours.
    """

    count: int
    at_ns: int | None
    value: int | str
    before: int | str | None
    fate: str

    @property
    def stands(self) -> bool:
        """Whether the knob is left alone for it."""
        return self.fate == STANDS

    def message(self) -> Message:
        """As the status tells it."""
        return {
            "count": self.count,
            "at_ns": self.at_ns,
            "value": self.value,
            "before": self.before,
            "fate": self.fate,
        }


def last(found: Sequence[Foreign]) -> Foreign | None:
    """Of one knob that is many attributes: the last write, with the count of all; one that stands comes first."""
    if not found:
        return None
    newest = max(found, key=lambda each: (each.stands, each.at_ns or 0))
    return replace(newest, count=sum(each.count for each in found))


def alarm(
    what: str,
    foreign: Foreign | None,
    policy: str,
    shown: Callable[[int | str], str],
    ours: int | str | None,
    now_ns: int,
    *,
    has_budget: bool = False,
) -> str | None:
    """One line for the first minute; None: nothing to tell.

    Args:
        what: Which knob of which device.
        foreign: What somebody else did last.
        policy: What the operator wants to become of it.
        shown: A value with its unit.
        ours: Where we would have it; None: nowhere.
        now_ns: Monotonic time.
        has_budget: Whether a budget stands.
    """
    if foreign is None or foreign.at_ns is None or now_ns - foreign.at_ns >= ALARM_NS:
        return None
    line = f"{what}: changed by somebody else {(now_ns - foreign.at_ns) / 1e9:.0f} s ago, to {shown(foreign.value)}"
    if foreign.stands and policy == REPORT:
        return f"{line}{_would(ours, shown)}: that stands until eagent's own wish changes"
    if foreign.stands:
        return f"{line}{_would(ours, shown)}: respected; {TAKE_BACK}"
    if foreign.fate == OVERRULED and policy != "overrule" and has_budget:
        return f"{line}, and overruled: the budget has no room for it, and was exceeded until then"
    return f"{line}, and overruled" if foreign.fate == OVERRULED else None


TAKE_BACK = "`eagent restore`, a pin or a new budget takes it back"


def _would(ours: int | str | None, shown: Callable[[int | str], str]) -> str:
    return "" if ours is None else f", ours would be {shown(ours)}"
