import contextlib
import re
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent import wire
from eagent.errors import ProtocolError
from eagent.model import Budget, Channel, Device, Knob, Status

RING_H = (Path(__file__).parent.parent / "native" / "ring.h").read_text()
MILLIWATTS = st.integers(0, 10_000_000)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key != "v"), VALUES, max_size=5))
def test_what_is_encoded_is_decoded(message: dict[str, object]) -> None:
    assert wire.decode(wire.encode(message)) == {"v": wire.VERSION, **message}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_protocol_error(packet: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert wire.decode(packet)["v"] == wire.VERSION


@given(VALUES)
def test_any_value_but_a_map_of_this_version_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        wire.decode(msgpack.packb(value))


def test_a_message_that_does_not_fit_is_refused_on_both_sides() -> None:
    with pytest.raises(ProtocolError, match="the most is 65536"):
        wire.encode({"x": "y" * wire.MESSAGE_MAX_BYTES})
    with pytest.raises(ProtocolError, match="the most is 65536"):
        wire.decode(b"x" * (wire.MESSAGE_MAX_BYTES + 1))


@given(MILLIWATTS, MILLIWATTS, st.dictionaries(st.text(max_size=8), MILLIWATTS, max_size=4))
def test_a_budget_survives_the_wire_to_the_milliwatt(budget_mw: int, fixed_mw: int, caps_mw: dict[str, int]) -> None:
    packed = {"budget_mw": budget_mw, "fixed_mw": fixed_mw, "safe_caps_mw": caps_mw}
    assert wire.pack_budget(wire.unpack_budget(packed)) == packed


@given(st.dictionaries(st.sampled_from(["budget_mw", "fixed_mw", "safe_caps_mw"]), VALUES))
def test_any_map_is_a_budget_or_a_protocol_error(message: dict[str, object]) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(wire.unpack_budget(message), Budget)


def test_a_device_survives_the_wire() -> None:
    device = Device("GPU-a", 3, "A100", "00000000:07:00.0", 100, 400, 400, 0.025, 0.1, Knob(False, "no permission"))
    assert wire.unpack_device(wire.decode(wire.encode({"d": wire.pack_device(device)}))["d"]) == device


@pytest.mark.parametrize("enum", [Channel, Status])
def test_the_numbers_of_the_ring_are_the_same_in_c_and_in_python(enum: type[Channel] | type[Status]) -> None:
    in_c = {name: int(number) for name, number in re.findall(r"RING_(\w+) = (\d+)", RING_H)}
    made_by_the_reader = {"MISSING", "STALE"}
    assert {
        member.name: member.value for member in enum if member.name not in made_by_the_reader
    }.items() <= in_c.items()
    assert set(in_c) == {member.name for each in (Channel, Status) for member in each} - made_by_the_reader
