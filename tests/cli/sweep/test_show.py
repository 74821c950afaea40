"""What a person is told of a sweep."""

from __future__ import annotations

from dataclasses import replace

from eagent.cli.sweep.show import advice_lines, commands, outcome, report
from eagent.sweep.front import points_of
from eagent.sweep.order import Order, Sweep, begun
from eagent.sweep.recommend import advise
from eagent.sweep.run import Run
from eagent.sweep.setting import Setting, Space

ORDER = Order(
    ("train", "{batch}"), ("gpu0", "gpu1"), "pin", Space((1005.0,), (200.0,), (("batch", ("8", "16")),)), unit="token"
)
EIGHT, SIXTEEN = (("batch", "8"),), (("batch", "16"),)


def ran(simulated: bool = True) -> Sweep:
    runs = [
        *(Run(Setting(words=EIGHT), seconds, 1000.0, units=1e4) for seconds in (10.0, 10.01, 10.0)),
        *(Run(Setting(1005.0, None, EIGHT), seconds, 800.0, units=1e4) for seconds in (10.1, 10.11)),
        *(Run(Setting(1005.0, None, SIXTEEN), seconds, 600.0, units=1e4) for seconds in (10.4, 10.41)),
        Run(Setting(None, 200.0, EIGHT), why="not in force: gpu0: budget (drew 300 W) keeps its power limit at 180 W"),
    ]
    return replace(begun(ORDER), runs=tuple(replace(run, simulated=simulated) for run in runs))


def test_the_table_is_sorted_by_time_with_units_errors_and_marks() -> None:
    lines = report(ran())
    assert lines[0].startswith("SIMULATED: ")
    heading, first, second, third = (line.split("  ") for line in lines[1:5])
    assert [cell.strip() for cell in heading if cell] == [
        *("CLOCK", "CAP", "BATCH", "RUNS", "TIME/TOKEN (ms)", "+-", "SLOWER", "SIM. ENERGY/TOKEN (mJ)", "+-"),
        *("SAVED", "FRONT"),
    ]
    assert [cell.strip() for cell in first if cell.strip()][:6] == ["as it is", "as it is", "8", "3", "1", "0.1%"]
    assert "front default" in lines[2]
    assert second[0] == "1005 MHz"
    assert "+20.0%" in lines[3]
    assert "+4.0%" in lines[4]
    assert third
    assert (
        "Not counted: 200 W, batch=8: not in force: gpu0: budget (drew 300 W) keeps its power limit at 180 W" in lines
    )
    assert "Drift of the default from first to last: time +0.0%, energy +0.0%." in lines


def test_the_setting_to_use_comes_with_what_sets_it() -> None:
    lines = advice_lines(ORDER, advise(points_of(ran().runs), ORDER.space.default))
    assert lines[0] == "at most 0% slower:     leave it as it is: nothing else is surely better"
    assert lines[1].startswith("at most 2% slower:     1005 MHz, batch=8: saves 20.0% +- ")
    assert [line.strip() for line in lines[2:4]] == [
        "eagent pin set gpu0 --clock 1005",
        "eagent pin set gpu1 --clock 1005",
    ]
    assert lines[4].startswith("at most 5% slower:     1005 MHz, batch=16: saves 40.0%")
    assert lines[7].strip() == "run it with batch=16"
    hints = replace(ORDER, by="hint", devices=("gpu0",))
    assert commands(hints, Setting(1005.0, 200.0, EIGHT)) == ["eagent hint set gpu0 --cap 200W --clock 1005"]


def test_what_is_real_is_not_called_simulated_and_what_is_simulated_is() -> None:
    assert "simulated" not in "\n".join(report(ran(simulated=False))).lower()
    real, simulated = (outcome(ran(each).runs[0], ORDER) for each in (False, True))
    assert real == "no knob set, batch=8: 10.00 s, 1000.0 J, 10000 tokens"
    assert simulated == "no knob set, batch=8: 10.00 s, 1000.0 J simulated, 10000 tokens"


def test_without_a_default_that_counts_nothing_is_advised() -> None:
    sweep = ran()
    assert report(replace(sweep, runs=())) == ["Nothing was measured that counts."]
    runs = tuple(run for run in sweep.runs if run.setting != ORDER.space.default)
    assert report(replace(sweep, runs=runs))[-1].startswith("Nothing is advised: no run of the default counts")
