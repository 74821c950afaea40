"""What a beat costs a job, beside a counter of prometheus_client and a look at the clock; and its agent's share.

`make bench NAME=beats`. The sender's loop runs in this process, with a socket that hears it.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
import timeit
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

import eagent
from benchmarks.figures import Figure, publish
from eagent.progress.beats import Beats, decode

TIMES = 300_000
MOST_US = 5.0


def cost_us(call: object, times: int = TIMES) -> float:
    """Of a call, the best of five."""
    return min(timeit.repeat(call, number=times, repeat=5)) / times * 1e6  # type: ignore[arg-type]


def main() -> None:
    """Measure and publish."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        os.environ["EAGENT_RUN_DIR"] = directory
        (Path(directory) / "jobs").mkdir()
        without_us = cost_us(eagent.beat)
        listener.bind(str(Path(directory) / "jobs/beat.sock"))
        time.sleep(1.1)  # until it is looked for again
        beat_us = cost_us(eagent.beat)
        message = listener.recv(512)
    registry = CollectorRegistry()
    peers = {
        "prometheus_client Counter.inc": cost_us(Counter("steps", "-", registry=registry).inc),
        "time.time": cost_us(time.time),
    }
    beats, key = Beats(lambda *_: [(1, 2, 3)]), 70
    now_ns = time.monotonic_ns()

    def take() -> None:
        beat = decode(message)
        if beat is not None:
            beats.take(beat, key, 1000, now_ns)

    publish(
        "beats",
        [
            Figure("a beat", beat_us, "us", f"< {MOST_US:g}", beat_us < MOST_US, peers),
            Figure("a beat without an agent", without_us, "us", f"< {MOST_US:g}", without_us < MOST_US),
            Figure("a message to the agent, but for the socket", cost_us(take, 20_000), "us"),
        ],
    )


if __name__ == "__main__":
    main()
