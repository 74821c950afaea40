"""The demo's second half: everything that can die is killed, and each knob is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eagent.demo.hosts import Bench, Governor, wait
from eagent.demo.scenario import Scenario

LEASE_S = 3.0  # the lease's time to live: eagent's default
GRACE_S = 1.0
SHARE_AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was done to eagent, and what became of the knobs."""

    what: str
    outcome: str
    kept: bool  # whether it was as promised
    seconds: float  # until the knobs were there
    limits_w: tuple[float, ...]


def perform(bench: Bench, governor: Governor, scenario: Scenario, show: Callable[[], None]) -> Iterator[Act]:
    """Kill, start and restore, an act at a time, with `show` called while something is waited for.

    eagent runs under the budget at first, and nothing of it runs at the end.
    """
    safe = [scenario.safe_cap_w] * len(scenario.prior_limits_w)

    def at_safe_caps() -> bool:
        return bench.limits_w() == safe

    def watch(what: str, outcome: str, kept: Callable[[], bool], timeout_s: float, began: float) -> Act:
        held = wait(kept, timeout_s, show)
        seconds = time.monotonic() - began
        show()
        return Act(what, outcome, held, seconds, tuple(bench.limits_w()))

    def let_pass(seconds: float) -> None:
        wait(lambda: False, seconds, show)

    began = time.monotonic()
    governor.kill_agent()
    yield watch("kill -9 agent", "every GPU at its safe cap", at_safe_caps, LEASE_S + GRACE_S, began)

    began = time.monotonic()
    governor.kill_warden()
    let_pass(GRACE_S)
    yield watch("kill -9 warden", "nobody is left, and no limit has moved from its safe cap", at_safe_caps, 0.0, began)

    governor.stop()
    began = time.monotonic()
    governor.start()
    yield watch(
        "eagent up",
        "the budget was on disk: it is in force again, and the watts are shared",
        lambda: not at_safe_caps() and sum(bench.limits_w()) <= scenario.envelope_w,
        SHARE_AGAIN_S,
        began,
    )

    began = time.monotonic()
    governor.kill_all()
    before_w = bench.limits_w()
    let_pass(GRACE_S)
    yield watch(
        "kill -9 parent, warden and agent at once",
        "nobody is left to do anything: the limits stay, and sum below the budget",
        lambda: bench.limits_w() == before_w and sum(before_w) <= scenario.envelope_w,
        0.0,
        began,
    )

    began = time.monotonic()
    governor.run("restore", "--clear-budget")
    yield watch(
        "eagent restore --clear-budget",
        "each knob is at the value it had before eagent, from the journal",
        lambda: tuple(bench.limits_w()) == scenario.prior_limits_w,
        0.0,
        began,
    )
