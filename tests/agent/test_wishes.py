"""What the configuration wishes of the policies."""

from __future__ import annotations

from eagent.agent.wishes import goals_of, modes
from eagent.config import OPTIONS, Config
from eagent.policy.goals import Efficiency, Goals
from eagent.policy.registry import POLICIES


def test_each_policy_has_a_mode_and_the_configuration_sets_it() -> None:
    policies = ("budget", "idle", "cpu", "efficiency", "latency", "sleep", "hint")
    acting, observing = (Config(**{f"mode_{name}": mode for name in policies}) for mode in ("act", "observe"))
    assert POLICIES.keys() <= modes(acting).keys()
    assert set(modes(acting).values()) == {"act"}
    assert {name for name, mode in modes(observing).items() if mode == "act"} == {"pin"}, "a pin is a command"
    assert {f"mode_{name}" for name in modes(acting) if name != "pin"} == {
        key for key in OPTIONS["policy"] if key.startswith("mode_")
    }


def test_a_number_of_the_configuration_comes_before_the_goals_own() -> None:
    before = Goals(efficiency=Efficiency(slowdown=0.5, first_token_s=1.0, between_tokens_s=0.1))
    after = goals_of(Config(efficiency_slowdown=0.03, first_token_p99_s=2.0, cpu_slowdown=0.04), before)
    assert (after.efficiency.slowdown, after.efficiency.first_token_s, after.feeding.slowdown) == (0.03, 2.0, 0.04)
    assert after.efficiency.between_tokens_s == 0.1, "the configuration has none"
