"""Whether a setting is in force, by what the agent tells; and how it is asked for and taken away."""

from __future__ import annotations

from typing import Any

import pytest

from eagent.cli.sweep.knobs import HOLD_S, RENEW_S, Hints, Pins, not_in_force, set_by_others
from eagent.errors import RefusedError
from eagent.sweep.setting import Setting

BY_PIN = {"policy": "pin", "reason": "pinned by an operator", "until_s": 9.0}
BUDGET = {"policy": "budget", "reason": "drew 300 W", "until_s": None}


def limit(value: float, decided: float | None = None, winner: Any = None, baseline: float | None = 400.0) -> Any:
    knob = {"knob": "power_limit", "unit": "W", "value": value, "ours": decided, "baseline": baseline}
    return knob | {"decided": decided, "winner": winner, "losers": []}


def clock(ours: float | None, decided: float | None = None, winner: Any = None, ceiling: float | None = None) -> Any:
    knob = {"knob": "gpu_clock", "unit": "MHz", "value": ours, "ours": ours, "baseline": None}
    return knob | {"decided": decided, "winner": winner, "losers": [], "ceiling": ceiling}


FREE = [limit(400), clock(None)]


@pytest.mark.parametrize(
    ("setting", "knobs", "why"),
    [
        (Setting(), FREE, None),
        (Setting(1200), FREE, "gpu0: nothing is decided about its clock ceiling yet"),
        (Setting(1200), [limit(400), clock(1200, 1200, BY_PIN, 1200)], None),
        (Setting(1203), [limit(400), clock(1200, 1203, BY_PIN, 1200)], None),
        (
            Setting(1200),
            [limit(400), clock(1005, 1200, BY_PIN, 1200)],
            "gpu0: its clock ceiling is 1005 MHz, not at 1200 MHz",
        ),
        (
            Setting(1200),
            [limit(400), clock(None, 1200, BY_PIN, 1200)],
            "gpu0: its clock ceiling is not there, not at 1200 MHz",
        ),
        (Setting(1410), [limit(400), clock(None, 1410, BY_PIN, None)], None),
        (
            Setting(1410),
            [limit(400), clock(1200, 1410, BY_PIN, None)],
            "gpu0: its clock ceiling is 1200 MHz, not at 1410 MHz",
        ),
        (Setting(None, 300), [limit(300, 300, BY_PIN), clock(None)], None),
        (Setting(None, 300), [limit(400, 300, BY_PIN), clock(None)], "gpu0: its power limit is 400 W, not at 300 W"),
        (
            Setting(None, 300),
            [limit(180, 180, BUDGET), clock(None)],
            "gpu0: budget (drew 300 W) keeps its power limit at 180 W",
        ),
        (Setting(), [limit(300), clock(None)], "gpu0: its power limit is 300 W still"),
        (Setting(), [limit(300, 300, BY_PIN), clock(None)], "gpu0: its power limit is pinned still"),
        (Setting(), [limit(400), clock(1200)], "gpu0: its clock ceiling is 1200 MHz still"),
        (Setting(), [limit(180, 180, BUDGET), clock(None)], None),
        (Setting(), [limit(300, baseline=None), clock(None)], None),
    ],
)
def test_a_setting_is_in_force_when_all_that_it_names_is_read_back_and_nothing_else_is_ours(
    setting: Setting, knobs: list[Any], why: str | None
) -> None:
    assert not_in_force("gpu0", knobs, setting) == why


def test_a_policy_that_holds_what_is_left_alone_is_told() -> None:
    held = [limit(180, 180, BUDGET), clock(None)]
    assert set_by_others("gpu0", held, Setting(1200)) == ["gpu0: budget held its power limit at 180 W"]
    assert set_by_others("gpu0", held, Setting(None, 200)) == []
    assert set_by_others("gpu0", FREE, Setting()) == []


class Agent:
    """What answers at a socket."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers = list(answers)

    def request(self, method: str, target: str, body: Any = None, why: str | None = None) -> Any:  # noqa: ARG002
        self.asked.append((method, target, body))
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_pins_run_out_by_themselves_and_are_taken_away_once() -> None:
    agent = Agent()
    pins = Pins(agent, ["gpu0", "gpu1"])  # type: ignore[arg-type]
    pins.set(Setting(1200, 250))
    pins.set(Setting())
    pins.clear()
    wish = {"limit_w": 250, "clock_mhz": 1200, "for_s": HOLD_S}
    assert agent.asked == [
        ("PUT", "/v1/devices/gpu0/pin", wish),
        ("PUT", "/v1/devices/gpu1/pin", wish),
        ("DELETE", "/v1/devices/gpu0/pin", None),
        ("DELETE", "/v1/devices/gpu1/pin", None),
    ]
    assert 2 * RENEW_S < HOLD_S, "one that is missed costs nothing"


def test_a_pin_of_somebody_else_is_seen_whether_it_won_or_lost() -> None:
    lost = {**limit(180, 180, BUDGET), "losers": [{**BY_PIN, "until_s": None}]}
    agent = Agent({"knobs": [lost, clock(None)]}, {"knobs": [limit(400), clock(1200, 1200, BY_PIN, 1200)]})
    assert Pins(agent, ["gpu0", "gpu1"]).others() == [("gpu0", None), ("gpu1", 9.0)]  # type: ignore[arg-type]


def told(**more: Any) -> dict[str, Any]:
    return {"acts": True, "waits_for": 0, "knobs": [limit(400), clock(1200, 1200, BY_PIN, 1200)], **more}


def test_hints_wait_for_the_command_and_for_its_other_users() -> None:
    refused = RefusedError("no process of user 7 holds gpu0")
    agent = Agent({}, refused, told(waits_for=1), told())
    hints = Hints(agent, ["gpu0"])  # type: ignore[arg-type]
    hints.set(Setting(1200))
    assert hints.problem() == "no process of user 7 holds gpu0"
    hints.set(Setting(1200))
    assert hints.problem() == "gpu0: 1 more of its users would have to ask, too"
    hints.set(Setting(1200))
    assert hints.problem() is None
    assert agent.asked[0][0] == "DELETE", "the one of before does not stand until the command is seen"


def test_hints_that_are_only_noted_are_no_way() -> None:
    with pytest.raises(RefusedError, match='the operator has not set \\[policy\\] mode_hint = "act"'):
        Hints(Agent({}, told(acts=False)), ["gpu0"]).set(Setting(1200))  # type: ignore[arg-type]
