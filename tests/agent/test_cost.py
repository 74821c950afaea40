"""Shares of the last minute from counters that a test plays, a beat at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.cost import SUBJECTS, WINDOW_NS, Costs
from eagent.model import Status

SECOND_NS = 1_000_000_000
MS = 1_000_000
COUNTERS = (
    *("steps", "missed", "lateness_max_ns", "read_ns", "write_ns", "cpu_ns", "reads", "writes", "read_errors"),
    *("write_errors", "refreshes", "refreshes_missed", "refreshes_shed"),
)


class Loop:
    """A loop that started at one second and beats when a test says so."""

    def __init__(self, costs: Costs | None = None, started_ns: int = SECOND_NS) -> None:
        self.costs = costs or Costs()
        self.now_ns = started_ns
        self.stats: Any = {**dict.fromkeys(COUNTERS, 0), "started_ns": started_ns, "shed_since_ns": 0}
        self.stats |= {"heartbeat_ns": 0, "lateness": [0] * 20}

    def beat(self, seconds: float, late: dict[int, int] | None = None, **more: int) -> None:
        """Let time pass, in which the counters go up by `more`, and tell."""
        self.now_ns += int(seconds * SECOND_NS)
        counted = {name: self.stats[name] + count for name, count in more.items()}
        lateness = [count + (late or {}).get(place, 0) for place, count in enumerate(self.stats["lateness"])]
        self.stats = {**self.stats, **counted, "heartbeat_ns": self.now_ns, "lateness": lateness}
        self.costs.note(self.stats)

    def run(self, seconds: int, **each: int) -> None:
        """A beat a second."""
        for _ in range(seconds):
            self.beat(1, **each)

    @property
    def problems(self) -> dict[str, str]:
        found = self.costs.problems(self.now_ns)
        assert tuple(found) == SUBJECTS
        return {subject: problem for subject, problem in found.items() if problem is not None}


@pytest.fixture
def loop() -> Loop:
    loop = Loop()
    loop.beat(0.001)
    return loop


def test_before_the_first_beat_and_the_second_nothing_is_known() -> None:
    costs = Costs()
    costs.note(None)
    shares = costs.read_share, costs.write_share, costs.unseen_share, costs.shed_share, costs.lateness
    assert [share(SECOND_NS).status for share in shares] == [Status.MISSING] * 5
    loop = Loop(costs)
    loop.costs.note(loop.stats)  # a ring whose loop has not turned yet
    loop.beat(1, read_ns=5 * MS)
    assert [share(loop.now_ns).status for share in shares] == [Status.MISSING] * 5
    assert loop.problems == {}


def test_reads_and_writes_have_each_their_share_of_what_has_passed(loop: Loop) -> None:
    loop.run(10, read_ns=6 * MS, write_ns=1 * MS)
    read, write = loop.costs.read_share(loop.now_ns), loop.costs.write_share(loop.now_ns)
    assert (read.value, write.value) == (pytest.approx(0.006), pytest.approx(0.001))
    assert (read.status, read.window_s, read.age_s, read.sensor) == (Status.OK, 10.0, 0.0, "warden's loop")


def test_what_is_older_than_a_minute_counts_no_more(loop: Loop) -> None:
    loop.run(60, read_ns=500 * MS)
    loop.run(60, read_ns=5 * MS)
    read = loop.costs.read_share(loop.now_ns)
    assert (read.value, read.window_s) == (pytest.approx(0.005), 60.0)


@given(st.lists(st.tuples(st.floats(0.01, 20), st.integers(0, 10**9)), min_size=1, max_size=200))
def test_a_share_is_what_was_spent_in_its_window_however_beats_come(beats: list[tuple[float, int]]) -> None:
    loop = Loop()
    loop.beat(0.5)
    spent = [(loop.now_ns, 0)]
    for seconds, read_ns in beats:
        loop.beat(seconds, read_ns=read_ns)
        spent.append((loop.now_ns, spent[-1][1] + read_ns))
    read = loop.costs.read_share(loop.now_ns)
    assert read.value is not None
    window_ns = round(read.window_s * SECOND_NS)
    begin = [total for at_ns, total in spent if abs(at_ns - (loop.now_ns - window_ns)) <= 1]
    assert any(read.value == pytest.approx((spent[-1][1] - total) / window_ns, rel=1e-6, abs=1e-9) for total in begin)
    passed_ns = loop.now_ns - spent[0][0]
    longest_ns = max(int(seconds * SECOND_NS) for seconds, _ in beats)
    assert min(passed_ns, WINDOW_NS) - 1 <= window_ns <= min(passed_ns, WINDOW_NS + longest_ns + SECOND_NS) + 1


def test_asking_often_keeps_no_more_looks_than_a_minute_has_seconds(loop: Loop) -> None:
    for _ in range(20_000):
        loop.beat(0.01, read_ns=MS // 20)
    assert len(loop.costs._looks) <= 65
    assert loop.costs.read_share(loop.now_ns).value == pytest.approx(0.005)


def test_a_loop_that_is_silent_has_no_share_of_now(loop: Loop) -> None:
    loop.run(60, read_ns=50 * MS)
    assert loop.problems
    loop.now_ns += 4 * SECOND_NS
    read = loop.costs.read_share(loop.now_ns)
    assert (read.value, read.status, read.age_s) == (None, Status.STALE, 4.0)
    assert loop.problems == {}, "that it is silent is another alarm"


def test_a_new_wardens_counters_begin_anew_and_are_no_negative_share(loop: Loop) -> None:
    loop.run(60, read_ns=50 * MS)
    new = Loop(loop.costs, started_ns=loop.now_ns)
    new.beat(1, read_ns=1 * MS)
    assert new.costs.read_share(new.now_ns).status is Status.MISSING
    new.beat(1, read_ns=2 * MS)
    assert new.costs.read_share(new.now_ns).value == pytest.approx(0.002)


def test_publications_unseen_and_passed_over_are_told_apart(loop: Loop) -> None:
    loop.run(60, refreshes=90, refreshes_missed=10, refreshes_shed=8)
    assert loop.costs.unseen_share(loop.now_ns).value == pytest.approx(0.02)
    assert loop.costs.shed_share(loop.now_ns).value == pytest.approx(0.08)


def test_where_no_gpu_is_busy_no_share_of_publications_is_known(loop: Loop) -> None:
    loop.run(60)
    assert loop.costs.unseen_share(loop.now_ns).status is Status.MISSING
    assert loop.costs.read_share(loop.now_ns).value == 0.0


def test_lateness_is_the_bound_below_which_99_in_100_wake_ups_were(loop: Loop) -> None:
    loop.beat(1, late={3: 1000})  # the first second, which leaves the minute
    loop.run(60)
    loop.beat(1, late={6: 900, 8: 90, 10: 10})
    late = loop.costs.lateness(loop.now_ns)
    assert (late.value, late.status) == (256e-6, Status.OK)
    loop.beat(1, late={19: 1})
    assert loop.costs.lateness(loop.now_ns).value == 1024e-6


def test_wake_ups_later_than_the_last_bound_have_no_bound(loop: Loop) -> None:
    loop.beat(1, late={19: 1})
    late = loop.costs.lateness(loop.now_ns)
    assert (late.value, late.status) == (None, Status.MISSING)


# --- Alarms ---


def test_an_ordinary_minute_is_no_alarm(loop: Loop) -> None:
    loop.run(
        90, read_ns=9 * MS, write_ns=1 * MS, refreshes=200, refreshes_missed=1, refreshes_shed=0, steps=300, missed=20
    )
    assert loop.problems == {}


@pytest.mark.parametrize(("counter", "doing"), [("read_ns", "reading"), ("write_ns", "writing")])
def test_more_than_its_share_of_a_minute_is_an_alarm_until_it_is_less(loop: Loop, counter: str, doing: str) -> None:
    loop.run(54, **{counter: 12 * MS})
    assert loop.problems == {}, "a budget of a minute is not judged by less"
    loop.run(2, **{counter: 12 * MS})
    subject = f"{counter.removesuffix('_ns')} cost"
    assert loop.problems == {
        subject: f"{doing} took 1.2% of the driver's time in the last minute: more than 1%",
    }
    loop.run(30, **{counter: 4 * MS})
    assert loop.problems == {}


def test_shedding_is_an_alarm_with_its_measure_and_gone_when_it_ends(loop: Loop) -> None:
    loop.run(30, refreshes=80)
    loop.stats = {**loop.stats, "shed_since_ns": loop.now_ns}
    loop.beat(0.5)
    line = "reading takes too much of the driver's time"
    assert loop.problems == {"shedding": f"{line}: not every publication of the power sensors is read"}
    loop.run(10, refreshes=20, refreshes_missed=60, refreshes_shed=60)
    assert loop.problems == {"shedding": f"{line}: of the power sensors' publications 75% are passed over"}
    loop.stats = {**loop.stats, "shed_since_ns": 0}
    loop.beat(1, refreshes=80)
    assert loop.problems == {}


def test_shedding_that_began_more_than_a_minute_ago_is_measured_by_the_minute(loop: Loop) -> None:
    loop.stats = {**loop.stats, "shed_since_ns": loop.now_ns}
    loop.run(100, refreshes=20, refreshes_missed=180, refreshes_shed=180)
    loop.run(61, refreshes=50, refreshes_missed=50, refreshes_shed=50)
    assert "publications 50% are passed over" in loop.problems["shedding"]


def test_publications_missed_without_shedding_are_an_alarm_above_one_in_a_hundred(loop: Loop) -> None:
    loop.run(60, refreshes=99, refreshes_missed=1)
    assert loop.problems == {}
    loop.run(60, refreshes=97, refreshes_missed=3)
    assert loop.problems == {
        "unseen refreshes": "3.0% of the power sensors' publications passed unseen in the last minute: the loop wakes "
        "late, or the driver is slow"
    }
    loop.run(60, refreshes=20, refreshes_missed=80, refreshes_shed=80)
    assert loop.problems == {}


def test_a_few_unseen_publications_of_few_are_no_alarm(loop: Loop) -> None:
    loop.beat(1, refreshes=30, refreshes_missed=9)
    loop.run(59)
    assert loop.problems == {}


def test_a_loop_that_ends_its_turns_late_for_a_minute_is_an_alarm(loop: Loop) -> None:
    loop.run(60, steps=200, missed=50)
    assert loop.problems == {
        "late loop": "the warden's loop runs late: 25% of its turns in the last minute ended after the next was due: "
        "the driver is slow, or the loop's CPU is taken"
    }
    loop.run(30, steps=200)
    assert loop.problems == {}
