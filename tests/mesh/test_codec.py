"""Messages between hosts as bytes: what is sent comes out as it went in, and nothing else gets in."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import ProtocolError
from eagent.mesh.codec import VERSION, decode, decode_state, encode, encode_state
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Ask, Delta, Digest, Document, Gift, Message, Receipt
from eagent.mesh.records import Demand, Payload, Power, Record
from eagent.mesh.state import State

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
lives = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
epochs, milliwatts = st.integers(1, 2**40), st.integers(0, 10**9)
standings = st.builds(
    Standing, domain=names, life=lives, rights_mw=milliwatts, duty=st.integers(0, 9), epoch=epochs,
    stage=st.sampled_from(Stage),
)  # fmt: skip
payloads = st.builds(
    Payload,
    power_w=st.none() | st.integers(0, 100_000).map(float),
    limits_w=st.none() | st.integers(0, 100_000).map(float),
    power=st.sampled_from(Power),
    standings=st.lists(standings, max_size=2).map(tuple),
    demands=st.lists(st.builds(Demand, domain=names, offers_mw=milliwatts), max_size=2).map(tuple),
)
records = st.tuples(st.builds(Record, names, epochs, payloads), st.integers(0, 10**6))
totals = {"domain": names, "epoch": epochs, "life": lives, "total_mw": milliwatts, "total_duty": st.integers(0, 9)}
messages = st.one_of(
    st.builds(Gift, to_life=lives, **totals),
    st.builds(Receipt, from_life=lives, **totals),
    st.builds(Ask, names, epochs, lives, milliwatts),
    st.builds(Digest, st.dictionaries(names, epochs, max_size=8)),
    st.builds(
        Delta,
        st.lists(records, max_size=3).map(tuple),
        st.lists(st.builds(Document, names, epochs, st.binary(max_size=64)), max_size=2).map(tuple),
        st.lists(names, max_size=3).map(tuple),
    ),
)


@given(messages)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_in_one_way(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(packet)


@settings(max_examples=300)
@given(messages, st.data())
def test_a_message_that_was_cut_or_changed_is_refused_or_a_message(message: Message, data: st.DataObject) -> None:
    packet = bytearray(encode(message))
    place = data.draw(st.integers(0, len(packet) - 1))
    packet[place] = data.draw(st.integers(0, 255))
    for bent in (bytes(packet), bytes(packet[:place])):
        try:
            decode(bent)
        except ProtocolError:
            continue


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.integers(0, 6), st.lists(json_like, max_size=8))
def test_fields_of_any_kind_are_refused_in_one_way(kind: int, fields: list[object]) -> None:
    try:
        decode(msgpack.packb([VERSION, kind, *fields]))
    except ProtocolError:
        return


def test_another_version_says_so() -> None:
    with pytest.raises(ProtocolError, match="version"):
        decode(msgpack.packb([VERSION + 1, 1]))


@given(lives, st.integers(1, 10**9), st.dictionaries(st.tuples(names, lives), milliwatts, max_size=4))
def test_a_stored_state_comes_back_as_it_was(life: str, base: int, taken: dict[tuple[str, str], int]) -> None:
    state = State(life, watts=Ledger(base, taken=taken))
    assert decode_state(encode_state(state)) == state
    with pytest.raises(ProtocolError):
        decode_state(encode_state(state)[:-1])


def test_a_stored_state_that_gave_more_than_it_had_is_not_believed() -> None:
    state = State("a1", watts=Ledger(5, sent={("n2", "b1"): 6}))
    with pytest.raises(ProtocolError, match="contradicts itself"):
        decode_state(encode_state(state))
