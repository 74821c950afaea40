"""The nine rules hold in every order of things that was tried, and none of them can be left out.

A schedule is a small world of two to five hosts in which anything may happen in any order (world.py, plots.py), and the
invariant is checked on the hardware's truth after every step. Every check plays 3,000, five times as many as the mutant
needs that is caught last; `make soak` plays 20,000.
"""

from __future__ import annotations

import pytest

from eagent.sim.truth import BreachError
from tests.mesh.mutants import MUTANTS
from tests.mesh.plots import play

STEPS = 150
CHUNK, CHUNKS, SOAKED = 1000, 3, 20


@pytest.mark.parametrize(
    "chunk", [pytest.param(chunk, marks=[pytest.mark.soak] if chunk >= CHUNKS else []) for chunk in range(SOAKED)]
)
def test_the_budget_holds_at_every_step_of_every_schedule(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        play(seed, steps=STEPS)  # raises BreachError, with the seed that replays it in the traceback


@pytest.mark.parametrize("name", MUTANTS)
def test_no_rule_can_be_left_out(name: str) -> None:
    for seed in range(CHUNK * CHUNKS):
        try:
            play(seed, MUTANTS[name], STEPS)
        except BreachError:
            return
    pytest.fail(f"{name}: nothing catches it in {CHUNK * CHUNKS} schedules")


def test_every_rule_is_left_out_once() -> None:
    assert {name.partition(":")[0] for name in MUTANTS} == {f"rule {number}" for number in range(1, 10)} | {"sleep"}


def test_schedules_get_somewhere() -> None:
    epochs = [max(truth.completed.epoch for truth in play(seed, steps=STEPS).truths.values()) for seed in range(200)]
    assert sum(epoch >= 3 for epoch in epochs) >= 40, "most worlds never complete a second change of table"
