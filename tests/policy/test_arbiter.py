from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eagent.model import Decision, Device, KnobName, Priority, Proposal
from eagent.policy.arbiter import arbitrate, fate


def ask(
    priority: Priority, high: float, low: float = 0.0, until_ns: int | None = None, uuid: str = "GPU-00"
) -> Proposal:
    return Proposal(priority.name.lower(), priority, uuid, KnobName.POWER_LIMIT, high, "a test", low, until_ns)


def decided(device: Device, *proposals: Proposal) -> Decision:
    (decision,) = arbitrate([device], proposals, 0)
    return decision


def test_the_strictest_of_what_agrees_wins(gpus: Any) -> None:
    budget, pin = ask(Priority.BUDGET, 300), ask(Priority.PIN, 200, 200)
    decision = decided(gpus.device(0), budget, pin)
    assert (decision.value, decision.winner, decision.losers) == (200, pin, (budget,))
    assert fate(decision, budget) == "met: 200 W is within what it allows"


def test_a_pin_above_the_budget_is_clipped_to_it_and_told_by_whom(gpus: Any) -> None:
    budget, pin = ask(Priority.BUDGET, 300), ask(Priority.PIN, 350, 350)
    decision = decided(gpus.device(0), pin, budget)
    assert (decision.value, decision.winner, decision.losers) == (300, budget, (pin,))
    assert fate(decision, pin) == "lost: wants at least 350 W, clipped to 300 W by budget (a test)"


def test_a_weaker_proposal_does_not_pull_below_a_pin(gpus: Any) -> None:
    pin, idle = ask(Priority.PIN, 300, 300), ask(Priority.IDLE, 120)
    decision = decided(gpus.device(0), idle, pin)
    assert (decision.value, decision.winner) == (300, pin)
    assert fate(decision, idle).startswith("lost: wants at most 120 W")


def test_a_weaker_proposal_does_not_pull_below_what_a_clipped_pin_got(gpus: Any) -> None:
    proposals = ask(Priority.BUDGET, 300), ask(Priority.PIN, 350, 350), ask(Priority.IDLE, 120)
    assert decided(gpus.device(0), *proposals).value == 300


def test_safety_is_stronger_than_all(gpus: Any) -> None:
    safety = ask(Priority.SAFETY, 150)
    decision = decided(gpus.device(0), ask(Priority.PIN, 350, 350), ask(Priority.BUDGET, 300), safety)
    assert (decision.value, decision.winner) == (150, safety)


def test_no_decision_leaves_what_the_device_takes(gpus: Any) -> None:
    assert decided(gpus.device(0), ask(Priority.SAFETY, 20)).value == 100
    assert decided(gpus.device(0), ask(Priority.BUDGET, 9000)).value == 400
    assert decided(gpus.device(0), ask(Priority.PIN, 9000, 9000)).value == 400


def test_what_has_run_out_counts_for_nothing(gpus: Any) -> None:
    over, standing = ask(Priority.SAFETY, 150, until_ns=5), ask(Priority.BUDGET, 300, until_ns=6)
    (decision,) = arbitrate([gpus.device(0)], [over, standing], 5)
    assert (decision.value, decision.losers) == (300, ())
    assert arbitrate([gpus.device(0)], [over, standing], 6) == []


def test_each_device_is_decided_alone_and_strangers_are_left_out(gpus: Any) -> None:
    proposals = [ask(Priority.PIN, 200, uuid="GPU-01"), ask(Priority.BUDGET, 300), ask(Priority.PIN, 1, uuid="GPU-77")]
    decisions = arbitrate([gpus.device(0), gpus.device(1), gpus.device(2)], proposals, 0)
    assert [(decision.uuid, decision.value) for decision in decisions] == [("GPU-00", 300), ("GPU-01", 200)]


bounds = st.tuples(st.integers(0, 500), st.integers(0, 500)).map(sorted)
proposals_strategy = st.lists(
    st.builds(
        lambda policy, priority, bound, reason, until_ns: Proposal(
            policy, priority, "GPU-00", KnobName.POWER_LIMIT, bound[1], reason, bound[0], until_ns
        ),
        st.sampled_from(["a", "b"]),
        st.sampled_from(Priority),
        bounds,
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, 5, 50]),
    ),
    max_size=6,
)


@given(proposals_strategy, st.randoms(use_true_random=False))
def test_the_order_of_proposals_does_not_matter(gpus: Any, proposals: list[Proposal], random: Any) -> None:
    device = gpus.device(0)
    shuffled = random.sample(proposals, len(proposals))
    assert arbitrate([device], proposals, 10) == arbitrate([device], shuffled, 10)


@given(proposals_strategy)
def test_a_decision_keeps_the_strongest_bound_and_the_devices_range(gpus: Any, proposals: list[Proposal]) -> None:
    device = gpus.device(0)
    decisions = arbitrate([device], proposals, 10)
    standing = [each for each in proposals if each.until_ns is None or each.until_ns > 10]
    assert bool(decisions) == bool(standing)
    for decision in decisions:
        assert device.min_limit_w <= decision.value <= device.max_limit_w
        strongest = min(each.priority for each in standing)
        of_them = [each for each in standing if each.priority == strongest]
        assert decision.value <= max(device.min_limit_w, min(each.high for each in of_them), *_lows(of_them))
        assert 1 + len(decision.losers) == len(standing)
        assert decision.winner in standing


def _lows(proposals: list[Proposal]) -> list[float]:
    """Equals that contradict each other: the stricter goes first, and none is pulled below its lower bound."""
    first = min(proposals, key=lambda each: (each.high, each.low))
    return [first.low, first.low]


@given(proposals_strategy, st.integers(0, 500))
def test_a_weaker_proposal_never_raises_a_limit(gpus: Any, proposals: list[Proposal], high: int) -> None:
    device = gpus.device(0)
    stronger = [each for each in proposals if each.priority < Priority.EFFICIENCY]
    before = arbitrate([device], stronger, 10)
    after = arbitrate([device], [*stronger, ask(Priority.EFFICIENCY, high)], 10)
    if before:
        assert after[0].value <= before[0].value
