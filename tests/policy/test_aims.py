"""Whose wish counts for a job: the operator's for its name or GPUs, else the host's; and a looser one of its owner."""

from __future__ import annotations

import pytest

from eagent.policy.aims import wanted_of
from eagent.policy.goals import Aim, Efficiency, Goals, Hint

A, B = "GPU-00", "GPU-01"


def goals(*aims: Aim, hints: dict[str, float] | None = None, slowdown: float = 0.02) -> Goals:
    asked = tuple(Hint(uuid, None, None, "", 100, share) for uuid, share in (hints or {}).items())
    return Goals(efficiency=Efficiency(slowdown=slowdown, first_token_s=2.0, aims=aims), hints=asked)


def bound(made: Goals, job: str = "1000 train", *uuids: str, now_ns: int = 0) -> float:
    return wanted_of(made, job, uuids or (A,), now_ns).slowdown


def test_the_first_that_fits_a_gpu_counts_and_of_several_gpus_the_strictest() -> None:
    made = goals(Aim("*resnet50*", slowdown=0.1), Aim(uuids=frozenset({B}), slowdown=0.05), Aim(slowdown=0.0))
    assert bound(made, "1000 resnet50-b") == 0.1
    assert bound(made, "1000 train", B) == 0.05
    assert bound(made, "1000 train", A) == 0.0
    assert bound(made, "1000 train", A, B) == 0.0
    assert bound(goals()) == 0.02
    assert bound(goals(Aim(uuids=frozenset(), slowdown=0.5))) == 0.02, "a GPU that is not here is nobody's"


def test_what_an_aim_does_not_say_is_as_of_the_host() -> None:
    made = goals(Aim("*a*", slowdown=0.1), Aim("*b*", first_token_s=0.5, between_tokens_s=0.1))
    assert (wanted_of(made, "a", (A,), 0).slowdown, wanted_of(made, "a", (A,), 0).first_token_s) == (0.1, 2.0)
    of_b = wanted_of(made, "b", (A,), 0)
    assert (of_b.slowdown, of_b.first_token_s, of_b.between_tokens_s) == (0.02, 0.5, 0.1)


@pytest.mark.parametrize(("hints", "expected"), [({A: 0.1, B: 0.2}, 0.1), ({A: 0.1}, 0.02), ({A: 0.01, B: 0.01}, 0.02)])
def test_an_owner_can_only_loosen_the_bound_and_for_all_gpus_of_its_job(
    hints: dict[str, float], expected: float
) -> None:
    assert bound(goals(hints=hints), "train", A, B) == expected
    assert bound(goals(hints=hints), "train", A, B, now_ns=100) == 0.02, "its time is over"
