"""The client of the warden's socket: one request in flight, every wait bounded, every error one of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from eagent import wire
from eagent.errors import ProtocolError, RefusedError, UnavailableError
from eagent.model import Budget, Device

TIMEOUT_S = 2.0
_CREDENTIALS = struct.Struct("3i")  # ucred: pid, uid, gid
DETACH_TIMEOUT_S = 12.0  # its knobs go back, and its handle is given up: each is waited for
BUDGET_TIMEOUT_S = 6.0  # a budget is answered when its limits have been read back: several writes, one after another


@dataclass(frozen=True, slots=True)
class Hello:
    """What the warden says of itself and of the host."""

    devices: tuple[Device, ...]
    boot_id: str
    simulated: bool
    ttl_max_s: float
    budget: Budget | None
    reserved_mw: int = 0  # of a budget's envelope, for GPUs that did not answer at its start
    role: str = "operator"  # what the warden takes us for: an "agent" that is none sets no budget


@dataclass(frozen=True, slots=True)
class ForeignWrite:
    """What somebody else did last to a knob that the warden held; values as in the knob's status, None: not known.

    `count` is how often somebody did. `fate` is what became of it: "stands" (the knob is left alone), "overruled",
    "moved back" or "taken back".
    """

    count: int
    at_ns: int | None
    value: int | str
    before: int | str | None
    fate: str


@dataclass(frozen=True, slots=True)
class KnobStatus:
    """One knob as the warden sees it. Limits are in milliwatts, None where they are not known."""

    uuid: str
    knob: str
    requested_mw: int | None
    enforced_mw: int | None
    ours_mw: int | None
    baseline_mw: int | None
    state: str
    writable: bool
    why: str
    error: str | None
    exposed_s: float = 0.0  # how long the limit in force was above what the warden held, in all, ...
    exposed_j: float = 0.0  # ... and by how much, at most
    is_exposed: bool = False  # it is so now
    foreign: ForeignWrite | None = None


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """One device's clock ceiling as the warden sees it. Clocks are in MHz, None: no ceiling, or not known.

    What a package is held at is read back; of a GPU it is what the driver took.
    """

    uuid: str
    held_mhz: int | None
    ours_mhz: int | None
    baseline_mhz: int | None
    state: str
    writable: bool
    why: str
    error: str | None
    foreign: ForeignWrite | None = None


@dataclass(frozen=True, slots=True)
class PreferenceStatus:
    """One package's energy preference as the warden sees it. By the kernel's names; "mixed" where its CPUs differ."""

    uuid: str
    held: str | None
    ours: str | None
    baseline: str | None
    state: str
    writable: bool
    why: str
    error: str | None
    foreign: ForeignWrite | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the warden said last of one device; None: nothing."""

    limit: KnobStatus | None = None
    clock: ClockStatus | None = None
    preference: PreferenceStatus | None = None

    def unread(self) -> Told:
        """The same without what was read back: nobody reads it now, and what was read last says nothing of now."""
        limit, clock, preference = self.limit, self.clock, self.preference
        return Told(
            replace(limit, requested_mw=None, enforced_mw=None, error=limit.error or UNREAD) if limit else None,
            replace(clock, held_mhz=None, error=clock.error or UNREAD) if clock else None,
            replace(preference, held=None, error=preference.error or UNREAD) if preference else None,
        )


UNREAD = "not read back: the warden's writing half hangs"
UNTOLD = Told()


@dataclass(frozen=True, slots=True)
class WardenStatus:
    """What the warden holds now."""

    knobs: tuple[KnobStatus, ...]
    clocks: tuple[ClockStatus, ...]
    preferences: tuple[PreferenceStatus, ...]
    budget: Budget | None
    alarms: tuple[str, ...]
    kept: tuple[str, ...] = ()  # knobs that can't be put back, a line each
    reserved_mw: int = 0  # of a budget's envelope, for GPUs that did not answer at its start

    def told(self) -> dict[str, Told]:
        """The same per UUID."""
        limits = {each.uuid: each for each in self.knobs}
        clocks = {each.uuid: each for each in self.clocks}
        preferences = {each.uuid: each for each in self.preferences}
        uuids = {**limits, **clocks, **preferences}
        return {uuid: Told(limits.get(uuid), clocks.get(uuid), preferences.get(uuid)) for uuid in uuids}


class Warden:
    """A connection to the warden, made by `connect` and gone with the first failure: the caller connects again.

    Every request raises UnavailableError when the warden does not answer in time or is gone, RefusedError with its own
    line when it says no, ProtocolError when its answer can't be read.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        """A client, not connected, of the socket `path`; `timeout_s` bounds each request."""
        self._path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._greeted = False
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether the warden has greeted, and the last request was answered."""
        return self._greeted and self._socket is not None

    @property
    def pid(self) -> int | None:
        """The warden's process, as it is numbered here; None: not connected, or not to be seen from here."""
        if self._socket is None:
            return None
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(credentials)[0]  # of whoever listens; 0 in a pid namespace that does not show it
        return pid or None

    def close(self) -> None:
        """Drop the connection. Leases are not tied to it: the warden ends them by their time."""
        self._greeted = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def notice(self) -> None:
        """Drop the connection if the warden has hung up, or says what it was not asked."""
        if self._socket is None or self._turn.locked():
            return
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    async def connect(self) -> Hello:
        """Connect anew and greet."""
        self.close()
        await self._dial()
        try:
            hello = _hello(await self._ask("hello"))
            self._greeted = True
            return hello
        except BaseException:  # whom we don't understand we are not connected to
            self.close()
            raise

    async def _dial(self) -> None:
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as problem:  # no descriptor is left
            raise UnavailableError(f"no way to the warden at {self._path}: {problem.strerror}") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.get_running_loop().sock_connect(made, os.fspath(self._path))
        except OSError as problem:  # TimeoutError is one
            made.close()
            reason = problem.strerror or "no answer"
            raise UnavailableError(f"no warden at {self._path}: {reason}; is `eagent warden` running?") from None
        except BaseException:
            made.close()
            raise
        self._socket = made

    async def status(self) -> WardenStatus:
        """Knobs, budget and alarms as they are now."""
        return _status(await self._ask("status"))

    async def lease(
        self,
        limits_mw: Mapping[str, int],
        clocks_mhz: Mapping[str, int],
        preferences: Mapping[str, str],
        ttl_s: float,
    ) -> int:
        """Ask for limits, clock ceilings and preferences, all of them.

        Returns:
            The monotonic nanosecond until which they hold.
        """
        reply = await self._ask(
            "lease",
            limits_mw=dict(limits_mw),
            clocks_mhz=dict(clocks_mhz),
            preferences=dict(preferences),
            ttl_s=ttl_s,
        )
        with _readable("lease"):
            return int(reply["until_ns"])

    async def release(self) -> None:
        """End the lease now."""
        await self._ask("release")

    async def take_back(self, uuids: Collection[str] | None = None) -> None:
        """Govern knobs again that are left to somebody else: the power limits of these devices; None: all of all."""
        named: dict[str, Any] = {} if uuids is None else {"uuids": sorted(uuids)}
        await self._ask("yield_clear", **named)

    async def lock_again(self, uuids: Collection[str]) -> None:
        """Write the clock ceilings of these devices again, where one is leased."""
        await self._ask("lock_again", uuids=sorted(uuids))

    async def set_budget(self, budget: Budget) -> bool:
        """Put the host under a durable budget; returns whether the limits were read back under its envelope."""
        reply = await self._ask(
            "budget_set", timeout_s=max(self._timeout_s, BUDGET_TIMEOUT_S), **wire.pack_budget(budget)
        )
        with _readable("budget_set"):
            return bool(reply["in_force"])

    async def detach(self, uuid: str, by: str, why: str) -> wire.Message:
        """Take a GPU out, so that it can be reset: `why` it is told to be out, and `already`."""
        reply = await self._ask("detach", timeout_s=DETACH_TIMEOUT_S, uuid=uuid, by=by, why=why)
        with _readable("detach"):
            return {"why": str(reply["why"]), "already": bool(reply["already"])}

    async def attach(self, uuid: str) -> wire.Message:
        """Take it in again; `already`: it was not out."""
        reply = await self._ask("attach", timeout_s=DETACH_TIMEOUT_S, uuid=uuid)
        with _readable("attach"):
            return {"already": bool(reply["already"])}

    async def clear_budget(self) -> None:
        """End the budget."""
        await self._ask("budget_clear")

    async def _ask(self, op: str, *, timeout_s: float | None = None, **fields: Any) -> wire.Message:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        request = wire.encode({"op": op, **fields})
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    packet = await self._exchange(request)
                reply = wire.decode(packet)
            except OSError as problem:
                self.close()
                reason = problem.strerror or f"no answer in {timeout_s:g} s"
                raise UnavailableError(f"warden at {self._path}: {reason} ({op})") from None
            except BaseException:  # cancelled half-way, or not understood: a late reply must not meet the next request
                self.close()
                raise
        if reply.get("ok") is not True:
            raise RefusedError(str(reply.get("error") or f"the warden refused {op} and did not say why"))
        return reply

    async def _exchange(self, request: bytes) -> bytes:
        """Send a packet and receive its answer."""
        if self._socket is None:
            raise UnavailableError(f"no warden at {self._path}: not connected; trying again")
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, request)
        # One byte more than a message may have, so that one too long is seen and not cut.
        packet = await loop.sock_recv(self._socket, wire.MESSAGE_MAX_BYTES + 1)
        if not packet:
            raise ConnectionResetError(0, "closed the connection")
        return packet


class Backoff:
    """When to try again: soon at first, then less and less often."""

    def __init__(self, first_ns: int = 250_000_000, most_ns: int = 4_000_000_000) -> None:
        """Waits double from `first_ns` to `most_ns`."""
        self._first_ns = first_ns
        self._most_ns = most_ns
        self._wait_ns = first_ns
        self._next_ns: int | None = None

    def ready(self, now_ns: int) -> bool:
        """Whether a try is due."""
        return self._next_ns is None or now_ns >= self._next_ns

    def failed(self, now_ns: int) -> None:
        """A try failed."""
        self._next_ns = now_ns + self._wait_ns
        self._wait_ns = min(2 * self._wait_ns, self._most_ns)

    def succeeded(self) -> None:
        """A try went well: the next failure is a first one."""
        self._wait_ns = self._first_ns
        self._next_ns = None


@contextlib.contextmanager
def _readable(op: str) -> Iterator[None]:
    """Turn what a reply of the wrong shape makes Python raise into one error of ours."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ProtocolError(f"the warden's reply to {op} can't be read: {problem!r}") from None


def _hello(reply: wire.Message) -> Hello:
    with _readable("hello"):
        return Hello(
            devices=tuple(wire.unpack_device(device) for device in reply["devices"]),
            boot_id=str(reply["boot_id"]),
            simulated=bool(reply["simulated"]),
            ttl_max_s=float(reply["ttl_max_s"]),
            budget=_budget(reply["budget"]),
            reserved_mw=int(reply.get("reserved_mw", 0)),
            role=str(reply.get("role", "operator")),
        )


def _status(reply: wire.Message) -> WardenStatus:
    with _readable("status"):
        return WardenStatus(
            knobs=tuple(_row(KnobStatus, knob) for knob in reply["knobs"]),
            clocks=tuple(_row(ClockStatus, clock) for clock in reply["clocks"]),
            # Absent in what a warden of before there were any says.
            preferences=tuple(_row(PreferenceStatus, each) for each in reply.get("preferences", ())),
            budget=_budget(reply["budget"]),
            alarms=tuple(str(line) for line in reply["alarms"]),
            kept=tuple(str(line) for line in reply.get("kept", ())),
            reserved_mw=int(reply.get("reserved_mw", 0)),
        )


def _budget(packed: wire.Message | None) -> Budget | None:
    return None if packed is None else wire.unpack_budget(packed)


_Row = TypeVar("_Row", KnobStatus, ClockStatus, PreferenceStatus)


def _row(kind: type[_Row], packed: wire.Message) -> _Row:
    """One knob; fields of a newer warden that this one does not know are left out, as are an older one's gaps."""
    names = (made.name for made in fields(kind) if made.name in packed or made.default is MISSING)
    values = {name: packed[name] for name in names}
    if found := values.get("foreign"):
        values["foreign"] = ForeignWrite(**{made.name: found[made.name] for made in fields(ForeignWrite)})
    return kind(**values)
