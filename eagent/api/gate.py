"""The gate of a socket: which role a peer has, whether it may ask for a route, how often, and what is kept of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eagent import access
from eagent.access import Needs, Rights, Role
from eagent.audit import Audit
from eagent.bucket import Bucket
from eagent.config import Groups
from eagent.peer import Peer

USERS_MAX = 1024
ASKED_MAX = 1000  # characters of a body in the audit log
READS = ("GET", "HEAD", "OPTIONS")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests a user may make, and all users together; root and our own user are not counted."""

    per_s: float = 20.0
    burst: float = 100.0
    all_per_s: float = 200.0
    all_burst: float = 1000.0


class Gate:
    """What stands between a socket and its routes."""

    def __init__(
        self,
        needs: Needs = access.API,
        rights: Rights | None = None,
        groups: Groups | None = None,
        audit: Audit | None = None,
        look: Callable[[], Json] = dict,
        rate: Rate | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """A gate that lets root and our own user do everything, and nobody else anything, unless it is told more.

        Args:
            needs: Which role each route needs; a route that is not in it is refused.
            rights: Who has which role.
            groups: Their names, for refusals.
            audit: Where changes and refusals are kept; None: nowhere.
            look: What commands change, as it is now: for the log.
            rate: How often somebody may ask.
            clock: Monotonic nanoseconds.
        """
        self._needs = needs
        self.rights = rights or Rights(access.owners())
        self._groups = groups or Groups()
        self._audit = audit
        self.look = look
        self._rate = rate or Rate()
        self._clock = clock
        self._users: dict[int, Bucket] = {}
        self._all = Bucket(self._rate.all_per_s, self._rate.all_burst, clock())

    def admits(self, peer: Peer) -> bool:
        """Whether a request of this peer is to be heard now."""
        if self.exempts(peer):
            return True
        now_ns = self._clock()
        if peer.uid not in self._users:
            if len(self._users) >= USERS_MAX:
                self._users.clear()
            self._users[peer.uid] = Bucket(self._rate.per_s, self._rate.burst, now_ns)
        return self._users[peer.uid].take(now_ns) and self._all.take(now_ns)

    def exempts(self, peer: Peer) -> bool:
        """Whether a peer is counted nowhere: it could do to this process what it wants in any case."""
        return peer.uid in self.rights.owners

    def is_operator(self, peer: Peer) -> bool:
        """Whether a peer may do everything here."""
        return self.rights.role(peer) is Role.OPERATOR

    def refusal(self, peer: Peer, method: str, template: str) -> str | None:
        """Why a peer may not ask for a route, in a line; None: it may."""
        route = f"{'GET' if method == 'HEAD' else method} {template}"
        needed, role = self._needs.get(route), self.rights.role(peer)
        if needed is not None and role >= needed:
            return None
        return access.refusal(route, needed, role, self._groups)

    @staticmethod
    def is_change(method: str, template: str) -> bool:
        """Whether a route may change anything: what does is kept in the log."""
        return method not in READS and f"{method} {template}" not in access.QUESTIONS

    def note(self, peer: Peer, what: str, outcome: str, body: bytes, why: str, before: Json, after: Json) -> None:
        """Enter what somebody did, or was refused, in the audit log; of what stands before and after, what differs."""
        if self._audit is None:
            return
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        self._audit.note(
            peer,
            self.rights.role(peer),
            what,
            outcome,
            asked=_asked(body),
            why=why,
            before={key: before.get(key) for key in keys},
            after={key: after.get(key) for key in keys},
        )


def _asked(body: bytes) -> Mapping[str, Any]:
    """What a body holds, as far as the log takes it."""
    try:
        document = json.loads(body[:ASKED_MAX]) if body else {}
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, dict) else {"body": body[:ASKED_MAX].decode("utf-8", "replace")}
