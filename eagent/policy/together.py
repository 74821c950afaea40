"""CPU ceilings for jobs whose GPUs are governed within a bound on their time: what both cost together is within it.

What a job loses is told by its progress against its pace at the top, whatever it is lost by. So that this is the pace
without any ceiling of ours, and the curve that of the GPU clock alone, CPUs have none while it is measured; nor while
time is earned, nor while anything is tried. They have one while all jobs are held below the top: what it costs shows
there in their pace, is charged to their accounts like all else, and where these can't pay all ceilings go. The energy
preference of a CPU goes with its ceiling.
"""

from __future__ import annotations

from dataclasses import replace

from eagent.policy.efficiency import Memory
from eagent.policy.goals import Feeding
from eagent.policy.search.searcher import Stage

PART = 0.25  # of the least bound: a GPU's clock saves more for the same time than its CPU's


def feeding(goals: Feeding, memory: Memory) -> Feeding:
    """How far CPUs may be slowed, with jobs as the efficiency policy has them."""
    for job in memory.jobs.values():
        if job.choice.stage is not Stage.HOLD or job.in_force >= job.top:
            return replace(goals, free=f"{job.subject.name} is measured, or earns time, at full clocks of its CPUs")
    bounds = [job.bound for job in memory.jobs.values()]
    return replace(goals, slowdown=min(goals.slowdown, PART * min(bounds))) if bounds else goals
