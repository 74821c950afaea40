"""A warden that waits for the driver refuses everything with the reason, and notices when the waiting is over."""

from __future__ import annotations

import pytest

from eagent.model import Budget
from eagent.warden.server import dispatch
from eagent.warden.waiting import Waiting
from eagent.wire import encode, pack_budget

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "hello"},
        {"op": "status"},
        {"op": "lease", "limits_mw": {}, "ttl_s": 3.0},
        {"op": "release"},
        {"op": "budget_set", **pack_budget(Budget(1000.0, 0.0, {}))},
        {"op": "budget_clear"},
        {"op": "yield_clear"},
        {"op": "lock_again", "uuids": ["GPU-1"]},
    ],
    ids=lambda request_: request_["op"],
)
def test_every_request_is_refused_with_the_reason_and_since_when(request_: dict[str, object]) -> None:
    waiting = Waiting(lambda: False, 2 * SECOND_NS, lambda: 14 * SECOND_NS)
    answer = dispatch(waiting, encode(request_), 14 * SECOND_NS)
    assert answer["ok"] is False
    assert "the driver has not answered the warden for 12 s" in answer["error"]


def test_what_is_no_request_is_refused_as_ever() -> None:
    answer = dispatch(Waiting(lambda: False, 0, lambda: 0), encode({"op": "dance"}), 0)
    assert "no such request" in answer["error"]


def test_the_end_of_the_waiting_is_told_once_it_has_come() -> None:
    ended, told = [False], []
    waiting = Waiting(lambda: ended[0], 0, lambda: 0)
    waiting.at_end = lambda: told.append(True)
    waiting.tick(SECOND_NS)
    assert told == []
    ended[0] = True
    waiting.tick(2 * SECOND_NS)
    assert told == [True]
