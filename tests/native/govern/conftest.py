"""The loop's governing half over a driver that the test plays, in virtual time. What it is made of is in bench.c."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PARTS = ("attribute", "ceiling", "driver", "foreign", "govern", "nvml", "purse", "ramp", "scale", "written", "zone")
TURN_S = 0.05
FREE_MHZ = 0xFFFFFFFF  # no lock
LEFT_ALONE = 0
PRESENCES = ("here", "parting", "gone")
POLICIES = ("overrule", "respect", "report")
FATES = ("never", "stands", "overruled", "moved back", "taken back", "forgotten")


class Write(NamedTuple):
    """One call of a setter. `value` is in mW, or in MHz with 0 for no lock."""

    time_s: float
    device: int
    is_clock: bool
    value: int


class _Entry(ctypes.Structure):
    _fields_ = (
        ("time_ns", ctypes.c_int64),
        ("device", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("value", ctypes.c_uint32),
    )


class Bench:
    """Some GPUs, their limits in watts, and a loop that brings them where they should be."""

    def __init__(self, c: ctypes.CDLL, present_w: Sequence[float], ramp_w_per_s: float = 0.0) -> None:
        self._c = c
        self.count = len(present_w)
        self.present_w = tuple(present_w)
        self._bench = ctypes.c_void_p(c.bench_make(self.count, self._mw(present_w), round(ramp_w_per_s * 1000)))
        self.now_s = 100.0
        self.lease_w: Sequence[float] | None = None
        self.safe_w: Sequence[float] = [LEFT_ALONE] * self.count
        self.envelope_w = 0.0
        self.clocks_mhz: Sequence[int] = [LEFT_ALONE] * self.count

    def _mw(self, watts: Sequence[float]) -> ctypes.Array[ctypes.c_uint32]:
        return (ctypes.c_uint32 * self.count)(*(round(each * 1000) for each in watts))

    def step(self, seconds: float = TURN_S) -> None:
        """Take turns for so long."""
        for _ in range(round(seconds / TURN_S)):
            self.now_s += TURN_S
            self._c.bench_step(
                self._bench,
                self._mw(self.lease_w or self.safe_w),
                self._mw(self.safe_w),
                round(self.envelope_w * 1000),
                (ctypes.c_uint32 * self.count)(*self.clocks_mhz),
                int(self.lease_w is not None),
                round(self.now_s * 1e9),
            )

    def limits_w(self) -> list[float]:
        return [self._c.bench_limit(i) / 1000 for i in range(self.count)]

    def held_w(self) -> list[float | None]:
        """The wishes that are in force."""
        return [self._c.bench_held(self._bench, i) / 1000 or None for i in range(self.count)]

    def written_w(self, device: int) -> float | None:
        """What we have written last and is ours still, whoever else may have looked after it since."""
        return self._c.bench_written(self._bench, device) / 1000 or None

    def move(self, device: int, presence: str) -> None:
        """Take a device out, or in again."""
        self._c.bench_move(self._bench, device, PRESENCES.index(presence))

    def foreign(self, device: int) -> int:
        return int(self._c.bench_foreign(self._bench, device))

    def fate(self, device: int) -> str:
        """What became of what somebody else wrote last."""
        return FATES[self._c.bench_fate(self._bench, device)]

    def on_foreign(self, policy: str) -> None:
        self._c.bench_policy(self._bench, POLICIES.index(policy))

    def take_back(self, device: int) -> None:
        self._c.bench_take_back(self._bench, device)

    def intrude(self, device: int, limit_w: float) -> None:
        """Somebody else sets a limit, and the loop looks at it."""
        self._c.bench_intrude(self._bench, device, round(limit_w * 1000))

    def refuse(self, device: int, refuses: bool = True) -> None:
        self._c.bench_refuse(device, int(refuses))

    def deafen(self, device: int, is_deaf: bool = True) -> None:
        """Let a limit not be read any more."""
        self._c.bench_deafen(device, int(is_deaf))

    def writes(self) -> list[Write]:
        log = ctypes.POINTER(_Entry)()
        count = self._c.bench_log(self._bench, ctypes.byref(log))
        return [Write(log[k].time_ns / 1e9, log[k].device, bool(log[k].kind), log[k].value) for k in range(count)]

    def close(self) -> None:
        self._c.bench_free(self._bench)


@pytest.fixture(scope="session")
def bench_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The compiled bench."""
    library = tmp_path_factory.mktemp("govern") / "bench.so"
    sources = [*(ROOT / "native" / f"{part}.c" for part in PARTS), Path(__file__).with_name("bench.c")]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(
        ["gcc", *flags, f"-I{ROOT / 'native'}", *map(str, sources), "-o", str(library)], check=True, timeout=60
    )
    c = ctypes.CDLL(str(library))
    c.bench_make.argtypes = (ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint64)
    c.bench_make.restype = ctypes.c_void_p
    c.bench_foreign.restype = ctypes.c_uint64
    c.bench_step.argtypes = (
        *(ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint64),
        *(ctypes.POINTER(ctypes.c_uint32), ctypes.c_int, ctypes.c_int64),
    )
    return c


@pytest.fixture
def bench(bench_library: ctypes.CDLL) -> Iterator[Callable[..., Bench]]:
    """Makes benches: `bench([700, 700], ramp_w_per_s=100)`; only the last one made is played on."""
    made: list[Bench] = []

    def make(present_w: Sequence[float], ramp_w_per_s: float = 0.0) -> Bench:
        made.append(Bench(bench_library, present_w, ramp_w_per_s))
        return made[-1]

    yield make
    for one in made:
        one.close()
