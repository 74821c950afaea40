"""Processor models as TOML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim import processor

GOOD = (processor.MODELS / "xeon-platinum-8358.toml").read_text()


@pytest.mark.parametrize("name", processor.names())
def test_every_model_that_ships_can_be_read(name: str) -> None:
    assert set(processor.load(name)) == set(processor.KEYS)


@pytest.mark.parametrize("name", processor.names())
def test_every_number_says_where_it_is_from(name: str) -> None:
    lines = (processor.MODELS / f"{name}.toml").read_text().splitlines()
    numbers = [line for line in lines if " = " in line and not line.startswith(("#", "name"))]
    assert [line for line in numbers if line.partition("#")[2].split()[:1] not in (["R"], ["C"], ["S"])] == []


def test_the_kind_of_powercap_zones_can_be_chosen() -> None:
    assert processor.load("epyc-7543")["identity"]["powercap"] == "amd"
    assert processor.load("epyc-7543", "intel-rapl-mmio")["identity"]["powercap"] == "intel-rapl-mmio"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"intel_pstate"', '"longrun"', "driver 'longrun': must be one of acpi-cpufreq, intel_pstate"),
        ('"intel_pstate"', "7", "identity.driver must be a text"),
        ("idle_w = 65.0", "idel_w = 65.0", r"\[power\]: unknown key 'idel_w' \(did you mean"),
        ("min_khz = 800000 ", "min_khz = 3400000 ", "min_khz below max_khz"),
        ("volt_corner_khz = 1200000", "volt_corner_khz = 3400000", "must be below clocks.max_khz"),
        ("cores = 32 ", "cores = 129 ", "at most 256 cores in all packages together"),
        ("[250000000, 300000000]", "[250000000]", "limits.power_uw must be a list of 2"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, complaint: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError, match=complaint) as caught:
        processor.parse(GOOD.replace(old, new), "some.toml")
    assert str(caught.value).startswith("some.toml: ")


@given(st.text(max_size=200))
def test_any_text_is_a_model_or_an_error(text: str) -> None:
    with pytest.raises(InputError):
        processor.parse(text, "x")
