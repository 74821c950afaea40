"""GPU models as TOML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim import model

GOOD = (model.MODELS / "a100-sxm4-80gb.toml").read_text()


@pytest.mark.parametrize("name", model.names())
def test_every_model_that_ships_can_be_read(name: str) -> None:
    assert set(model.load(name)) == set(model.KEYS)


def test_the_a100_has_the_limits_and_clocks_of_its_data_sheet() -> None:
    a100 = model.load("a100-sxm4-80gb")
    assert a100["limits"] == {"min_w": 100.0, "max_w": 400.0, "default_w": 400.0}
    assert (a100["clocks"]["min_mhz"], a100["clocks"]["max_mhz"], a100["clocks"]["step_mhz"]) == (210, 1410, 15)


@pytest.mark.parametrize("name", model.names())
def test_every_number_says_where_it_is_from(name: str) -> None:
    text = (model.MODELS / f"{name}.toml").read_text()
    lines = [line for line in text.splitlines() if " = " in line and not line.startswith(("#", "name"))]
    assert [line for line in lines if line.partition("#")[2].split()[:1] not in (["R"], ["C"], ["S"])] == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("deep_idle_w", "deep_idel_w", r"\[power\]: unknown key 'deep_idel_w' \(did you mean 'deep_idle_w'\?\)"),
        ("[heat]", "[head]", r"unknown section 'head' \(did you mean 'heat'\?\)"),
        ("inlet_c = 24.0", "", r"\[heat\]: key 'inlet_c' is missing"),
        ("steps = 3 ", "steps = 3.5 ", "cap.steps must be a whole number from 1 to 100"),
        ("steps = 3 ", "steps = true ", "cap.steps must be a whole number"),
        ("max_w = 400.0", "max_w = 90.0", "min_w <= default_w <= max_w"),
        ("gain = [0.97, 1.03]", "gain = [1.03, 0.97]", "sensor.gain must be a range: the lower end first"),
        ("time_s = [0.087, 1.36, 165.0]", "time_s = [0.087, 1.36]", "heat.time_s must be a list of 3"),
        ("step_mhz = 15", "step_mhz = 17", "whole steps"),
        ("idle_mhz = 210", "idle_mhz = 200", "min_mhz <= idle_mhz"),
        ("volt_corner_mhz = 920.0", "volt_corner_mhz = 1410", "must be below clocks.max_mhz"),
        ("leak_w_per_k = 1.2", "leak_w_per_k = 10", "run away"),
        ('name = "NVIDIA A100-SXM4-80GB"', f'name = "{"x" * 64}"', "identity.name must be a text"),
        ("noise_w = 0.35", "noise_w = nan", "sensor.noise_w must be a number"),
        ("[identity]", "[identity", "not TOML"),
        ("[identity]", "power = 3\n[identity]", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, complaint: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError, match=complaint) as caught:
        model.parse(GOOD.replace(old, new), "some.toml")
    assert str(caught.value).startswith("some.toml: ")
    assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_model_or_an_error(text: str) -> None:
    with pytest.raises(InputError):
        model.parse(text, "x")
