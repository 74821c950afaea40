"""The command socket: packets in, the warden's answers out. One thread, no policy, bounded in every size."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from eagent import handover
from eagent.access import Rights, owners
from eagent.config import Config
from eagent.errors import EagentError, ProtocolError
from eagent.peer import let_in, peer_of
from eagent.process import check_socket_path
from eagent.warden.callers import OWNER, Caller, Callers
from eagent.warden.waiting import Waiting
from eagent.warden.warden import Warden
from eagent.wire import MESSAGE_MAX_BYTES, Message, decode, encode, pack_budget, unpack_budget

log = logging.getLogger("eagent.warden")

CLIENTS_MAX = 16
ERROR_MAX = 2000  # characters of what a client sent must not come back without end
TICK_S = 0.2
SOCKET_MODE = 0o660  # root and eagent's group; who connects is checked again by SO_PEERCRED


def dispatch(
    warden: Warden | Waiting, packet: bytes, now_ns: int, caller: Caller = OWNER, callers: Callers | None = None
) -> Message:
    """The answer to one packet, entered in the log of `callers`. Never raises for what a client sent."""
    before = _told(warden)
    request, reply = _dispatch(warden, packet, now_ns, caller)
    if callers is not None:
        callers.note(caller, request, reply, before, _told(warden))
        if request.get("op") == "status" and "alarms" in reply:
            reply["alarms"] = [*reply["alarms"], *callers.alarms()]
    return reply


def _dispatch(warden: Warden | Waiting, packet: bytes, now_ns: int, caller: Caller) -> tuple[Message, Message]:
    """The request, as far as it is one, and its answer."""
    request: Message = {}
    try:
        request = decode(packet)
        caller.check(request, now_ns)
        role = {"role": caller.role.name.lower()} if request.get("op") == "hello" else {}
        return request, {"ok": True, **role, **_answer(warden, request, now_ns)}
    except EagentError as problem:
        return request, {"ok": False, "error": str(problem)[:ERROR_MAX]}
    except Exception:  # whatever a client sent, the process that puts knobs back must live on
        log.exception("a request failed")
        return request, {"ok": False, "error": "the warden failed on this request; its log has more"}


def _answer(warden: Warden | Waiting, request: Message, now_ns: int) -> Message:
    match request:
        case {"op": "hello"}:
            return warden.hello()
        case {"op": "status"}:
            return warden.status(now_ns)
        case {"op": "lease", "limits_mw": dict(limits_mw), "ttl_s": int() | float() as ttl_s} if ttl_s is not True:
            clocks_mhz, preferences = request.get("clocks_mhz", {}), request.get("preferences", {})
            _check_whole("limits_mw", limits_mw, "milliwatts")
            _check_whole("clocks_mhz", clocks_mhz, "megahertz")
            _check_texts("preferences", preferences)
            return warden.lease(limits_mw, float(ttl_s), now_ns, clocks_mhz, preferences)
        case {"op": "release"}:
            return warden.release()
        case {"op": "yield_clear", "uuids": list(uuids)}:
            _check_texts("uuids", dict(enumerate(uuids)))
            return warden.yield_clear(uuids)
        case {"op": "yield_clear"} if "uuids" not in request:
            return warden.yield_clear()
        case {"op": "lock_again", "uuids": list(uuids)}:
            _check_texts("uuids", dict(enumerate(uuids)))
            return warden.lock_again(uuids)
        case {"op": "detach", "uuid": str(uuid), "by": str(by), "why": str(why)}:
            return warden.detach(uuid, by, why, now_ns, time.time())
        case {"op": "attach", "uuid": str(uuid)}:
            return warden.attach(uuid, now_ns)
        case {"op": "budget_set"}:
            return warden.budget_set(unpack_budget(request))
        case {"op": "budget_clear"}:
            return warden.budget_clear()
    raise ProtocolError(f"no such request, or not of its form: op {request.get('op')!r}")


def _check_whole(field: str, values: object, unit: str) -> None:
    if not isinstance(values, dict):
        raise ProtocolError(f"{field}: not a map of devices")
    for value in values.values():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ProtocolError(f"{field}: {value!r} is not a whole number of {unit}")


def _check_texts(field: str, values: object) -> None:
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ProtocolError(f"{field}: not a map of devices to names")


class Server:
    """The socket and its clients."""

    def __init__(
        self,
        warden: Warden | Waiting,
        path: Path,
        callers: Callers | None = None,
        may_renew: Callable[[int], bool] = lambda _: False,
        turned: Callable[[int], None] = lambda _: None,
        turn_s: float | None = None,
    ) -> None:
        """Listen at `path`, in the place of a socket that a dead warden left.

        The caller holds the warden's lock, so no living warden can own that socket. Without `callers` only root and our
        own user may ask.

        Args:
            warden: Who answers.
            path: The socket's.
            callers: Who may ask what.
            may_renew: Whether to return from `serve` on SIGHUP, so that a successor can take over.
            turned: Called after each turn, with the monotonic time.
            turn_s: The longest time between two turns; None: as long as nobody asks.

        Raises:
            OSError: the socket can't be made.
        """
        self._warden = warden
        self._path = path
        self._callers = callers or Callers(Rights(owners()), Config())
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self.told_to_end = False  # by a signal
        self.told_to_renew = False  # likewise; signals are held back for the successor then
        self._hung_up = False
        self._may_renew = may_renew
        self._turned = turned
        self._turn_s = turn_s
        check_socket_path(path)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        for group in self._callers.rights.agents:
            with contextlib.suppress(OSError):  # who is not root gives its files to its own groups only
                os.chown(path, -1, group)
        let_in(path, self._callers.rights.may_open())
        self._listener.listen(CLIENTS_MAX)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._clients: dict[socket.socket, Caller] = {}

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT, or a SIGHUP that is heeded."""
        waker, wakened = socket.socketpair()
        waker.setblocking(False)
        self._selector.register(wakened, selectors.EVENT_READ)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGHUP, lambda *_: self._hang_up())
        handover.heed_signals()
        try:
            while not self._stopping:
                # What is entered comes of a request: with nothing entered there is nothing to wake up for.
                for key, _ in self._selector.select(self._pause_s()):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is wakened:
                        wakened.recv(64)
                    elif isinstance(key.fileobj, socket.socket):
                        self._receive(key.fileobj)
                now_ns = time.monotonic_ns()
                self._warden.tick(now_ns)
                self._turned(now_ns)
                if self._hung_up:
                    self._renew(now_ns)
        finally:
            signal.set_wakeup_fd(-1)
            waker.close()
            wakened.close()

    def _pause_s(self) -> float | None:
        """The longest time till the next turn; None: as long as nobody asks."""
        if self._warden.entered:
            return TICK_S
        return min((each for each in (self._warden.wait_s, self._turn_s) if each is not None), default=None)

    def _end(self) -> None:
        self.told_to_end = True
        self.stop()

    def _hang_up(self) -> None:
        self._hung_up = True

    def _renew(self, now_ns: int) -> None:
        self._hung_up = False
        if self._may_renew(now_ns):
            handover.hold_signals()
            self.told_to_renew = True
            self.stop()

    def stop(self) -> None:
        """Make `serve` return."""
        self._stopping = True

    def close(self) -> None:
        """Hang up on everybody and take the socket away."""
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            peer = peer_of(client)
            others = sum(each.peer.uid == peer.uid for each in self._clients.values())
            caller = self._callers.meet(peer, others, time.monotonic_ns())
            if caller is None or len(self._clients) >= CLIENTS_MAX:
                client.close()
                return
            self._clients[client] = caller
            self._selector.register(client, selectors.EVENT_READ)

    def _receive(self, client: socket.socket) -> None:
        try:
            packet = client.recv(MESSAGE_MAX_BYTES + 1)
            if packet:
                reply = dispatch(self._warden, packet, time.monotonic_ns(), self._clients[client], self._callers)
                client.send(encode(reply))
            else:
                self._drop(client)
        except (OSError, ProtocolError):  # gone, or not reading what it asked for: a client is not waited for
            self._drop(client)
        except Exception:  # as in `_dispatch`: of what is done for a client nothing may end us
            log.exception("a request failed")
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._clients.pop(client, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client)
        client.close()


def _told(warden: Warden | Waiting) -> Message | None:
    """The budget, for the log."""
    budget = getattr(warden, "budget", None)
    return pack_budget(budget) if budget is not None else None
