"""Whose wish counts for a job: the operator's for its name or GPUs, else the host's; and a looser one of its owner."""

from __future__ import annotations

import pytest

from eagent.policy.aims import wanted_of
from eagent.policy.goals import Aim, Efficiency, Goals, Hint
from eagent.wish import Wish

A, B = "GPU-00", "GPU-01"


def goals(*aims: Aim, hints: dict[str, float] | None = None, slowdown: float = 0.02) -> Goals:
    asked = tuple(Hint(uuid, Wish(slowdown=share), "", 100) for uuid, share in (hints or {}).items())
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


def test_who_has_said_how_much_longer_a_job_may_take_is_told() -> None:
    aims = (Aim("x"), Aim("*resnet50*", first_token_s=1.0), Aim("*", uuids=frozenset({B}), slowdown=0.01))
    by = {job: wanted_of(goals(*aims), job, (A,), 0).by for job in ("resnet50", "train")}
    assert by == {"resnet50": "by [policy]", "train": "by [policy]"}
    assert wanted_of(goals(*aims), "train", (A, B), 0).by == "by [[policy.goals]] number 3"
    assert wanted_of(goals(*aims, hints={A: 0.1, B: 0.1}), "train", (A, B), 0).by == "by a hint of its owner"
    assert wanted_of(goals(*aims, hints={A: 0.1, B: 0.01}), "train", (A, B), 0).by == "by [[policy.goals]] number 3"


def test_an_owner_may_loosen_goals_on_latencies_or_hold_its_own_server_to_some_where_there_are_none() -> None:
    def seen(*owners: Wish) -> tuple[float | None, float | None]:
        hints = tuple(Hint(uuid, wish, "", 100) for uuid, wish in zip((A, B), owners, strict=False))
        wanted = wanted_of(Goals(efficiency=Efficiency(first_token_s=2.0), hints=hints), "llm", (A, B), 0)
        return wanted.first_token_s, wanted.between_tokens_s

    loose, tight = Wish(first_token_p99_s=5.0, between_tokens_p99_s=0.2), Wish(first_token_p99_s=1.0)
    assert seen(loose, loose) == (5.0, 0.2)
    assert seen(loose, tight) == (2.0, None), "the strictest of them, and never tighter than the operator's"
    assert seen(loose) == (2.0, None), "not all of its GPUs"
