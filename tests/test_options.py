"""Whatever stands in a file, an option reads a value that is allowed, or says in one line what would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.config import OPTIONS
from eagent.errors import ConfigError
from eagent.options import File, Names, Number, Option, hint

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KINDS = [option for section in OPTIONS.values() for option in section.values()]


@given(st.sampled_from(KINDS), VALUES)
def test_any_value_is_read_or_refused_in_one_line(option: Option, value: object) -> None:
    said = ""
    try:
        hash(option.read(value, "x.toml: [a] b"))  # so that a Config can be frozen
    except ConfigError as refusal:
        said = str(refusal)
    assert said == "" or (said.startswith("x.toml: [a] b") and any(word in said for word in ("must be", "unknown key")))
    assert "\n" not in said


@given(st.integers(-5, 15) | st.floats(-5, 15))
def test_a_number_is_within_its_bounds(value: float) -> None:
    allowed = 0 <= value <= 10
    for option in (Number(0, 10, "watts"), Number(0, 10, "watts", whole=True)):
        if allowed and (not option.whole or isinstance(value, int)):
            assert option.read(value, "x") == value
            assert isinstance(option.read(value, "x"), int if option.whole else float)
        else:
            with pytest.raises(ConfigError, match="must be a"):
                option.read(value, "x")


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), "5", None, [5]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError):
        Number(0, 10, "watts").read(value, "x")


@given(st.lists(st.text(max_size=70), max_size=6))
def test_names_can_be_files_and_never_paths(names: list[str]) -> None:
    try:
        read = Names("domains", 4).read(names, "x")
    except ConfigError:
        return
    assert 0 < len(read) <= 4
    assert len(set(read)) == len(read)
    for name in read:
        assert Path("/run", name).parent == Path("/run")
        assert name.isascii()
        assert not name.startswith(".")


@given(st.text(max_size=40))
def test_a_file_is_an_absolute_path(text: str) -> None:
    try:
        read = File().read(text, "x")
    except ConfigError:
        return
    assert read.is_absolute()
    assert "\0" not in str(read)


def test_a_word_that_is_nearly_known_is_hinted_at() -> None:
    assert hint("reserve", {"reserve_w": 1, "lot_w": 2}) == "; did you mean 'reserve_w'?"
    assert hint("x", {"reserve_w": 1, "lot_w": 2}) == "; known are reserve_w, lot_w"
