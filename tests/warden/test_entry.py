"""The journal's entries: what is stored is read, and nothing else is ever read as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eagent.errors import ProtocolError
from eagent.model import Budget, KnobName
from eagent.warden import durable
from eagent.warden.entry import NOTE_MAX, PRIOR_MAX, TEXT_MAX, Entry, pack, unpack
from eagent.wire import pack_budget, unpack_budget

WORDS = st.text(max_size=20)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)
TEXTS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=TEXT_MAX)
ENTRIES = st.builds(
    Entry,
    uuid=NAMES,
    knob=st.sampled_from(KnobName),
    prior=st.integers(0, PRIOR_MAX),
    boot_id=WORDS,
    texts=st.dictionaries(WORDS, TEXTS, max_size=4),
    driver=WORDS,
    owner=WORDS,
    reason=WORDS,
    entered=WORDS,
)
BUDGETS = st.builds(
    Budget,
    budget_w=st.integers(0, 2**40).map(lambda mw: mw / 1000),
    fixed_w=st.integers(0, 2**40).map(lambda mw: mw / 1000),
    safe_caps_w=st.dictionaries(NAMES, st.integers(0, PRIOR_MAX).map(lambda mw: mw / 1000), max_size=4),
)
NOW = Entry("GPU-a", KnobName.POWER_LIMIT, 400_000, "boot", {}, "7", "lease", "limits for 3 s", "2026-11-30T02:00:00Z")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("entry") / "x.json"


def read(file: Path, entry: Entry) -> Entry:
    return unpack(durable.load(file) or {}, entry.uuid, entry.knob)


def damaged(whole: bytes, data: st.DataObject) -> bytes:
    """A stored file after one accident: cut short, and bytes flipped, overwritten, put in, taken out or doubled."""
    at = data.draw(st.integers(0, len(whole) - 1))
    size = data.draw(st.integers(1, 64))
    bytes_put = data.draw(st.binary(min_size=size, max_size=size))
    match data.draw(st.sampled_from(["cut", "flip", "over", "in", "out", "double", "zero"])):
        case "cut":
            return whole[:at]
        case "flip":
            return whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
        case "over":
            return whole[:at] + bytes_put + whole[at + size :]
        case "in":
            return whole[:at] + bytes_put + whole[at:]
        case "out":
            return whole[:at] + whole[at + size :]
        case "double":
            return whole[: at + size] + whole[at:]
        case _:
            return whole[:at] + bytes(len(whole) - at)  # as a power loss leaves blocks that were never written


@given(ENTRIES)
def test_what_is_packed_is_unpacked(entry: Entry) -> None:
    assert unpack(pack(entry), entry.uuid, entry.knob) == entry


@given(ENTRIES)
def test_what_is_stored_is_read(file: Path, entry: Entry) -> None:
    durable.store(file, pack(entry))
    assert read(file, entry) == entry


@given(ENTRIES, st.data())
def test_an_entry_that_met_an_accident_is_read_as_it_was_or_refused(file: Path, entry: Entry, data: Any) -> None:
    durable.store(file, pack(entry))
    file.write_bytes(damaged(file.read_bytes(), data))
    try:
        found = read(file, entry)
    except ProtocolError:
        return
    assert found == entry


@given(BUDGETS, st.data())
def test_a_budget_that_met_an_accident_is_read_as_it_was_or_refused(file: Path, budget: Budget, data: Any) -> None:
    durable.store(file, pack_budget(budget))
    file.write_bytes(damaged(file.read_bytes(), data))
    try:
        found = unpack_budget(durable.load(file) or {})
    except ProtocolError:
        return
    assert found == budget


@pytest.mark.parametrize("pack_it", [lambda: pack(NOW), lambda: pack_budget(Budget(2000, 1000, {"GPU-a": 150}))])
def test_every_truncation_and_every_flipped_bit_is_refused_or_means_the_same(
    file: Path, pack_it: Callable[[], dict[str, Any]]
) -> None:
    content = pack_it()
    durable.store(file, content)
    whole = file.read_bytes()
    cut = [whole[:size] for size in range(len(whole))]
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in range(8)
    ]
    refused = 0
    for broken in cut + flipped:
        file.write_bytes(broken)
        try:
            assert durable.load(file) == content
        except ProtocolError:
            refused += 1
    assert refused > 0.9 * len(cut + flipped)  # the rest was white space between the fields


@given(ENTRIES, ENTRIES)
def test_an_entry_is_never_taken_for_another_knobs(one: Entry, other: Entry) -> None:
    if one.key == other.key:
        return
    with pytest.raises(ProtocolError, match="not a journal entry of"):
        unpack(pack(one), *other.key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(pack(NOW))), JSON)
@example("prior", True)
@example("prior", -1)
@example("prior", PRIOR_MAX + 1)
@example("prior", 4e5)
@example("texts", {"a": ""})
@example("texts", {"a": "9" * (TEXT_MAX + 1)})
@example("owner", None)
def test_a_field_of_another_kind_is_refused_or_is_what_is_read(name: str, value: Any) -> None:
    content = {**pack(NOW), name: value}
    try:
        found = unpack(content, "GPU-a", KnobName.POWER_LIMIT)
    except ProtocolError:
        return
    assert pack(found) == {**content, name: value[:NOTE_MAX] if isinstance(value, str) else value}
    assert type(found.prior) is int


def test_an_entry_of_before_there_were_notes_is_honoured(file: Path) -> None:
    # As eagent 0.1 wrote it, byte by byte.
    file.write_text(
        '{\n "content": {\n  "boot_id": "boot",\n  "knob": "power_limit",\n  "prior": 400000,\n  "texts": {},\n'
        '  "uuid": "GPU-a"\n },\n "crc32": 966499653,\n "version": 1\n}'
    )
    entry = Entry("GPU-a", KnobName.POWER_LIMIT, 400_000, "boot")
    assert read(file, entry) == entry
    assert entry.told() == "power limit was 400 W, journalled"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (NOW, "power limit was 400 W, journalled at 2026-11-30T02:00:00Z for a lease"),
        (Entry("GPU-a", KnobName.GPU_CLOCK, 0, ""), "gpu clock was not locked, journalled"),
        (Entry("GPU-a", KnobName.GPU_CLOCK, 1290, ""), "gpu clock was 1290 MHz, journalled"),
        (Entry("CPU-0", KnobName.CPU_CLOCK, 1, "", {"a": "1", "b": "2"}), "cpu clock was 1 to 2, journalled"),
    ],
)
def test_an_entry_tells_a_person_what_was_when_and_why(entry: Entry, told: str) -> None:
    assert entry.told() == told
