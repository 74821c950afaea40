"""A job in small: steps of so much work on one simulated GPU, each at the pace that its clock allows.

It is imported by scripts of two environments, so it needs nothing but the plant.
"""

import json
import os
import random
import time

from eagent.sim._plant import Host

LOOK_S = 0.02  # at the longest; near a step's end more often
SHORTEST_S = 0.0005
JITTER = 0.03  # as of benchmarks.efficiency.beats, as is the next line
SLOW_SHARE, SLOW = 0.01, 1.3
FOREVER_S = 1e6


def work(told, step_done):
    """Call `step_done` at the end of each step for some seconds; what that took, by the plant's truth."""
    settings = json.loads(told)
    gpu, lengths = settings["gpu"], steps(random.Random(settings["seed"]), settings["step_s"])
    with Host(settings["plant"]) as plant:
        begun_s, begun_j = plant.time_s, plant.energy_true_j(gpu)
        plant.start_square([gpu], 0.0, FOREVER_S, 1.0, *settings["load"], pid=os.getpid())
        end_s, due, number = begun_s + settings["seconds"], 0.0, 0
        while plant.time_s < end_s:
            due += next(lengths)
            done = await_work(plant, due)
            number += 1
            step_done()
        return {
            "steps": number,
            "work_s": done(),
            "seconds": plant.time_s - begun_s,
            "joules": plant.energy_true_j(gpu) - begun_j,
        }


def steps(chance, step_s):
    """Their lengths: some differ by little, few by much."""
    usual_s = step_s / (1 + SLOW_SHARE * (SLOW - 1))
    while True:
        slow = SLOW if chance.random() < SLOW_SHARE else 1.0
        yield usual_s * slow * chance.lognormvariate(-(JITTER**2) / 2, JITTER)


def await_work(plant, due):
    """Wait until our load has done so much; a function that tells what it has done by now."""

    def done():
        return next(one["units"][0] for one in plant.progress() if one["pid"] == os.getpid())

    while (left := due - done()) > 0:
        time.sleep(min(LOOK_S, max(SHORTEST_S, 0.9 * left)))
    return done
