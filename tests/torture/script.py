"""What a round does, drawn from its seed alone: so that a failing seed does the same again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GPUS = 4
FIXED_W, SAFE_W = 1000.0, 150.0  # as the hosts' configuration has it
LEAST_W, MOST_W = 100.0, 400.0  # what a limit may be, by the model of the GPU
CLOCKS_MHZ = tuple(range(510, 1411, 15))
LAYOUTS = ("driven", "pair", "up")

# What lasts is cleared again; what strikes needs no end. Drawn with equal chances, so some stand twice.
LASTING = (
    *("not-supported", "zero-power", "stuck-power", "no-permission", "no-permission"),
    *("slow-calls", "hung-calls", "outside-limit", "reset-required", "gpu-lost"),
)
STRIKING = (
    *("energy-reset", "xid", "gpu-reset", "settings-dropped", "settings-dropped", "driver-reload", "driver-reload"),
    *("foreign-limit", "foreign-limit", "foreign-limit", "foreign-lock"),
)
DROPS = frozenset(("gpu-reset", "settings-dropped", "driver-reload"))  # the driver forgets what was set
HINDERS = frozenset(("no-permission", "slow-calls", "hung-calls", "reset-required", "gpu-lost"))  # nobody can set it
# What is looked at before the end of a round, and how often: each takes its seconds (tests/torture/probes.py).
PROBES = dict.fromkeys(("absence", "reload", "drop", "disk", "start", "refusal", "return"), 0.04) | {
    "renewal": 0.15,
    "foreign": 0.3,
}


@dataclass(frozen=True, slots=True)
class Bias:
    """What is drawn other than by the chances below: for who looks for one thing, as a mutant does."""

    layout: str = ""  # always this one
    probe: str = ""  # always this one
    ending: str = ""  # always this one
    close: bool = False  # each lease takes all there is, and few watts change hands: an order of writes is seen then
    more: Mapping[str, float] = field(default_factory=dict)  # how many times as often an action comes

    def __str__(self) -> str:
        """As a command line has it, what it has of it."""
        named = {"probe": self.probe, "layout": self.layout}
        options = " ".join(f"--{name} {value}" for name, value in named.items() if value)
        return f" ARGS='{options}'" if options else ""


EVEN = Bias()


@dataclass(frozen=True, slots=True)
class Step:
    """One disturbance, so many seconds after the one before."""

    after_s: float
    action: str
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """As the trace shows it."""
        return f"{self.action} {' '.join(map(str, self.values))}".strip()


@dataclass(frozen=True, slots=True)
class Script:
    """A whole round."""

    layout: str  # who asks for limits: "driven" by this program, "pair": the agent, "up": the agent under one parent
    priors_w: tuple[float, ...]  # what the owner had set
    steps: tuple[Step, ...]
    ending: str
    clears_by_command: bool  # how the budget ends after it: by `eagent restore`, or by the warden's socket
    probes: frozenset[str]  # of PROBES


def draw(seed: int, bias: Bias = EVEN) -> Script:
    """The round of a seed."""
    rng = random.Random(seed)
    layout = bias.layout or rng.choices(LAYOUTS, (5, 4, 1))[0]
    priors_w = tuple(MOST_W if rng.random() < 0.4 else rng.randrange(20, 40) * 10.0 for _ in range(GPUS))
    steps = [Step(0.0, "load", _load(rng)), *(_step(rng, layout, bias) for _ in range(rng.randint(4, 12)))]
    if rng.random() < 0.6:  # under a budget from the beginning
        steps.insert(1, Step(0.0, "budget", _budget(rng)))
    if layout == "driven":
        steps.insert(2, Step(0.0, "lease", _lease(rng)))
    endings = ("let-go", "kill-agent", "stop-all", "kill-and-restore", "kill-and-start", "freeze-and-kill")
    ending = bias.ending or rng.choices(endings, (3, 3, 2, 2, 2, 1))[0]
    clears_by_command = rng.random() < 0.5
    probes = {name for name, chance in PROBES.items() if rng.random() < chance} | {bias.probe} - {""}
    return Script(layout, priors_w, tuple(steps), ending, clears_by_command, frozenset(probes))


def _step(rng: random.Random, layout: str, bias: Bias) -> Step:
    weights = {name: bias.more.get(name, 1) * often for name, (often, where, _) in ACTIONS.items() if layout in where}
    name = rng.choices(list(weights), list(weights.values()))[0]
    after_s = round(rng.uniform(0.0, 0.3), 3)
    return Step(after_s, name, _close_lease(rng) if bias.close and name == "lease" else ACTIONS[name][2](rng))


def _load(rng: random.Random) -> tuple[Any, ...]:
    gpus = sorted(rng.sample(range(GPUS), rng.randint(1, GPUS)))
    return rng.choice(("square", "gang")), tuple(gpus), round(rng.uniform(0.1, 1.0), 2)


def _budget(rng: random.Random) -> tuple[Any, ...]:
    return (FIXED_W + rng.choice((600.0, 700.0, 1000.0, round(rng.uniform(600.0, 1500.0), 3))),)


def _lease(rng: random.Random) -> tuple[Any, ...]:
    """Shares of what there is for each GPU (as a sum of the envelope: 1 is all of it), clocks (0: none), a time."""
    fill = rng.choice((1.0, 1.0, 1.0, 0.8, 1.2))
    shares = [rng.random() for _ in range(GPUS)]
    if rng.random() < 0.4:  # few watts change hands: where an order of writes is seen
        shares = [1.0 + 0.2 * share for share in shares]
    clocks = [rng.choice(CLOCKS_MHZ) if rng.random() < 0.4 else 0 for _ in range(GPUS)]
    return fill, tuple(round(share / sum(shares), 4) for share in shares), tuple(clocks), rng.choice((0.25, 0.5, 1.0))


def _close_lease(rng: random.Random) -> tuple[Any, ...]:
    shares = [1.0 + 0.2 * rng.random() for _ in range(GPUS)]
    return 1.0, tuple(round(share / sum(shares), 4) for share in shares), (0,) * GPUS, 1.0


def _pin(rng: random.Random) -> tuple[Any, ...]:
    return rng.randrange(GPUS), rng.randrange(10, 41) * 10.0, rng.choice((0.0, 0.0, 0.5))


def _pause(rng: random.Random) -> tuple[Any, ...]:
    return rng.randrange(8), round(rng.uniform(0.1, 1.0), 2)


def _lasting(rng: random.Random) -> tuple[Any, ...]:
    kind = rng.choice(LASTING)
    values: dict[str, tuple[float, ...]] = {
        "not-supported": (0.5,),
        "zero-power": (0.5,),
        "stuck-power": (0.0, 9.0),
        "slow-calls": (0.02,),
        "outside-limit": (200.0,),
    }
    for_s = round(rng.uniform(0.2, 1.2), 2)
    gpu = -1 if kind == "hung-calls" or rng.random() < 0.2 else rng.randrange(GPUS)
    return kind, gpu, values.get(kind, ()), for_s


def _striking(rng: random.Random) -> tuple[Any, ...]:
    kind = rng.choice(STRIKING)
    low = rng.choice(CLOCKS_MHZ[:20])
    values: dict[str, tuple[float, ...]] = {
        "xid": (79.0,),
        "driver-reload": (1.0,) if rng.random() < 0.5 else (),  # whether persistence mode is switched on after it
        "foreign-limit": (rng.randrange(10, 41) * 10.0,),
        "foreign-lock": (float(low), float(low + 15 * rng.randrange(1, 20))),
    }
    return kind, -1 if kind == "driver-reload" else rng.randrange(GPUS), values.get(kind, ())


def _one(rng: random.Random) -> tuple[Any, ...]:
    return (rng.randrange(8),)


def _gpu(rng: random.Random) -> tuple[Any, ...]:
    return (rng.randrange(GPUS),)


def _none(rng: random.Random) -> tuple[Any, ...]:  # noqa: ARG001  # one shape for all
    return ()


AGENTS: Sequence[str] = ("pair", "up")
# What can happen: how often, in which layouts, and with what values.
ACTIONS: dict[str, tuple[int, Sequence[str], Callable[[random.Random], tuple[Any, ...]]]] = {
    "load": (2, LAYOUTS, _load),
    "unload": (1, LAYOUTS, _none),
    "budget": (4, LAYOUTS, _budget),
    "clear": (2, LAYOUTS, _none),
    "pin": (5, AGENTS, _pin),
    "unpin": (1, AGENTS, _gpu),
    "halt": (1, AGENTS, _none),
    "unhalt": (1, AGENTS, _none),
    "lease": (14, ("driven",), _lease),
    "release": (1, ("driven",), _none),
    "kill": (3, LAYOUTS, _one),
    "pause": (2, LAYOUTS, _pause),
    "end": (1, LAYOUTS, _one),
    "start": (3, LAYOUTS, _none),
    "restore": (1, LAYOUTS, _none),
    "renew": (2, LAYOUTS, _one),
    "detach": (2, LAYOUTS, _gpu),
    "reset": (1, LAYOUTS, _none),
    "attach": (1, LAYOUTS, _gpu),
    "fault": (3, LAYOUTS, _lasting),
    "strike": (4, LAYOUTS, _striking),
}
