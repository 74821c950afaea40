"""What job owners ask for: less power on devices that their own processes hold, or more time for less energy there.

A device with processes of several users is lowered when all of them ask, and no further than each of them does: with
less than that, one could slow the work of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from eagent.agent.names import find_device
from eagent.errors import InputError, RefusedError
from eagent.model import Device, DeviceKind
from eagent.policy.goals import Hint
from eagent.wish import Wish, agreed

SECOND_NS = 1_000_000_000
TIME_MAX_S = 7 * 86_400.0
GONE_NS = 5 * SECOND_NS  # a process that is seen no more for so long has ended

Json = dict[str, Any]


class Holding(Protocol):
    """What is needed of `Holders`."""

    def users(self, uuid: str, now_ns: int) -> frozenset[int] | None: ...


@dataclass(slots=True)
class _Noted:
    """Of one user for one device."""

    wish: Wish
    until_ns: int
    held_ns: int  # when the user was last seen to hold the device


class Hints:
    """The wishes of all users. At most one for each user and device, and only of those who hold it."""

    def __init__(
        self,
        holding: Holding,
        devices: Callable[[], Sequence[Device]],
        clock: Callable[[], int],
        *,
        acts: bool,
        told: Callable[[], None] = lambda: None,
        is_trusted: Callable[[int, int], bool] = lambda pid, uid: True,  # noqa: ARG005
    ) -> None:
        """No wish yet.

        Args:
            holding: Tells who holds which device.
            devices: Those of the host.
            clock: Monotonic nanoseconds.
            acts: Whether hints are acted on here, or only noted.
            told: Called when something has changed.
            is_trusted: Whether a process of root, by pid and user, is the host's root and not that of a container.
        """
        self._holding = holding
        self._devices = devices
        self._clock = clock
        self._acts = acts
        self._told = told
        self._is_trusted = is_trusted
        self._noted: dict[tuple[str, int], _Noted] = {}

    def set(self, pid: int, uid: int, device: str, wish: Wish, for_s: float) -> Json:
        """Note what a user wants of a device, in the place of what it wanted before.

        Args:
            pid: Of the caller.
            uid: Of the caller, by the kernel.
            device: Its name.
            wish: What.
            for_s: For so long, if the job does not end before.

        Raises:
            NotFoundError: no such device.
            InputError: nothing is asked.
            RefusedError: the user does not hold it, as far as can be told, or it is no GPU.
        """
        found, now_ns = self._find(device), self._clock()
        if wish.is_empty:
            raise InputError(f"a hint names {', '.join(each.name for each in fields(Wish))}, or several of them")
        if not (math.isfinite(for_s) and 0 < for_s <= TIME_MAX_S):
            raise InputError(f"for_s: must be above 0 and at most {TIME_MAX_S:g} seconds")
        self._check_holds(found, pid, uid, now_ns)
        if wish.limit_w is not None:
            wish = replace(wish, limit_w=max(wish.limit_w, found.min_limit_w))
        self._noted[found.uuid, uid] = _Noted(wish, now_ns + int(for_s * SECOND_NS), now_ns)
        self._told()
        others = len((self._holding.users(found.uuid, now_ns) or frozenset()) - self._asking(found.uuid))
        return {
            "device": found.label,
            "uuid": found.uuid,
            **asdict(wish),
            "for_s": for_s,
            "acts": self._acts,
            "waits_for": others,  # users who hold it, too, and have not asked
        }

    def clear(self, uid: int, device: str) -> None:
        """Drop what a user wants of a device, if it wants anything.

        Raises:
            NotFoundError: no such device.
        """
        if self._noted.pop((self._find(device).uuid, uid), None) is not None:
            self._told()

    def standing(self, now_ns: int) -> tuple[Hint, ...]:
        """What all users who hold a device agree to; wishes that have run out, or whose job has ended, are dropped."""
        hints = []
        for uuid in {uuid for uuid, _ in self._noted}:
            users = self._holding.users(uuid, now_ns)
            self._drop_ended(uuid, users, now_ns)
            if not users:  # nobody holds it, or who does is not known: then nobody has agreed
                continue
            noted = [self._noted[uuid, uid] for uid in users if (uuid, uid) in self._noted]
            if len(noted) == len(users):
                hints.append(_agreed(uuid, noted))
        return tuple(sorted(hints, key=lambda hint: hint.uuid))

    def told(self) -> Json:
        """What each user wants, for the log."""
        return {f"hint of user {uid} on {uuid}": asdict(noted.wish) for (uuid, uid), noted in self._noted.items()}

    def _drop_ended(self, uuid: str, users: frozenset[int] | None, now_ns: int) -> None:
        for (of, uid), noted in list(self._noted.items()):
            if of != uuid:
                continue
            if users is not None and uid in users:
                noted.held_ns = now_ns
            if now_ns >= noted.until_ns or now_ns - noted.held_ns > GONE_NS:
                del self._noted[of, uid]

    def _asking(self, uuid: str) -> frozenset[int]:
        return frozenset(uid for of, uid in self._noted if of == uuid)

    def _find(self, name: str) -> Device:
        found = find_device(self._devices(), name)
        if found.kind is not DeviceKind.GPU:
            raise RefusedError(f"{found.label}: a CPU package is everybody's, so no job may ask anything of it")
        return found

    def _check_holds(self, device: Device, pid: int, uid: int, now_ns: int) -> None:
        users = self._holding.users(device.uuid, now_ns)
        if users is None:
            raise RefusedError(
                f"which processes hold {device.label} is not told here, so no job may ask anything of it"
            )
        if uid == 0 and not self._is_trusted(pid, uid):
            raise RefusedError("root of a container is not told from that of others: run the job as a user of its own")
        if uid not in users:
            raise RefusedError(f"no process of user {uid} holds {device.label}: a job may ask for its own devices only")


def _agreed(uuid: str, noted: Sequence[_Noted]) -> Hint:
    whose = "its job asks for no more" if len(noted) == 1 else f"the jobs of all {len(noted)} users ask for no more"
    return Hint(uuid, agreed([each.wish for each in noted]), whose, min(each.until_ns for each in noted))
