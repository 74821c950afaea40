"""What repeats in a GPU's power: counted precisely, followed when it changes, and never made up."""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator

import pytest

from eagent.model import Channel, Status
from eagent.progress.choice import Choice, Shown
from eagent.progress.jobs import Job
from eagent.progress.period import Periods

S = 1_000_000_000
UUIDS = ("GPU-0",)
Step = Callable[[float, random.Random], float]  # how long the step takes that begins at a time


class Plant:
    """Steps that draw 300 W, with a dip to 120 W in the last part of each; and a sensor that looks at a quarter."""

    def __init__(
        self,
        step_s: Step,
        seconds: float,
        *,
        dip: float = 0.08,
        seed: int = 1,
        noise_w: float = 3.0,
        alternates: Callable[[float], bool] = lambda _: False,
    ) -> None:
        self.random = random.Random(seed)
        self.seconds = seconds
        self.noise_w = noise_w
        self.starts, at_s = [], 0.0
        self.edges: list[tuple[float, float]] = []  # time and watts from then on
        while at_s < seconds + 20:
            took_s = step_s(at_s, self.random)
            self.starts.append(at_s)
            is_shallow = alternates(at_s) and len(self.starts) % 2  # each second step waits less
            self.edges += [(at_s, 300.0), (at_s + (1 - dip) * took_s, 280.0 if is_shallow else 120.0)]
            at_s += took_s
        self._times = [time_s for time_s, _ in self.edges]
        self._joules = [0.0]
        for (begin_s, watts), (end_s, _) in zip(self.edges, self.edges[1:], strict=False):
            self._joules.append(self._joules[-1] + watts * (end_s - begin_s))

    def joules(self, at_s: float) -> float:
        place = bisect_right(self._times, at_s) - 1
        return self._joules[place] + self.edges[place][1] * (at_s - self._times[place])

    def steps(self, at_s: float) -> float:
        place = bisect_right(self.starts, at_s) - 1
        begin_s, end_s = self.starts[place : place + 2]
        return place + (at_s - begin_s) / (end_s - begin_s)

    def records(self, clock_mhz: Callable[[float], float] = lambda _: 1410.0) -> Iterator[tuple[int, ...]]:
        for number in range(1, int(self.seconds * 10)):
            at_s = (number + self.random.uniform(-0.01, 0.01)) * 0.1
            look_ns = int((at_s + 0.003) * S)
            watts = (self.joules(at_s) - self.joules(at_s - 0.025)) / 0.025 + self.random.gauss(0, self.noise_w)
            age_ns = look_ns - int(at_s * S)
            yield look_ns, int(self.joules(at_s) * 1e3), 0, Channel.ENERGY_MJ, Status.OK, age_ns
            yield look_ns, int(watts * 1e3), 0, Channel.POWER_INSTANT_MW, Status.OK, age_ns
            if number % 3 == 0:
                yield look_ns, int(clock_mhz(at_s)), 0, Channel.SM_CLOCK_MHZ, Status.OK, age_ns


def followed(
    plant: Plant, clock_mhz: Callable[[float], float] = lambda _: 1410.0, dark_s: tuple[float, float] = (0.0, 0.0)
) -> list[tuple[float, Shown]]:
    """What was shown, each quarter of a second; in between its power is not known."""
    periods, shown, due_ns = Periods(), [], 0
    periods.bind(UUIDS)
    periods.keep(UUIDS)
    for record in plant.records(clock_mhz):
        if dark_s[0] <= record[0] / S < dark_s[1]:
            continue
        periods.add([record])  # type: ignore[list-item]
        if record[0] >= due_ns:
            shown.append((record[0] / S, periods.shown(frozenset(UUIDS), record[0])))
            due_ns = record[0] + S // 4
    return shown


def ratio(plant: Plant, shown: list[tuple[float, Shown]], begin_s: float, end_s: float) -> float:
    """Units for each true step, between the first and the last that are of this time."""
    within = [each for _, each in shown if not each.why and begin_s <= each.at_ns / S <= end_s]
    assert len(within) > 4, [each.why for _, each in shown][-1]
    first, last = within[0], within[-1]
    return (last.units - first.units) / (plant.steps(last.at_ns / S) - plant.steps(first.at_ns / S))


@pytest.mark.parametrize("step_s", [0.53, 0.83, 1.0, 1.9, 4.0])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_a_minute_of_steps_is_counted_to_well_below_a_percent(step_s: float, jitter: float) -> None:
    plant = Plant(lambda _, chance: step_s * chance.uniform(1 - jitter, 1 + jitter), 190)
    shown = followed(plant)
    one = ratio(plant, shown, 55, 115)
    another = ratio(plant, shown, 115, 175)
    assert another == pytest.approx(one, rel=0.006)
    units = [each.units for _, each in shown]
    assert units == sorted(units)


@pytest.mark.parametrize("factor", [1.05, 1.25])
def test_a_step_that_takes_longer_at_a_lower_clock_is_followed_within_seconds(factor: float) -> None:
    plant = Plant(lambda at_s, _: 0.8 * (factor if at_s >= 60 else 1.0), 140)
    shown = followed(plant, lambda at_s: 1410.0 if at_s < 60 else 1080.0)
    before = ratio(plant, shown, 25, 60)
    assert ratio(plant, shown, 60.5, 130) == pytest.approx(before, rel=0.004)
    again_s = next(now_s for now_s, each in shown if each.at_ns > 60 * S)
    assert again_s <= 60 + 6
    rates = [each for now_s, each in shown if now_s > 66]
    seen = (rates[40].units - rates[0].units) / (rates[40].at_ns - rates[0].at_ns)
    earlier = [each for now_s, each in shown if 40 < now_s < 60]
    assert seen / ((earlier[-1].units - earlier[0].units) / (earlier[-1].at_ns - earlier[0].at_ns)) == pytest.approx(
        1 / factor, rel=0.02
    )


@pytest.mark.parametrize(
    "step_s",
    [
        lambda _, chance: 0.2 + chance.expovariate(1.0),  # requests that come when they come
        lambda _, chance: chance.lognormvariate(0.0, 0.5),
        lambda *_: 1e4,
    ],
    ids=["poisson", "mixture", "steady"],
)
@pytest.mark.parametrize("seed", range(8))
def test_what_does_not_repeat_has_no_period(step_s: Step, seed: int) -> None:
    shown = followed(Plant(step_s, 240, dip=0.3, seed=seed, noise_w=15.0))
    assert [each for _, each in shown if not each.why] == []
    assert shown[-1][1].why


@pytest.mark.parametrize("step_s", [0.0925, 0.107, 0.126, 0.045])
def test_what_is_faster_than_the_sensor_looks_has_no_period(step_s: float) -> None:
    shown = followed(Plant(lambda *_: step_s, 120, dip=0.4))
    assert [each for _, each in shown if not each.why] == []


def test_what_gets_faster_at_a_lower_clock_is_not_taken_for_work() -> None:
    plant = Plant(lambda at_s, _: 0.8 / (1.04 if at_s >= 80 else 1.0), 200)
    shown = followed(plant, lambda at_s: 1410.0 if at_s < 80 else 1080.0)
    assert not next(each for now_s, each in shown if now_s > 70).why
    assert "it is not its work" in shown[-1][1].why


def test_a_job_that_stops_repeating_is_told_to_show_nothing() -> None:
    shown = followed(Plant(lambda at_s, _: 0.8 if at_s < 60 else 1e4, 140))
    assert not next(each for now_s, each in shown if now_s > 50).why
    assert shown[-1][1].why


def test_units_stand_still_while_the_power_is_not_known() -> None:
    plant, periods = Plant(lambda *_: 0.8, 60), Periods()
    periods.bind(UUIDS)
    periods.keep(UUIDS)
    for record in plant.records():
        if record[0] < 40 * S:
            periods.add([record])  # type: ignore[list-item]
        periods.shown(frozenset(UUIDS), record[0])
    last = periods.shown(frozenset(UUIDS), 60 * S)
    assert last.at_ns < 40 * S
    assert math.isfinite(last.units)


def test_a_rhythm_that_is_found_again_at_twice_or_half_of_it_has_the_pace_that_it_had() -> None:
    for alternates in (lambda at_s: at_s < 80.0, lambda at_s: at_s >= 80.0):
        plant = Plant(lambda *_: 0.9, 220, alternates=alternates)
        shown = followed(plant, dark_s=(75.0, 90.0))
        before = ratio(plant, shown, 35, 70)
        assert ratio(plant, shown, 130, 210) == pytest.approx(before, rel=0.01)
        assert {each.unit for _, each in shown if not each.why} == {"repeat"}


def test_a_rhythm_that_is_found_again_and_is_no_multiple_is_another_unit() -> None:
    plant = Plant(lambda at_s, _: 0.9 if at_s < 80 else 0.6, 200)
    shown = followed(plant, dark_s=(75.0, 90.0))
    units = [(each.unit, each.units) for _, each in shown if not each.why]
    assert list(dict.fromkeys(unit for unit, _ in units)) == ["repeat", "repeat 2"]
    assert [count for _, count in units] == sorted(count for _, count in units)


def test_a_clock_that_a_power_limit_holds_down_in_a_part_of_each_step_does_not_change() -> None:
    for step_s in (0.7, 2.3):
        plant = Plant(lambda *_: step_s, 150, dip=0.2)  # noqa: B023

        def clock_mhz(at_s: float) -> float:
            is_waiting = plant.steps(at_s) % 1 > 0.8  # noqa: B023
            return 1380.0 if is_waiting else 1162.0 + 12 * math.sin(at_s)

        shown = followed(plant, clock_mhz)
        assert ratio(plant, shown, 80, 140) == pytest.approx(ratio(plant, shown, 40, 80), rel=0.01)


def test_a_step_of_seconds_is_told_all_the_time() -> None:
    plant, choice = Plant(lambda *_: 3.1, 240), Choice()
    job = Job((1, 2, 3), "train", frozenset(UUIDS))
    told = [choice.choose([job], {}, {}, {job.key: each}, int(now_s * S)) for now_s, each in followed(plant)]
    first = next(place for place, each in enumerate(told) if each)
    assert all(told[first:])
