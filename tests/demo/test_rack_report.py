"""What the demo with several hosts tells of an outcome, and when it says that a promise was broken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from eagent.demo.rack import Watts
from eagent.demo.rack_report import ROWS, document, is_kept, summary
from eagent.demo.together import Outcome, Side
from eagent.sim.account import Percentiles, WallUse
from eagent.sim.trace import Request, Trace

REQUESTS = 10
ON = WallUse(on_s=60.0, booting_s=0.0, off_s=0.0, on_j=60_000.0, booting_j=0.0, off_j=0.0)
SLEPT = WallUse(on_s=40.0, booting_s=4.0, off_s=16.0, on_j=40_000.0, booting_j=8_000.0, off_j=480.0)
LATENCY = Percentiles(REQUESTS, 0, 1.0, 2.0, 3.0, 4.0)
STATIC = Side({"n1": ON, "n2": ON}, LATENCY, LATENCY, 0)
KEPT = Outcome(
    trace=Trace((Request(0.0, 1, 1),) * REQUESTS, 60.0, "ten requests"),
    seconds=60.0,
    hosts=2,
    watts=Watts(600.0, 1600.0, 1200.0, packages_shown=True),
    budget_w=5600.0,
    static=STATIC,
    governed=replace(STATIC, wall={"n1": ON, "n2": SLEPT}),
    over_budget_s=0.0,
    exposed_s=1.5,
    greatest_w=3000.0,
    slept=("n2",),
    woken=("n2",),
    no_sleep=None,
)
BROKEN: dict[str, dict[str, Any]] = {
    "limits above the budget": {"over_budget_s": 0.001},
    "a lost request": {
        "governed": replace(STATIC, latency=Percentiles(REQUESTS - 1, 1, 1.0, 2.0, 3.0, 4.0), lost=1),
    },
    "no watt moved": {"greatest_w": 2800.0},
    "nobody slept": {"slept": (), "woken": ()},
    "who slept did not wake": {"woken": ()},
}


def test_what_was_promised_was_kept() -> None:
    assert is_kept(document(KEPT))


@pytest.mark.parametrize("change", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_promise_is_told(change: dict[str, Any]) -> None:
    assert not is_kept(document(replace(KEPT, **change)))


def test_where_no_host_can_sleep_none_need() -> None:
    told = document(replace(KEPT, slept=(), woken=(), no_sleep="FUSE is missing"))
    assert is_kept(told)
    assert summary(told)[-1] == "no host could sleep: FUSE is missing"


def test_a_host_that_nobody_needs_again_may_sleep_on() -> None:
    told = document(replace(KEPT, hosts=4, slept=("n3", "n4"), woken=("n3",)))
    assert is_kept(told)
    assert any(line.startswith("n3 slept and woke; n4 slept on; ") for line in summary(told))


def test_the_document_is_json_and_says_that_it_is_simulated() -> None:
    told = document(KEPT)
    assert json.loads(json.dumps(told)) == told
    assert told["simulated"] is True
    assert (told["hosts"], told["requests"], told["watts_moved_w"]) == (2, REQUESTS, 200.0)
    assert (told["static"]["energy_j"], told["eagent"]["energy_j"]) == (120_000.0, 108_480.0)
    assert (told["static"]["energy_per_request_j"], told["eagent"]["not_on_s"]) == (12_000.0, 20.0)


def test_where_nobody_had_more_than_its_share_nothing_moved() -> None:
    assert document(replace(KEPT, greatest_w=2200.0))["watts_moved_w"] == 0.0


def test_without_an_answer_there_is_no_figure_per_request() -> None:
    none = replace(STATIC, latency=Percentiles(0, REQUESTS), first_token=Percentiles(0, REQUESTS), lost=REQUESTS)
    told = document(replace(KEPT, governed=none))
    assert told["eagent"]["energy_per_request_j"] is None
    assert any(line.startswith("energy per request") and line.split()[-1] == "-" for line in summary(told))


def test_the_table_has_a_line_for_each_row_and_fits_a_terminal() -> None:
    lines = summary(document(KEPT))
    assert [sum(line.startswith(title) for line in lines) for title, *_ in ROWS] == [1] * len(ROWS)
    assert max(map(len, lines)) <= 120
    assert "n2 slept and woke; 1.5 s from boots to limits, in which no work ran" in lines
