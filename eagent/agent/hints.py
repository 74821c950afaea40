"""What job owners ask for: less power on devices that their own processes hold, or more time for less energy there.

A device with processes of several users is lowered when all of them ask, and no further than each of them does: with
less than that, one could slow the work of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eagent.agent.names import find_device
from eagent.errors import InputError, RefusedError
from eagent.model import Device, DeviceKind
from eagent.policy.goals import Hint

SECOND_NS = 1_000_000_000
TIME_MAX_S = 7 * 86_400.0
GONE_NS = 5 * SECOND_NS  # a process that is seen no more for so long has ended

Json = dict[str, Any]


class Holding(Protocol):
    """What is needed of `Holders`."""

    def users(self, uuid: str, now_ns: int) -> frozenset[int] | None: ...


@dataclass(slots=True)
class _Wish:
    """Of one user for one device."""

    limit_w: float | None
    clock_mhz: float | None
    slowdown: float | None
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
        self._wishes: dict[tuple[str, int], _Wish] = {}

    def set(
        self,
        pid: int,
        uid: int,
        device: str,
        limit_w: float | None,
        clock_mhz: float | None,
        for_s: float,
        slowdown: float | None = None,
    ) -> Json:
        """Note what a user wants of a device, in the place of what it wanted before.

        Args:
            pid: Of the caller.
            uid: Of the caller, by the kernel.
            device: Its name.
            limit_w: The most watts that its power limit is to be, if any.
            clock_mhz: The most that its clock is to be, if any.
            for_s: For so long, if the job does not end before.
            slowdown: How much longer its job may take, as a share, if that is to be asked.

        Raises:
            NotFoundError: no such device.
            InputError: nothing is asked.
            RefusedError: the user does not hold it, as far as can be told, or it is no GPU.
        """
        found, now_ns = self._find(device), self._clock()
        if limit_w is None and clock_mhz is None and slowdown is None:
            raise InputError("a hint names limit_w, clock_mhz, slowdown, or several of them")
        if not (math.isfinite(for_s) and 0 < for_s <= TIME_MAX_S):
            raise InputError(f"for_s: must be above 0 and at most {TIME_MAX_S:g} seconds")
        self._check_holds(found, pid, uid, now_ns)
        if limit_w is not None:
            limit_w = max(limit_w, found.min_limit_w)
        self._wishes[found.uuid, uid] = _Wish(limit_w, clock_mhz, slowdown, now_ns + int(for_s * SECOND_NS), now_ns)
        self._told()
        others = len((self._holding.users(found.uuid, now_ns) or frozenset()) - self._asking(found.uuid))
        return {
            "device": found.label,
            "uuid": found.uuid,
            "limit_w": limit_w,
            "clock_mhz": clock_mhz,
            "slowdown": slowdown,
            "for_s": for_s,
            "acts": self._acts,
            "waits_for": others,  # users who hold it, too, and have not asked
        }

    def clear(self, uid: int, device: str) -> None:
        """Drop what a user wants of a device, if it wants anything.

        Raises:
            NotFoundError: no such device.
        """
        if self._wishes.pop((self._find(device).uuid, uid), None) is not None:
            self._told()

    def standing(self, now_ns: int) -> tuple[Hint, ...]:
        """What all users who hold a device agree to; wishes that have run out, or whose job has ended, are dropped."""
        agreed = []
        for uuid in {uuid for uuid, _ in self._wishes}:
            users = self._holding.users(uuid, now_ns)
            self._drop_ended(uuid, users, now_ns)
            if not users:  # nobody holds it, or who does is not known: then nobody has agreed
                continue
            wishes = [self._wishes.get((uuid, uid)) for uid in users]
            whole = [wish for wish in wishes if wish is not None]
            if len(whole) == len(wishes):
                agreed.append(_agreed(uuid, whole))
        return tuple(sorted(agreed, key=lambda hint: hint.uuid))

    def told(self) -> Json:
        """What each user wants, for the log."""
        return {
            f"hint of user {uid} on {uuid}": {
                "limit_w": wish.limit_w,
                "clock_mhz": wish.clock_mhz,
                "slowdown": wish.slowdown,
            }
            for (uuid, uid), wish in self._wishes.items()
        }

    def _drop_ended(self, uuid: str, users: frozenset[int] | None, now_ns: int) -> None:
        for (of, uid), wish in list(self._wishes.items()):
            if of != uuid:
                continue
            if users is not None and uid in users:
                wish.held_ns = now_ns
            if now_ns >= wish.until_ns or now_ns - wish.held_ns > GONE_NS:
                del self._wishes[of, uid]

    def _asking(self, uuid: str) -> frozenset[int]:
        return frozenset(uid for of, uid in self._wishes if of == uuid)

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


def _agreed(uuid: str, wishes: Sequence[_Wish]) -> Hint:
    """The lowest bounds that are below nobody's, and what nobody's work would take longer than."""
    limits_w, clocks_mhz = [wish.limit_w for wish in wishes], [wish.clock_mhz for wish in wishes]
    slowdowns = [wish.slowdown for wish in wishes]
    whose = "its job asks for no more" if len(wishes) == 1 else f"the jobs of all {len(wishes)} users ask for no more"
    return Hint(
        uuid,
        None if None in limits_w else max(each for each in limits_w if each is not None),
        None if None in clocks_mhz else max(each for each in clocks_mhz if each is not None),
        whose,
        min(wish.until_ns for wish in wishes),
        None if None in slowdowns else min(each for each in slowdowns if each is not None),
    )
