"""Messages and stored states as bytes: versioned msgpack arrays, every size bounded, everything checked on its way in.

A message is [version, kind, fields...]; fields are append-only, and the numbers of kinds are never used again. What
comes in is checked for types, ranges and lengths before a core sees it; that it is true is not checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgpack

from eagent.errors import ConfigError, ProtocolError
from eagent.mesh import table as tables
from eagent.mesh.epoch import Claim, Off, Stage, Standing
from eagent.mesh.form import MOST_MW, NAME_MAX, is_name
from eagent.mesh.gossip import DIGEST_MAX, DOCUMENTS_MAX, RECORDS_MAX
from eagent.mesh.ledger import Ledger, Party
from eagent.mesh.messages import Ask, Delta, Digest, Document, Gift, Message, Receipt
from eagent.mesh.records import Demand, Payload, Power, Record
from eagent.mesh.state import State

VERSION = 1
MESSAGE_MAX_BYTES = 524_288
STATE_MAX_BYTES = 1_048_576
DOCUMENT_MAX_BYTES = 196_608  # a table of 1024 members in JSON, with its signature
DEVICES_MAX = 4096  # of a host
DOMAINS_MAX = 4  # that a host can be in: rack, row, site
ROLLS_MAX = 2
DIGEST_LENGTH = 16
AGE_MAX_MS = 2**40
STALE_MAX_S = 86_400
WATTS_MAX = MOST_MW / 1000
COUNTER_MAX = 2**62
PARTIES_MAX = 4 * tables.MEMBERS_MAX  # lives that one host traded with in one epoch

_STAGES, _POWERS = tuple(Stage), tuple(Power)  # each has the numbers from 0
T = TypeVar("T")


# --- Messages ---


def encode(message: Message) -> bytes:
    """Pack one message.

    Raises:
        ProtocolError: it would be too long.
    """
    kind, fields = _message(message)
    packed: bytes = msgpack.packb([VERSION, kind, *fields])
    if len(packed) > MESSAGE_MAX_BYTES:
        raise ProtocolError(f"message of {len(packed)} bytes; the most is {MESSAGE_MAX_BYTES}")
    return packed


def decode(packet: bytes) -> Message:
    """Unpack one message and check it.

    Raises:
        ProtocolError: it is not a message of this version, or something in it is of a wrong type, range or length.
    """
    kind, fields = _unpack(packet, MESSAGE_MAX_BYTES)
    reader = _READERS.get(kind)
    if reader is None:
        raise ProtocolError(f"message of an unknown kind, {kind}")
    return reader(fields)


def _message(message: Message) -> tuple[int, Sequence[Any]]:
    match message:
        case Gift(domain, epoch, life, to_life, total_mw, total_duty):
            return 1, (domain, epoch, life, to_life, total_mw, total_duty)
        case Receipt(domain, epoch, life, from_life, total_mw, total_duty):
            return 2, (domain, epoch, life, from_life, total_mw, total_duty)
        case Ask(domain, epoch, life, want_mw):
            return 3, (domain, epoch, life, want_mw)
        case Digest(versions, documents, low, high):
            return 4, (versions, documents, low, high)
        case Delta(records, documents, want, want_documents):
            packed = [[_pack_record(record), age_ms] for record, age_ms in records]
            return 5, (packed, [[each.name, each.number, each.content] for each in documents], want, want_documents)


def _gift(fields: Sequence[Any]) -> Gift:
    domain, epoch, life, to_life, mw, duty = _several(fields, 6)
    return Gift(_name(domain), _epoch(epoch), _life(life), _life(to_life), _mw(mw), _duty(duty))


def _receipt(fields: Sequence[Any]) -> Receipt:
    domain, epoch, life, from_life, mw, duty = _several(fields, 6)
    return Receipt(_name(domain), _epoch(epoch), _life(life), _life(from_life), _mw(mw), _duty(duty))


def _ask(fields: Sequence[Any]) -> Ask:
    domain, epoch, life, want_mw = _several(fields, 4)
    return Ask(_name(domain), _epoch(epoch), _life(life), _mw(want_mw))


def _digest(fields: Sequence[Any]) -> Digest:
    versions, documents, low, high = _several(fields, 4)
    return Digest(
        _counters(versions, DIGEST_MAX),
        _counters(documents, DOCUMENTS_MAX),
        "" if low == "" else _name(low),
        None if high is None else _name(high),
    )


def _delta(fields: Sequence[Any]) -> Delta:
    records, documents, want, want_documents = _several(fields, 4)
    return Delta(
        tuple(_list(records, RECORDS_MAX, _aged)),
        tuple(_list(documents, DOCUMENTS_MAX, _document)),
        tuple(_list(want, RECORDS_MAX, _name)),
        tuple(_list(want_documents, DOCUMENTS_MAX, _name)),
    )


_READERS: dict[int, Callable[[Sequence[Any]], Message]] = {1: _gift, 2: _receipt, 3: _ask, 4: _digest, 5: _delta}


# --- The power role's certificate, as the content of a document ---


def encode_off(certificate: Off) -> bytes:
    """Pack a certificate."""
    packed: bytes = msgpack.packb(
        [VERSION, 6, certificate.domain, certificate.epoch, certificate.hosts, certificate.roll]
    )
    return packed


def decode_off(packet: bytes) -> Off:
    """Unpack a certificate and check it.

    Raises:
        ProtocolError: it is none.
    """
    kind, fields = _unpack(packet, DOCUMENT_MAX_BYTES)
    if kind != 6:
        raise ProtocolError(f"not a certificate but a message of kind {kind}")
    domain, epoch, hosts, roll = _several(fields, 4)
    listed = tuple(_list(hosts, tables.MEMBERS_MAX, _name))
    return Off(_name(domain), _epoch(epoch), listed, _text(roll, DIGEST_LENGTH))


# --- What is stored ---


def encode_state(state: State) -> bytes:
    """Pack what `Store` asks to be stored."""
    content = [
        state.life,
        None if state.table is None else tables.as_document(state.table),
        int(state.stage),
        _pack_ledger(state.watts),
        _pack_ledger(state.duty),
        _pack_claims(state.claims),
    ]
    packed: bytes = msgpack.packb([VERSION, 7, *content])
    return packed


def decode_state(packet: bytes) -> State:
    """Unpack what was stored and check it.

    Raises:
        ProtocolError: it is damaged, or of another version: begin a new life.
    """
    kind, fields = _unpack(packet, STATE_MAX_BYTES)
    if kind != 7:
        raise ProtocolError(f"not a stored state but a message of kind {kind}")
    life, table, stage, watts, duty, claims = _several(fields, 6)
    try:
        loaded = None if table is None else tables.from_document(_map(table, 8), "stored table")
    except ConfigError as problem:
        raise ProtocolError(str(problem)) from None
    state = State(_life(life), loaded, _stage(stage), _ledger(watts), _ledger(duty), _claims(claims))
    if (state.table is None) != (state.stage is Stage.OUT) or state.watts.held <= 0 or state.duty.held < 0:
        raise ProtocolError("stored state contradicts itself")
    return state


# --- Records ---


def _pack_record(record: Record) -> list[Any]:
    payload = record.payload
    return [
        record.owner,
        record.version,
        payload.power_w,
        payload.limits_w,
        int(payload.power),
        payload.stale_after_s,
        [_pack_standing(each) for each in payload.standings],
        [[each.domain, each.offers_mw, each.wants_mw] for each in payload.demands],
        payload.devices,
        payload.busy,
        payload.asleep,
    ]


def _aged(value: object) -> tuple[Record, int]:
    record, age_ms = _several(value, 2)
    return _record(record), _whole(age_ms, 0, AGE_MAX_MS)


def _record(value: object) -> Record:
    owner, version, power_w, limits_w, power, stale_after_s, standings, demands, devices, busy, asleep = _several(
        value, 11
    )
    payload = Payload(
        _watts(power_w),
        _watts(limits_w),
        _power(power),
        _whole(stale_after_s, 1, STALE_MAX_S),
        tuple(_list(standings, DOMAINS_MAX, _standing)),
        tuple(_list(demands, DOMAINS_MAX, _demand)),
        _whole(devices, 0, DEVICES_MAX),
        _whole(busy, 0, DEVICES_MAX),
        tuple(_list(asleep, tables.MEMBERS_MAX, _name)),
    )
    return Record(_name(owner), _whole(version, 1, COUNTER_MAX), payload)


def _pack_standing(standing: Standing) -> list[Any]:
    return [
        standing.domain,
        standing.life,
        standing.epoch,
        int(standing.stage),
        standing.table,
        standing.rolls,
        _pack_claims(standing.told),
        standing.rights_mw,
        standing.duty,
    ]


def _standing(value: object) -> Standing:
    domain, life, epoch, stage, table, rolls, told, rights_mw, duty = _several(value, 9)
    return Standing(
        _name(domain),
        _life(life),
        _whole(epoch, 0, tables.EPOCH_MAX),
        _stage(stage),
        _text(table, DIGEST_LENGTH),
        tuple(_list(rolls, ROLLS_MAX, lambda each: _text(each, DIGEST_LENGTH))),
        _claims(told),
        _mw(rights_mw),
        _duty(duty),
    )


def _demand(value: object) -> Demand:
    domain, offers_mw, wants_mw = _several(value, 3)
    return Demand(_name(domain), _mw(offers_mw), _mw(wants_mw))


def _document(value: object) -> Document:
    name, number, content = _several(value, 3)
    if not isinstance(content, bytes) or len(content) > DOCUMENT_MAX_BYTES:
        raise ProtocolError(f"a document is at most {DOCUMENT_MAX_BYTES} bytes")
    return Document(_name(name), _whole(number, 1, COUNTER_MAX), content)


def _pack_claims(claims: Mapping[str, Claim]) -> dict[str, Any]:
    return {host: [claim.grant_mw, claim.sent_mw] for host, claim in claims.items()}


def _claims(value: object) -> dict[str, Claim]:
    claims = {}
    for host, claim in _map(value, tables.MEMBERS_MAX).items():
        grant_mw, sent_mw = _several(claim, 2)
        claims[_name(host)] = Claim(_mw(grant_mw), _mw(sent_mw))
    return claims


def _pack_ledger(ledger: Ledger) -> list[Any]:
    return [ledger.base, *([[*party, total] for party, total in side.items()] for side in (ledger.sent, ledger.taken))]


def _ledger(value: object) -> Ledger:
    base, sent, taken = _several(value, 3)
    return Ledger(_mw(base), dict(_list(sent, PARTIES_MAX, _total)), dict(_list(taken, PARTIES_MAX, _total)))


def _total(value: object) -> tuple[Party, int]:
    host, life, total = _several(value, 3)
    return (_name(host), _life(life)), _mw(total)


# --- What everything is made of ---


def _unpack(packet: bytes, most_bytes: int) -> tuple[int, Sequence[Any]]:
    if len(packet) > most_bytes:
        raise ProtocolError(f"message of {len(packet)} bytes; the most is {most_bytes}")
    try:
        message = msgpack.unpackb(packet, strict_map_key=True)
    except Exception as problem:  # msgpack documents only Exception as the base of what it raises
        raise ProtocolError(f"not a msgpack message: {type(problem).__name__}") from None
    if not isinstance(message, list) or len(message) < 2:
        raise ProtocolError("a message is a list that begins with its version and kind")
    version, kind, *fields = message
    if version != VERSION or isinstance(version, bool):
        raise ProtocolError(f"this is version {VERSION}, and not {version!r}"[:200])
    return _whole(kind, 0, 255), fields


def _several(value: object, count: int) -> Sequence[Any]:
    """The first fields of a list; a later minor version may have appended others."""
    if not isinstance(value, list) or not count <= len(value) <= count + 16:
        raise ProtocolError(f"a list of {count} fields is missing")
    return value[:count]


def _list(value: object, most: int, read: Callable[[Any], T]) -> list[T]:
    if not isinstance(value, list) or len(value) > most:
        raise ProtocolError(f"must be a list of at most {most}")
    return [read(each) for each in value]


def _map(value: object, most: int) -> dict[Any, Any]:
    if not isinstance(value, dict) or len(value) > most:
        raise ProtocolError(f"must be a map of at most {most}")
    return value


def _counters(value: object, most: int) -> dict[str, int]:
    counters = _map(value, most)
    if not counters:
        return counters
    numbers = counters.values()
    are_numbers = set(map(type, numbers)) == {int} and min(numbers) > 0 and max(numbers) <= COUNTER_MAX
    if are_numbers and set(map(type, counters)) == {str} and all(map(is_name, counters)):
        return counters
    raise ProtocolError("must be a map from names to whole numbers above 0")


def _whole(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"{value!r} is not a whole number from {low} to {high}"[:200])
    return value


def _watts(value: object) -> float | None:
    if value is None:
        return None
    if type(value) is not float or not math.isfinite(value) or not 0 <= value <= WATTS_MAX:
        raise ProtocolError(f"{value!r} is not a number of watts"[:200])
    return value


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not (value == "" or value.isalnum()) or not value.isascii():
        raise ProtocolError(f"{value!r} is not a text of up to {most} letters and digits"[:200])
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise ProtocolError(f"{value!r} is not a name of up to {NAME_MAX} characters"[:200])
    return value


def _life(value: object) -> str:
    life = _text(value, tables.LIFE_MAX)
    if not life:
        raise ProtocolError("a life has a name")
    return life


def _epoch(value: object) -> int:
    return _whole(value, 1, tables.EPOCH_MAX)


def _stage(value: object) -> Stage:
    return _STAGES[_whole(value, 0, len(_STAGES) - 1)]


def _power(value: object) -> Power:
    return _POWERS[_whole(value, 0, len(_POWERS) - 1)]


def _mw(value: object) -> int:
    return _whole(value, 0, MOST_MW)


def _duty(value: object) -> int:
    return _whole(value, 0, tables.DUTY_MAX * tables.MEMBERS_MAX)
