"""Refreshes of the power sensors caught against time inside NVML: eagent beside its peers, one at a time.

Every program runs unmodified on a simulated host of 8 busy GPUs in wall time, whose driver has one lock and calls that
take as long as published. What was caught is the simulator's word (`Faults.shown`), not the program's: a publication
counts when any call has shown it. A program that has several settings is measured with each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.sampling import peers
from benchmarks.sampling.eagents import eagent
from benchmarks.sampling.rig import GPUS, MODELS, Rig, Seen, rig

PEER_S, EAGENT_S, AGENT_S, SLOW_S = 3.5, 12.0, 8.0, 10.0
LEARN_S = 5.0  # for the loop to learn the sensors' periods and phases
SLOW_LEARN_S = 15.0  # and on a slow driver to forget what that has cost
SLOWNESS = 10.0
STRIDE_MOST = 32  # of the publications it looks at one in so many, at the least (native/shed.c)

CAUGHT, AGE_P95_MS, NVML = 0.995, 15.0, 0.01  # the goals
COLUMNS = ("refreshes", "caught", "age p95", "in NVML", "of power", "held", "CPU", "calls/s")


@dataclass(frozen=True, slots=True)
class Slow:
    """eagent on a host whose driver is slower than any that is known."""

    seen: Seen
    shed: int  # refreshes that it says it has passed over
    says_so: bool  # that it does so now


@dataclass(frozen=True, slots=True)
class Table:
    """What was measured on one GPU model."""

    warden: Seen
    both: Seen  # warden and agent
    slow: Slow
    peers: dict[str, Seen]


def figures() -> list[Figure]:
    """Of all models.

    Raises:
        SystemExit: the peers are not installed.
    """
    if wanted := peers.missing():
        raise SystemExit(f"sampling: {wanted}")
    return [figure for name in MODELS for figure in judge(name, measure(name))]


def measure(gpu_model: str) -> Table:
    """Everybody in turn on a host of this model. Prints a line for each."""
    print(f"\n{gpu_model:<22}", *(f"{column:>9}" for column in COLUMNS), flush=True)
    with rig(gpu_model) as rigged:
        others = {}
        for peer in peers.PEERS:
            for name, seen in peers.play(peer, rigged, PEER_S):
                others[name] = shown(name, seen)
        warden = shown("eagent", run_eagent(rigged, EAGENT_S))
        both = shown("eagent with its agent", run_eagent(rigged, AGENT_S, with_agent=True))
    with rig(gpu_model, SLOWNESS) as rigged:
        slow = run_slow(rigged)
    shown(f"eagent, calls x {SLOWNESS:g}", slow.seen)
    return Table(warden, both, slow, others)


def shown(name: str, seen: Seen) -> Seen:
    """Print the line and hand it on."""
    cells = (
        f"{seen.refreshes}",
        f"{seen.caught:.2%}",
        f"{seen.age_p95_ms:.1f} ms",
        *(f"{share:.3%}" for share in (seen.nvml, seen.power, seen.held, seen.cpu)),
        f"{seen.calls / seen.window_s:.0f}",
    )
    print(f"{name:<22}", *(f"{cell:>9}" for cell in cells), flush=True)
    return seen


def run_eagent(rigged: Rig, window_s: float, *, with_agent: bool = False) -> Seen:
    """At its defaults, from when it has had time to learn."""
    with eagent(rigged, with_agent=with_agent) as running:
        time.sleep(LEARN_S)
        return rigged.watch(window_s, *running.pids)


def run_slow(rigged: Rig) -> Slow:
    """The same with its word on what it passed over."""
    with eagent(rigged) as running:
        time.sleep(SLOW_LEARN_S)
        before = running.stats["refreshes_shed"]
        seen = rigged.watch(SLOW_S, *running.pids)
        return Slow(seen, running.stats["refreshes_shed"] - before, running.stats["shed_since_ns"] > 0)


def better(table: Table) -> dict[str, Seen]:
    """The peers that catch more than eagent in less time inside NVML, whatever they and it read beside power."""
    ours = table.warden
    return {name: seen for name, seen in table.peers.items() if seen.caught > ours.caught and seen.nvml < ours.nvml}


def better_at_power(table: Table) -> dict[str, Seen]:
    """The peers that catch more in less time in calls that read power or energy: like for like.

    eagent and nvitop read utilisation, clocks, temperature and processes besides; a plain loop reads power alone.
    """
    ours = table.warden
    return {name: seen for name, seen in table.peers.items() if seen.caught > ours.caught and seen.power < ours.power}


def judge(gpu_model: str, table: Table) -> list[Figure]:
    """The figures of one model; peers stand beside ours with all their settings."""
    ours, slow, label = table.warden, table.slow, gpu_model.split("-")[0].upper()
    over, over_at_power = better(table), better_at_power(table)

    def beside(name: str) -> dict[str, float]:
        return {peer: getattr(seen, name) for peer, seen in table.peers.items()}

    # Who passes nothing over has nothing to say; who does must say what the simulator counts, but for a stride.
    missed = round(slow.seen.refreshes * (1 - slow.seen.caught))
    is_honest = slow.seen.caught >= CAUGHT or (slow.says_so and slow.shed >= max(1, missed - GPUS * STRIDE_MOST))
    return [
        Figure(f"{label}: refreshes caught", ours.caught, "share", ">= .995", ours.caught >= CAUGHT, beside("caught")),
        Figure(
            f"{label}: age at first read, p95",
            ours.age_p95_ms,
            "ms",
            "<= 15",
            0 < ours.age_p95_ms <= AGE_P95_MS,
            beside("age_p95_ms"),
        ),
        Figure(f"{label}: time inside NVML", ours.nvml, "share", "<= 0.01", ours.nvml <= NVML, beside("nvml")),
        Figure(f"{label}: of it in readings of power", ours.power, "share", peers=beside("power")),
        Figure(f"{label}: CPU, simulator included", ours.cpu, "cores", peers=beside("cpu")),
        Figure(
            f"{label}: peers that catch more in less time in power readings",
            len(over_at_power),
            "settings",
            "= 0",
            not over_at_power,
            {name: seen.power for name, seen in over_at_power.items()},
        ),
        Figure(
            f"{label}: peers that catch more in less time in all calls",
            len(over),
            "settings",
            "= 0",
            not over,
            {name: seen.nvml for name, seen in over.items()},
        ),
        Figure(f"{label}: refreshes caught, beside the agent", table.both.caught, "share"),
        Figure(
            f"{label}: time inside NVML, calls x {SLOWNESS:g}",
            slow.seen.nvml,
            "share",
            "<= 0.01",
            slow.seen.nvml <= NVML,
        ),
        Figure(
            f"{label}: refreshes it says it passed over, calls x {SLOWNESS:g}",
            slow.shed,
            "",
            "the missed",
            is_honest,
            {"missed": missed, "caught": slow.seen.caught},
        ),
    ]
