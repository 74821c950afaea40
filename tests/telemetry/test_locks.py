"""What is inferred of clock locks that can't be read, on simulated GPUs under any load, and from looks made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.model import Channel, Device, Knob, Status
from eagent.sim import _maker, model
from eagent.sim._plant import Host
from eagent.sim.workload import Gang, Square
from eagent.telemetry.locks import WINDOW_NS, Inference, Locks, LockWatch

LOOK_S, BOUND_S = 0.25, 7.0  # a busy GPU is looked at four times a second; said in docs/operators.md
SECOND_NS = 1_000_000_000
POWER_CAP, THERMAL, SYNC_BOOST, IDLE, APPLICATION = 0x4, 0x20, 0x10, 0x1, 0x2
MODELS = ("a100-sxm4-80gb", "h100-sxm5-80gb")


class Watched:
    """A simulated GPU in virtual time, and its watch."""

    def __init__(self, host: Host, top_mhz: int) -> None:
        self.host, self.top_mhz = host, top_mhz
        self.watch = LockWatch(top_mhz)
        self.time_s = 1.0
        self.found: list[Inference] = []

    def look(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.time_s += LOOK_S
            self.host.advance(self.time_s)
            view = self.host.view(0)
            now_ns = round(self.time_s * SECOND_NS)
            self.watch.clock(now_ns, view["sm_clock_mhz"])
            self.watch.reasons(now_ns, view["event_reasons"])
            self.watch.use(now_ns, view["gpu_utilisation_pct"])
            if made := self.watch.found():
                self.found.append(made)


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Makes simulated GPUs, each a context."""

    @contextmanager
    def make(name: str = MODELS[0]) -> Iterator[Watched]:
        plant = tmp_path_factory.mktemp("locks") / "plant"
        loaded = model.load(name)
        _maker.create(plant, {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual", "model": loaded})
        with Host(plant) as host:
            host.set_persistence(0, 1)
            yield Watched(host, loaded["clocks"]["max_mhz"])

    return make


LOADS = st.one_of(
    st.builds(
        Square,
        period_s=st.sampled_from([0.02, 0.3, 1.0, 3.0, 20.0]),
        duty=st.sampled_from([0.05, 0.5, 0.95, 1.0]),
        compute=st.floats(0.05, 1.0),
        memory=st.floats(0.0, 1.0),
    ),
    st.builds(Gang, step_s=st.sampled_from([0.05, 0.5, 2.0]), compute=st.floats(0.1, 1.0)),
)
ANY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(load=LOADS, share=st.floats(0.0, 1.0), name=st.sampled_from(MODELS), ours=st.booleans())
def test_without_a_foreign_lock_nothing_is_inferred_whatever_runs_under_whatever_limit(
    watched: Callable[..., Any], load: Any, share: float, name: str, ours: bool
) -> None:
    with watched(name) as gpu:
        view = gpu.host.view(0)
        low_w, high_w = (model.load(name)["limits"][key] for key in ("min_w", "max_w"))
        gpu.host.set_power_limit(0, round(low_w + share * (high_w - low_w)))
        if ours:
            gpu.host.lock_clocks(0, view["sm_clock_mhz"], round(0.5 * gpu.top_mhz))
            gpu.watch.expect(round(0.5 * gpu.top_mhz), 0)
        load.start(gpu.host, [0], at_s=3.0)
        gpu.look(30)
    assert gpu.found == []


@ANY
@given(
    compute=st.floats(0.05, 0.35),
    share=st.floats(0.3, 0.65),
    name=st.sampled_from(MODELS),
    ours=st.sampled_from([None, 0.8]),
)
def test_a_foreign_lock_on_a_busy_gpu_is_inferred_in_time(
    watched: Callable[..., Any], compute: float, share: float, name: str, ours: float | None
) -> None:
    with watched(name) as gpu:
        ours_mhz = round(ours * gpu.top_mhz) if ours else None
        gpu.watch.expect(ours_mhz, 0)
        gpu.host.lock_clocks(0, 210, ours_mhz or gpu.top_mhz)
        Square(duty=1.0, compute=compute, memory=0.1).start(gpu.host, [0])
        gpu.look(3)
        gpu.host.lock_clocks(0, 210, round(share * gpu.top_mhz))
        gpu.look(BOUND_S)
        assert gpu.found
        found = gpu.found[-1]
        assert (found.is_above, found.clock_mhz == gpu.host.view(0)["sm_clock_mhz"]) == (False, True)
        assert found.expected_mhz > found.clock_mhz
        gpu.host.lock_clocks(0, 210, ours_mhz or gpu.top_mhz)
        gpu.look(1)
        gpu.found.clear()
        gpu.look(5)
        assert gpu.found == []  # gone with its evidence


def test_a_lock_of_ours_that_is_not_in_force_is_inferred(watched: Callable[..., Any]) -> None:
    with watched() as gpu:
        Square(duty=1.0, compute=0.2).start(gpu.host, [0])
        gpu.host.lock_clocks(0, 210, 900)
        gpu.watch.expect(900, round(gpu.time_s * SECOND_NS))
        gpu.look(8)
        assert gpu.found == []
        gpu.host.reset_clocks(0)  # as a driver that forgot it, or somebody else
        gpu.look(3)
        assert (gpu.found[-1].is_above, gpu.found[-1].expected_mhz, gpu.found[-1].clock_mhz) == (True, 900, gpu.top_mhz)
        assert "eagent's lock of 900 MHz is not in force" in gpu.found[-1].words()


def looks(watch: LockWatch, mhz: int, bits: int, percent: int, seconds: float = 20, step_s: float = LOOK_S) -> bool:
    """Look for so long; whether anything was inferred."""
    begin_ns, found = 100 * SECOND_NS, False
    for n in range(round(seconds / step_s)):
        now_ns = begin_ns + round(n * step_s * SECOND_NS)
        watch.reasons(now_ns, bits)
        watch.use(now_ns, percent)
        watch.clock(now_ns, mhz)
        found = found or watch.found() is not None
    return found


@pytest.mark.parametrize("bits", [POWER_CAP, 0x8, SYNC_BOOST, THERMAL, 0x40, 0x80, IDLE])
def test_a_gpu_that_is_held_down_for_a_reason_tells_nothing_of_locks(bits: int) -> None:
    assert not looks(LockWatch(1410), 600, bits, 100)


def test_application_clocks_are_somebody_elses_ceiling_too() -> None:
    assert looks(LockWatch(1410), 600, APPLICATION, 100)


def test_an_idle_gpu_tells_nothing_of_locks() -> None:
    assert not looks(LockWatch(1410), 210, 0, 0)
    assert not looks(LockWatch(1410), 210, 0, 89)


def test_looks_that_are_far_apart_tell_nothing() -> None:
    assert not looks(LockWatch(1410), 600, 0, 100, seconds=60, step_s=2.5)


def test_a_board_that_does_not_reach_its_highest_clock_is_not_called_locked() -> None:
    assert not looks(LockWatch(3105), 2520, 0, 100)
    watch = LockWatch(3105)
    looks(watch, 2700, 0, 100)
    assert looks(watch, 2520, 0, 100)  # but it is, once it was seen to go farther


def test_less_than_a_window_of_evidence_is_none() -> None:
    assert not looks(LockWatch(1410), 600, 0, 100, seconds=WINDOW_NS / SECOND_NS - LOOK_S)
    assert looks(LockWatch(1410), 600, 0, 100, seconds=WINDOW_NS / SECOND_NS + 2 * LOOK_S)


def test_a_change_of_ours_begins_anew() -> None:
    watch = LockWatch(1410)
    assert looks(watch, 600, 0, 100)
    watch.expect(700, 120 * SECOND_NS)
    assert watch.found() is None


def test_records_of_other_devices_and_failed_reads_are_no_looks() -> None:
    device = Device(*("GPU-0", 0, "A100", "", 100, 400, 400, 0.025, 0.1, Knob(True)), clocks_mhz=(210, 1410))
    locks = Locks()
    locks.rebind([device])

    def feed(place: int, status: int) -> None:
        for n in range(40):
            now_ns = (100 * 4 + n) * SECOND_NS // 4
            for channel, value in (
                (Channel.EVENT_REASONS, 0),
                (Channel.GPU_UTILISATION_PCT, 100),
                (Channel.SM_CLOCK_MHZ, 600),
            ):
                locks.add([(now_ns, value, place, channel, status, -1)])

    feed(1, Status.OK)
    feed(0, Status.FAILED)
    assert locks.found(110 * SECOND_NS) == {}
    feed(0, Status.OK)
    assert locks.found(110 * SECOND_NS)["GPU-0"].clock_mhz == 600
    locks.rebind([device])  # what was seen is kept
    assert locks.found(110 * SECOND_NS)
    assert locks.found(113 * SECOND_NS) == {}  # too old to speak for now
    locks.restart("GPU-0", 110 * SECOND_NS)
    assert locks.found(110 * SECOND_NS) == {}
