"""A table that would not hold can't be made; what a file says wrong is said in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import ConfigError
from eagent.mesh.table import Member, Table, as_document, from_document, parse

TEXT = """
domain = "rack7"
epoch = 2
budget_mw = 10_000
others_mw = 1_000

[members.n01]
reserve_mw = 1_000
grant_mw = 5_000
life = "a1"
duty = 1

[members.n02]
reserve_mw = 1_000
grant_mw = 4_000
"""


def test_a_table_is_read_as_it_is_written() -> None:
    table = parse(TEXT, "rack7.toml")
    assert table.members["n01"] == Member(1000, 5000, "a1", 1)
    assert (table.budget_mw, table.duty) == (10_000, 1)
    assert from_document(as_document(table), "again") == table


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("grant_mw = 4_000", "grant_mw = 4_001", "1 mW above the budget of 10000 mW"),
        ("grant_mw = 4_000", "grant_mw = 900", "the grant at least the reserve"),
        ("reserve_mw = 1_000", "reserve_mw = 0", "reserve_mw"),
        ("epoch = 2", "epoch = -1", "epoch"),
        ("duty = 1", "dutty = 1", "dutty"),
        ('life = "a1"', 'life = "../a"', "life"),
        ('domain = "rack7"', "", "domain"),
        ("[members.n02]", "[members.n01]", "rack7.toml"),
        ("epoch = 2", "epoch = ", "rack7.toml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(before: str, after: str, line: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse(TEXT.replace(before, after), "rack7.toml")
    assert line in str(told.value)
    assert "\n" not in str(told.value)


@given(st.text(max_size=200))
def test_no_text_does_more_than_to_be_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "table")


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1))
def test_no_table_has_a_sum_above_its_budget(lines: dict[str, tuple[int, int]]) -> None:
    members = {host: Member(reserve, reserve + more) for host, (reserve, more) in lines.items()}
    total = sum(member.grant_mw for member in members.values())
    assert Table("d", 1, total + 7, 7, members).budget_mw == total + 7
    with pytest.raises(ConfigError, match="1 mW above"):
        Table("d", 1, total + 6, 7, members)
