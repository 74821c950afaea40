import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.api.body import Number, read_fields
from eagent.errors import InputError

FIELDS = {
    "budget_w": Number("watts", 1e6, required=True),
    "fixed_w": Number("watts", 1e6, zero=True),
    "for_s": Number("seconds", 1e4),
}


@given(
    st.floats(0.001, 1e6),
    st.none() | st.floats(0, 1e6),
    st.none() | st.integers(1, 10_000),
)
def test_every_fit_body_is_read_as_it_was_written(budget_w: float, fixed_w: float | None, for_s: int | None) -> None:
    body = json.dumps({"budget_w": budget_w, "fixed_w": fixed_w, "for_s": for_s}).encode()
    assert read_fields(body, FIELDS) == {"budget_w": budget_w, "fixed_w": fixed_w, "for_s": for_s}


def test_an_absent_optional_field_is_none() -> None:
    assert read_fields(b'{"budget_w": 5}', FIELDS) == {"budget_w": 5.0, "fixed_w": None, "for_s": None}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b'{"budget_w": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 60_000, "nested too deeply"),
        (b"[1]", "must be a JSON object"),
        (b"5", "must be a JSON object"),
        (b"{}", "needs 'budget_w'"),
        (b'{"budget_w": null}', "needs 'budget_w'"),
        (b'{"budget": 5}', "did you mean 'budget_w'"),
        (b'{"budget_w": 5, "zzz": 5}', "known are budget_w, fixed_w, for_s"),
        (b'{"budget_w": 5, "budget_w": 6}', "twice"),
        (b'{"budget_w": NaN}', "finite"),
        (b'{"budget_w": -Infinity}', "finite"),
        (b'{"budget_w": 1e999}', "at most 1,000,000"),
        (b'{"budget_w": ' + b"9" * 400 + b"}", "at most 1,000,000"),
        (b'{"budget_w": 0}', "more than 0"),
        (b'{"budget_w": -1}', "more than 0"),
        (b'{"budget_w": "5"}', 'not "5"'),
        (b'{"budget_w": true}', "not true"),
        (b'{"budget_w": {"w": 5}}', "must be a number of watts"),
        (b'{"budget_w": 5, "fixed_w": -0.1}', "at least 0"),
        (b'{"budget_w": 5, "for_s": 0}', "for_s: must be a number of seconds"),
    ],
)
def test_an_unfit_body_is_refused_with_one_line_that_says_what_is_right(body: bytes, says: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_fields(body, FIELDS)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps({"budget_w": value}).encode()
    )
)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        values = read_fields(body, FIELDS)
    except InputError:
        return
    assert values["budget_w"] is not None
    assert 0 < values["budget_w"] <= 1e6
