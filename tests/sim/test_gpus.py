"""Lists of GPUs as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim.gpus import format_gpus, of_host, parse_gpus


@given(st.sets(st.integers(0, 15), min_size=1))
def test_a_list_of_gpus_is_shown_and_read_back(gpus: set[int]) -> None:
    assert list(parse_gpus(format_gpus(sorted(gpus)))) == sorted(gpus)


def test_no_list_is_all_gpus() -> None:
    assert of_host(None, 3) == (0, 1, 2)


@pytest.mark.parametrize("text", ["", ",", "x", "3-1", "1-", "-1", "0-99999", "8", "0-8", "٣", "1.5"])
def test_what_is_no_list_of_the_hosts_gpus_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        of_host(parse_gpus(text), 8)
