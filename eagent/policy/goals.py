"""What the operator wants of the policies, and the numbers they go by: an argument, never a global."""

from __future__ import annotations

from dataclasses import dataclass, field

from eagent.policy.search.pace import JobPace
from eagent.wish import Wish


@dataclass(frozen=True, slots=True)
class Pin:
    """An operator's wish to hold one device's power limit, its clock ceiling, or both at a value."""

    uuid: str
    limit_w: float | None  # None: the pin does not speak of it
    until_ns: int | None = None  # monotonic; None: until it is cleared
    clock_mhz: float | None = None  # the ceiling; None: likewise

    def stands(self, now_ns: int) -> bool:
        """Whether it has not run out."""
        return self.until_ns is None or now_ns < self.until_ns


@dataclass(frozen=True, slots=True)
class Hint:
    """What all those ask for whose processes hold a device."""

    uuid: str
    wish: Wish
    reason: str
    until_ns: int  # monotonic


@dataclass(frozen=True, slots=True)
class Sharing:
    """How an envelope is shared among devices by demand.

    The numbers were chosen on three traces and four skews of load over eight simulated A100s (`make bench NAME=budget`
    is a part of that); the results hang on none of them by more than 2 %.
    """

    # The share of what somebody gets above its use that is given out. Near the top the clock rises only
    # with the cube root of the watts, so the last of them buy least: giving out all cost 1 % more energy for each
    # request, and took 1 % off the latency's p99.
    spend: float = 0.8
    # How far somebody comes to the common level goes by pressure to this power: above 1, those that are held down
    # nearly always come first, and those that are held down in bursts, which they can make up for, come later.
    sharpness: float = 2.0
    # The weight of a device that is not held down at all, above 0: a load that returns finds some watts there.
    least_weight: float = 0.05
    # Limits are in whole steps of this, so that noise does not rewrite every limit at every turn.
    step_w: float = 10.0
    # Where the driver does not tell what holds the clock down: a mean above this share of the limit is taken for it. A
    # binding limit holds the mean at 0.92 to 0.98 of itself, depending on the product.
    near_limit: float = 0.92


@dataclass(frozen=True, slots=True)
class Idling:
    """When a GPU is idle and what it is then worth."""

    consent: frozenset[str] = frozenset()  # UUIDs whose resident processes the operator lets be slowed while quiet
    # The ceiling as a share of the highest clock: on an A100 the corner of the voltage, up to which it hardly rises. Of
    # what a waiting process costs beyond deep idle, three quarters are saved. Work that arrives runs under the ceiling
    # until the next look: decoding at full speed, a prefill at two thirds. Lower ceilings hardly save more, because
    # that work then takes longer; compared on the trace of `make bench NAME=firstlight`.
    clock_share: float = 0.65


@dataclass(frozen=True, slots=True)
class Feeding:
    """How far the CPUs may be slowed while they only feed GPUs, or await them."""

    # How much longer the GPUs' work may take for it, as a share. On a trace of LLM serving (`make bench
    # NAME=firstlight`) 0.02 saves 75 % of what can be saved at 5 % more latency, 0.03 87 % and 0.04 94 %.
    slowdown: float = 0.03
    # The lowest ceiling while any GPU works, as a share of the highest. Near there the voltage falls no further, so
    # little more is saved, and what does wait for the CPU would wait long.
    least_pace: float = 0.4
    free: str | None = None  # why they are not to be slowed now while GPUs work, if so: together.py


@dataclass(frozen=True, slots=True)
class Resting:
    """When a host may sleep."""

    after_s: float = 600.0  # of nothing to do: booting takes minutes, and wears
    cpus: float = 1.0  # so many CPUs' worth of time are the host's own housekeeping
    consent: frozenset[str] = frozenset()  # UUIDs whose quiet processes the operator lets be ended by switching off


@dataclass(frozen=True, slots=True)
class Aim:
    """What the operator wants of some jobs or devices, beside the host. None: as of the host."""

    job: str = "*"  # a pattern of the job's name
    uuids: frozenset[str] | None = None  # None: on any device
    slowdown: float | None = None
    first_token_s: float | None = None
    between_tokens_s: float | None = None


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How much longer work may take so that it takes less energy, and how far its clocks may fall for that."""

    slowdown: float = 0.02  # of the time that a job takes with nothing of ours, its search included
    least_clock_mhz: float = 0.0  # the operator's floor, whatever a job shows
    first_token_s: float | None = None  # what the p99 of the time to the first token may be; None: no such goal
    between_tokens_s: float | None = None  # likewise of the time between two tokens
    aims: tuple[Aim, ...] = ()  # for some jobs or devices other ones: aims.py
    by: str = "by [policy]"  # of those for one job: who has said so, for a person


@dataclass(frozen=True, slots=True)
class Goals:
    """All that the policies go by beside the state."""

    sharing: Sharing = field(default_factory=Sharing)
    pins: tuple[Pin, ...] = ()
    hints: tuple[Hint, ...] = ()
    clock_baseline_mhz: float | None = None  # the site's own lock of GPU clocks, if it has one
    idle: Idling = field(default_factory=Idling)
    feeding: Feeding = field(default_factory=Feeding)
    efficiency: Efficiency = field(default_factory=Efficiency)
    paces: tuple[JobPace, ...] = ()  # of jobs that are to split a budget's watts by what these buy
