"""What a client may send: the warden answers everything, and lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent import wire
from eagent.warden.server import dispatch

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


@pytest.fixture
def one_rig(rig: MakeRig) -> Any:
    """One warden for all examples of a test."""
    return rig(gpus=2)
