"""The samples of some names out of Prometheus text, beside the reference's own parser."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from eagent.errors import InputError
from eagent.progress.exposition import LINES_MAX, READ_MAX, SAMPLES_MAX, Sample, samples

NAMES = st.sampled_from(["a", "ab", "a_total", "vllm:generation_tokens_total", "b_bucket", "other"])
WANTED = ("a", "a_total", "vllm:generation_tokens_total", "b_bucket")
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=12)
BLANKS = st.sampled_from(["", " ", "\t", "  "])
SPACES = st.sampled_from([" ", "\t", "  "])
VALUES = st.one_of(
    st.integers(0, 2**70).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e3", "0", "-0.0"]),
)


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@st.composite
def lines(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(["", "# HELP a something", "#", "# a 3"]))
    labels = draw(st.dictionaries(st.sampled_from(["le", "engine", "model_name", "x"]), TEXTS, max_size=3))
    escaped = {
        name: text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for name, text in labels.items()
    }
    inside = ",".join(f'{name}="{text}"' for name, text in escaped.items())
    braces = f"{{{inside}{draw(st.sampled_from(['', ',']))}}}" if labels else draw(st.sampled_from(["", "{}"]))
    stamp = draw(st.sampled_from(["", " 1700000000000"]))
    begin = draw(BLANKS)
    return f"{begin}{draw(NAMES)}{draw(BLANKS) if braces else ''}{braces}{draw(SPACES)}{draw(VALUES)}{stamp}"


def of_the_reference(text: str) -> list[Sample]:
    found = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return [
        Sample(one.name, tuple(sorted(one.labels.items())), float(one.value)) for one in found if one.name in WANTED
    ]


def comparable(found: list[Sample]) -> list[tuple[object, ...]]:
    return sorted((one.name, one.labels, "NaN" if math.isnan(one.value) else repr(one.value)) for one in found)


@given(st.lists(lines(), max_size=12))
def test_it_reads_what_the_reference_reads(drawn: list[str]) -> None:
    text = "\n".join(drawn) + "\n"
    assert comparable(list(samples(text.encode(), WANTED))) == comparable(of_the_reference(text))


@given(st.binary(max_size=400))
@example(b'a{x="\\')
@example(b'a{x="' + b"\\" * 300)
@example(b"a{" * 100)
def test_bytes_of_any_kind_come_to_samples_or_to_one_line_of_error(body: bytes) -> None:
    problem, found = "", []
    try:
        found = list(samples(body.replace(b"#", b"\na "), WANTED))
    except InputError as told:
        problem = str(told)
    assert "\n" not in problem
    assert problem.isprintable()
    assert all(one.name in WANTED for one in found)


@pytest.mark.parametrize("line", ["a", "a{", 'a{x="1"', "a{x=1} 2", "a one", "a 1_0", "a 1 2 3", 'a{x="1" y="2"} 3'])
def test_a_wanted_line_that_is_no_sample_is_told_with_its_number(line: str) -> None:
    with pytest.raises(InputError, match="line 2: "):
        list(samples(f"ab 1\n{line}\n".encode(), WANTED))


def test_what_is_not_wanted_is_not_read_however_broken_it_is() -> None:
    assert [one.value for one in samples(b'ab{{{ x\nother "\na 3\nabc{x="' + b"y" * 100_000, WANTED)] == [3.0]


@pytest.mark.parametrize(
    "body",
    [
        b"a 1\n" * (SAMPLES_MAX + 1),
        (b'a{x="' + b"y" * 9000 + b'"} 1\n') * (READ_MAX // 9000 + 1),
        b"\n" * (LINES_MAX + 1),
    ],
)
def test_what_takes_too_long_to_read_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="more than"):
        list(samples(body, WANTED))
