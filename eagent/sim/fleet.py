"""A fleet in one process and in virtual time: the mesh's real cores, and a simulated network, disks, wardens and power.

The network loses, delays, doubles and reorders messages and can be parted; agents crash with their disk or without it,
and hosts lose power. What the hardware allows is kept here, outside of the cores, and whenever it changes the
invariant of docs/escrow.md is checked on it. Everything follows from the seed.
"""

from __future__ import annotations

import functools
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eagent.mesh import codec
from eagent.mesh.effects import Awaited, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Off
from eagent.mesh.messages import Document, Gift, Message
from eagent.mesh.node import Node, Observation
from eagent.mesh.records import Power
from eagent.mesh.state import Host, State
from eagent.mesh.table import Member, Table
from eagent.mesh.trade import Terms
from eagent.sim.truth import Fact, Truth

DOMAIN = "site"
NS = 1_000_000_000
ROUND_NS = NS
LOWER_NS, STORE_NS, RAISE_NS = 1_200_000_000, 8_000_000, 30_000_000  # what a shell takes; lowering settles for 1 s

Need = Callable[[str, float], int]


@dataclass(frozen=True, slots=True)
class Network:
    """How messages fare. Shares are of 1; delays are drawn evenly, so messages overtake each other."""

    loss: float = 0.0
    doubled: float = 0.0
    delay_min_s: float = 0.0002
    delay_max_s: float = 0.005


@dataclass(frozen=True, slots=True)
class Plan:
    """A fleet of equal hosts under one table. Milliwatts at the wall."""

    hosts: int
    reserve_mw: int = 900_000
    nameplate_mw: int = 6_500_000
    grant_mw: int = 3_000_000
    others_mw: int = 5_000_000
    network: Network = Network()
    terms: Terms = field(default_factory=Terms)
    duty: int = 0  # so many hosts have a token each
    wire: bool = False  # whether messages go through the codec


@dataclass
class Machine:
    """One host: its hardware, its disk, and the process on it."""

    name: str
    node: Node | None = None
    on: bool = True
    ceiling_mw: int = 0  # the permission in force
    disk: dict[str, State] = field(default_factory=dict)
    todo: deque[Awaited] = field(default_factory=deque)
    process: int = 0  # counts starts; what an earlier process had under way is void


class Fleet:
    """Everything there is. `run` raises BreachError if the invariant does not hold."""

    def __init__(self, plan: Plan, seed: int, need: Need) -> None:
        """A fleet in which everybody knows the first table, is open in it, and knows nothing else.

        Args:
            plan: How large, and of what.
            seed: For all chance.
            need: What a host could use at a time in seconds, in milliwatts.
        """
        self.plan = plan
        self.now_ns = 0
        self.messages = self.bytes = 0
        self.names = [f"n{number:04}" for number in range(plan.hosts)]
        self.machines = {name: Machine(name) for name in self.names}
        self.apart: frozenset[str] = frozenset()
        self.idle: set[str] = set()  # the hosts whose policies would let them sleep
        self._rng = random.Random(seed)
        self._need = need
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._touched: dict[str, int] = {}
        self._documents: dict[int, Table | Off] = {}
        members = self._members({name: (plan.grant_mw, f"{name}x1") for name in self.names})
        budget_mw = plan.others_mw + plan.hosts * plan.grant_mw
        self.truth = Truth(plan.others_mw, Table(DOMAIN, 1, budget_mw, plan.others_mw, members))
        self.facts = {name: Fact(plan.reserve_mw) for name in self.names}
        for machine in self.machines.values():
            machine.ceiling_mw = plan.reserve_mw
            self.start(machine.name)
        for name in self.names:
            self.tell(self.truth.tables[1], [name])
            self._later(self._rng.randrange(ROUND_NS), self._tick, name)

    # --- Time ---

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_ns = self.now_ns + round(seconds * NS)
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
        self.now_ns = end_ns

    def run_until(self, condition: Callable[[], bool], most_s: float, step_s: float = 0.25) -> float:
        """Let time pass until the condition, looked at now and then, holds; return how many seconds it took.

        Raises:
            TimeoutError: it did not hold in time.
        """
        start_ns = self.now_ns
        while not condition():
            if self.now_ns - start_ns > most_s * NS:
                raise TimeoutError(f"not within {most_s:g} s of virtual time")
            self.run(step_s)
        return (self.now_ns - start_ns) / NS

    # --- What happens to a fleet ---

    def sign(self, budget_mw: int, grants_mw: Mapping[str, int], *, to: Iterable[str] = ()) -> Table:
        """The site signs the next table, with the lives that hosts are in now, and tells it to some of them."""
        number = max(self.truth.tables) + 1
        members = self._members({name: (grant_mw, self.life(name)) for name, grant_mw in sorted(grants_mw.items())})
        table = Table(DOMAIN, number, budget_mw, self.plan.others_mw, members)
        self.truth.sign(table)
        self.tell(table, list(to) or self.names[:1])
        return table

    def tell(self, content: Table | Off, to: Iterable[str]) -> None:
        """Bring a table or a certificate to some hosts; gossip does the rest."""
        kind = "table:" if isinstance(content, Table) else "off:"
        number = len(self._documents) + 1
        self._documents[number] = content
        for name in to:
            node = self.machines[name].node
            if node is not None:
                node.add(Document(kind + DOMAIN, number, b""))

    def part(self, apart: Iterable[str]) -> None:
        """Cut these hosts off from the others; nobody: make the network whole."""
        self.apart = frozenset(apart)

    def crash(self, name: str, *, loses_disk: bool = False) -> None:
        """An agent dies; the hardware goes on."""
        machine = self.machines[name]
        machine.node = None
        machine.process += 1
        machine.todo.clear()
        if loses_disk:
            machine.disk.clear()
        self._look(machine)

    def cut(self, name: str) -> None:
        """A host loses power."""
        machine = self.machines[name]
        self.crash(name, loses_disk=True)  # what was stored speaks for a life that is over
        machine.on = False
        machine.ceiling_mw = self.plan.reserve_mw
        self._look(machine)

    def start(self, name: str) -> None:
        """A host comes on, or its agent is started again; one that still runs is ended first."""
        machine = self.machines[name]
        if machine.node is not None:
            self.crash(name)
        machine.on = True
        machine.process += 1
        host = Host(name, DOMAIN, self.plan.reserve_mw, self.plan.nameplate_mw)
        rng = random.Random(self._rng.getrandbits(64))
        life = f"{name}x{machine.process}"
        version = max(1, self.now_ns)
        machine.node = Node(name, [host], life, self.names, rng, version, self._read, self.plan.terms)
        for number in sorted(self._documents)[:1]:  # what every host has on its disk
            machine.node.add(Document("table:" + DOMAIN, number, b""))
        self._do(machine, machine.node.start(self.now_ns, machine.disk, {DOMAIN: machine.ceiling_mw}))
        self._look(machine)

    # --- Looking ---

    def life(self, name: str) -> str:
        """The life that a host is in; of one that is off the last, or none."""
        state = self.machines[name].disk.get(DOMAIN)
        return state.life if state is not None else ""

    def rights_mw(self) -> dict[str, int]:
        """What each host holds, as stored."""
        return {name: each.disk[DOMAIN].watts.held for name, each in self.machines.items() if DOMAIN in each.disk}

    def power(self, name: str) -> Power:
        """Whether a host may be switched off, by its own word; the last word of one that is off is no more its own."""
        node = self.machines[name].node
        held = node.gossip.records.get(name) if node is not None else None
        return held.record.payload.power if held is not None else Power.AWAKE

    def are_open(self, epoch: int) -> bool:
        """Whether all hosts that are on are open in an epoch."""
        states = [each.disk.get(DOMAIN) for each in self.machines.values() if each.on]
        return all(state is not None and state.epoch == epoch and state.stage == 2 for state in states)

    def version(self, holder: str, owner: str) -> int:
        """Which version of an owner's record a host has; 0 for none."""
        node = self.machines[holder].node
        held = node.gossip.records.get(owner) if node is not None else None
        return held.record.version if held is not None else 0

    def touch(self, name: str) -> None:
        """Let something change at a host that it tells the others."""
        self._touched[name] = self._touched.get(name, 0) + 1

    # --- How ---

    def _members(self, lines: Mapping[str, tuple[int, str]]) -> dict[str, Member]:
        """The lines of a table, each from a grant and a life."""
        reserve_mw, duty = self.plan.reserve_mw, self.plan.duty
        return {
            name: Member(reserve_mw, grant_mw, life, int(number < duty))
            for number, (name, (grant_mw, life)) in enumerate(lines.items())
        }

    def _later(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now_ns + delay_ns, self._sequence, action, arguments))

    def _tick(self, name: str) -> None:
        self._later(ROUND_NS, self._tick, name)
        machine = self.machines[name]
        if machine.node is not None:
            need_mw = self._need(name, self.now_ns / NS)
            power_w = min(need_mw, machine.ceiling_mw) / 1000 + 100 * self._touched.get(name, 0)
            power = Power.YIELDING if name in self.idle else Power.AWAKE
            machine.node.observe(Observation(need_mw, power_w, machine.ceiling_mw / 1000, power))
            self._do(machine, machine.node.on_tick(self.now_ns))

    def _do(self, machine: Machine, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(machine.name, effect)
            elif isinstance(effect, Lower | Store | Raise):
                machine.todo.append(effect)
                if len(machine.todo) == 1:
                    self._begin(machine)

    def _begin(self, machine: Machine) -> None:
        effect = machine.todo[0]
        delay_ns = STORE_NS if isinstance(effect, Store) else LOWER_NS if isinstance(effect, Lower) else RAISE_NS
        self._later(delay_ns, self._complete, machine, machine.process, effect)

    def _complete(self, machine: Machine, process: int, effect: Awaited) -> None:
        if machine.process != process or machine.node is None:
            return
        machine.todo.popleft()
        if isinstance(effect, Store):
            machine.disk[effect.domain] = effect.state
        elif isinstance(effect, Lower):
            machine.ceiling_mw = min(machine.ceiling_mw, effect.ceiling_mw)
        else:
            machine.ceiling_mw = effect.ceiling_mw
        self._look(machine)
        effects = machine.node.done(self.now_ns, effect)
        if machine.todo:
            self._begin(machine)
        self._do(machine, effects)

    def _look(self, machine: Machine) -> None:
        wall_mw = machine.ceiling_mw if machine.on else 0
        state = machine.disk.get(DOMAIN) if machine.on else None
        self.facts[machine.name] = Fact(self.plan.reserve_mw, wall_mw, machine.on, state)
        self.truth.check(self.facts)

    def _send(self, sender: str, send: Send) -> None:
        self.messages += 1
        if isinstance(send.message, Gift):
            self.truth.speak(sender, send.peer, send.message)
        packet: Message | bytes = send.message
        if self.plan.wire:
            packet = codec.encode(send.message)
            self.bytes += len(packet)
        network = self.plan.network
        if (send.peer in self.apart) != (sender in self.apart) or self._rng.random() < network.loss:
            return
        for _ in range(2 if self._rng.random() < network.doubled else 1):
            delay_s = self._rng.uniform(network.delay_min_s, network.delay_max_s)
            self._later(round(delay_s * NS), self._receive, send.peer, sender, packet)

    def _receive(self, name: str, sender: str, packet: Message | bytes) -> None:
        machine = self.machines[name]
        if machine.node is not None:
            message = codec.decode(packet) if isinstance(packet, bytes) else packet
            self._do(machine, machine.node.on_message(self.now_ns, sender, message))

    def _read(self, document: Document) -> Table | Off:
        return self._documents[document.number]


def phases(seed: int, low_mw: int, high_mw: int, length_s: float = 60.0) -> Need:
    """Needs that jump between two levels, each host at its own times; a phase lasts about so long."""

    @functools.cache
    def rhythm(name: str) -> tuple[float, float]:
        rng = random.Random(f"{seed} {name}")
        return length_s * rng.uniform(0.5, 1.5), rng.random()

    @functools.cache
    def is_high(name: str, phase: int) -> bool:
        return random.Random(f"{seed} {name} {phase}").random() < 0.5

    def need(name: str, now_s: float) -> int:
        length, offset = rhythm(name)
        return high_mw if is_high(name, int(now_s / length + offset)) else low_mw

    return need
