"""In which order: by seeded chance, the default first, last and in between, so that drift shows and biases nobody."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from eagent.sweep.run import Run
from eagent.sweep.setting import Setting

BETWEEN = 6  # so many runs at most between two of the default


def schedule(default: Setting, rounds: Sequence[Sequence[Setting]], repeat: int, seed: int) -> list[Setting]:
    """All runs of these rounds in order. A longer list of rounds begins as a shorter one does.

    Args:
        default: What all are compared with.
        rounds: The settings of each round, without the default.
        repeat: How often each is run; in a block of a round each comes once, so repeats lie apart.
        seed: Of the order.
    """
    order = [default]
    for number, settings in enumerate(rounds):
        for block in range(repeat):
            shuffled = list(settings)
            random.Random(f"{seed}/{number}/{block}").shuffle(shuffled)
            for begin in range(0, len(shuffled), BETWEEN):
                order += [*shuffled[begin : begin + BETWEEN], default]
    return order if len(order) > 1 else [default] * (repeat + 1)


def left(order: Sequence[Setting], runs: Sequence[Run]) -> list[Setting]:
    """What of an order is still to be run. A setting that could not be used once is not tried again."""
    done = Counter(run.setting for run in runs)
    hopeless = {run.setting for run in runs if run.why and run.setting != order[0]}
    remaining = []
    for setting in order:
        if done[setting]:
            done[setting] -= 1
        elif setting not in hopeless:
            remaining.append(setting)
    return remaining
