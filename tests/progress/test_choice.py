"""Which source a job is told by, and when none is."""

from eagent.model import Latencies, ProgressSource
from eagent.progress.beats import Said
from eagent.progress.choice import OUT_NS, SILENT_NS, Choice, Shown
from eagent.progress.jobs import Job

S = 1_000_000_000
ONE = Job((1000, 50, 5), "1000 train", frozenset({"GPU-0", "GPU-1"}))
WAITS = Latencies("first token", (1.0,), (3,))


def test_beats_come_before_a_counter_and_a_counter_before_a_rhythm() -> None:
    choice = Choice()
    said = {ONE.key: Said(7.0, S, "image", "resnet")}
    counted, period = {ONE.key: Shown(30.0, S, "token", (WAITS,))}, {ONE.key: Shown(2.5, S, "repeat")}
    (told,) = choice.choose([ONE], said, counted, period, S)
    assert (told.source, told.units, told.unit, told.job) == (ProgressSource.BEATS, 7.0, "image", "1000 resnet")
    (told,) = choice.choose([ONE], {}, counted, period, 2 * S)
    assert (told.source, told.units, told.latencies, told.job) == (ProgressSource.COUNTER, 30.0, (WAITS,), "1000 train")
    (told,) = choice.choose([ONE], {}, {}, period, 3 * S)
    assert (told.source, told.unit, told.uuids) == (ProgressSource.PERIOD, "repeat", ONE.uuids)
    assert choice.choose([ONE], {}, {}, {}, 4 * S) == ()
    assert (choice.rows[0].source, choice.rows[0].why) == (None, "it says nothing, and shows no rhythm")


def test_a_source_that_falls_silent_gives_way_and_says_so() -> None:
    choice, counted = Choice(), {ONE.key: Shown(30.0, S, "token")}
    period = {ONE.key: Shown(2.5, S + OUT_NS, "repeat")}
    (told,) = choice.choose([ONE], {}, counted, period, S + OUT_NS)
    assert told.source is ProgressSource.COUNTER
    (told,) = choice.choose([ONE], {}, counted, period, S + OUT_NS + 1)
    assert told.source is ProgressSource.PERIOD
    assert choice.rows[0].why == "counter: silent"
    assert choice.choose([ONE], {ONE.key: Said(7.0, S, "step", "")}, {}, {}, S + SILENT_NS)
    assert not choice.choose([ONE], {ONE.key: Said(7.0, S, "step", "")}, {}, {}, S + SILENT_NS + 1)


def test_why_there_is_nothing_is_told_of_each_source() -> None:
    choice = Choice()
    choice.choose([ONE], {}, {ONE.key: Shown(why="refused")}, {ONE.key: Shown(why="nothing repeats")}, S)
    assert choice.rows[0].why == "counter: refused; period: nothing repeats"


def test_a_job_beside_one_of_which_nothing_is_known_is_shown_but_not_told() -> None:
    loud = Job((1000, 50, 5), "loud", frozenset({"GPU-0", "GPU-1"}), frozenset({"GPU-0"}))
    dark = Job((2000, 60, 6), "dark", frozenset({"GPU-0"}), frozenset({"GPU-0"}))
    said = {loud.key: Said(7.0, S, "step", "")}
    choice = Choice()
    assert choice.choose([loud, dark], said, {}, {}, S) == ()
    assert choice.rows[0].units == 7.0
    assert "nothing is known" in choice.rows[0].why
    both = {**said, dark.key: Said(1.0, S, "step", "")}
    assert [told.job for told in choice.choose([loud, dark], both, {}, {}, S)] == ["loud", "dark"]


def test_the_rate_is_that_of_the_last_ten_seconds_whatever_the_turns() -> None:
    choice = Choice()
    for turn in range(400):
        now_ns = turn * S // 4
        rate = 8.0 if now_ns < 50 * S else 4.0
        units = rate * now_ns / S if now_ns < 50 * S else 400 + rate * (now_ns - 50 * S) / S
        choice.choose([ONE], {ONE.key: Said(units, now_ns, "step", "")}, {}, {}, now_ns)
        if now_ns == 40 * S:
            assert choice.rows[0].rate_per_s == 8.0
    assert choice.rows[0].rate_per_s == 4.0
    assert len(choice._followed[ONE.key].marks) <= 64


def test_a_counter_that_stands_still_but_answers_is_not_silent() -> None:
    choice = Choice()
    for second in range(30):
        shown = Shown(30.0, S, "step", heard_ns=(1 + second) * S)
        (told,) = choice.choose([ONE], {}, {ONE.key: shown}, {}, (2 + second) * S)
        assert (told.source, told.at_ns) == (ProgressSource.COUNTER, S)
