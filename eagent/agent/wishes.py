"""What the configuration wishes of the policies: what each may do, and the numbers that it goes by."""

from __future__ import annotations

from dataclasses import replace

from eagent.config import Config
from eagent.policy.goals import Goals


def modes(config: Config) -> dict[str, str]:
    """What each policy may do, by its name; one that is not here only observes. A pin is a command, and acts."""
    return {
        "budget": config.mode_budget,
        "pin": "act",
        "hint": config.mode_hint,
        "idle": config.mode_idle,
        "cpu": config.mode_cpu,
        "efficiency": config.mode_efficiency,
        "sleep": config.mode_sleep,
        "latency": config.mode_latency,
    }


def goals_of(config: Config, goals: Goals) -> Goals:
    """The numbers of the configuration, and those of `goals` where it has none."""
    feeding = replace(goals.feeding, slowdown=config.cpu_slowdown)
    thrift = replace(
        goals.efficiency,
        slowdown=config.efficiency_slowdown,
        least_clock_mhz=float(config.efficiency_least_clock_mhz),
        first_token_s=config.first_token_p99_s or goals.efficiency.first_token_s,
        between_tokens_s=config.between_tokens_p99_s or goals.efficiency.between_tokens_s,
    )
    return replace(goals, feeding=feeding, efficiency=thrift, clock_baseline_mhz=config.gpu_clock_baseline_mhz)
