"""How the simulated kernel reads what is written to it."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.sim.attribute import first_word, truth, whole_number


@given(st.integers(0, 2**64 - 1), st.sampled_from(["", "\n"]), st.sampled_from(["", "+"]))
def test_a_number_is_read_back(number: int, end: str, sign: str) -> None:
    assert whole_number(f"{sign}{number}{end}") == number
    assert whole_number(f"{sign}{hex(number)}{end}", prefixed=True) == number
    assert whole_number(f"{sign}0{number:o}{end}", prefixed=True) == number


@pytest.mark.parametrize("text", ["", "\n", " 1", "1 ", "1\n\n", "-1", "1.5", "1_0", "0x10", "٣", "x", "1\r\n", "++1"])
def test_what_is_no_number_is_invalid(text: str) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        whole_number(text)
    assert caught.value.errno == errno.EINVAL


def test_a_number_of_more_than_64_bits_is_out_of_range() -> None:
    with pytest.raises(OSError, match="out of range") as caught:
        whole_number(str(2**64))
    assert caught.value.errno == errno.ERANGE


@pytest.mark.parametrize(("text", "meant"), [("1\n", True), ("y", True), ("on", True), ("0", False), ("off\n", False)])
def test_yes_and_no_are_read(text: str, meant: bool) -> None:
    assert truth(text) is meant


@pytest.mark.parametrize("text", ["", "\n", "2", "o", "maybe"])
def test_what_is_neither_is_invalid(text: str) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        truth(text)


def test_the_first_word_counts_as_far_as_it_fits() -> None:
    assert first_word("  performance and more\n", 15) == "performance"
    assert first_word("performances-and-more", 11) == "performance"
    with pytest.raises(OSError, match="Invalid argument"):
        first_word(" \n", 15)
