"""The client against a real socket that speaks eagent.wire."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent import wire
from eagent.agent.warden import Backoff, Warden
from eagent.errors import ProtocolError, RefusedError, UnavailableError
from eagent.model import Budget, Device

Answer = Callable[[wire.Message], bytes | None]

MS = 1_000_000


class FakeSocket:
    """A warden's socket whose answers a test chooses; None is silence, b"" hangs up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[wire.Message] = []
        self.answer: Answer = lambda _: wire.encode({"ok": True})
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        try:
            while packet := client.recv(wire.MESSAGE_MAX_BYTES):
                self.heard.append(wire.decode(packet))
                reply = self.answer(self.heard[-1])
                if reply == b"":
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if reply is not None:
                    client.send(reply)
        except OSError:
            return

    def hang_up(self) -> None:
        """On everybody, as who dies does."""
        for client in self._clients:
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for client in self._clients:
            client.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeSocket]:
    made = FakeSocket(tmp_path / "warden.sock")
    yield made
    made.close()


def hello(*devices: Device, **fields: Any) -> wire.Message:
    packed = [wire.pack_device(device) for device in devices]
    return {"devices": packed, "boot_id": "b", "simulated": True, "ttl_max_s": 60.0, "budget": None, **fields}


def replying(**replies: wire.Message) -> Answer:
    """Answers by operation."""
    return lambda request: wire.encode({"ok": True, **replies.get(request["op"], {})})


def talk(server: FakeSocket, say: Callable[[Warden], Awaitable[Any]], timeout_s: float = 2.0) -> Any:
    """Connect, then do what `say` does."""

    async def whole() -> Any:
        warden = Warden(server.path, timeout_s)
        try:
            await warden.connect()
            return await say(warden)
        finally:
            warden.close()

    return asyncio.run(whole())


def test_a_greeting_tells_of_host_and_devices(server: FakeSocket, new_device: Any) -> None:
    device = new_device(0, writable=False, why="no privilege")
    budget = Budget(2480.0, 400.0, {device.uuid: 150.0})
    server.answer = replying(hello=hello(device, budget=wire.pack_budget(budget)))

    async def greet() -> None:
        warden = Warden(server.path)
        assert not warden.connected
        told = await warden.connect()
        assert warden.connected
        assert (told.devices, told.boot_id, told.simulated, told.ttl_max_s) == ((device,), "b", True, 60.0)
        assert told.budget == budget
        warden.close()
        assert not warden.connected

    asyncio.run(greet())
    assert server.heard == [{"v": wire.VERSION, "op": "hello"}]


def test_the_wardens_process_is_whoever_listens_while_there_is_a_connection(server: FakeSocket) -> None:
    async def dial() -> tuple[int | None, int | None, int | None]:
        warden = Warden(server.path)
        before = warden.pid
        await warden._dial()
        during = warden.pid
        warden.close()
        return before, during, warden.pid

    assert asyncio.run(dial()) == (None, os.getpid(), None)


def test_a_greeting_tells_of_packages_beside_gpus(server: FakeSocket, new_device: Any, new_package: Any) -> None:
    devices = (new_device(0), new_package(0), new_package(1, preferences=()))
    server.answer = replying(hello=hello(*devices))

    async def greet() -> None:
        warden = Warden(server.path)
        assert (await warden.connect()).devices == devices
        warden.close()

    asyncio.run(greet())


def test_a_status_tells_of_knobs_budget_and_alarms(server: FakeSocket) -> None:
    knob = {
        "uuid": "GPU-aa",
        "knob": "power_limit",
        "requested_mw": 300_000,
        "enforced_mw": None,
        "ours_mw": 300_000,
        "baseline_mw": 400_000,
        "state": "leased",
        "writable": True,
        "why": "",
        "error": None,
        "of a newer one": 1,
    }
    server.answer = replying(
        hello=hello(), status={"knobs": [knob], "clocks": [], "budget": None, "lease": None, "alarms": ["gpu0: hot"]}
    )
    status = talk(server, lambda warden: warden.status())
    (told,) = status.knobs
    assert (told.uuid, told.requested_mw, told.enforced_mw, told.state) == ("GPU-aa", 300_000, None, "leased")
    assert (status.budget, status.alarms) == (None, ("gpu0: hot",))


def test_a_status_tells_of_clocks_and_preferences_of_packages_and_who_holds_them(server: FakeSocket) -> None:
    shared = {"uuid": "CPU-0", "state": "leased", "writable": True, "why": "", "error": None}
    clock = {**shared, "knob": "cpu_clock", "held_mhz": 1800, "ours_mhz": 1800, "baseline_mhz": 3400}
    preference = {**shared, "knob": "cpu_preference", "held": "mixed", "ours": "balance_power", "baseline": "power"}
    said = {"knobs": [], "clocks": [clock], "preferences": [preference], "budget": None, "alarms": []}
    server.answer = replying(hello=hello(), status=said)
    status = talk(server, lambda warden: warden.status())
    told = status.told()["CPU-0"]
    assert (told.limit, told.clock.held_mhz, told.clock.baseline_mhz) == (None, 1800, 3400)
    assert (told.preference.held, told.preference.ours, told.preference.baseline) == ("mixed", "balance_power", "power")


def test_a_warden_that_knows_of_no_preferences_is_understood(server: FakeSocket) -> None:
    server.answer = replying(hello=hello(), status={"knobs": [], "clocks": [], "budget": None, "alarms": []})
    assert talk(server, lambda warden: warden.status()).preferences == ()


def test_a_warden_that_knows_of_no_packages_is_understood(server: FakeSocket, new_device: Any) -> None:
    older = hello(new_device(0))
    for device in older["devices"]:
        for field in ("kind", "preference", "preferences", "cpus"):
            del device[field]
    server.answer = replying(hello=older)
    met = talk(server, lambda warden: warden.connect())
    assert met.devices == (new_device(0),)


def test_each_request_carries_its_fields(server: FakeSocket) -> None:
    server.answer = replying(hello=hello(), lease={"until_ns": 77}, budget_set={"in_force": True})

    async def say(warden: Warden) -> None:
        assert await warden.lease({"GPU-aa": 250_000}, {"GPU-aa": 705}, {"CPU-0": "power"}, 3.0) == 77
        assert await warden.set_budget(Budget(2480, 400, {"GPU-aa": 150.5})) is True
        await warden.clear_budget()
        await warden.release()

    talk(server, say)
    assert [{key: value for key, value in heard.items() if key != "v"} for heard in server.heard[1:]] == [
        {
            "op": "lease",
            "limits_mw": {"GPU-aa": 250_000},
            "clocks_mhz": {"GPU-aa": 705},
            "preferences": {"CPU-0": "power"},
            "ttl_s": 3.0,
        },
        {"op": "budget_set", "budget_mw": 2_480_000, "fixed_mw": 400_000, "safe_caps_mw": {"GPU-aa": 150_500}},
        {"op": "budget_clear"},
        {"op": "release"},
    ]


def test_a_refusal_is_told_in_the_wardens_words_and_keeps_the_connection(server: FakeSocket) -> None:
    def answer(request: wire.Message) -> bytes:
        if request["op"] == "lease":
            return wire.encode({"ok": False, "error": "limits of 900 W in sum are above the envelope of 800 W"})
        return wire.encode({"ok": True, **hello()})

    server.answer = answer

    async def say(warden: Warden) -> None:
        with pytest.raises(RefusedError, match=r"^limits of 900 W in sum are above the envelope of 800 W$"):
            await warden.lease({}, {}, {}, 3.0)
        assert warden.connected

    talk(server, say)


def test_no_warden_is_told_with_the_path_and_what_to_do(tmp_path: Path) -> None:
    warden = Warden(tmp_path / "warden.sock")
    with pytest.raises(UnavailableError, match=r"no warden at .*warden\.sock: No such file.*`eagent warden`"):
        asyncio.run(warden.connect())
    with pytest.raises(UnavailableError, match="not connected"):
        asyncio.run(warden.status())


def test_without_a_descriptor_there_is_no_warden(server: FakeSocket) -> None:
    async def work() -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            with pytest.raises(UnavailableError, match="Too many open files"):
                await Warden(server.path).connect()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    asyncio.run(work())


def test_silence_ends_at_the_time_out_and_drops_the_connection(server: FakeSocket) -> None:
    server.answer = lambda request: wire.encode({"ok": True, **hello()}) if request["op"] == "hello" else None

    async def say(warden: Warden) -> None:
        with pytest.raises(UnavailableError, match=r"no answer in 0\.05 s \(status\)"):
            await warden.status()
        assert not warden.connected, "a late reply would be taken for that to the next request"

    talk(server, say, timeout_s=0.05)


def test_a_warden_that_dies_is_noticed_and_met_again(server: FakeSocket) -> None:
    server.answer = lambda request: wire.encode({"ok": True, **hello()}) if request["op"] == "hello" else b""

    async def say(warden: Warden) -> None:
        with pytest.raises(UnavailableError, match="release"):
            await warden.release()
        assert not warden.connected
        await warden.connect()
        assert warden.connected

    talk(server, say)


def test_who_hangs_up_between_two_requests_is_noticed_without_one(server: FakeSocket) -> None:
    server.answer = lambda _: wire.encode({"ok": True, **hello()})

    async def say(warden: Warden) -> None:
        warden.notice()
        await warden.connect()
        warden.notice()
        assert warden.connected, "who says nothing is there"
        server.hang_up()
        warden.notice()
        assert not warden.connected

    talk(server, say)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"\xc1", "not a msgpack message"),
        (wire.encode({"ok": True, "v": 2}), "version 2"),
        (wire.encode({"ok": True}), "reply to hello"),
        (wire.encode({"ok": True, **hello(), "devices": [{"uuid": "GPU-aa"}]}), "reply to hello"),
        (wire.encode({"ok": True, **hello(), "ttl_max_s": "long"}), "reply to hello"),
        (wire.encode({"ok": True, **hello(), "budget": {"budget_mw": 1.5}}), "budget"),
    ],
)
def test_whom_it_does_not_understand_it_is_not_connected_to(server: FakeSocket, reply: bytes, complaint: str) -> None:
    server.answer = lambda _: reply

    async def greet() -> None:
        warden = Warden(server.path)
        with pytest.raises(ProtocolError, match=complaint):
            await warden.connect()
        assert not warden.connected

    asyncio.run(greet())


def test_requests_made_at_once_go_one_after_the_other(server: FakeSocket) -> None:
    def answer(request: wire.Message) -> bytes:
        extra = {"until_ns": request["limits_mw"]["GPU-aa"]} if request["op"] == "lease" else hello()
        return wire.encode({"ok": True, **extra})

    server.answer = answer

    async def say(warden: Warden) -> list[int]:
        return await asyncio.gather(*(warden.lease({"GPU-aa": limit}, {}, {}, 3.0) for limit in range(20)))

    assert talk(server, say) == list(range(20))


def test_a_request_that_is_cancelled_takes_its_connection_along(server: FakeSocket) -> None:
    server.answer = lambda request: wire.encode({"ok": True, **hello()}) if request["op"] == "hello" else None

    async def say(warden: Warden) -> None:
        asked = asyncio.ensure_future(warden.status())
        while len(server.heard) < 2:
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert not warden.connected

    talk(server, say)


def test_tries_grow_rare_and_start_anew_after_a_success() -> None:
    backoff = Backoff(250 * MS, 1000 * MS)
    assert backoff.ready(0)
    waits, now_ns = [], 0
    for _ in range(4):
        backoff.failed(now_ns)
        wait_ns = next(wait * 250 * MS for wait in range(1, 9) if backoff.ready(now_ns + wait * 250 * MS))
        assert not backoff.ready(now_ns + wait_ns - 1)
        waits.append(wait_ns // MS)
        now_ns += wait_ns
    assert waits == [250, 500, 1000, 1000]
    backoff.succeeded()
    assert backoff.ready(now_ns)
    backoff.failed(now_ns)
    assert backoff.ready(now_ns + 250 * MS)
