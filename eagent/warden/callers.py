"""Who asks the warden, and what of it they may: the last line behind which a knob is safe from a bad agent.

The agent's user may hold what the budget leaves, and nothing more: it sets no budget and clears none. Where the mesh
gives budgets (ADR 10), it may set one, but none above what the operator has declared as the most that this host draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eagent import access
from eagent.access import Rights, Role
from eagent.audit import Audit
from eagent.bucket import Bucket
from eagent.config import Config, Groups
from eagent.errors import RefusedError
from eagent.peer import NOBODY, Peer, printable
from eagent.wire import Message, unpack_budget, watts

OF_ONE_USER = 4  # connections, of those that there may be: root's are never taken by others
RATE_PER_S, BURST = 50.0, 200.0  # requests of one connection of an agent: it makes some ten
ROUNDING_W = 0.001
KEPT = ("budget_set", "budget_clear", "detach", "attach")  # what changes something beyond the next lease

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the operator has declared that this host may draw at most, and draws beside what is capped. At the wall."""

    most_w: float
    fixed_w: float

    def check(self, envelope_w: float, fixed_w: float) -> None:
        """Refuse a budget above it.

        Raises:
            RefusedError: it is.
        """
        if fixed_w < self.fixed_w - ROUNDING_W or envelope_w > self.most_w - self.fixed_w + ROUNDING_W:
            raise RefusedError(
                f"a budget with {envelope_w:g} W for the devices and {fixed_w:g} W fixed draw: an agent may set none "
                f"above what the configuration declares, nameplate_w {self.most_w:g} W with fixed_w {self.fixed_w:g} W"
            )


@dataclass(slots=True)
class Caller:
    """One connection. What a role may do stands in `eagent.access`."""

    peer: Peer
    role: Role
    groups: Groups = field(default_factory=Groups)
    ceiling: Ceiling | None = None
    bucket: Bucket | None = None  # None: as often as it likes

    def check(self, request: Message, now_ns: int) -> None:
        """Refuse a request that this caller may not make.

        Raises:
            RefusedError: one line that says why.
        """
        if self.bucket is not None and not self.bucket.take(now_ns):
            raise RefusedError("too many requests in too short a time: wait a second")
        op = request.get("op")
        needed = access.WARDEN.get(op) if isinstance(op, str) else None
        if needed is None and self.role is Role.OPERATOR:
            return  # there is no such operation, and that is said where they are known
        if needed is not None and self.role >= needed:
            return
        if op == "budget_set" and self.role is Role.AGENT and self.ceiling is not None:
            budget = unpack_budget(request)
            self.ceiling.check(budget.envelope_w, budget.fixed_w)
            return
        raise RefusedError(access.refusal(f"the warden's {printable(str(op)[:40])}", needed, self.role, self.groups))


OWNER = Caller(NOBODY, Role.OPERATOR)


class Callers:
    """Tells callers apart, and keeps the log of what they changed or were refused."""

    def __init__(self, rights: Rights, config: Config, audit: Audit | None = None) -> None:
        """By the operator's configuration, which no agent can write."""
        self.rights = rights
        self._groups = config.groups
        self._audit = audit
        mesh = config.mesh
        self._ceiling = Ceiling(mesh.nameplate_w, config.fixed_w or 0.0) if mesh is not None else None

    def meet(self, peer: Peer, others: int, now_ns: int) -> Caller | None:
        """Who a peer is; None: it has no business here, or its user has `others` connections and that is enough."""
        role = self.rights.role(peer)
        is_owner = peer.uid in self.rights.owners
        if role is Role.NOBODY or (others >= OF_ONE_USER and not is_owner):
            self._note(peer, role, "connect", "refused: has no business here, or too many connections", {}, None, None)
            return None
        bucket = None if is_owner else Bucket(RATE_PER_S, BURST, now_ns)
        return Caller(peer, role, self._groups, self._ceiling, bucket)

    def note(
        self, caller: Caller, request: Message, reply: Message, before: Message | None, after: Message | None
    ) -> None:
        """Enter what a request changed, or that it was refused; mere questions and leases are not kept."""
        op, done = request.get("op"), reply.get("ok") is True
        if (done and op not in KEPT) or (not done and caller.role is Role.OPERATOR and op not in KEPT):
            return
        outcome = "done" if done else f"not done: {reply.get('error')}"
        self._note(caller.peer, caller.role, str(op), outcome, _asked(request), before, after, request.get("why"))

    def _note(
        self,
        peer: Peer,
        role: Role,
        what: str,
        outcome: str,
        asked: Mapping[str, Any],
        before: Message | None,
        after: Message | None,
        why: object = None,
    ) -> None:
        if self._audit is not None:
            differs = before != after
            self._audit.note(
                peer,
                role,
                f"warden {what}",
                outcome,
                asked=asked,
                why="".join(letter for letter in why if letter.isprintable()) if isinstance(why, str) else "",
                before={"budget": before} if differs else {},
                after={"budget": after} if differs else {},
            )

    def alarms(self) -> list[str]:
        """What is wrong with the log."""
        return [] if self._audit is None else self._audit.alarms()


def _asked(request: Message) -> Json:
    """What came with a request, in watts and no longer than a line."""
    told: Json = {}
    for key, value in request.items():
        if key in ("v", "op", "why"):
            continue
        if key.endswith("_mw") and isinstance(value, int):
            told[f"{key[:-3]}_w"] = watts(value)
        else:
            told[key] = value if isinstance(value, (int, float)) else str(value)[:400]
    return told
