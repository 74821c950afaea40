"""That the benchmarks run. What they measure is theirs; no time is asserted here."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import budget, firstlight, hindsight, plant
from benchmarks.efficiency import loads, quick, sources
from benchmarks.efficiency import oracle as efficiency_oracle
from benchmarks.envelope import demand, oracle, share
from benchmarks.serving import __main__ as serving
from benchmarks.serving import oracle as known_loads
from benchmarks.serving.scene import work_of
from benchmarks.work import Work, between, merged
from eagent.agent.progressing import Progressing
from eagent.config import Config
from eagent.model import Progress, ProgressSource
from eagent.sim.trace import assign, generate, scale_rate, zipf_weights


def test_the_budget_benchmark_serves_all_requests_and_gives_its_figures(tmp_path: Path) -> None:
    figures = budget._compare(tmp_path, generate(5.0, seed=1), skew=0.7)
    assert [figure.figure for figure in figures] == [
        "skew 0.7: p99 latency / static",
        "skew 0.7: energy per request / static",
    ]
    assert all(figure.value > 0 and set(figure.peers) == {"eagent", "static", "unlimited"} for figure in figures)


@pytest.fixture
def minute() -> Work:
    """A minute of the load that is benchmarked: 56 requests."""
    trace = scale_rate(generate(60.0, seed=1), 0.16, seed=1)
    return Work(trace, assign(trace, zipf_weights(firstlight.GPUS, firstlight.SKEW), seed=1))


@pytest.mark.usefixtures("fuse")
def test_a_minute_of_firstlight_saves_most_of_what_hindsight_does_for_little_latency(minute: Work) -> None:
    figures = {figure.figure: figure for figure in firstlight.compare(minute)}
    assert figures["energy saved / best in hindsight"].value > 0.6
    assert figures["p99 latency / without"].holds
    assert figures["requests answered / without"].holds
    alone = [figures[f"{knob} alone: saved / best in hindsight"].value for knob in ("idle GPU ceilings", "CPU ceiling")]
    assert min(alone) > 0.2
    assert sum(alone) == pytest.approx(figures["energy saved / best in hindsight"].value, rel=0.1)


@pytest.mark.usefixtures("fuse")
def test_a_host_on_which_eagent_only_observes_saves_nothing(minute: Work) -> None:
    free = hindsight.play(minute, firstlight.SEED)
    observed = firstlight._governed("observing", Config(), minute)
    assert observed.energy_j == pytest.approx(free.energy_j, rel=1e-9)
    assert observed.latency == free.latency


def test_hindsight_lowers_a_clock_only_in_gaps_and_writes_at_most_once_a_second(minute: Work) -> None:
    free = hindsight.play(minute, firstlight.SEED)
    came = hindsight.play(minute, firstlight.SEED, events=hindsight.idle_gpus(free, minute))
    assert came.latency.p99_s == pytest.approx(free.latency.p99_s, rel=1e-3)
    assert came.gpu_j < 0.97 * free.gpu_j
    for spans in free.busy:
        lows = hindsight._writable(between(spans, 0.0, minute.end_s), minute.end_s)
        writes = [at_s for low in lows for at_s in low]
        assert all(b - a >= 1 for a, b in pairwise(writes))
        assert not any(down_s < end_s and begin_s < up_s for down_s, up_s in lows for begin_s, end_s in spans)


def test_spans_that_touch_are_one_and_what_lies_between_them_is_not_work() -> None:
    spans = merged([(5.0, 6.0), (1.0, 3.0), (2.0, 4.0), (6.0, 7.0)])
    assert spans == ((1.0, 4.0), (5.0, 7.0))
    assert between(spans, 0.0, 9.0) == ((0.0, 1.0), (4.0, 5.0), (7.0, 9.0))
    assert between(spans, 1.0, 7.0) == ((4.0, 5.0),)


def test_the_plants_benchmark_gives_a_speed_for_each_way_through_time_and_the_coarse_steps_error() -> None:
    figures = [*plant.plant(0.5), *plant.governed(1.0), *plant.fleet(hosts=10)]
    assert [figure.goal for figure in figures] == [">= 5000", ">= 200", ">= 2000"]
    assert all(figure.value > 0 for figure in figures)
    assert [set(figure.peers) for figure in figures] == [{"unread", "by Host.view"}, {"writes"}, {"steps of 10 s"}]
    assert figures[1].peers["writes"] > plant.GPUS  # the policies did govern
    steady, stepping, bursts = plant.accuracy()
    assert max(steady.value, stepping.value) < 0.5
    assert bursts.value < 5


MOST_W = 0.6 * 8 * 700


def test_a_demand_that_wanders_stays_below_its_most_and_is_the_same_for_one_seed() -> None:
    course = list(demand.wander(3, 600, MOST_W, (20, 120)))
    assert course == list(demand.wander(3, 600, MOST_W, (20, 120)))
    assert course != list(demand.wander(4, 600, MOST_W, (20, 120)))
    sums_w = [demand.demand_w(piece.names) for piece in course]
    assert max(sums_w) <= MOST_W
    assert max(sums_w) > share.ENVELOPE_W  # else there would be nothing to share
    assert all(a.at_s < b.at_s for a, b in pairwise(course))


def test_the_oracle_gives_watts_to_whom_they_do_the_most_good() -> None:
    steps = range(oracle.LEAST_W, oracle.MOST_W + 1, oracle.LOT_W)
    speeds = {"hungry": [1 - 0.5 * (700 - w) / 500 for w in steps], "modest": [min(1.0, w / 300) for w in steps]}
    assert oracle.split(["hungry", "modest", None], 700, speeds) == [200, 300, 200]
    assert oracle.split(["hungry", "modest", None], 1000, speeds) == [500, 300, 200]
    assert oracle.split([None, None], 1000, speeds) == [200, 200]


def test_a_limit_that_rises_and_falls_within_a_second_is_a_rise() -> None:
    log = [(1.0, 0, 700.0, 200.0, 9), (2.0, 0, 200.0, 300.0, 9), (2.9, 1, 200.0, 250.0, 9), (3.1, 0, 300.0, 350.0, 9)]
    assert share.greatest_rise_w(log, 1.5) == 150


def test_the_envelope_benchmark_counts_work_and_writes_of_a_governed_host(tmp_path: Path) -> None:
    pieces = [demand.Piece(0.0, ("gemm", "light", *[None] * 6)), demand.Piece(30.0, ("light", "gemm", *[None] * 6))]
    course = share.governed(tmp_path, "course", 1, pieces, 60.0)
    assert 90 < course.work_s < 120
    assert course.over_s == 0
    assert len(course.write_shares) == 1
    assert 0 < course.write_shares[0] <= 0.01
    equal = share.split(tmp_path, "equal", 1, pieces, 60.0, None)
    assert equal.writes == 0
    assert course.work_s > equal.work_s


def test_the_efficiency_benchmark_plays_a_job_below_what_its_oracle_knows() -> None:
    job = next(job for job in loads.read() if job.name == "babelstream")
    (known,) = efficiency_oracle.know([job], 120.0)
    (run,) = quick.play([job], bound=0.1, seed=1, seconds=120.0)
    slowdown, saved = known.work_s / run.last.work_s - 1, 1 - run.last.joules / run.last.work_s / known.joules
    assert slowdown <= 0.1
    assert 0.05 < saved < known.best(0.1)


@pytest.mark.parametrize("source", list(ProgressSource))
def test_a_job_of_the_efficiency_benchmark_is_known_by_each_source_alone(
    source: ProgressSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []
    look = Progressing.look

    def looked(self: Progressing, now_ns: int) -> tuple[Progress, ...]:
        seen.extend(told := look(self, now_ns))
        return told

    monkeypatch.setattr(Progressing, "look", looked)
    job = next(job for job in loads.read() if job.name == "resnet50 imagenet 256 adadelta")
    (end,) = sources.play(source, [job], 1, 45.0)
    assert {each.source for each in seen} == {source}
    first, last = seen[0], seen[-1]
    steps_per_s = (last.units - first.units) / (last.at_ns - first.at_ns) * 1e9
    assert steps_per_s == pytest.approx(end.work_s / end.at_s / job.step_s, rel=0.08)


@pytest.mark.usefixtures("fuse")
def test_minutes_of_serving_keep_their_goals_and_save_less_than_hindsight_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_loads, "STEP_MHZ", 185)
    work = work_of(generate(185.0, seed=1))
    known = known_loads.search(work)
    assert known.outcome.kept >= known.free.kept
    assert known.outcome.energy_j < known.free.energy_j
    eagent = serving.governed(work)
    assert eagent.minutes.keys() == known.free.minutes.keys()
    figures = {figure.figure: figure for figure in serving.figures(eagent, known)}
    assert figures["goals kept where full clocks keep them"].value >= 0.8
    assert 0 < figures["energy saved / best clock per load in hindsight"].value < 1
