"""The front door of a rack: which host serves a request. It stands for what a load balancer or a scheduler does.

It packs: the first host that serves and has room takes a request; when none has, the one with the least to do. So the
last hosts run empty when there is little to do, and eagent may put them to sleep.
"""

from __future__ import annotations

from collections.abc import Mapping

from eagent.demo.rack import GPUS, RackHost
from eagent.sim.trace import Request

ROOM = 8  # requests that a GPU is given before the next host comes in


class Door:
    """Sends the requests of a trace as their time comes. One for each rack; both do the same."""

    def __init__(self, hosts: Mapping[str, RackHost], requests: tuple[Request, ...]) -> None:
        """A door in front of `hosts`, in this order, for requests in order of their arrival."""
        self._hosts = hosts
        self._requests = requests
        self._sent = 0
        self._gpus: dict[str, list[int]] = {name: [] for name in hosts}  # per request of the host: which GPU has it

    @property
    def done(self) -> int:
        """How many requests have been answered."""
        return sum(self._answered(name).count(True) for name in self._hosts)

    @property
    def is_empty(self) -> bool:
        """Whether all requests were sent."""
        return self._sent == len(self._requests)

    def open(self, elapsed_s: float) -> None:
        """Send what has come by this time after the trace's start. Without a host that serves it waits at the door."""
        due: list[Request] = []
        while self._sent + len(due) < len(self._requests):
            request = self._requests[self._sent + len(due)]
            if request.arrival_s > elapsed_s:
                break
            due.append(request)
        if not due:
            return
        waiting = {name: self._waiting(name) for name, host in self._hosts.items() if host.serves}
        if not waiting:
            return
        chosen: dict[str, list[tuple[float, int, int, int]]] = {}
        for request in due:
            name = next((name for name, gpus in waiting.items() if sum(gpus) < ROOM * GPUS), None)
            name = name or min(waiting, key=lambda name: sum(waiting[name]))
            gpu = min(range(GPUS), key=waiting[name].__getitem__)
            waiting[name][gpu] += 1
            row = (0.0, gpu, request.context_tokens, request.generated_tokens)
            chosen.setdefault(name, []).append(row)
        for name, rows in chosen.items():
            plant = self._hosts[name].plant
            plant.add_requests(plant.time_s, rows)
            self._gpus[name] += [row[1] for row in rows]
        self._sent += len(due)

    def _waiting(self, name: str) -> list[int]:
        """Per GPU of a host, how many requests it has that are not answered."""
        waiting = [0] * GPUS
        for gpu, answered in zip(self._gpus[name], self._answered(name), strict=True):
            waiting[gpu] += not answered
        return waiting

    def _answered(self, name: str) -> list[bool]:
        plant = self._hosts[name].plant
        lost = set(plant.lost())
        return [done_s is not None or place in lost for place, (_, _, done_s) in enumerate(plant.served())]
