"""What a hostile or broken writer sends: values of every type, and valid things after one accident or several."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

EDGES = [0, 1, -1, 2**31, 2**32, 2**53, 2**63 - 1, 2**64 - 1, -(2**63), 100_000, 399_999, 400_000, 400_001]
NUMBERS = (
    st.sampled_from([*EDGES, 0.0, 200_000.0, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), True, False])
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
)
TEXTS = st.text(max_size=8) | st.sampled_from(["\n", "\x1b[2J", "\0", "\u2028", "x" * 3000, "\ud7ff", ".."])
ATOMS = st.none() | NUMBERS | TEXTS | st.binary(max_size=8)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


@st.composite
def spoilt(draw: st.DrawFn, whole: Any, most: int = 3) -> Any:
    """A tree of maps and lists with up to `most` of its places changed, dropped or doubled; often none."""
    tree = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, most))):
        place = tree
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            match draw(st.sampled_from(["put", "drop", "add"])):
                case "put":
                    place[key] = draw(VALUES)
                case "drop":
                    del place[key]
                case _ if isinstance(place, dict):
                    place[draw(TEXTS)] = draw(VALUES)
                case _:
                    place.append(draw(st.just(inner) | VALUES))
            break
    return tree


@st.composite
def battered(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes after up to three accidents: cut short, overwritten, put in, taken out or doubled."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        size = draw(st.integers(1, 16))
        put = draw(st.binary(min_size=1, max_size=size))
        match draw(st.sampled_from(["cut", "over", "in", "out", "double"])):
            case "cut":
                whole = whole[:at]
            case "over":
                whole = whole[:at] + put + whole[at + len(put) :]
            case "in":
                whole = whole[:at] + put + whole[at:]
            case "out":
                whole = whole[:at] + whole[at + size :]
            case _:
                whole = whole[: at + size] + whole[at:]
    return whole


def check_line(line: str, most: int) -> None:
    """Hold an error to what each must be: one line of bounded length that changes nobody's terminal."""
    assert line, "an error without a word"
    assert len(line) <= most, f"an error of {len(line)} characters"
    assert line.isprintable(), f"an error with control characters: {line!r}"
