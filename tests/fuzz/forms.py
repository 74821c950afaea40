"""Files and messages at those who read them: configuration, journal, budget, mesh, ring, and what ipmitool prints."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from eagent import config, wire
from eagent.engines.power import ipmi
from eagent.errors import ConfigError, EagentError, ProtocolError
from eagent.mesh import codec
from eagent.model import KnobName
from eagent.telemetry._ring import RingReader
from eagent.warden import durable
from eagent.warden.journal import Journal
from tests.fuzz.hostile import VALUES, battered, check_line, spoilt
from tests.mesh.test_codec import MESSAGES, STATES

ROOT = Path(__file__).parent.parent.parent
LINE_MAX = 1000  # with a path in it
MOST_RECORDS = 70_000  # that a ring may give at once
Target = tuple[Any, Any]


def _nothing() -> None:
    pass


def configuration() -> Target:
    """Texts at the reader of eagent.toml."""
    shipped = (ROOT / "config" / "eagent.toml").read_text(encoding="utf-8")
    number = st.sampled_from(["nan", "-inf", "1e999", "-0.0", "0x" + "f" * 6000, "9" * 400, "0b1", "1_0", "07:32:00"])
    value = (
        number
        | VALUES.map(lambda it: json.dumps(it, default=str))
        | st.text(max_size=9)
        | st.integers(1, 400).map(lambda depth: "[" * depth)
    )

    @st.composite
    def document(draw: st.DrawFn) -> str:
        if draw(st.booleans()):
            return draw(battered(shipped.encode())).decode(errors="surrogateescape")
        lines = []
        for section in draw(st.lists(st.sampled_from([*config.OPTIONS, "x\u007f", '"\\u001b"']), max_size=4)):
            keys = st.sampled_from([*config.OPTIONS.get(section, ()), '"a\\nb"', "no"])
            lines += [f"[{section}]", *(f"{draw(keys)} = {draw(value)}" for _ in range(draw(st.integers(0, 3))))]
        return "\n".join(lines)

    @given(document())
    def any_text_is_a_configuration_or_a_line(text: str) -> None:
        try:
            found = config.parse(text, "eagent.toml")
        except ConfigError as problem:
            check_line(str(problem), LINE_MAX)
        else:
            assert 1 <= found.lease_ttl_s <= 60
            assert found.fixed_w is None or 0 <= found.fixed_w <= 1e6

    return any_text_is_a_configuration_or_a_line, _nothing


def journal() -> Target:
    """Files in the journal's directory: battered, or whole, with a right checksum and wrong content."""
    directory = Path(tempfile.mkdtemp(prefix="fuzz"))
    entry = {"uuid": "GPU-a", "knob": "power_limit", "prior": 400_000, "boot_id": "b", "texts": {"x/y": "1"}}

    @given(st.data())
    def any_file_is_an_entry_or_kept_and_told(data: st.DataObject) -> None:
        path = directory / "GPU-a.power_limit.json"
        content = data.draw(spoilt(entry))
        body = json.dumps(content, sort_keys=True, default=str)
        crc = zlib.crc32(json.dumps(json.loads(body), sort_keys=True).encode())
        document = {"version": 1, "crc32": crc, "content": json.loads(body)}
        text = json.dumps(data.draw(spoilt(document, 1)), default=str).encode(errors="surrogatepass")
        path.write_bytes(data.draw(battered(text)))
        found = Journal(directory)
        for line in [*found.alarms(), *found.kept()]:
            check_line(line, LINE_MAX)
        standing = found.get("GPU-a", KnobName.POWER_LIMIT)
        assert (standing is None) == (("GPU-a", KnobName.POWER_LIMIT) in found.damaged)
        assert standing is None or (type(standing.prior) is int and 0 <= standing.prior < 2**32)
        with contextlib.suppress(ProtocolError):
            wire.unpack_budget(durable.load(path) or {})

    return any_file_is_an_entry_or_kept_and_told, lambda: shutil.rmtree(directory)


def mesh() -> Target:
    """Packets and stored states at the mesh's codecs."""
    whole = MESSAGES.map(codec.encode) | STATES.map(codec.encode_state)

    @st.composite
    def packet(draw: st.DrawFn) -> bytes:
        good = draw(whole)
        if draw(st.booleans()):
            return draw(battered(good))
        return bytes(msgpack.packb(draw(spoilt(msgpack.unpackb(good)))))

    @given(packet())
    def any_packet_is_a_message_or_a_line(sent: bytes) -> None:
        for read in (codec.decode, codec.decode_state, codec.decode_off):
            try:
                read(sent)
            except ProtocolError as problem:
                check_line(str(problem), LINE_MAX)

    return any_packet_is_a_message_or_a_line, _nothing


def ring() -> Target:
    """Ring files that no warden has made, and some that change under their reader."""
    directory = Path(tempfile.mkdtemp(prefix="fuzz"))
    path = directory / "ring"
    header = b"EAGRING1" + b"".join(number.to_bytes(4, "little") for number in (3, 24, 65536, 1))
    size = 512 + 65536 * 24
    heads = st.sampled_from([0, 1, 65535, 65536, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)

    def write(at: int, what: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(what)

    @given(st.data())
    def any_file_is_read_within_bounds_or_refused(data: st.DataObject) -> None:
        with path.open("wb") as file:
            file.truncate(data.draw(st.sampled_from([size, size, size, size - 1, size + 1, 512, 0])))
            file.write(data.draw(battered(header)) + data.draw(heads).to_bytes(8, "little"))
        try:
            reader = RingReader(path)
        except EagentError as problem:
            check_line(str(problem), LINE_MAX)
            return
        try:
            for _ in range(data.draw(st.integers(1, 3))):
                assert len(reader.drain()) <= MOST_RECORDS
                assert reader.stats["steps"] >= 0
                write(24, data.draw(heads).to_bytes(8, "little"))
                write(data.draw(st.integers(24, size - 64)), data.draw(st.binary(max_size=64)))
        finally:
            reader.close()

    return any_file_is_read_within_bounds_or_refused, lambda: shutil.rmtree(directory)


def ipmitool() -> Target:
    """What ipmitool may print."""
    power = b"    Instantaneous power reading:                   286 Watts\n    Power reading state is: activated\n"

    @given(battered(b"Chassis Power is on\n") | battered(power) | st.binary(max_size=200))
    def any_output_is_a_reading_or_none(output: bytes) -> None:
        text = output.decode(errors="replace")
        ipmi.read_state(text)
        power_w = ipmi.read_power_w(text)
        assert power_w is None or 0 < power_w < float("inf")

    return any_output_is_a_reading_or_none, _nothing
