"""What a client may send: the warden answers everything, and lives."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent import wire
from eagent.access import Rights, Role
from eagent.audit import Audit
from eagent.config import Config
from eagent.peer import Peer
from eagent.warden.callers import Caller, Callers
from eagent.warden.server import Server, dispatch

MakeRig = Callable[..., Any]
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats() | st.booleans() | st.none() | st.text(max_size=5)
MAPS = st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["ttl_s", "limits_mw", "clocks_mhz", "budget_mw", "fixed_mw", "safe_caps_mw"]), NUMBERS | MAPS
    ),
    st.sampled_from(["hello", "status", "lease", "release", "budget_set", "budget_clear", "", 7]),
)
def test_any_request_is_answered_and_writes_nothing_it_may_not(
    one_rig: Any, fields: dict[str, Any], op: object
) -> None:
    reply = dispatch(one_rig.warden, wire.encode({"op": op, **fields}), one_rig.now_ns)
    assert reply["ok"] is True or isinstance(reply["error"], str)
    assert "failed on this request" not in str(reply.get("error"))
    one_rig.step()
    assert all(100 <= limit_w <= 400 for limit_w in one_rig.limits_w())


@given(st.binary(max_size=200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered(one_rig: Any, packet: bytes) -> None:
    assert dispatch(one_rig.warden, packet, one_rig.now_ns)["ok"] is False


def test_a_long_mistake_does_not_come_back_at_length(one_rig: Any) -> None:
    packet = msgpack.packb({"v": "x" * 60_000, "op": "hello"})
    assert len(dispatch(one_rig.warden, packet, one_rig.now_ns)["error"]) <= 2000


def test_what_is_in_an_error_is_one_line_whatever_was_sent(one_rig: Any) -> None:
    request = {"op": "budget_set", "budget_mw": 2_000_000, "fixed_mw": 0, "safe_caps_mw": {"\n\x1b[2J": 1}}
    reply = dispatch(one_rig.warden, wire.encode(request), one_rig.now_ns)
    assert "devices that are not here" in reply["error"]
    assert reply["error"].isprintable()


def test_a_truth_is_no_time(one_rig: Any) -> None:
    request = {"op": "lease", "limits_mw": {}, "ttl_s": True}
    assert dispatch(one_rig.warden, wire.encode(request), one_rig.now_ns)["ok"] is False


@pytest.mark.parametrize("role", [Role.AGENT, Role.OPERATOR])
@pytest.mark.parametrize("field", ["op", "why", "limits_mw", "x"])
@pytest.mark.parametrize("depth", [20, 500, 1000, 1020, 5000])
def test_what_is_nested_deep_is_refused_and_entered_in_the_log(
    one_rig: Any, tmp_path: Path, depth: int, field: str, role: Role
) -> None:
    audit = Audit(tmp_path / "audit")
    callers = Callers(Rights(frozenset({0})), Config(), audit)
    request = msgpack.packb({"v": 1, "op": "budget_clear"} if field != "op" else {"v": 1, "a": "b"})
    packet = bytes([request[0] + 1]) + request[1:] + msgpack.packb(field) + b"\x91" * depth + b"\x01"
    reply = dispatch(one_rig.warden, packet, one_rig.now_ns, Caller(Peer(1, 990), role), callers)
    audit.close()
    assert not reply["ok"]
    assert "failed on this request" not in reply["error"]


def test_what_fails_for_one_client_costs_it_its_connection_and_nobody_else_anything(one_rig: Any) -> None:
    class Failing(Callers):
        def note(self, caller: Caller, request: wire.Message, *rest: Any) -> None:
            if request.get("op") == "release":
                raise RecursionError
            super().note(caller, request, *rest)

    said: list[Any] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    with tempfile.TemporaryDirectory() as directory:  # a socket's path is short
        path = Path(directory) / "sock"
        server = Server(one_rig.warden, path, Failing(Rights(frozenset({os.geteuid()})), Config()))

        def ask() -> None:
            try:
                for op in ("release", "hello"):
                    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                        client.settimeout(20)
                        client.connect(str(path))
                        client.send(wire.encode({"op": op}))
                        said.append(client.recv(wire.MESSAGE_MAX_BYTES))
            finally:
                server.stop()
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                    client.connect(str(path))  # wakes it

        asking = threading.Thread(target=ask)
        asking.start()
        server.serve()
        asking.join()
        server.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert said[0] == b""
    assert wire.decode(said[1])["ok"]


@pytest.fixture
def one_rig(rig: MakeRig) -> Any:
    """One warden for all examples of a test."""
    return rig(gpus=2)
