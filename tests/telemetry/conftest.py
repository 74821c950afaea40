"""A writer of rings, made of the product's own C."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "native"
RING_C = NATIVE / "ring.c"


def compile_c(target: Path, *sources: Path, options: tuple[str, ...] = ()) -> None:
    """Compile with the product's headers and those from here."""
    flags = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}", f"-I{HERE}", *options)
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(target)], check=True, timeout=60)


class _Ring(ctypes.Structure):
    _fields_ = (("header", ctypes.c_void_p), ("records", ctypes.c_void_p), ("fd", ctypes.c_int))


class Writer:
    """The one writer of one ring."""

    def __init__(self, library: Path, path: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.push_numbered.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
        self._c.push_for_ms.argtypes = (ctypes.c_void_p, ctypes.c_int64)
        self._c.push_for_ms.restype = ctypes.c_uint64
        self._c.set_stats.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._c.set_actuator_beat.argtypes = (ctypes.c_void_p, ctypes.c_int64)
        self._ring = _Ring()
        self.path = path
        self.pushed = 0
        error = self._c.ring_create(ctypes.byref(self._ring), os.fsencode(path))
        assert error == 0, os.strerror(-error)

    def push(self, count: int) -> None:
        """Push the next `count` numbered records."""
        self._c.push_numbered(ctypes.byref(self._ring), self.pushed, count)
        self.pushed += count

    def push_for(self, milliseconds: int) -> int:
        self.pushed = self._c.push_for_ms(ctypes.byref(self._ring), milliseconds)
        return self.pushed

    def set_stats(self, started_ns: int, heartbeat_ns: int) -> None:
        self._c.set_stats(ctypes.byref(self._ring), started_ns, heartbeat_ns)

    def set_actuator_beat(self, beat_ns: int) -> None:
        self._c.set_actuator_beat(ctypes.byref(self._ring), beat_ns)

    def close(self) -> None:
        self._c.ring_close(ctypes.byref(self._ring))


@pytest.fixture(scope="session")
def writer_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled writer."""
    library = tmp_path_factory.mktemp("ring") / "writer.so"
    compile_c(library, RING_C, HERE / "ring_writer.c", options=("-fPIC", "-shared"))
    return library


@pytest.fixture
def make_writer(writer_library: Path, tmp_path: Path) -> Iterator[Callable[[], Writer]]:
    """Makes rings at one path, each a new file."""
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(writer_library, tmp_path / "ring"))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.fixture
def writer(make_writer: Callable[[], Writer]) -> Writer:
    return make_writer()
