"""A reader that is paused anywhere while the writer goes on by any number of stores, laps included. Deterministic."""

from __future__ import annotations

import ctypes
import os
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.telemetry.conftest import HERE, RING_C, compile_c

CAPACITY = 16  # of the ring in ring_interleaver.c
STORES_A_RECORD = 4
RECORD = struct.Struct("<qqHHHH")
Run = Callable[[Sequence[int], int], None]


def numbered(number: int) -> tuple[int, ...]:
    """The record that numbered.h makes of a number, as it lies in memory."""
    value = (number * 2654435761) % 2**64
    age = number % 65536
    return number, value - 2**64 if value >= 2**63 else value, number % 65521, number % 251, number % 7, age


def make_run(library: Path, ring: Path) -> Run:
    """A function that plays pauses of so many stores to a reader, and asserts what it then must have got."""
    c = ctypes.CDLL(str(library))
    c.interleave.restype = ctypes.c_uint32

    def run(pauses: Sequence[int], room: int) -> None:
        out = ctypes.create_string_buffer((len(pauses) + CAPACITY) * RECORD.size)
        pushed, lost = ctypes.c_uint64(), ctypes.c_uint64()
        stores = (ctypes.c_uint32 * len(pauses))(*pauses)
        numbers = ctypes.byref(pushed), ctypes.byref(lost)
        taken = c.interleave(os.fsencode(ring), stores, len(pauses), room, out, *numbers)
        records = list(RECORD.iter_unpack(out.raw[: taken * RECORD.size]))
        assert [record for record in records if record != numbered(record[0])] == [], "torn"
        assert [record[0] for record in records] == sorted({record[0] for record in records}), "twice, or out of order"
        assert pushed.value == -(-sum(pauses) // STORES_A_RECORD)
        assert taken + lost.value == pushed.value, "what is neither read nor counted as lost"
        kept = min(pushed.value, CAPACITY - 1) if room >= CAPACITY and not any(pauses[1:]) else 0
        assert taken >= kept, "lost without need"

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return compiled(tmp_path_factory.mktemp("interleaver"), RING_C)


def compiled(folder: Path, ring_c: Path) -> Run:
    library = folder / "interleaver.so"
    options = ("-fPIC", "-shared", f'-DRING_SOURCE="{ring_c}"')
    compile_c(library, HERE / "ring_interleaver.c", options=options)
    return make_run(library, folder / "ring")


LAP = CAPACITY * STORES_A_RECORD
stores = st.one_of(
    st.just(0), st.integers(0, 2 * STORES_A_RECORD), st.integers(LAP - 6, LAP + 6), st.integers(0, 3 * LAP)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(stores, max_size=120), st.integers(1, CAPACITY + 2))
def test_whenever_the_reader_is_paused_what_it_gets_is_whole_and_the_rest_is_counted(
    run: Run, pauses: list[int], room: int
) -> None:
    run(pauses, room)


def take_chances(run: Run) -> None:
    for seed in range(500):
        run(*chance(seed))


def chance(seed: int) -> tuple[list[int], int]:
    dice = random.Random(seed)
    kinds: tuple[Callable[[], int], ...] = (
        lambda: 0,
        lambda: dice.randint(0, 8),
        lambda: dice.randint(LAP - 6, LAP + 6),
    )
    return [dice.choice(kinds)() for _ in range(dice.randint(1, 60))], dice.randint(1, CAPACITY + 2)


PUT = "  put(&ring->records[head & (RING_CAPACITY - 1)], record);\n"
PUBLISH = "  __atomic_store_n(&ring->header->head, head + 1, __ATOMIC_RELEASE);\n"
SECOND_LOOK = "__atomic_load_n(&ring->header->head, __ATOMIC_RELAXED);"
OLDEST = "now > RING_CAPACITY - 1 ? now - (RING_CAPACITY - 1) : 0;"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(SECOND_LOOK, "head;", id="the reader does not look twice"),
        pytest.param(OLDEST, OLDEST.replace("RING_CAPACITY - 1", "RING_CAPACITY"), id="the next slot is trusted"),
        pytest.param(PUT + PUBLISH, PUBLISH + PUT, id="the head is published before the record"),
        pytest.param("*lost += torn;", "", id="what was torn is not counted"),
        pytest.param("out + torn", "out", id="the wrong end is thrown away"),
    ],
)
def test_a_ring_that_is_wrong_is_found_out(tmp_path: Path, right: str, wrong: str) -> None:
    text = RING_C.read_text(encoding="utf-8")
    assert text.count(right) == 1
    (tmp_path / "ring.c").write_text(text.replace(right, wrong), encoding="utf-8")
    run = compiled(tmp_path, tmp_path / "ring.c")
    with pytest.raises(AssertionError):
        take_chances(run)


def test_the_same_chances_find_nothing_in_the_right_one(run: Run) -> None:
    take_chances(run)
