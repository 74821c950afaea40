"""What the sample ring gives, as types."""

from __future__ import annotations

from typing import TypedDict

# time_ns, value, device (its place in the warden's hello), channel, status, age_ns of the value then (-1: unknown)
Record = tuple[int, int, int, int, int, int]

POWER_MOST_MW = 100_000_000  # no device draws that: a reading above it is none


class RingStats(TypedDict):
    """The warden's loop about itself: ring_stats_t of native/ring.h. Counters since it started, monotonic times."""

    started_ns: int
    heartbeat_ns: int
    steps: int
    missed: int
    lateness_max_ns: int
    lateness: list[int]
    read_ns: int
    write_ns: int
    cpu_ns: int
    reads: int
    writes: int
    read_errors: int
    write_errors: int
    refreshes: int
    refreshes_missed: int
    refreshes_shed: int
    changes: int
    shed_since_ns: int
    actuator_beat_ns: int
