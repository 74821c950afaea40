import contextlib

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import ProtocolError
from eagent.mesh import codec
from eagent.mesh.codec import decode, decode_off, decode_state, encode, encode_off, encode_state
from eagent.mesh.epoch import Claim, Off, Stage, Standing
from eagent.mesh.form import MOST_MW
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Ask, Delta, Digest, Document, Gift, Message, Receipt
from eagent.mesh.records import Demand, Payload, Power, Record
from eagent.mesh.state import State
from eagent.mesh.table import Charged, Member, Table

NAMES = st.text("abc-_.09", min_size=1, max_size=8)
LIVES = st.text("abc019", min_size=1, max_size=8)
EPOCHS = st.integers(1, 2**53)
MW = st.integers(0, MOST_MW)
DUTY = st.integers(0, 1000)
COUNTERS = st.integers(1, 2**62)
DIGESTS = st.text("0123456789abcdef", max_size=16)
CLAIMS = st.dictionaries(NAMES, st.builds(Claim, MW, MW), max_size=3)
STANDINGS = st.builds(
    Standing,
    NAMES,
    LIVES,
    st.integers(0, 2**53),
    st.sampled_from(Stage),
    DIGESTS,
    st.lists(DIGESTS, max_size=2).map(tuple),
    CLAIMS,
    MW,
    DUTY,
)
WATTS = st.none() | st.floats(0, 1e9)
PAYLOADS = st.builds(
    Payload,
    WATTS,
    WATTS,
    st.sampled_from(Power),
    st.integers(1, 86_400),
    st.lists(STANDINGS, max_size=2).map(tuple),
    st.lists(st.builds(Demand, NAMES, MW, MW), max_size=2).map(tuple),
    st.integers(0, codec.DEVICES_MAX),
    st.integers(0, codec.DEVICES_MAX),
    st.lists(NAMES, max_size=3).map(tuple),
)
RECORDS = st.builds(Record, NAMES, COUNTERS, PAYLOADS)
DOCUMENTS = st.builds(Document, NAMES, COUNTERS, st.binary(max_size=40))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Gift, NAMES, EPOCHS, LIVES, LIVES, MW, DUTY),
    st.builds(Receipt, NAMES, EPOCHS, LIVES, LIVES, MW, DUTY),
    st.builds(Ask, NAMES, EPOCHS, LIVES, MW),
    st.builds(
        Digest,
        st.dictionaries(NAMES, COUNTERS, max_size=5),
        st.dictionaries(NAMES, COUNTERS, max_size=3),
        st.just("") | NAMES,
        st.none() | NAMES,
    ),
    st.builds(
        Delta,
        st.lists(st.tuples(RECORDS, st.integers(0, 2**40)), max_size=3).map(tuple),
        st.lists(DOCUMENTS, max_size=2).map(tuple),
        st.lists(NAMES, max_size=3).map(tuple),
        st.lists(NAMES, max_size=3).map(tuple),
    ),
)
LEDGERS = st.builds(
    Ledger,
    st.integers(10**6, MOST_MW),
    st.dictionaries(st.tuples(NAMES, LIVES), st.integers(0, 1000), max_size=3),
    st.dictionaries(st.tuples(NAMES, LIVES), st.integers(0, 1000), max_size=3),
)
TABLE = Table("d", 3, 99, 9, {"a": Member(1, 50, "a1", 1), "b": Member(2, 40, charged=Charged.TOLD)})
STATES = st.builds(State, LIVES, st.just(TABLE), st.sampled_from([Stage.SEALED, Stage.OPEN]), LEDGERS, LEDGERS, CLAIMS)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(STATES)
def test_a_stored_state_comes_back(state: State) -> None:
    assert decode_state(encode_state(state)) == state


def test_a_new_life_can_be_stored() -> None:
    state = State("x1", watts=Ledger(5))
    assert decode_state(encode_state(state)) == state


@given(st.builds(Off, NAMES, EPOCHS, st.lists(NAMES, max_size=3).map(tuple), DIGESTS))
def test_a_certificate_comes_back(certificate: Off) -> None:
    assert decode_off(encode_off(certificate)) == certificate


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_protocol_error(packet: bytes) -> None:
    for read in (decode, decode_state, decode_off):
        with contextlib.suppress(ProtocolError):
            read(packet)


@settings(max_examples=400)
@given(st.integers(0, 8), st.lists(VALUES, max_size=9))
def test_any_fields_are_a_message_or_a_protocol_error(kind: int, fields: list[object]) -> None:
    packet = msgpack.packb([codec.VERSION, kind, *fields])
    for read in (decode, decode_state, decode_off):
        with contextlib.suppress(ProtocolError):
            read(packet)


@settings(max_examples=400)
@given(MESSAGES, st.randoms(use_true_random=False), VALUES)
def test_a_message_with_anything_put_into_it_is_a_message_or_a_protocol_error(
    message: Message, chance: object, value: object
) -> None:
    tree = msgpack.unpackb(encode(message), strict_map_key=True)
    place = tree
    while True:  # walk down at random and replace what is there
        keys = list(range(len(place))) if isinstance(place, list) else list(place)
        if not keys:
            break
        key = chance.choice(keys)  # type: ignore[attr-defined]
        if not isinstance(place[key], list | dict) or chance.random() < 0.3:  # type: ignore[attr-defined]
            place[key] = value
            break
        place = place[key]
    with contextlib.suppress(ProtocolError):
        again = decode(msgpack.packb(tree))
        assert decode(encode(again)) == again


@given(MESSAGES, st.data())
def test_a_message_that_is_cut_off_is_refused(message: Message, data: st.DataObject) -> None:
    packet = encode(message)
    with pytest.raises(ProtocolError):
        decode(packet[: data.draw(st.integers(0, len(packet) - 1))])


def test_another_version_is_refused() -> None:
    for version in (0, 2, True, None):
        with pytest.raises(ProtocolError, match="this is version 1"):
            decode(msgpack.packb([version, 3, "d", 1, "x", 5]))


def test_fields_that_a_later_release_appends_are_passed_over() -> None:
    assert decode(msgpack.packb([1, 3, "d", 1, "x", 5, "new", [1]])) == Ask("d", 1, "x", 5)


@pytest.mark.parametrize(
    "fields",
    [
        ("d", 1, "x", -1),
        ("d", 1, "x", MOST_MW + 1),
        ("d", 1, "x", 1.0),
        ("d", 1, "x", True),
        ("d", 0, "x", 1),
        ("d", 1, "", 1),
        ("d", 1, "y" * 33, 1),
        ("d d", 1, "x", 1),
        ("d" * 65, 1, "x", 1),
        ("d", 1, "ä", 1),
        ("d", 1, "x"),
    ],
)
def test_a_field_out_of_range_is_refused(fields: tuple[object, ...]) -> None:
    with pytest.raises(ProtocolError):
        decode(msgpack.packb([1, 3, *fields]))


def test_too_many_of_anything_is_refused() -> None:
    many = {f"n{number}": 1 for number in range(codec.DIGEST_MAX + 1)}
    with pytest.raises(ProtocolError, match="at most"):
        decode(encode(Digest(many)))
    record = Record("a", 1, Payload())
    with pytest.raises(ProtocolError, match="at most"):
        decode(encode(Delta(((record, 0),) * (codec.RECORDS_MAX + 1))))


def test_a_message_that_is_too_long_is_refused_on_both_sides() -> None:
    long = Delta((), (Document("a", 1, bytes(codec.MESSAGE_MAX_BYTES)),))
    with pytest.raises(ProtocolError, match="the most is"):
        encode(long)
    with pytest.raises(ProtocolError, match="the most is"):
        decode(bytes(codec.MESSAGE_MAX_BYTES + 1))


def test_a_full_message_of_each_kind_fits() -> None:
    names = [f"{number:064}" for number in range(codec.DIGEST_MAX)]
    assert decode(encode(Digest(dict.fromkeys(names, 2**62)))) is not None
    standing = Standing("d" * 64, "x" * 32, 2**53, Stage.OPEN, "f" * 16, ("f" * 16,) * 2, {}, MOST_MW, 1000)
    payload = Payload(1e9, 1e9, Power.YIELDING, 86_400, (standing,) * codec.DOMAINS_MAX, (Demand("d" * 64, 1, 1),) * 4)
    records = tuple((Record(name, 2**62, payload), 2**40) for name in names[: codec.RECORDS_MAX])
    document = Document("t" * 64, 2**62, bytes(codec.DOCUMENT_MAX_BYTES))
    assert len(encode(Delta(records, (document,), tuple(names[:64])))) <= codec.MESSAGE_MAX_BYTES


def test_a_stored_state_that_contradicts_itself_is_refused() -> None:
    for state in (
        State("x1", None, Stage.OPEN, Ledger(5)),
        State("x1", TABLE, Stage.OUT, Ledger(5)),
        State("x1", TABLE, Stage.OPEN, Ledger(5).debit(("b", "b1"), 5)),
    ):
        with pytest.raises(ProtocolError, match="contradicts itself"):
            decode_state(encode_state(state))


def test_an_error_is_short_whatever_was_sent() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(msgpack.packb(["x" * 60_000, 1]))
    assert len(str(caught.value)) <= 200
