"""What budget, explain, pin and restore ask of the agent, and what they say about its answers."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.errors import RefusedError

Run = Callable[..., Any]


def test_budget_set_sends_only_what_was_given_and_shows_the_result(eagent: Run, agent: Any) -> None:
    said = eagent("budget", "set", "2.48kW")
    assert (said.code, agent.asked) == (0, [("set_budget", 2480.0, None, None)])
    assert said.out.startswith("budget   2480 W: limits in force")
    eagent("budget", "set", "2480", "--fixed-w", "0", "--safe-cap", "150W")
    assert agent.asked[1:] == [("set_budget", 2480.0, 0.0, 150.0)]


@pytest.mark.usefixtures("agent")
def test_budget_set_fails_when_it_is_not_in_force(eagent: Run) -> None:
    said = eagent("budget", "set", "2000")
    assert said.code == 1
    assert "not every limit" in said.err
    assert eagent("budget", "set", "2001").code == 0


def test_budget_alone_shows_it_and_calls_simulated_watts_simulated(eagent: Run, agent: Any) -> None:
    agent.said.update(budget=None, simulated=True)
    assert eagent("budget").out == "SIMULATED\nbudget   none\n"
    assert json.loads(eagent("budget", "--json").out) == {"budget": None}


def test_budget_clear_clears_it(eagent: Run, agent: Any) -> None:
    assert eagent("budget", "clear").code == 0
    assert agent.asked == [("clear_budget",)]


def test_a_refused_budget_is_one_line_and_exit_code_1(eagent: Run, agent: Any) -> None:
    agent.problem = RefusedError("the safe caps and the fixed draw come to 1600 W: more than 1000 W")
    assert eagent("budget", "set", "1000") == (
        1,
        "",
        "eagent: the safe caps and the fixed draw come to 1600 W: more than 1000 W\n",
    )


def test_pin_set_and_clear_reach_the_device(eagent: Run, agent: Any) -> None:
    assert "gpu0 is pinned to 250 W for 10m." in eagent("pin", "set", "gpu0", "250W", "--for", "10m").out
    assert "until `eagent pin clear`" in eagent("pin", "set", "gpu0", "0.25kW").out
    assert eagent("pin", "clear", "gpu0").code == 0
    assert agent.asked == [
        ("set_pin", "gpu0", 250.0, 600.0, None),
        ("set_pin", "gpu0", 250.0, None, None),
        ("clear_pin", "gpu0"),
    ]


def test_pin_holds_a_clock_ceiling_alone_or_with_a_limit(eagent: Run, agent: Any) -> None:
    assert (
        "gpu0 is pinned to at most 1200 MHz for 10m."
        in eagent("pin", "set", "gpu0", "--clock", "1200", "--for", "10m").out
    )
    assert "gpu0 is pinned to 250 W and at most 1200 MHz" in eagent("pin", "set", "gpu0", "250W", "--clock", "1200").out
    assert agent.asked == [
        ("set_pin", "gpu0", None, 600.0, 1200.0),
        ("set_pin", "gpu0", 250.0, None, 1200.0),
    ]
    assert eagent("pin", "set", "gpu0") == (1, "", "eagent: a pin needs WATTS, --clock MHZ, or both\n")
    refused = eagent("pin", "set", "gpu0", "--clock", "fast")
    assert (refused.code, refused.out) == (2, "")
    assert "'fast' is not a number of MHz: write it as 1200 or 1200MHz" in refused.err


def test_detach_and_attach_reach_each_gpu_that_is_named(eagent: Run, agent: Any) -> None:
    said = eagent("detach", "gpu0", "gpu1", "--why", "XID 79,\n to be reset")
    assert said.out == (
        "gpu0 is detached: nothing of eagent's has it open. Reset it, then `eagent attach gpu0`.\n"
        "gpu1 was detached since noon by root: to be reset\n"
    )
    assert eagent("attach", "gpu0", "gpu1").out == "gpu0 is governed again.\ngpu1 was not detached.\n"
    assert [each[:2] for each in agent.asked] == [
        *(("detach", "gpu0"), ("detach", "gpu1"), ("attach", "gpu0"), ("attach", "gpu1"))
    ]
    assert {each[3] for each in agent.asked[:2]} == {"XID 79, to be reset"}


def test_a_refused_detachment_is_one_line_and_exit_code_1(eagent: Run, agent: Any) -> None:
    agent.problem = RefusedError("gpu0 can't be detached under a budget of 1800 W: 50 W too much")
    assert eagent("detach", "gpu0") == (
        1,
        "",
        "eagent: gpu0 can't be detached under a budget of 1800 W: 50 W too much\n",
    )


def test_an_unknown_device_is_one_line_and_exit_code_1(eagent: Run, agent: Any) -> None:
    for words in (("explain", "gpu9"), ("pin", "set", "gpu9", "250")):
        assert eagent(*words) == (1, "", "eagent: no device 'gpu9': known are gpu0\n")
    assert agent.asked == []


def test_restore_asks_the_agent_and_clears_the_budget_first_only_when_told(eagent: Run, agent: Any) -> None:
    assert "gpu0: power limit back to 400 W" in eagent("restore").out
    assert eagent("restore", "--clear-budget").code == 0
    assert agent.asked == [("restore",), ("clear_budget",), ("restore",)]


def test_restore_is_not_done_behind_the_back_of_an_agent_that_refuses(eagent: Run, agent: Any) -> None:
    agent.problem = RefusedError("a budget of 2480 W is in force: `eagent budget clear` first")
    said = eagent("restore")
    assert said.code == 1
    assert "budget clear" in said.err


def test_restore_without_an_agent_is_done_from_here(eagent: Run, tmp_path: Path) -> None:
    config = tmp_path / "eagent.toml"
    config.write_text('[driver]\nlibrary = "/no/such/driver.so"\n')
    said = eagent("restore", "--config", str(config))
    assert (said.code, said.out) == (1, "")
    assert "/no/such/driver.so" in said.err
    assert said.err.count("\n") == 1


def test_without_an_agent_no_budget_of_the_mesh_is_cleared(eagent: Run, tmp_path: Path) -> None:
    config = tmp_path / "eagent.toml"
    mesh = f'domains = ["rack7"]\nsite_key = "{"00" * 32}"\nreserve_w = 700\nnameplate_w = 1300'
    config.write_text(f'[driver]\nlibrary = "/no/such/driver.so"\n[mesh]\n{mesh}\n')
    said = eagent("restore", "--clear-budget", "--config", str(config))
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "comes from the mesh (rack7)" in said.err
    assert "/no/such/driver.so" in eagent("restore", "--config", str(config)).err


@pytest.mark.parametrize("words", [("status",), ("budget",), ("explain", "gpu0"), ("pin", "clear", "gpu0")])
def test_without_an_agent_each_verb_says_how_to_start_one(eagent: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    said = eagent(*words)
    assert (said.code, said.out) == (1, "")
    assert said.err == f"eagent: no agent runs here (there is no {tmp_path}/api.sock): start it with `eagent up`\n"


def test_a_stale_socket_is_one_line_and_exit_code_1(eagent: Run, tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "api.sock"))
    stale.close()
    said = eagent("status")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "dead" in said.err


WINNER = {
    "policy": "demand",
    "priority": "budget",
    "low": 0.0,
    "high": 260.0,
    "reason": "its share of 2080 W",
    "until_s": None,
}
LOSER = {
    "policy": "pin",
    "priority": "pin",
    "low": 300.0,
    "high": 300.0,
    "reason": "pinned by an operator",
    "until_s": 540.0,
    "fate": "lost: clipped to 260 W",
}


def test_explain_tells_value_winner_losers_and_until_when(eagent: Run, agent: Any) -> None:
    agent.explained = {
        "knobs": [
            {
                "knob": "power_limit",
                "unit": "W",
                "value": 260.0,
                "ours": 260.0,
                "baseline": 400.0,
                "decided": 260.0,
                "winner": WINNER,
                "losers": [LOSER],
                "note": "",
            }
        ]
    }
    assert eagent("explain", "gpu0").out.splitlines() == [
        "gpu0",
        "  power limit: 260 W now, set by eagent; it was 400 W before",
        "    decided 260 W: demand (budget) asked for at most 260 W, because its share of 2080 W",
        "    pin (pin) asked for exactly 300 W for 9m more, because pinned by an operator; lost: clipped to 260 W",
    ]
    assert json.loads(eagent("explain", "gpu0", "--json").out)["knobs"] == agent.explained["knobs"]


def test_explain_of_a_knob_that_nobody_asks_for_says_so(eagent: Run, agent: Any) -> None:
    knob = {"knob": "power_limit", "unit": "W", "value": None, "ours": None, "baseline": None, "decided": None}
    agent.explained = {"knobs": [{**knob, "winner": None, "losers": [], "note": "needs root"}]}
    assert eagent("explain", "gpu0").out.splitlines() == [
        "gpu0",
        "  power limit: cannot be read now; no setting of eagent's is known",
        "    nobody asks for anything",
        "    note: needs root",
    ]


def test_explain_does_not_hide_that_somebody_else_wrote(eagent: Run, agent: Any) -> None:
    knob = {"knob": "power_limit", "unit": "W", "value": 300.0, "ours": 260.0, "baseline": None, "decided": None}
    agent.explained = {"knobs": [{**knob, "winner": {**WINNER, "low": 100.0}, "losers": [], "note": ""}]}
    said = eagent("explain", "gpu0").out
    assert "300 W now, though eagent set 260 W; what it was before is not known" in said
    assert "    demand (budget) asked for 100 W to 260 W, because" in said


def test_explain_tells_all_three_knobs_of_a_package(eagent: Run, agent: Any) -> None:
    asked = {**WINNER, "policy": "cpu", "priority": "efficiency", "low": 0.0, "high": 1850.0, "reason": "it only feeds"}
    agent.explained = {
        "knobs": [
            {
                "knob": "power_limit",
                "unit": "W",
                "value": 250.0,
                "ours": None,
                "baseline": 250.0,
                "decided": None,
                "winner": None,
                "losers": [],
                "note": "",
            },
            {
                "knob": "cpu_clock",
                "unit": "MHz",
                "value": 1800,
                "ours": 1800,
                "baseline": 3400,
                "decided": 1850.0,
                "winner": asked,
                "losers": [],
                "note": "",
            },
            {
                "knob": "cpu_preference",
                "unit": "",
                "value": "balance_power",
                "ours": "balance_power",
                "baseline": "balance_performance",
                "decided": "balance_power",
                "losers": [],
                "note": "",
                "winner": {**asked, "low": None, "high": "balance_power", "reason": "its ceiling is low"},
            },
        ]
    }
    assert eagent("explain", "gpu0").out.splitlines() == [
        "gpu0",
        "  power limit: 250 W now; no setting of eagent's is known",
        "    nobody asks for anything",
        "  cpu clock: 1800 MHz now, set by eagent; it was 3400 MHz before",
        "    decided 1850 MHz: cpu (efficiency) asked for at most 1850 MHz, because it only feeds",
        "  cpu preference: balance_power now, set by eagent; it was balance_performance before",
        "    decided balance_power: cpu (efficiency) asked for balance_power, because its ceiling is low",
    ]


def test_the_plan_of_a_package_is_a_line_with_ceiling_preference_and_stake(eagent: Run, agent: Any) -> None:
    proposal = {
        "device": "cpu0",
        "uuid": "CPU-0",
        "knob": "cpu_clock",
        "unit": "MHz",
        "policy": "cpu",
        "acts": False,
        "low": 0.0,
        "high": 1850.0,
        "reason": "it only feeds",
        "draws_w": 120.4,
        "stake_w": 41.6,
    }
    agent.planned["proposals"] = [
        {**proposal, "ceiling_mhz": 1800, "preference": "balance_power"},
        {**proposal, "ceiling_mhz": 1800, "preference": None},
        {**proposal, "ceiling_mhz": None, "preference": None, "stake_w": None, "reason": "no process is on a GPU"},
    ]
    assert eagent("plan").out.splitlines() == [
        "cpu0: cpu would, but only observes: cpu clock at most 1850 MHz and cpu preference balance_power, because it "
        "only feeds (draws 120 W now); 42 W at stake",
        "cpu0: cpu would, but only observes: cpu clock at most 1850 MHz, because it only feeds (draws 120 W now); 42 W "
        "at stake",
        "cpu0: cpu would, but only observes: no ceiling on its cpu clock, because no process is on a GPU (draws 120 W "
        "now)",
    ]


def test_the_plan_says_that_a_host_would_sleep(eagent: Run, agent: Any) -> None:
    sleep = {"wanted": True, "reason": "it has had nothing to do for 700 s", "acts": False, "hindered": None}
    agent.planned["sleep"] = {**sleep, "draws_w": 402.4}
    told = "hand its watts over and be switched off, because it has had nothing to do for 700 s"
    assert eagent("plan").out.splitlines() == [
        f"host: sleep would, but only observes: {told} (its devices draw 402 W now)"
    ]
    agent.planned["sleep"] = {**sleep, "acts": True, "hindered": "rack7: it holds 1 duty tokens", "draws_w": None}
    assert eagent("plan").out.splitlines() == [f"host: sleep acts: {told}; not yet: rack7: it holds 1 duty tokens"]
    agent.planned["sleep"] = {**sleep, "wanted": False, "draws_w": None}
    assert eagent("plan").out.splitlines() == ["no policy asks for anything"]


def test_restore_tells_where_each_knob_of_a_package_goes_back_to(eagent: Run, agent: Any) -> None:
    about = {"device": "cpu0", "uuid": "CPU-0", "baseline_w": 250.0}
    agent.given_back = [{**about, "baseline_mhz": 3400, "baseline_preference": "balance_performance"}]
    assert eagent("restore").out.splitlines()[1:] == [
        "cpu0: power limit back to 250 W",
        "cpu0: frequency ceiling back to 3400 MHz",
        "cpu0: energy preference back to balance_performance",
    ]
