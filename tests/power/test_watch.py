from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.config import Watching
from eagent.engines.power.wishes import SECOND_NS
from eagent.mesh.epoch import Stage
from eagent.mesh.records import Held, Power
from eagent.mesh.table import Member
from eagent.power import watch
from eagent.power.watch import View
from tests.power.site import NOW_NS, RESERVE_MW, standing, table, told, view, yielded

RACK = table()
WATCHING = Watching()


def after(seen: View, seconds: float) -> View:
    return replace(seen, now_ns=seen.now_ns + round(seconds * SECOND_NS))


def aged(held: Held, age_s: float) -> Held:
    return replace(held, born_ns=NOW_NS - round(age_s * SECOND_NS))


# Consent


def test_a_host_that_has_yielded_and_bears_it_out_consents_while_its_record_is_fresh() -> None:
    seen = view(RACK, yielded("n1", RACK), told("n2"))
    assert watch.why_not_asleep(seen, "n1", WATCHING) is None
    given_one = watch.consent(seen, "n1", 60.0, WATCHING)
    assert given_one is not None
    assert (given_one.host, given_one.life, given_one.lacks()) == ("n1", "n1life", None)
    assert given_one.given_ns == NOW_NS - 3 * SECOND_NS
    assert given_one.until_ns == NOW_NS + (15 - 3 + 60) * SECOND_NS


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (told("n1", standing("n1", RACK)), "it says that it is awake"),
        (told("n1", standing("n1", RACK), power=Power.YIELDING), "it says that it is yielding"),
        (yielded("n1", RACK, busy=1), "1 of its devices are busy"),
        (yielded("n1", RACK, age_s=15.1), "its record is 15 s old: more than 15 s is no consent"),
        (told("n1", standing("n1", RACK, duty=2), power=Power.YIELDED), "it holds 2 duty tokens"),
        (
            told("n1", standing("n1", RACK, rights_mw=RESERVE_MW + 5000), power=Power.YIELDED),
            "it holds 5000 mW above its reserve in rack",
        ),
        (
            told("n1", standing("n1", RACK, stage=Stage.SEALED), power=Power.YIELDED),
            "it is not in the open epoch of table rack 1",
        ),
        (
            told("n1", standing("n1", table(epoch=2)), power=Power.YIELDED),
            "it is not in the open epoch of table rack 1",
        ),
        (
            told("n1", standing("n1", RACK, table="another"), power=Power.YIELDED),
            "it is not in the open epoch of table rack 1",
        ),
        (told("n1", power=Power.YIELDED), "it is not in the open epoch of table rack 1"),
        (
            told("n1", standing("n1", RACK), standing("n1", RACK, domain="hall"), power=Power.YIELDED),
            "it is in hall, whose table is not known here",
        ),
        (yielded("stranger", RACK), "it has not been heard of"),
    ],
)
def test_the_word_of_a_host_that_does_not_bear_it_out_is_no_consent(held: Held, why: str) -> None:
    seen = view(RACK, held, told("n2"))
    assert watch.why_not_yielded(seen, "n1", WATCHING) == why
    assert watch.consent(seen, "n1", 60.0, WATCHING) is None


def test_a_host_in_no_table_that_is_known_does_not_consent() -> None:
    seen = replace(view(RACK, told("n1", power=Power.YIELDED)), tables={})
    assert "it is in no table" in str(watch.why_not_yielded(seen, "n1", WATCHING))


def test_a_host_must_bear_it_out_in_all_of_its_domains() -> None:
    hall = table(domain="hall")
    both = (standing("n1", RACK), standing("n1", hall, rights_mw=RESERVE_MW + 1000))
    seen = replace(view(RACK, told("n1", *both, power=Power.YIELDED)), tables={"rack": RACK, "hall": hall})
    assert watch.why_not_yielded(seen, "n1", WATCHING) == "it holds 1000 mW above its reserve in hall"


def test_only_a_newer_record_takes_a_consent_back() -> None:
    awake = told("n1", standing("n1", RACK))
    seen = view(RACK, awake)
    assert watch.why_withheld(seen, "n1", since_ns=awake.born_ns) is None
    assert watch.why_withheld(seen, "n1", since_ns=awake.born_ns - 1) == "it says that it is awake"
    silent = after(view(RACK, yielded("n1", RACK)), 3600)  # it is shutting down, so it says no more
    assert watch.why_withheld(silent, "n1", since_ns=0) is None


POWERS = st.sampled_from(list(Power))
STAGES = st.sampled_from(list(Stage))


@given(POWERS, STAGES, st.integers(0, 2), st.integers(0, 2), st.floats(0, 40), st.integers(-2, 2), st.booleans())
def test_nobody_is_asleep_without_all_that_consent_needs(
    power: Power, stage: Stage, duty: int, busy: int, age_s: float, above_mw: int, known: bool
) -> None:
    own = standing("n1", RACK, stage=stage, duty=duty, rights_mw=RESERVE_MW + above_mw, table=RACK.digest * known)
    seen = view(RACK, told("n1", own, power=power, busy=busy, age_s=age_s), told("n2"))
    may = watch.why_not_asleep(seen, "n1", WATCHING) is None
    # In the words of the rule, and not of the code.
    born_ns = seen.held["n1"].born_ns
    fresh = NOW_NS - born_ns <= 15 * SECOND_NS
    handed_over = above_mw <= 0 and duty == 0 and busy == 0
    assert may == (power is Power.YIELDED and stage is Stage.OPEN and known and fresh and handed_over)


# Who is needed


@pytest.mark.parametrize(
    ("changed", "rest", "why"),
    [
        ({}, [], "rack would be left with 0 hosts awake: must be 1"),
        ({}, [told("n2", age_s=61)], "rack would be left with 0 hosts awake: must be 1"),
        ({"awake_least": 2}, [told("n2")], "rack would be left with 1 hosts awake: must be 2"),
        ({"spare_devices": 2}, [told("n2", busy=3)], "rack would be left with 1 idle devices: must be 2"),
        ({}, [told("n2", busy=4)], "the others of rack are 100% busy: it would be woken again at once"),
        ({}, [told("other", busy=0)], "rack would be left with 0 hosts awake: must be 1"),
    ],
    ids=["alone", "stale", "least", "spare", "busy", "stranger"],
)
def test_a_host_stays_awake_while_its_domain_needs_it(changed: dict[str, int], rest: list[Held], why: str) -> None:
    seen = view(RACK, yielded("n1", RACK), *rest)
    assert watch.why_not_asleep(seen, "n1", replace(WATCHING, **changed)) == why


def test_who_is_gone_is_not_awake_whatever_it_told_last() -> None:
    seen = view(RACK, yielded("n1", RACK), told("n2"), gone={"n2"})
    assert watch.why_not_asleep(seen, "n1", WATCHING) == "rack would be left with 0 hosts awake: must be 1"


# Wake


def test_a_domain_is_pressed_from_when_most_of_its_devices_are_busy_without_a_break() -> None:
    busy = view(RACK, told("n1", busy=4), told("n2", busy=3))  # 7 of 8: 0.875
    since = watch.pressed({}, busy, WATCHING)
    assert since == {"rack": NOW_NS}
    assert watch.pressed(since, after(busy, 5), WATCHING) == since
    assert watch.wanting(since, [], after(busy, 9.9), WATCHING) == []
    assert watch.wanting(since, [], after(busy, 10), WATCHING) == [RACK]
    idle = view(RACK, told("n1", busy=4), told("n2", busy=2))
    assert watch.pressed(since, idle, WATCHING) == {}


def test_the_work_of_who_is_asleep_or_long_silent_does_not_count() -> None:
    hosts = (told("n1", busy=4), told("n2", busy=0))
    assert watch.pressed({}, view(RACK, *hosts, gone={"n2"}), WATCHING) == {"rack": NOW_NS}
    assert watch.pressed({}, view(RACK, hosts[0], aged(hosts[1], 601)), WATCHING) == {"rack": NOW_NS}
    assert watch.pressed({}, view(RACK, aged(hosts[0], 61), hosts[1]), WATCHING) == {}


def test_a_host_that_falls_silent_is_no_reason_to_wake_another() -> None:
    seen = view(RACK, told("n1", busy=4), told("n2", busy=0, age_s=61))
    assert watch.load(seen, RACK).share == 1.0
    assert watch.pressed({}, seen, WATCHING) == {}
    assert watch.pressed({}, view(RACK, told("n1", age_s=61), told("n2", age_s=61)), WATCHING) == {}


def test_one_sleeper_of_a_domain_is_woken_at_a_time() -> None:
    seen = view(RACK)
    assert watch.wanting({"rack": 0}, ["n3"], seen, WATCHING) == []
    assert watch.wanting({"rack": 0}, ["of another domain"], seen, WATCHING) == [RACK]


def test_a_host_is_back_when_it_speaks_for_itself_again() -> None:
    woken_ns = NOW_NS - 60 * SECOND_NS
    assert not watch.is_back(view(RACK), "n1", woken_ns)
    assert not watch.is_back(view(RACK, told("n1", age_s=61)), "n1", woken_ns)  # from before
    assert watch.is_back(view(RACK, told("n1", age_s=59)), "n1", woken_ns)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.floats(0, 100)), max_size=3),
    st.integers(0, 3),
    st.floats(0.01, 1),
)
def test_more_silence_never_makes_a_domain_pressed(
    hosts: list[tuple[int, int, float]], falls: int, wake_busy: float
) -> None:
    watching = Watching(wake_busy=wake_busy)
    held = [told(f"n{i + 1}", devices=d, busy=b, age_s=age_s) for i, (d, b, age_s) in enumerate(hosts)]
    before = watch.pressed({}, view(RACK, *held), watching)
    fallen = [
        aged(each, 100) if i == falls and each.born_ns >= NOW_NS - 60 * SECOND_NS else each
        for i, each in enumerate(held)
    ]
    assert before or not watch.pressed({}, view(RACK, *fallen), watching) or was_stale(held)


def was_stale(held: list[Held]) -> bool:
    """Whether a busy host that was silent before takes part in what is remembered."""
    return any(each.is_stale(NOW_NS) for each in held)


# Rule 9


def test_a_host_is_powered_on_when_somebody_is_in_the_open_epoch_of_the_newest_table() -> None:
    seen = view(RACK, told("n2", standing("n2", RACK)))
    assert watch.why_not_on(seen, "n1", {"rack": RESERVE_MW}) is None


def newer() -> Held:
    return told("n3", standing("n3", table(epoch=2), stage=Stage.SEALED))


@pytest.mark.parametrize(
    ("held", "reserves_mw", "why"),
    [
        ([], {}, "table rack 1 is not complete yet"),
        ([told("n2", standing("n2", RACK, stage=Stage.SEALED))], {}, "table rack 1 is not complete yet"),
        ([told("n2", standing("n2", RACK), age_s=61)], {}, "table rack 1 is not complete yet"),
        ([told("n2", standing("n2", RACK)), newer()], {}, "n3 is in a newer epoch of rack than 1, whose table"),
        ([told("n2", standing("n2", RACK))], {"rack": RESERVE_MW + 1}, "n1 may draw 900001 mW without asking"),
        ([told("n2", standing("n2", RACK))], {"hall": 1}, "the table of hall is not known here"),
        ([told("n1", standing("n1", RACK, domain="hall"), age_s=999)], {}, "the table of hall is not known here"),
    ],
    ids=["silence", "sealed", "stale", "newer", "reserve", "reserved elsewhere", "was elsewhere"],
)
def test_a_host_is_not_powered_on_as_long_as_a_table_does_not_allow_it(
    held: list[Held], reserves_mw: dict[str, int], why: str
) -> None:
    assert str(watch.why_not_on(view(RACK, *held), "n1", reserves_mw)).startswith(why)


def test_a_host_in_no_table_is_not_powered_on() -> None:
    seen = view(RACK, told("n2", standing("n2", RACK)))
    assert watch.why_not_on(seen, "n9", {}) == "n9 is in no table that is known here: sign one with its reserve first"
    without = view(table(["n2"], 2), told("n2", standing("n2", table(["n2"], 2))))
    assert watch.why_not_on(without, "n1", {"rack": 1}) == "n1 is not in table rack 2: sign one with its reserve first"


def test_who_must_still_seal_is_told() -> None:
    charged = table(n4=Member(RESERVE_MW, RESERVE_MW, charged="full"))  # type: ignore[arg-type]
    assert watch.waits_for(charged, {"n1": standing("n1", charged)}) == ["n2", "n3"]
