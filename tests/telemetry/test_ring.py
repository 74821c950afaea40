"""The reader against the real writer: everything, in order, never torn, and what was lost is counted."""

from __future__ import annotations

import gc
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.errors import ProtocolError, UnavailableError
from eagent.telemetry._ring import RingReader

CAPACITY = 65536
HELD = CAPACITY - 1  # the slot that the writer fills next is never read
STRESS_MS = 600


def numbered(number: int) -> tuple[int, int, int, int, int, int]:
    """The record that ring_writer.c makes of a number."""
    value = (number * 2654435761) % 2**64
    age = number % 65536
    age_ns = -1 if age == 65535 else age * 10_000
    return number, value - 2**64 if value >= 2**63 else value, number % 65521, number % 251, number % 7, age_ns


def test_a_reader_sees_what_was_pushed_in_order(writer: Any) -> None:
    reader = RingReader(writer.path)
    writer.push(5)
    assert reader.drain() == [numbered(i) for i in range(5)]
    assert reader.drain() == []
    writer.push(2)
    assert reader.drain() == [numbered(5), numbered(6)]
    assert reader.lost == 0


pushes = st.lists(
    st.one_of(st.integers(0, 700), st.integers(CAPACITY - 3, CAPACITY + 3), st.just(2 * CAPACITY + 1)), max_size=6
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pushes)
def test_between_drains_exactly_what_was_overwritten_is_lost(make_writer: Callable[[], Any], counts: list[int]) -> None:
    writer = make_writer()
    reader = RingReader(writer.path)
    lost = 0
    for count in counts:
        writer.push(count)
        kept = min(count, HELD)
        lost += count - kept
        assert reader.drain() == [numbered(i) for i in range(writer.pushed - kept, writer.pushed)]
        assert reader.lost == lost
    writer.close()


def test_a_reader_that_comes_late_starts_with_the_oldest_record_and_has_lost_none(writer: Any) -> None:
    writer.push(CAPACITY + 100)
    reader = RingReader(writer.path)
    seen = reader.drain()
    assert seen[0] == numbered(101)
    assert len(seen) == HELD
    assert reader.lost == 0


def test_a_writer_that_laps_the_reader_never_gets_a_torn_record_read(writer_library: Path, tmp_path: Path) -> None:
    path = tmp_path / "ring"
    program = (
        "import ctypes, os, sys\n"
        "c = ctypes.CDLL(sys.argv[1])\n"
        "c.push_for_ms.argtypes = (ctypes.c_void_p, ctypes.c_int64); c.push_for_ms.restype = ctypes.c_uint64\n"
        "ring = ctypes.create_string_buffer(64)\n"
        "assert c.ring_create(ring, os.fsencode(sys.argv[2])) == 0\n"
        "print('made', flush=True); sys.stdin.readline()\n"
        "print(c.push_for_ms(ring, int(sys.argv[3])), flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(writer_library), str(path), str(STRESS_MS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "made\n"
        reader = RingReader(path)
        process.stdin.write("go\n")
        process.stdin.flush()
        seen, newest = 0, -1
        while process.poll() is None:
            for record in reader.drain():
                assert record == numbered(record[0])
                assert record[0] > newest
                newest = record[0]
                seen += 1
        last = reader.drain()
        pushed = int(process.stdout.readline())
    assert all(record == numbered(record[0]) for record in last)
    assert seen + len(last) + reader.lost == pushed
    assert reader.lost > 0, "the writer was never a lap ahead: this machine did not put the reader to the test"


def test_the_stats_of_the_loop_are_told(writer: Any) -> None:
    reader = RingReader(writer.path)
    writer.push(3)
    writer.set_stats(5, 2**40)
    assert reader.stats["started_ns"] == 5
    assert reader.stats["heartbeat_ns"] == 2**40
    assert reader.stats["reads"] == 3
    assert set(reader.stats) == {
        *("started_ns", "heartbeat_ns", "steps", "missed", "lateness_max_ns", "lateness"),
        *("read_ns", "write_ns", "cpu_ns", "reads", "writes", "read_errors", "write_errors"),
        *("refreshes", "refreshes_missed", "refreshes_shed", "changes", "shed_since_ns"),
        "actuator_beat_ns",
    }
    assert len(reader.stats["lateness"]) == 20
    assert reader.writer_pid == os.getpid()


def test_a_new_warden_makes_a_new_ring_and_the_old_reader_can_tell(make_writer: Callable[[], Any]) -> None:
    first = make_writer()
    reader = RingReader(first.path)
    assert not reader.replaced()
    second = make_writer()
    second.push(1)
    assert reader.replaced()
    assert reader.drain() == []
    assert RingReader(second.path).drain() == [numbered(0)]
    second.path.unlink()
    assert reader.replaced()


def test_a_missing_ring_is_unavailable_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ring: no sample ring: No such file") as caught:
        RingReader(tmp_path / "ring")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: _overwrite(path, 0, b"EAGRING0"), id="magic"),
        pytest.param(lambda path: _overwrite(path, 8, struct.pack("<I", 1)), id="version"),
        pytest.param(lambda path: _overwrite(path, 12, struct.pack("<I", 32)), id="record size"),
        pytest.param(lambda path: _overwrite(path, 16, struct.pack("<I", CAPACITY // 2)), id="capacity"),
    ],
)
def test_a_ring_of_another_form_is_refused_by_its_version(writer: Any, damage: Callable[[Path], Any]) -> None:
    copy = writer.path.with_name("copy")
    copy.write_bytes(writer.path.read_bytes())
    RingReader(copy).close()
    damage(copy)
    with pytest.raises(ProtocolError, match="not a ring of version 3"):
        RingReader(copy)


def test_a_closed_reader_says_so_and_gives_back_its_file(writer: Any) -> None:
    before = open_files()
    reader = RingReader(writer.path)
    assert open_files() == before + 1
    reader.close()
    reader.close()
    assert open_files() == before
    with pytest.raises(UnavailableError, match="closed"):
        reader.drain()
    with pytest.raises(UnavailableError, match="closed"):
        _ = reader.stats


def test_a_reader_that_is_dropped_gives_back_its_file(writer: Any) -> None:
    before = open_files()
    reader = RingReader(writer.path)
    assert open_files() == before + 1
    del reader
    gc.collect()
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
