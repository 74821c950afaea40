"""A job in a few lines: what it does and draws follows the forms exactly, so what is found can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from eagent.model import KnobName
from eagent.policy.search.job import Job, Subject, begin, step
from eagent.policy.search.trial import SECOND_NS, Look

TOP = 1410.0
SETTINGS = tuple(range(210, 1410, 15))


@dataclass
class World:
    """One job on one GPU, told of once a second."""

    beta: float = 0.8
    step_s: float = 0.3
    bound: float = 0.05
    settings: tuple[float, ...] = (*map(float, SETTINGS), TOP)
    power_w: float = 300.0
    limited: float = TOP  # a clock that its power limit lets it have; ceilings above change nothing
    bend: float = 0.0  # below this clock something else than the clock holds the work up, as much as it is lower
    obeys: bool = True  # whether what is asked for comes to be in force
    time_s: float = 0.0
    work_s: float = 0.0
    joules: float = 0.0
    setting: float = TOP
    course: list[tuple[float, float]] = field(default_factory=list)  # (time, setting), one a second
    job: Job | None = None
    signature: str = "job"
    late_s: int = 0  # what it says is of so many seconds earlier
    said: list[Look] = field(default_factory=list)

    def at(self, setting: float) -> tuple[float, float]:
        """The pace and the watts there."""
        y = min(setting, self.limited) / self.limited
        held_up = max(1.0, self.bend / setting)
        return 1 / (1 + self.beta * (1 / y - 1)) / held_up, self.power_w * (1 - 0.2 * (1 - y) - 0.5 * (1 - y**3))

    def look(self, units: float | None = None) -> Look:
        """What the counters say: units come in steps, at the time when the step was done."""
        pace, _ = self.at(self.setting)
        steps = int(self.work_s / self.step_s + 1e-9)
        since_s = (self.work_s - steps * self.step_s) / pace
        now_ns = round(self.time_s * SECOND_NS)
        at_ns = round((self.time_s - since_s) * SECOND_NS)
        return Look(float(steps) if units is None else units, at_ns, self.joules, now_ns)

    def run(self, seconds: int, looks: Sequence[Look] = ()) -> Job:
        """Let time pass."""
        for number in range(seconds):
            pace, power_w = self.at(self.setting)
            self.time_s, self.work_s, self.joules = self.time_s + 1, self.work_s + pace, self.joules + power_w
            now_ns = round(self.time_s * SECOND_NS)
            if self.job is None:
                subject = Subject("job", self.signature, frozenset({"GPU-00"}), KnobName.GPU_CLOCK, "step")
                self.job = begin(subject, TOP, self.bound, (), now_ns)
            look = looks[number] if number < len(looks) else self.look()
            self.said.append(look)
            look = replace(self.said[max(0, len(self.said) - 1 - self.late_s)], joules=look.joules, energy_ns=now_ns)
            held = self.setting < TOP
            self.job = step(self.job, look, held=held, settings=self.settings, now_ns=now_ns)
            self.setting = self.job.choice.setting if self.obeys else TOP
            self.course.append((self.time_s, self.job.choice.setting))
        assert self.job is not None
        return self.job
