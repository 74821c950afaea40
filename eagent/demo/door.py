"""The front door of a rack: which host serves a request. It stands for what a load balancer or a scheduler does.

It packs: the first host that serves and has room takes a request; when none has, the one with the least to do. So the
last hosts run empty when there is little to do, and eagent may put them to sleep.
"""

from __future__ import annotations

from collections.abc import Mapping

from eagent.demo.rack import GPUS, RackHost
from eagent.errors import DriverError
from eagent.sim.account import Served
from eagent.sim.trace import Request

ROOM = 8  # requests that a GPU is given before the next host comes in

Sent = tuple[Request, int]  # and the GPU that has it


class Door:
    """Sends the requests of a trace as their time comes. One for each rack; both do the same."""

    def __init__(
        self, hosts: Mapping[str, RackHost], requests: tuple[Request, ...], starts_s: Mapping[str, float]
    ) -> None:
        """A door in front of `hosts`, in this order.

        Args:
            hosts: By name.
            requests: In order of their arrival.
            starts_s: When the trace began, by the clock of each host's plant.
        """
        self._hosts = hosts
        self._requests = requests
        self._starts_s = starts_s
        self._arrived = 0
        self._at_door: list[Request] = []
        self._sent: dict[str, list[Sent]] = {name: [] for name in hosts}  # as the plant's own list of requests
        self._waiting = {name: [0] * GPUS for name in hosts}  # per GPU, how many it has not answered
        self.answered = 0
        self.lost = 0  # by switching a host off

    @property
    def is_done(self) -> bool:
        """Whether all requests were sent, and each was answered or lost."""
        return self.answered + self.lost == len(self._requests)

    def open(self, elapsed_s: float) -> None:
        """See what was answered, and send what has come by this time after the trace's start.

        What no host can take waits at the door.
        """
        self._look()
        while self._arrived < len(self._requests) and self._requests[self._arrived].arrival_s <= elapsed_s:
            self._at_door.append(self._requests[self._arrived])
            self._arrived += 1
        serving = [name for name, host in self._hosts.items() if host.serves]
        if not serving or not self._at_door:
            return
        chosen: dict[str, list[Sent]] = {}
        for request in self._at_door:
            name = next((name for name in serving if sum(self._waiting[name]) < ROOM * GPUS), None)
            name = name or min(serving, key=lambda name: sum(self._waiting[name]))
            gpu = min(range(GPUS), key=self._waiting[name].__getitem__)
            self._waiting[name][gpu] += 1
            chosen.setdefault(name, []).append((request, gpu))
        self._at_door = []
        for name, sent in chosen.items():
            if self._send(name, sent):
                self._sent[name] += sent
            else:
                self._at_door += [request for request, _ in sent]
        self._at_door.sort(key=lambda request: request.arrival_s)

    def served(self) -> list[Served]:
        """What became of each request that was sent, by the trace's clock: its time at the door counts."""
        return [
            Served(request.arrival_s, *(None if at_s is None else at_s - self._starts_s[name] for at_s in times))
            for name, host in self._hosts.items()
            for (request, _), (_, *times) in zip(self._sent[name], host.plant.served(), strict=True)
        ]

    def _send(self, name: str, sent: list[Sent]) -> bool:
        """Whether the host has taken them; it may have gone off just now."""
        plant = self._hosts[name].plant
        rows = [(0.0, gpu, request.context_tokens, request.generated_tokens) for request, gpu in sent]
        try:
            plant.add_requests(plant.time_s, rows)
        except DriverError:
            return False
        return True

    def _look(self) -> None:
        self.answered = self.lost = 0
        for name, host in self._hosts.items():
            served, lost = host.plant.served(), set(host.plant.lost())
            waiting = [0] * GPUS
            for place, ((_, gpu), (_, _, done_s)) in enumerate(zip(self._sent[name], served, strict=True)):
                waiting[gpu] += done_s is None and place not in lost
            self._waiting[name] = waiting
            self.answered += sum(done_s is not None for _, _, done_s in served)
            self.lost += len(lost)
