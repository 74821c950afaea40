"""What rounds are drawn, and what a bias makes of that."""

from __future__ import annotations

from collections import Counter

from tests.torture.mutants import MUTANTS
from tests.torture.mutate import BIASES
from tests.torture.native_mutants import NATIVE
from tests.torture.probes import Probes
from tests.torture.script import PROBES, Bias, draw

SEEDS = range(300)


def test_each_probe_comes_in_some_round() -> None:
    assert {name for seed in SEEDS for name in draw(seed).probes} == {*PROBES}


def test_a_bias_is_kept_to_in_each_round() -> None:
    for seed in SEEDS:
        one = draw(seed, Bias(layout="driven", probe="disk", ending="stop-all"))
        assert (one.layout, one.ending) == ("driven", "stop-all")
        assert "disk" in one.probes


def test_an_action_comes_as_much_more_often_as_its_bias_says() -> None:
    def strikes(bias: Bias) -> float:
        counts = Counter(step.action for seed in SEEDS for step in draw(seed, bias).steps[3:])
        return counts["strike"] / counts.total()

    assert 3 < strikes(Bias(more={"strike": 5})) / strikes(Bias()) < 5


def test_each_probe_is_there_and_each_bias_is_of_a_mutant() -> None:
    assert {name for name in dir(Probes) if name.startswith("_probe_")} == {f"_probe_{name}" for name in PROBES}
    assert BIASES.keys() <= {*MUTANTS, *NATIVE}
