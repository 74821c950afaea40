"""Whether a write to a limit was covered, by the driver's own log and by what was asked and accepted. Pure.

It knows nothing of how the warden works. A write is covered if it is a no-op, or where a lease that runs has it, or
below that while a budget's envelope leaves less, or for some seconds where the lease before had it, if the change is
one that waits; or at a budget's safe cap, or where the owner had it. Watts are milliwatts here, times the plant's
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LATE_S = 0.101  # a lease's end is met by the next turn of the loop, and that may follow a step that settles
TTL_MAX_S = 60.0
RAISE_S = 6.0  # a raise under a lease waits for a second after the one before, a small one for five
SMALL_PERCENT, SMALL_FALL_S = 3, 11.0  # a fall by less waits for ten seconds: it is not worth a call of the driver


@dataclass(slots=True)
class Referee:
    """What has been accepted so far, of a host whose limits nobody else writes."""

    uuids: Sequence[str]
    least_mw: int
    most_mw: int
    limits_mw: list[int]  # as they are
    owners_mw: Sequence[int]  # where they go back to
    lease_mw: Mapping[str, int] = field(default_factory=dict)
    lease_until_s: float = 0.0
    earlier: list[tuple[float, Mapping[str, int]]] = field(default_factory=list)  # when it was followed, and a lease
    safe_mw: Mapping[str, int] | None = None  # while a budget stands
    envelope_mw: int | None = None
    in_force: bool = False

    def accept(self, request: Mapping[str, Any], reply: Mapping[str, Any], now_s: float) -> None:
        """A request was answered with ok."""
        match request.get("op"):
            case "lease":
                limits_mw, ttl_s = request["limits_mw"], request["ttl_s"]
                assert type(ttl_s) in (int, float), f"a lease of {ttl_s!r} s was accepted"
                assert 0 < ttl_s <= TTL_MAX_S, f"a lease of {ttl_s!r} s was accepted"
                for uuid, limit_mw in limits_mw.items():
                    assert uuid in self.uuids, f"a lease of {uuid!r} was accepted"
                    assert type(limit_mw) is int, f"a limit of {limit_mw!r} was accepted"
                    assert self.least_mw <= limit_mw <= self.most_mw, f"a limit of {limit_mw} mW was accepted"
                if self.envelope_mw is not None:
                    assert set(limits_mw) == set(self.uuids), "under a budget a part of the vector was accepted"
                    assert sum(limits_mw.values()) <= self.envelope_mw, "a lease above the envelope was accepted"
                if now_s < self.lease_until_s:
                    self.earlier.append((now_s, self.lease_mw))
                self.lease_mw, self.lease_until_s = limits_mw, now_s + ttl_s
            case "release":
                self.lease_until_s = now_s
            case "budget_set":
                caps = {uuid: request["safe_caps_mw"].get(uuid, self.least_mw) for uuid in self.uuids}
                envelope_mw = request["budget_mw"] - request["fixed_mw"]
                assert sum(caps.values()) <= envelope_mw, "a budget was accepted that its safe caps break"
                self.safe_mw, self.envelope_mw, self.in_force = caps, envelope_mw, reply["in_force"]
            case "budget_clear":
                self.safe_mw = self.envelope_mw = None
                self.in_force = False

    def judge(self, at_s: float, gpu: int, new_mw: int) -> None:
        """A write of the driver's log, in its order, after what led to it was accepted."""
        before_mw, self.limits_mw[gpu] = self.limits_mw[gpu], new_mw
        assert self.least_mw <= new_mw <= self.most_mw, f"gpu{gpu} was set to {new_mw} mW, outside of its bounds"
        total_mw = sum(self.limits_mw)
        if self.in_force and self.envelope_mw is not None and new_mw > before_mw:
            assert total_mw <= self.envelope_mw, f"limits of {total_mw} mW under an envelope of {self.envelope_mw} mW"
        assert new_mw == before_mw or self._covers(at_s, gpu, new_mw), f"gpu{gpu} was set to {new_mw} mW by nobody"

    def stand(self, now_s: float) -> None:
        """The limits as they are now, some turns of the loop after the last request."""
        for gpu, limit_mw in enumerate(self.limits_mw):
            assert self._covers(now_s, gpu, limit_mw), f"gpu{gpu} stands at {limit_mw} mW, for nobody"

    def _covers(self, at_s: float, gpu: int, new_mw: int) -> bool:
        uuid = self.uuids[gpu]
        leased_mw = self.lease_mw.get(uuid) if at_s < self.lease_until_s + LATE_S else None
        if leased_mw is not None and (new_mw == leased_mw or (self.safe_mw is not None and new_mw < leased_mw)):
            return True
        if leased_mw is not None:
            is_small = 0 < (new_mw - leased_mw) * 100 < new_mw * SMALL_PERCENT
            most_s = RAISE_S if new_mw < leased_mw else SMALL_FALL_S if is_small else 0.0
            if any(at_s < since_s + most_s and new_mw == before.get(uuid) for since_s, before in self.earlier):
                return True
        return new_mw == (self.owners_mw[gpu] if self.safe_mw is None else self.safe_mw[uuid])
