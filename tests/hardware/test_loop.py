"""The hot loop's CPU side on plain files, for what a kernel's attributes do that simulated ones don't, and its pace."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import DriverError
from eagent.hardware._loop import Loop
from eagent.model import Channel, Status
from eagent.sim import host as simulated
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.description.description import Description
from eagent.sim.description.parts import Gpus
from eagent.sim.workload import Square
from eagent.telemetry._ring import RingReader

STEP_NS = 50_000_000
ENERGY_MJ, POWER_MW = 3, 1


class Bench:
    """A loop in virtual time over one simulated GPU and whatever files a test makes."""

    def __init__(self, made: Any, tmp_path: Path) -> None:
        self.made = made
        self.ring = tmp_path / "ring"
        self.loop = Loop(str(made.plant.with_name("lib") / "libnvidia-ml.so.1"), str(self.ring), 50, True)
        self.now_ns = 10_000_000_000

    def step(self, turns: int = 1) -> None:
        for _ in range(turns):
            self.now_ns += STEP_NS
            self.loop.step(self.now_ns)

    def hold(self, *texts: str) -> None:
        devices = len(self.loop.limits())
        self.loop.fall_back([0] * devices, [0], list(texts), 0)


@pytest.fixture
def make_bench(
    sim_host: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(sensor: dict[str, Any] | None = None, **options: Any) -> Bench:
            if sensor:  # what the model says of it, changed
                gpu = Gpus(1, override={"sensor": sensor})
                made: Any = simulated.make(tmp_path, Description(name="changed", clock="virtual", gpu=gpu))
            else:
                made = sim_host(gpus=1, clock="virtual", **options)
            monkeypatch.setenv("EAGENT_SIM_HOST", str(made.plant))
            one = Bench(made, tmp_path)
            stack.callback(one.loop.close)
            return one

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def file(directory: Path, name: str, content: str) -> str:
    path = directory / name
    path.write_text(content)
    return str(path)


def told(reader: RingReader, channel: int) -> list[tuple[int, int]]:
    """Value and status of what a package's channel told."""
    return [(value, status) for _, value, place, kind, status, _ in reader.drain() if place == 1 and kind == channel]


def test_an_energy_counter_that_wraps_counts_on(bench: Bench, tmp_path: Path) -> None:
    counter = tmp_path / "energy_uj"
    counter.write_text("999000000\n")
    bench.loop.add_package(str(counter), 1_000_000_000, "", [], [])
    reader = RingReader(bench.ring)
    bench.step()
    counter.write_text("4000000\n")  # one joule to the end of the range, and four more
    bench.step(2)
    records = reader.drain()
    reader.close()
    joules = [value for _, value, place, kind, _, _ in records if place == 1 and kind == ENERGY_MJ]
    powers = [value for _, value, place, kind, _, _ in records if place == 1 and kind == POWER_MW]
    assert joules == [999_000, 1_004_000]
    assert powers == [50_000]  # 5 J in 100 ms; the first reading has no past


def test_an_energy_counter_that_began_anew_is_no_wrap(bench: Bench, tmp_path: Path) -> None:
    counter = tmp_path / "energy_uj"
    counter.write_text("500000000")
    bench.loop.add_package(str(counter), 262_143_328_850, "", [], [])
    reader = RingReader(bench.ring)
    bench.step()
    counter.write_text("400000000")  # after a suspend: whence it has counted is not known
    bench.step(2)
    counter.write_text("410000000")
    bench.step(2)
    records = reader.drain()
    reader.close()
    assert [value for _, value, place, kind, _, _ in records if place == 1 and kind == ENERGY_MJ] == [
        500_000,
        500_000,
        510_000,
    ]
    assert [value for _, value, place, kind, _, _ in records if place == 1 and kind == POWER_MW] == [100_000]


@pytest.mark.parametrize(("content", "status"), [(None, 1), ("", 5), ("12x", 5), ("-3", 5), ("9" * 30, 5)])
def test_a_counter_that_can_t_be_read_is_no_number(
    bench: Bench, tmp_path: Path, content: str | None, status: int
) -> None:
    path = tmp_path / "energy_uj"
    if content is not None:
        path.write_text(content)
    bench.loop.add_package(str(path), 10**9, "", [], [])
    reader = RingReader(bench.ring)
    bench.step()
    assert told(reader, POWER_MW) == [(0, status)]
    reader.close()


def test_a_packages_limit_is_known_before_the_first_turn(bench: Bench, tmp_path: Path) -> None:
    limits = [file(tmp_path, "long", "200000000"), file(tmp_path, "short", "250000001")]
    bench.loop.add_package("", 0, "", limits, [300_000_000, 300_000_000])
    assert bench.loop.limits()[1][0] == 250_001  # what is found there is told as such, and not as nothing


def test_many_settings_are_written_over_several_turns_and_all_are(bench: Bench, tmp_path: Path) -> None:
    paths = [file(tmp_path, f"s{n}", "1") for n in range(100)]
    bench.loop.add_settings(paths)
    bench.hold(*["2"] * 100)
    bench.step()
    written = sum(Path(path).read_text() == "2" for path in paths)
    assert 0 < written < 100
    bench.step(10)
    assert all(Path(path).read_text() == "2" for path in paths)
    assert [held for held, *_ in bench.loop.settings()] == ["2"] * 100


def test_a_setting_with_an_empty_wish_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    path = file(tmp_path, "s", "1")
    bench.loop.add_settings([path])
    bench.hold("")
    bench.step(5)
    assert Path(path).read_text() == "1"
    assert bench.loop.settings() == [(None, None, None)]


def test_a_setting_that_fails_is_tried_again_once_a_second_and_told(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "later"
    bench.loop.add_settings([str(path), file(tmp_path, "well", "1")])
    bench.hold("2", "2")
    bench.step(4)
    assert bench.loop.settings() == [(None, errno.ENOENT, None), ("2", None, None)]
    path.write_text("1")
    bench.step(5)
    assert path.read_text() == "1"  # not yet
    bench.step(20)
    assert path.read_text() == "2"
    assert bench.loop.settings()[0] == ("2", None, None)


def test_what_the_kernel_makes_of_a_text_is_what_is_held(bench: Bench, tmp_path: Path) -> None:
    path = file(tmp_path, "s", "1")
    bench.loop.add_settings([path])
    bench.hold("1999999")
    bench.step()
    Path(path).write_text("1900000\n")  # a step that the hardware has
    bench.step(2)
    assert bench.loop.settings()[0][0] is None  # it may be on its way
    bench.step(8)
    assert bench.loop.settings()[0] == ("1900000", None, None)
    Path(path).write_text("1500000\n")
    bench.step(22)
    assert Path(path).read_text().strip() == "1999999"
    assert bench.loop.settings()[0][2] is not None


def test_what_becomes_of_a_text_that_the_kernel_held_down_is_no_foreign_writers(bench: Bench, tmp_path: Path) -> None:
    path = file(tmp_path, "s", "1000000")
    bench.loop.add_settings([path])
    bench.hold("2000000")
    bench.step()
    Path(path).write_text("1500000")  # the platform's own ceiling of the moment
    bench.step(10)
    assert bench.loop.settings()[0] == ("1500000", None, None)
    Path(path).write_text("2000000")
    bench.step(22)
    assert bench.loop.settings()[0] == ("2000000", None, None)


def test_paths_and_texts_that_are_too_long_are_refused_and_nothing_changes(bench: Bench, tmp_path: Path) -> None:
    path = file(tmp_path, "s", "1")
    with pytest.raises(DriverError, match="longer than 511 bytes"):
        bench.loop.add_settings(["/" + "x" * 600])
    bench.loop.add_settings([path])
    with pytest.raises(DriverError, match="longer than 23 bytes"):
        bench.hold("9" * 30)
    bench.step(2)
    assert Path(path).read_text() == "1"


# ---- how often a GPU is read -----------------------------------------------------------------------------------------

UTILISATION, CLOCK, PROCESSES = 5, 4, 11


def counts(bench: Bench, reader: RingReader, plant: Host, seconds: float) -> Counter[int]:
    """How often each channel of the GPU was read in this time."""
    reader.drain()
    for _ in range(round(seconds * 20)):
        plant.advance(plant.time_s + 0.05)
        bench.step()
    return Counter(channel for _, _, place, channel, _, _ in reader.drain() if place == 0)


def test_a_busy_gpu_is_read_each_period_and_an_idle_one_once_a_second(bench: Bench) -> None:
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        plant.advance(2.0)
        counts(bench, reader, plant, 2)
        idle = counts(bench, reader, plant, 10)
        assert all(9 <= idle[channel] <= 11 for channel in (POWER_MW, ENERGY_MJ, UTILISATION, CLOCK, PROCESSES))
        Square(period_s=1.0, duty=1.0).start(plant, [0])
        counts(bench, reader, plant, 2)
        busy = counts(bench, reader, plant, 10)
        assert 195 <= busy[POWER_MW] <= 205
        assert 39 <= busy[UTILISATION] <= 41
        assert 9 <= busy[PROCESSES] <= 11


def test_work_that_comes_to_an_idle_gpu_is_seen_within_a_second_and_read_fast_at_once(bench: Bench) -> None:
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        plant.advance(2.0)
        counts(bench, reader, plant, 3.4)
        Square(period_s=1.0, duty=1.0).start(plant, [0])
        assert counts(bench, reader, plant, 2.1)[POWER_MW] >= 20


def test_work_with_short_pauses_is_not_idle(bench: Bench) -> None:
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        Square(period_s=1.0, duty=0.1).start(plant, [0])
        counts(bench, reader, plant, 2)
        assert counts(bench, reader, plant, 5)[POWER_MW] >= 95


def changes(bench: Bench, reader: RingReader) -> int:
    """How many have been told, after a few turns more."""
    bench.step(4)
    return reader.stats["changes"]


def test_a_change_is_counted_and_a_prolonged_lease_is_none(bench: Bench, tmp_path: Path) -> None:
    limit_mw = bench.loop.describe(0)["limit_mw"]
    bench.loop.cap(0, True)
    path = file(tmp_path, "text", "power")
    bench.loop.add_settings([path])
    with closing(RingReader(bench.ring)) as reader:
        at_rest = changes(bench, reader)
        assert changes(bench, reader) == at_rest

        def lease(watts_less: int, turns: int) -> None:
            until_ns = bench.now_ns + turns * STEP_NS
            bench.loop.lease([limit_mw - watts_less * 1000], [0], ["power"], until_ns)

        lease(50, 100)
        held = changes(bench, reader)
        assert held > at_rest
        lease(50, 200)
        assert changes(bench, reader) == held, "it is only prolonged"
        lease(50, 1)
        bench.step(1)
        ended = changes(bench, reader)
        assert ended > held
        bench.hold("")
        still = changes(bench, reader)
        bench.hold("")
        assert changes(bench, reader) == still


def test_what_somebody_else_does_to_a_limit_or_an_attribute_is_counted(bench: Bench, tmp_path: Path) -> None:
    limit_mw = bench.loop.describe(0)["limit_mw"]
    path = file(tmp_path, "text", "power")
    bench.loop.add_settings([path])
    bench.loop.fall_back([limit_mw - 50_000], [0], ["power"], 0)
    with ExitStack() as stack:
        reader = stack.enter_context(closing(RingReader(bench.ring)))
        faults = stack.enter_context(closing(Faults(bench.made.plant)))
        plant = stack.enter_context(Host(bench.made.plant))
        bench.step(60)
        before = changes(bench, reader)
        faults.inject("foreign-limit", "gpu", 0, (limit_mw / 1000 - 20,), from_s=plant.time_s)
        plant.advance(plant.time_s + 0.1)
        bench.step(30)
        moved = reader.stats["changes"]
        assert moved > before
        Path(path).write_text("performance")
        bench.step(30)
        assert reader.stats["changes"] > moved


def follow(bench: Bench, plant: Host, seconds: float) -> None:
    """Let time pass and the loop take a turn whenever it asks for one, as it does in real time."""
    end_ns = bench.now_ns + int(seconds * 1e9)
    while bench.now_ns < end_ns:
        ahead_ns = max(100_000, min(bench.loop.step(bench.now_ns), end_ns) - bench.now_ns)
        bench.now_ns += ahead_ns
        plant.advance(plant.time_s + ahead_ns / 1e9)


@pytest.mark.parametrize(
    ("model", "period_s"), [("v100-pcie-16gb", 0.02023), ("a100-sxm4-80gb", 0.1), ("h100-sxm5-80gb", 0.1)]
)
def test_each_publication_of_a_busy_gpus_sensor_is_read_once_soon_and_with_its_age(
    make_bench: Callable[..., Bench], model: str, period_s: float
) -> None:
    bench = make_bench(gpu_model=model)
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        Square(period_s=0.37, duty=0.6).start(plant, [0])
        follow(bench, plant, 6)
        reader.drain()
        before = reader.stats
        follow(bench, plant, 20)
        looks = [record for record in reader.drain() if record[3] == POWER_MW]
        after = reader.stats
    new = [(time_ns, age_ns) for time_ns, _, _, _, status, age_ns in looks if status == Status.OK]
    assert len(new) == pytest.approx(20 / period_s, abs=2)
    assert len(looks) <= 1.15 * len(new)
    assert all(0 <= age_ns <= 15_000_000 for _, age_ns in new)
    published = [time_ns - age_ns for time_ns, age_ns in new]
    gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(published)]
    assert all(gap == pytest.approx(period_s, abs=0.0015 + 0.02 * period_s) for gap in gaps)
    assert after["refreshes"] - before["refreshes"] == len(new)
    assert after["refreshes_missed"] == before["refreshes_missed"]


def test_who_holds_a_gpu_is_told_by_process(bench: Bench) -> None:
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        Square(period_s=1.0, duty=1.0).start(plant, [0], pid=os.getpid())
        follow(bench, plant, 3)
        records = reader.drain()
    assert {value for _, value, _, channel, _, _ in records if channel == Channel.COMPUTE_PID} == {os.getpid()}
    assert any(channel == Channel.MEMORY_USED_B and value > 0 for _, value, _, channel, _, _ in records)
    assert not any(channel in (Channel.PCIE_TX_B, Channel.PCIE_RX_B) for *_, channel, _, _ in records), "it has none"


def test_where_there_is_no_counter_the_drivers_samples_of_power_fill_in(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(sensor={"counter": "no"})
    with Host(bench.made.plant) as plant, closing(RingReader(bench.ring)) as reader:
        Square(period_s=0.5, duty=0.5).start(plant, [0])
        follow(bench, plant, 20)
        records = reader.drain()
        truth_w = plant.energy_true_j(0) / plant.time_s
    samples = [(time_ns, value) for time_ns, value, _, channel, _, _ in records if channel == Channel.POWER_SAMPLE_MW]
    counted = {status for _, _, _, channel, status, _ in records if channel == Channel.ENERGY_MJ}
    assert counted == {Status.NOT_SUPPORTED}
    assert len(samples) == pytest.approx(20 / 0.0167, rel=0.1)
    times = [time_ns for time_ns, _ in samples]
    assert times == sorted(set(times))
    assert sum(value for _, value in samples) / len(samples) / 1000 == pytest.approx(truth_w, rel=0.1)


# ---- texts that somebody else writes ---------------------------------------------------------------------------------


def held_text(bench: Bench, tmp_path: Path, text: str, policy: str = "respect") -> Path:
    """An attribute that is held at a text."""
    path = tmp_path / "s"
    path.write_text("1")
    bench.loop.on_foreign(policy)
    bench.loop.add_settings([str(path)])
    bench.hold(text)
    bench.step(10)
    assert path.read_text() == text
    return path


def fate(bench: Bench) -> tuple[Any, ...]:
    """Times, to what, from what, and what became of it."""
    count, _, value, before, what = bench.loop.foreign_texts()[0]
    return count, value, before, what


@pytest.mark.parametrize("text", ["3000000", "1000000", "performance"])
def test_a_text_that_somebody_else_writes_is_respected_until_it_is_moved_back(
    bench: Bench, tmp_path: Path, text: str
) -> None:
    path = held_text(bench, tmp_path, "2000000")
    path.write_text(text)
    bench.step(30)
    assert (path.read_text(), fate(bench)) == (text, (1, text, "2000000", "stands"))
    bench.hold("1500000")
    bench.step(30)
    assert path.read_text() == text
    path.write_text("2000000")
    bench.step(40)
    assert (path.read_text(), fate(bench)) == ("1500000", (1, text, "2000000", "moved back"))


def test_a_ceiling_that_the_kernel_lowers_is_not_taken_for_somebody_elses(bench: Bench, tmp_path: Path) -> None:
    path = held_text(bench, tmp_path, "2000000")
    for _ in range(80):  # whatever is written, the kernel makes this of it for now, and at once
        path.write_text("1200000")
        bench.step()
    assert bench.loop.foreign_texts() == {}
    assert bench.loop.settings()[0][0] == "1200000"


def test_a_text_is_ours_again_when_it_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    path = held_text(bench, tmp_path, "2000000")
    path.write_text("3000000")
    bench.step(30)
    bench.loop.take_back([], True)
    bench.step(2)
    assert (path.read_text(), fate(bench)[3]) == ("2000000", "taken back")


def test_a_reported_text_stands_until_our_own_wish_is_another_one(bench: Bench, tmp_path: Path) -> None:
    path = held_text(bench, tmp_path, "2000000", "report")
    path.write_text("3000000")
    bench.step(50)
    assert (path.read_text(), fate(bench)[3]) == ("3000000", "stands")
    bench.hold("1900000")
    bench.step(3)
    assert (path.read_text(), fate(bench)[3]) == ("1900000", "taken back")


def test_a_text_that_was_left_to_somebody_else_before_the_loop_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("3000000")
    bench.loop.on_foreign("respect")
    bench.loop.add_settings([str(path)])
    bench.loop.let_text_stand(0, "3000000")
    bench.hold("2000000")
    bench.step(50)
    assert (path.read_text(), fate(bench)) == ("3000000", (0, "3000000", None, "stands"))
    path.write_text("2500000")
    bench.step(30)
    assert fate(bench) == (1, "2500000", None, "stands")
