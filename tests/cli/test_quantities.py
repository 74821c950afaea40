import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.cli.quantities import (
    format_duration,
    format_watts,
    parse_duration,
    parse_megahertz,
    parse_watts,
    parse_watts_or_none,
)
from eagent.errors import InputError


@pytest.mark.parametrize(
    ("text", "watts"),
    [("2480", 2480), ("2480W", 2480), ("2480 W", 2480), ("2.48kW", 2480), (" 0.5w ", 0.5), ("2.3kw", 2300)],
)
def test_watts_are_read_as_people_write_them(text: str, watts: float) -> None:
    assert parse_watts(text) == watts


@given(st.integers(1, 10_000_000), st.sampled_from(["", "W", " W"]))
def test_watts_shown_to_a_tenth_are_read_back(tenths: int, unit: str) -> None:
    watts = tenths / 10
    assert parse_watts(format_watts(watts)) == watts
    assert parse_watts(f"{watts}{unit}") == watts


@given(st.integers(1, 1_000_000_000))
def test_kilowatts_are_read_to_the_milliwatt(milliwatts: int) -> None:
    whole, rest = divmod(milliwatts, 1_000_000)
    assert parse_watts(f"{whole}.{rest:06}kW") == milliwatts / 1000


NONSENSE = [
    "",
    " ",
    "W",
    "nan",
    "inf",
    "-inf",
    "-5",
    "+5",
    "1e3",
    "1,000",
    "5MW",
    "5 kilowatt",
    "0x10",
    "٣",
    "5\n5",
    "1_0",
]


@pytest.mark.parametrize("text", [*NONSENSE, "0", "0kW", "0.0001", "1000001", "9" * 400])
def test_what_is_no_fit_number_of_watts_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_watts(text)
    assert "\n" not in str(refusal.value)
    assert "watts" in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("text", NONSENSE)
def test_zero_watts_are_an_answer_only_where_they_are_asked_for(text: str) -> None:
    assert parse_watts_or_none("0") == parse_watts_or_none("0.0W") == 0
    assert parse_watts_or_none("400W") == 400
    with pytest.raises(InputError):
        parse_watts_or_none(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5s", 1.5),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m15", 5415),
        ("0.5h", 1800),
        ("300ms", 0.3),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.integers(1, 999))
def test_milliseconds_are_shown_and_read_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(1, 366 * 86_400))
def test_whole_seconds_are_shown_and_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "nan", "inf", "-5", "-5s", "5d", "30m1h", "1h 30m", "0", "0s", "99999h", "1e3", "0ms", "1s5ms"],
)
def test_what_is_no_fit_duration_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_duration(text)
    assert "\n" not in str(refusal.value)
    assert "duration" in str(refusal.value)


@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse, most in ((parse_watts, 1e6), (parse_duration, 366 * 86_400)):
        try:
            value = parse(text)
        except InputError:
            continue
        assert 0 < value <= most


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0, "0ms"), (0.0402, "40ms"), (0.9996, "1s"), (2.5, "2.5s"), (59.96, "1m"), (7200.4, "2h")],
)
def test_durations_are_shown_with_their_unit(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("watts", "text"), [(None, "—"), (0, "0 W"), (312.44, "312.4 W"), (260.0, "260 W")])
def test_watts_are_shown_with_their_unit_and_a_missing_one_as_a_dash(watts: float | None, text: str) -> None:
    assert format_watts(watts) == text


def test_megahertz_are_read_with_and_without_their_unit() -> None:
    assert [parse_megahertz(text) for text in ("1200", "1200MHz", " 1200.5 mhz ")] == [1200, 1200, 1200.5]
    for text in ("fast", "-3", "0", "1e3", "1.2GHz", "10001", "nan"):
        with pytest.raises(InputError, match="MHz"):
            parse_megahertz(text)
