"""What the transport takes and waits for at most, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Every size and time of the transport."""

    message_bytes: int = 4 * 1024 * 1024  # a roster of 16,384 hosts fits in
    connections: int = 64  # that this host opens; beyond it the one longest unused is closed
    backlog: int = 128
    tick_s: float = 1.0  # how often it is looked whether the times below are over

    # One peer, outgoing
    queue: int = 64  # messages that wait for it
    queue_bytes: int = 8 * 1024 * 1024
    queue_s: float = 5.0  # longer waiting makes a message untrue: it tells how old its records are
    idle_s: float = 60.0  # unused for so long: close
    stuck_s: float = 10.0  # something waited for so long and nothing went: begin anew

    # One connection
    window: int = 16  # messages inside libzmq, at each end: what somebody can make a peer hold at once
    connect_s: float = 2.0  # for TCP to connect, before it is tried again
    retry_least_s: float = 0.1
    retry_most_s: float = 2.0
    handshake_s: float = 5.0  # from TCP's to CURVE's; a stranger is closed then, too
    silent_s: float = 5.0  # for TCP's acknowledgement of what was sent: what waits there ages as well
    keepalive_idle_s: int = 10
    keepalive_s: int = 5
    keepalive_probes: int = 3

    # One peer, incoming: a message takes a token, and one more for each `token_bytes` in it
    tokens_per_s: float = 100.0
    tokens: float = 400.0
    token_bytes: int = 16_384

    # All peers, incoming
    batch: int = 64  # messages, then the event loop's other tasks have their turn
    pause_s: float = 0.01  # after a batch most of which was not wanted


@dataclass(slots=True)
class Counters:
    """Since the start, for metrics. They only go up."""

    sent: int = 0  # handed to libzmq for a peer that was connected
    sent_bytes: int = 0
    dropped: int = 0  # never sent: unknown peer, full queue, waited too long, or closed meanwhile
    received: int = 0  # handed up
    received_bytes: int = 0
    limited: int = 0  # from peers that say too much
    refused: int = 0  # handshakes of unknown keys, and messages by a key that is no longer in the roster, or in parts
