from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import EagentError
from eagent.joules import DeviceJoules, Joules, parse
from eagent.summary import Summary, Tally

ONE = DeviceJoules("gpu0", "GPU-0", 100.0, 3.0, 1.0, "counter", ("gap",), 0)
TWO = DeviceJoules("gpu1", "GPU-1", 200.0, 4.0, 2.0, "power", ("aliasing", "gap"), 2)


def test_boards_add_up_and_their_errors_as_squares_but_for_those_of_one_make() -> None:
    both = Joules((ONE, TWO))
    assert (both.energy_j, both.half_width_j, both.gain_j) == (300.0, 5.0, 3.0)
    assert (both.flags, both.others) == (("aliasing", "gap"), 2)


def test_a_part_is_no_sum() -> None:
    told = {"windows": [{"devices": [as_told(ONE), {**as_told(TWO), "energy_j": None, "why": "lost"}], "why": None}]}
    (window,) = parse({"simulated": False, **told}, 1)
    assert (window.energy_j, window.half_width_j, window.gain_j) == (None, None, None)
    assert window.why == "gpu1: lost"


def as_told(device: DeviceJoules) -> dict[str, Any]:
    names = ("device", "uuid", "energy_j", "half_width_j", "gain_j", "source", "flags", "others")
    return {**{name: getattr(device, name) for name in names}, "flags": list(device.flags), "why": None}


def test_an_answer_is_read_as_it_was_told() -> None:
    told = {"simulated": True, "windows": [{"devices": [as_told(ONE)], "why": None}, {"devices": [], "why": "none"}]}
    assert parse(json.loads(json.dumps(told)), 2) == [Joules((ONE,), simulated=True), Joules((), True, "none")]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(as_told(ONE))), inner, max_size=9),
)
WINDOW = st.fixed_dictionaries({"devices": JSON | st.lists(st.just(as_told(ONE)) | JSON, max_size=2), "why": JSON})


@given(st.fixed_dictionaries({"simulated": JSON, "windows": st.lists(WINDOW | JSON, max_size=3) | JSON}) | JSON)
def test_what_is_no_answer_is_one_clear_error(answer: Any) -> None:
    try:
        windows = parse(answer, 1)
    except EagentError:
        return
    assert windows[0].why or windows[0].energy_j is not None, "joules, or a reason"


def test_a_summary_adds_joules_and_the_whole_of_their_errors() -> None:
    tally = Tally()
    tally.add(
        [("step", 1.0, Joules((ONE,), simulated=True)), ("step", 2.0, Joules((TWO,))), ("other", 9.0, Joules(why="x"))]
    )
    other, step = tally.summaries([("step", 0.5)], "no agent")
    assert step == Summary("step", 3, 3.5, 2, 3.0, 300.0, 7.0, 3.0, simulated=True, why="no agent")
    assert (other.energy_j, other.why) == (None, "x")
    assert tally.summaries([], "")[1].count == 2, "what is not known yet is not kept"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_summary_in_parts_is_that_of_the_whole(joules: list[float]) -> None:
    windows = [("step", 1.0, Joules((replace(ONE, energy_j=each),))) for each in joules]
    whole, parts = Tally(), Tally()
    whole.add(windows)
    for window in windows:
        parts.add([window])
    (one,), (many,) = whole.summaries([], ""), parts.summaries([], "")
    assert one.energy_j is not None
    assert many.energy_j is not None
    assert math.isclose(one.energy_j, many.energy_j, abs_tol=1e-9)
    assert replace(one, energy_j=0, half_width_j=0, gain_j=0) == replace(many, energy_j=0, half_width_j=0, gain_j=0)


def test_a_name_that_is_empty_is_called_something() -> None:
    assert str(Summary("", 2, 1.0, why="no agent")) == "windows without a name: 2 in 1.000 s, no joules: no agent"
    with pytest.raises(AttributeError):
        Summary("x").count = 3  # type: ignore[misc]
