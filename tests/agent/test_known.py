"""Whom the operator's names mean, and whose hints count."""

from typing import Any

from eagent.agent.known import aims, heeded
from eagent.aim import Aim as Named
from eagent.policy.goals import Aim, Hint
from eagent.wish import Wish


def test_an_aim_is_for_the_gpus_that_it_names_and_for_nobody_where_none_of_them_is_here(new_device: Any) -> None:
    devices = [new_device(0), new_device(1)]
    named = (Named("*a*", ("gpu1", "gpu7"), 0.1), Named(gpus=("gpu7",), slowdown=0.5), Named(first_token_p99_s=2.0))
    assert aims(devices, named) == (
        Aim("*a*", frozenset({devices[1].uuid}), 0.1),
        Aim("*", frozenset(), 0.5),
        Aim("*", None, None, 2.0),
    )


def test_hints_that_are_only_noted_let_nobody_take_longer() -> None:
    hint = Hint("GPU-0", Wish(250.0, slowdown=0.1, first_token_p99_s=2.0, between_tokens_p99_s=0.2), "", 10)
    assert heeded([hint], acts=True) == (hint,)
    assert heeded([hint], acts=False) == (Hint("GPU-0", Wish(250.0), "", 10),)
