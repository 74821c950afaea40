from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.wishes import MINUTE_NS, SECOND_NS, Consent, Kind, Place, Rules, Step, Wish, Wishes
from eagent.errors import RefusedError

ACT = Rules(act=True, protected=frozenset({"login"}))
HOSTS = ("n1", "n2", "n3", "n4", "n5", "login")
T0 = 10_000 * SECOND_NS


def consent(host: str, now_ns: int = T0, **changed: Any) -> Consent:
    given = Consent(host, "life1", "slurm", True, True, True, given_ns=now_ns, until_ns=now_ns + 3600 * SECOND_NS)
    return replace(given, **changed)


def sleep(host: str, now_ns: int = T0, **changed: Any) -> Wish:
    return Wish(host, Kind.SLEEP, "packer", "idle for 20 min", now_ns, consent(host, now_ns, **changed))


def wake(host: str, now_ns: int = T0) -> Wish:
    return Wish(host, Kind.WAKE, "slurm", "a job waits", now_ns)


def wishes(rules: Rules = ACT, **orders: int) -> Wishes:
    return Wishes(rules, {host: Place(orders.get(host, 0), off_s=100.0) for host in HOSTS})


def begun(asked: Wishes, now_ns: int = T0) -> list[str]:
    return [planned.wish.host for planned in asked.begin(now_ns) if planned.step is Step.BEGIN]


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (sleep("nowhere"), "not a host that can be switched from here"),
        (sleep("login"), "login: it is protected"),
        (replace(sleep("n1"), consent=None), "nobody confirms that it has handed over"),
        (replace(sleep("n1"), consent=consent("n2")), "the consent is that of n2"),
        (sleep("n1", jobs_gone=False), "it still has jobs"),
        (sleep("n1", rights_handed_over=False), "it still holds rights to watts"),
        (sleep("n1", duty_handed_over=False), "it still holds a duty token"),
        (sleep("n1", until_ns=T0 + 99 * SECOND_NS), "may take 100 s, and the consent ends 99 s from now"),
        (sleep("n1", given_ns=T0 + 1), "the consent is from the future"),
        (replace(sleep("n1"), who=""), "must say who asks and why"),
    ],
)
def test_what_can_never_be_fulfilled_is_refused_when_it_is_asked(wish: Wish, why: str) -> None:
    asked = wishes()
    with pytest.raises(RefusedError, match=why):
        asked.ask(wish)
    assert asked.plan(T0) == []


def test_a_protected_host_may_be_woken() -> None:
    asked = wishes()
    asked.ask(wake("login"))
    assert begun(asked) == ["login"]


def test_observing_plans_what_acting_would_do_and_begins_nothing() -> None:
    asked = wishes(replace(ACT, act=False))
    asked.ask(sleep("n1"))
    for _ in range(2):
        assert [(planned.wish.host, planned.step) for planned in asked.plan(T0)] == [("n1", Step.BEGIN)]
        assert asked.begin(T0) == []


def test_waking_comes_first_and_hosts_go_by_their_order() -> None:
    asked = wishes(replace(ACT, switches_per_minute=60), n1=1, n2=2, n3=1, n4=2)
    for wish in (sleep("n1"), sleep("n2"), wake("n4"), wake("n3")):
        asked.ask(wish)
    assert begun(asked) == ["n3", "n4", "n2", "n1"]


def test_a_consent_that_has_run_out_while_it_waited_is_refused() -> None:
    asked = wishes()
    asked.ask(sleep("n1"))
    (planned,) = asked.begin(T0 + 3501 * SECOND_NS)
    assert (planned.step, planned.because) == (
        Step.REFUSE,
        "switching it off may take 100 s, and the consent ends 99 s from now",
    )
    assert asked.plan(T0) == []


def test_a_consent_counts_for_one_switching_only() -> None:
    asked = wishes(replace(ACT, least_on_s=0))
    first = sleep("n1")
    asked.ask(first)
    assert begun(asked) == ["n1"]
    asked.end("n1", True)
    with pytest.raises(RefusedError, match="it was switched since it handed over"):
        asked.ask(replace(first, asked_ns=T0 + SECOND_NS))


def test_a_wish_waits_for_the_one_that_is_being_fulfilled_and_for_the_host_to_rest() -> None:
    asked = wishes()
    asked.ask(sleep("n1"))
    assert begun(asked) == ["n1"]
    asked.ask(wake("n1"))
    assert asked.plan(T0 + MINUTE_NS)[0].because == "packer's wish to put to sleep it is being fulfilled"
    asked.end("n1", True)
    assert asked.plan(T0 + 10 * SECOND_NS)[0].because == "it was switched a short while ago: 20 s to wait"
    assert begun(asked, T0 + 30 * SECOND_NS) == ["n1"]


def test_sleeping_does_not_unask_waking_and_waking_unasks_sleeping() -> None:
    asked = wishes()
    asked.ask(sleep("n1"))
    replaced = asked.ask(wake("n1"))
    assert replaced is not None
    assert replaced.kind is Kind.SLEEP
    with pytest.raises(RefusedError, match="slurm wants it awake: a job waits"):
        asked.ask(sleep("n1"))
    assert begun(asked) == ["n1"]


def test_failures_in_a_row_stop_sleeping_but_not_waking_until_somebody_resumes() -> None:
    asked = wishes(replace(ACT, failures_max=2))
    for host in ("n1", "n2"):
        asked.ask(sleep(host))
    assert begun(asked) == ["n1", "n2"]
    for host in ("n1", "n2"):
        asked.end(host, False)
    asked.ask(sleep("n3"))
    asked.ask(wake("n4"))
    assert begun(asked) == ["n4"]
    assert asked.plan(T0)[0].because == "2 switchings in a row have failed: a person must look, and resume"
    asked.resume()
    assert begun(asked) == ["n3"]


def test_one_that_was_broken_off_says_nothing_about_the_means() -> None:
    asked = wishes(replace(ACT, failures_max=1))
    asked.ask(sleep("n1"))
    asked.begin(T0)
    asked.end("n1", None)
    asked.ask(sleep("n2"))
    assert begun(asked) == ["n2"]


STEPS = st.lists(
    st.tuples(st.sampled_from(HOSTS), st.sampled_from(["sleep", "bare", "wake", "end", "fail"]), st.integers(0, 40)),
    max_size=60,
)


@given(STEPS, st.integers(1, 5))
def test_no_course_of_wishes_breaks_a_rule(steps: list[tuple[str, str, int]], rate: int) -> None:
    asked = wishes(replace(ACT, switches_per_minute=rate, least_on_s=60, least_off_s=5))
    now_ns, running, times = T0, set[str](), list[int]()
    used: set[tuple[str, int]] = set()
    for host, what, seconds in steps:
        now_ns += seconds * SECOND_NS
        if what in ("end", "fail") and host in running:
            asked.end(host, what == "end")
            running.discard(host)
        try:
            if what == "wake":
                asked.ask(wake(host, now_ns))
            elif what == "sleep":
                asked.ask(sleep(host, now_ns))
            elif what == "bare":
                asked.ask(replace(sleep(host, now_ns), consent=None))
        except RefusedError:
            assert what == "bare" or host == "login" or asked.plan(now_ns) or host in running or times
        would = [planned.wish for planned in asked.plan(now_ns) if planned.step is Step.BEGIN]
        did = [planned.wish for planned in asked.begin(now_ns) if planned.step is Step.BEGIN]
        assert did == would  # the plan is what is done
        for wish in did:
            assert wish.host not in running
            running.add(wish.host)
            times.append(now_ns)
            if wish.kind is Kind.SLEEP:
                assert wish.host != "login"
                assert wish.consent is not None
                assert (wish.host, wish.consent.given_ns) not in used
                used.add((wish.host, wish.consent.given_ns))
        assert sum(now_ns - begun_ns < MINUTE_NS for begun_ns in times) <= rate
