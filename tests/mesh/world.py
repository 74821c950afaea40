"""A small world in which anything may happen in any order.

There are hosts with hardware and disks, a network that keeps every message ever sent, a site that signs tables, and a
power role. One step is one thing that happens. Time does not pass: a message may be delivered at once, at the end,
twice, or never; an effect may be completed at any later step, or be lost with the process that wanted it. After every
step the invariant is checked on the hardware's truth, which no core can see.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from eagent.errors import ConfigError, RefusedError
from eagent.mesh import epoch, permission
from eagent.mesh.effects import Announce, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Claim, Off, Stage, Standing
from eagent.mesh.escrow import Escrow
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift, Receipt
from eagent.mesh.state import Host, Lot, State
from eagent.mesh.table import Table
from eagent.sim.truth import BreachError, Fact, Truth
from tests.mesh.site import FIXED_MW, NAMEPLATE_MW, RESERVE_MW, W, first_table, next_table

UNCONTROLLED_MW, EFFICIENCY = 1 * W, 800  # of which efficiency is in permille
SITE, RACK = "site", "rack"
TABLES_MAX = 5


@dataclass(frozen=True)
class Rules:
    """What the world goes by; a mutant replaces one of them."""

    escrow: type[Escrow] = Escrow
    table: type[Table] = Table
    certify: Callable[..., Off | None] = epoch.certify
    admits: Callable[..., str | None] = epoch.admits
    limits_mw: Callable[[int, int, int], int] = permission.limits_mw
    binding_mw: Callable[..., int] = permission.binding_mw
    keeps_disk_through_boot: bool = False  # a shell that takes what another boot has stored for its own
    leaving: str = "charged"  # as an unreachable host is; or only with its "nameplate"; or with "nothing"


RULES = Rules()


@dataclass
class Part:
    """One host in one domain: the core, what is on its disk, and what its shell has still to do."""

    core: Escrow | None = None
    disk: State | None = None
    ceiling_mw: int = RESERVE_MW  # as the warden has it
    todo: deque[Effect] = field(default_factory=deque)


@dataclass
class Box:
    """One host: hardware, and a part for each domain."""

    name: str
    parts: dict[str, Part] = field(default_factory=dict)
    on: bool = True
    limits_mw: int = 0  # in force, behind the power supply
    starts: int = 0

    @property
    def wall_mw(self) -> int:
        return permission.permission_mw(UNCONTROLLED_MW, [self.limits_mw], EFFICIENCY) if self.on else 0


class World:
    """Everything there is. Each method raises BreachError when a promise is broken."""

    def __init__(self, seed: int, rules: Rules = RULES) -> None:
        self.rng = rng = random.Random(seed)
        self.rules = rules
        self.domains = (SITE, RACK) if rng.random() < 0.25 else (SITE,)
        self.boxes = {name: Box(name) for name in "abcd"[: rng.choice((2, 3, 3, 3, 4))]}
        if rng.random() < 0.25:
            self.boxes["n"] = Box("n", on=False)  # no table has heard of it yet
        self.bags: dict[type, list[tuple[str, str, str, Any]]] = {}  # by kind: to, from, domain, what
        self.standings: dict[str, dict[str, Standing]] = {domain: {} for domain in self.domains}  # as last announced
        self.power: dict[str, dict[str, Standing]] = {domain: {} for domain in self.domains}  # as the power role knows
        self.certificates: dict[str, Off] = {}
        self.apart: set[str] = set()  # cut off from the site and from the others, not from each other
        self.left: dict[str, set[str]] = {domain: set() for domain in self.domains}  # by a table that left them out
        self.unplugged: set[str] = set()  # off, and won't come on by themselves
        self.tokens_taken: dict[tuple[str, int, str, str, str, str], int] = {}
        self.truths = {domain: self._found(domain) for domain in self.domains}
        self._temper()
        for box in self.boxes.values():
            if box.on:
                self._apply(box)
                for domain in box.parts:
                    self._start(box, domain)
        for to in self.boxes:
            self.hear(to, self.boxes)

    def _found(self, domain: str) -> Truth:
        """All members are open in the first epoch."""
        members = [box for box in self.boxes.values() if domain == SITE or box.name != "a"]
        table = first_table(self.rng, domain, {box.name: f"{box.name}{domain[0]}0" for box in members if box.on})
        for box in members:
            box.parts[domain] = Part()
            if box.on:
                line, claims = table.members[box.name], {name: Claim(0, 0) for name in table.members}
                state = State(line.life, table, Stage.OPEN, Ledger(line.grant_mw), Ledger(line.duty), claims)
                box.parts[domain] = Part(disk=state, ceiling_mw=line.grant_mw)
        self._spread("site", domain, table)
        return Truth(FIXED_MW, table)

    def _temper(self) -> None:
        """Each world has its own: what is rare in one is frequent in another, so that odd orders come up."""
        chances = [
            (self._work, 12),
            (self._finish, 16),
            (self._deliver, 22),
            (self._gossip, 18),
            (self._give, 16),
            (self._sign, 2),
            (self.certify, 2),
            (self._repeat, 4),
            (self._crash, 1.5),
            (self._cut, 1.5),
            (self._boot, 3),
            (self._sleep, 1),
            (self.part, 2),
            (self._unplug, 0.5),
        ]
        self._actions = [action for action, _ in chances]
        self._weights = list(accumulate(weight * self.rng.choice((0.1, 0.5, 1, 1, 2)) for _, weight in chances))
        self._late = self.rng.choice((0.1, 0.3, 0.6))  # the share of messages that are not recent
        self._lossy = self.rng.choice((0.1, 0.4, 0.8))  # the share of crashes that cost the disk
        self._charging = self.rng.choice((0.1, 0.5, 0.9))  # how readily the site charges whom it can't reach

    # --- Looking ---

    def run(self, steps: int) -> None:
        """Let so many things happen."""
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """Let one thing happen, and look."""
        self.rng.choices(self._actions, cum_weights=self._weights)[0]()
        self.check()

    def check(self) -> None:
        """Look at the truth."""
        for domain, truth in self.truths.items():
            truth.check(
                {
                    box.name: Fact(RESERVE_MW, box.wall_mw, box.on, box.parts[domain].disk if box.on else None)
                    for box in self.boxes.values()
                    if domain in box.parts
                }
            )

    # --- What may happen, to whom chance has it ---

    def _work(self) -> None:
        """A shell completes the next of its effects."""
        if busy := self._busy():
            self._complete(*self.rng.choice(busy))

    def _finish(self) -> None:
        """A host is left in peace until all its shells are done."""
        self.settle(self.rng.choice(list(self.boxes)))

    def _deliver(self) -> None:
        """A message arrives, early or late, and stays in the bag."""
        bag = self.bags[self.rng.choice(list(self.bags))]
        recent = len(bag) if self.rng.random() < self._late else min(len(bag), 8)
        to, sender, domain, what = bag[-1 - self.rng.randrange(recent)]
        if to == "power":
            self.power[domain][sender] = what
        elif self.reaches(sender, to):
            self._hand(to, sender, domain, what)

    def _gossip(self) -> None:
        """A host, or the power role, hears from some of those that it can reach, and perhaps from the site."""
        to, share = self.rng.choice([*self.boxes, "power"]), self.rng.choice((0.4, 1, 1))
        self.hear(to, [name for name in self.boxes if self.reaches(name, to) and self.rng.random() <= share])
        if to != "power" and self.reaches("site", to) and self.rng.random() < 0.5:
            self.tell(to)

    def _give(self) -> None:
        """A host gives, and sometimes all that follows from it happens at once."""
        box, domain, core = self._any_core()
        peers = [name for name, other in self.boxes.items() if name != box.name and domain in other.parts]
        if core is None or core.state is None or not peers:
            return
        lots = {}
        for peer in self.rng.sample(peers, self.rng.choice((1, 1, min(2, len(peers))))):
            mw = self.rng.choice((W, W, core.spare_mw))
            lots[peer] = Lot(mw, self.rng.randrange(2) if core.state.duty.held else 0)
        if self.give(box.name, lots, domain) and self.rng.random() < 0.5:
            self.settle(box.name)
            for peer in lots:
                if self.reaches(box.name, peer):
                    self.arrive(box.name, peer, domain)
                    self.settle(peer)

    def _sign(self) -> None:
        """The site signs a table, with or without whom it can't reach, whom it has forgotten, and whom it admits."""
        domain, rng = self.rng.choice(self.domains), self.rng
        last = self.truths[domain].tables[max(self.truths[domain].tables)]
        listed = [
            box.name
            for box in self.boxes.values()
            if domain in box.parts and rng.random() < (0.95 if box.name in last.members else 0.6)
        ]
        charged = {name for name in listed if rng.random() < (self._charging if name in self.apart else 0.03)}
        self.sign(domain, listed or list(last.members), charged)

    def _repeat(self) -> None:
        box, domain, core = self._any_core()
        if core is not None:
            self._do(box, domain, core.repeat())

    def _crash(self) -> None:
        """An agent dies, most likely at work, and is started again; the hardware goes on."""
        box, domain, core = self._any_core()
        if busy := self._busy():
            box, domain = self.rng.choice(busy) if self.rng.random() < 0.7 else (box, domain)
        if core is not None:
            self.crash(box.name, domain, loses_disk=self.rng.random() < self._lossy)

    def _cut(self) -> None:
        self.cut(self.rng.choice(list(self.boxes)))

    def _boot(self) -> None:
        off = [name for name, box in self.boxes.items() if not box.on]
        if off:
            self.boot(name := self.rng.choice(off))
            if self.rng.random() < 0.5:
                self.settle(name)

    def _unplug(self) -> None:
        """A host that is off is taken away."""
        self.unplugged |= {name for name, box in self.boxes.items() if not box.on and self.rng.random() < 0.3}

    def _sleep(self) -> None:
        self.sleep(self.rng.choice(list(self.boxes)))

    # --- What may happen, to whom a plot has it ---

    def settle(self, name: str) -> None:
        """All effects of a host are completed."""
        box = self.boxes[name]
        for domain, part in box.parts.items():
            while part.todo:
                self._complete(box, domain)
                self.check()

    def hear(self, to: str, senders: Any, *, tables: float = 0.5) -> None:
        """A host, or the power role, hears how others stand, and from some of them the table that they are in."""
        for domain in self.domains:
            for sender in senders:
                standing = self.standings[domain].get(sender)
                if standing is None or sender == to:
                    continue
                if to == "power":
                    self.power[domain][sender] = standing
                    continue
                self._hand(to, sender, domain, standing)
                disk = self.boxes[sender].parts[domain].disk
                if disk is not None and disk.table is not None and self.rng.random() < tables:
                    self._hand(to, sender, domain, disk.table)

    def tell(self, to: str, number: int | None = None) -> None:
        """The site tells a host its newest table, or that of a number, and the power role its newest certificate."""
        for domain, truth in self.truths.items():
            self._hand(to, "site", domain, truth.tables.get(number or 0, truth.tables[max(truth.tables)]))
            if domain in self.certificates:
                self._hand(to, "power", domain, self.certificates[domain])

    def give(self, giver: str, lots: dict[str, Lot], domain: str = SITE) -> bool:
        """A host begins to give, unless it refuses."""
        core = self.boxes[giver].parts[domain].core
        with suppress(RefusedError):
            if core is not None:
                self._do(self.boxes[giver], domain, core.give(lots))
                return True
        return False

    def arrive(self, giver: str, taker: str, domain: str = SITE) -> None:
        """The last gift of one host to another arrives, once more if need be."""
        for to, sender, where, gift in reversed(self.bags.get(Gift, [])):
            if (to, sender, where) == (taker, giver, domain):
                self._hand(taker, giver, domain, gift)
                return

    def sign(self, domain: str, listed: list[str], charged: set[str]) -> None:
        """The site signs a table, unless it is not one (rule 1)."""
        truth, rng = self.truths[domain], self.rng
        last = truth.tables[max(truth.tables)]
        if last.epoch == TABLES_MAX:
            return
        lives = {}
        for name in listed:
            disk = self.boxes[name].parts[domain].disk
            old = f"{name}{domain[0]}{self.boxes[name].starts}"
            lives[name] = disk.life if disk is not None and rng.random() < 0.85 else old
        leaving_mw, others_mw = {}, FIXED_MW
        for name in last.members.keys() - lives.keys() - self.unplugged:  # rule 9: leaving while powered
            if self.rules.leaving == "charged":
                lives[name] = last.members[name].life
                leaving_mw[name] = NAMEPLATE_MW
            self.left[domain].add(name)
        if self.rules.leaving == "nameplate":
            others_mw += NAMEPLATE_MW * len(self.left[domain] - lives.keys())
        with suppress(ConfigError):
            table = next_table(rng, self.rules.table, truth, lives, charged, leaving_mw, others_mw)
            truth.sign(table)
            self._spread("site", domain, table)

    def certify(self) -> None:
        """The power role looks which hosts are off, at one instant."""
        for domain, truth in self.truths.items():
            off = [box.name for box in self.boxes.values() if not box.on and domain in box.parts]
            certificate = self.rules.certify(truth.tables[max(truth.tables)], self.power[domain], off)
            if certificate is not None and certificate != self.certificates.get(domain):
                self.certificates[domain] = certificate
                self._spread("power", domain, certificate)

    def crash(self, name: str, domain: str = SITE, *, loses_disk: bool = False) -> None:
        """An agent dies and is started again."""
        part = self.boxes[name].parts[domain]
        if not self.boxes[name].on:
            return
        part.todo.clear()
        if loses_disk:
            part.disk = None
        self._start(self.boxes[name], domain)

    def cut(self, name: str) -> None:
        """A host loses power."""
        box = self.boxes[name]
        box.on = False
        for part in box.parts.values():
            part.core = None
            part.todo.clear()

    def boot(self, name: str) -> None:
        """A host comes on: one that was on before by itself, a new one when rule 9 admits it."""
        box = self.boxes[name]
        if box.on:
            return
        for domain in box.parts:
            truth = self.truths[domain]
            newest = truth.tables[max(truth.tables)]
            seen = self.power[domain].values()
            is_open = any(each.epoch == newest.epoch and each.stage is Stage.OPEN for each in seen)
            if (not box.starts or name in self.unplugged) and self.rules.admits(
                newest, name, RESERVE_MW, is_open=is_open
            ):
                return
        box.on = True
        self.unplugged.discard(name)
        for part in box.parts.values():
            part.ceiling_mw = RESERVE_MW
            if not self.rules.keeps_disk_through_boot:
                part.disk = None  # rule 4: what another boot has stored speaks for another life
        self._apply(box)
        for domain in box.parts:
            self._start(box, domain)

    def sleep(self, name: str) -> None:
        """A host goes to sleep by our decision, if it may in all of its domains."""
        box = self.boxes[name]
        if box.on and all(part.core is not None and not part.core.why_awake() for part in box.parts.values()):
            for domain, part in box.parts.items():
                self._check_tokens(box, domain, part.disk)
            self.cut(name)

    def part(self, apart: set[str] | None = None) -> None:
        """The network is parted in two, or is whole again."""
        if apart is None:
            apart = {name for name in self.boxes if self.rng.random() < 0.35} if self.rng.random() < 0.7 else set()
        self.apart = apart

    def reaches(self, sender: str, to: str) -> bool:
        """Whether a message gets through now."""
        return (sender in self.apart) == (to in self.apart)

    # --- How it happens ---

    def _busy(self) -> list[tuple[Box, str]]:
        return [(box, domain) for box in self.boxes.values() for domain, part in box.parts.items() if part.todo]

    def _any_core(self) -> tuple[Box, str, Escrow | None]:
        box = self.rng.choice(list(self.boxes.values()))
        domain = self.rng.choice(list(box.parts))
        return box, domain, box.parts[domain].core

    def _start(self, box: Box, domain: str) -> None:
        box.starts += 1
        part = box.parts[domain]
        host = Host(box.name, domain, RESERVE_MW, NAMEPLATE_MW)
        part.core = self.rules.escrow(host, f"{box.name}{domain[0]}{box.starts}")
        self._do(box, domain, part.core.start(part.disk, part.ceiling_mw))

    def _apply(self, box: Box) -> None:
        """The warden brings the ceilings of all domains into force."""
        ceiling_mw = self.rules.binding_mw([part.ceiling_mw for part in box.parts.values()])
        box.limits_mw = self.rules.limits_mw(ceiling_mw, UNCONTROLLED_MW, EFFICIENCY)

    def _complete(self, box: Box, domain: str) -> None:
        part = box.parts[domain]
        effect = part.todo.popleft()
        assert part.core is not None
        if isinstance(effect, Store):
            self._note_tokens(box, domain, effect.state)
            part.disk = effect.state
        else:
            assert isinstance(effect, Lower | Raise)
            if self.rng.random() < 0.02:
                part.core.failed(effect)
                return
            lowered = isinstance(effect, Lower)
            part.ceiling_mw = min(part.ceiling_mw, effect.ceiling_mw) if lowered else effect.ceiling_mw
            self._apply(box)
        self._do(box, domain, part.core.done(effect))

    def _hand(self, to: str, sender: str, domain: str, what: Any) -> None:
        box = self.boxes[to]
        core = box.parts[domain].core if domain in box.parts else None
        if core is None:
            return
        if isinstance(what, Gift):
            self._do(box, domain, core.on_gift(sender, what))
        elif isinstance(what, Receipt):
            self._do(box, domain, core.on_receipt(sender, what))
        elif isinstance(what, Standing):
            self._do(box, domain, core.on_standings({sender: what}))
        elif isinstance(what, Table):
            self._do(box, domain, core.on_table(what))
        else:
            self._do(box, domain, core.on_off(what))

    def _do(self, box: Box, domain: str, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                if isinstance(effect.message, Gift):
                    self.truths[domain].speak(box.name, effect.peer, effect.message)
                self._post(effect.peer, box.name, domain, effect.message)
            elif isinstance(effect, Announce):
                self.standings[domain][box.name] = effect.standing
                self._post("power", box.name, domain, effect.standing)
                self._spread(box.name, domain, effect.standing)
            else:
                box.parts[domain].todo.append(effect)

    def _post(self, to: str, sender: str, domain: str, what: Any) -> None:
        self.bags.setdefault(type(what), []).append((to, sender, domain, what))

    def _spread(self, sender: str, domain: str, what: Any) -> None:
        for box in self.boxes.values():
            if box.name != sender and domain in box.parts:
                self._post(box.name, sender, domain, what)

    # --- Duty tokens: no decision of ours may take one away ---

    def _note_tokens(self, box: Box, domain: str, state: State) -> None:
        for (giver, life), tokens in state.duty.taken.items():
            key = (domain, state.epoch, giver, life, box.name, state.life)
            self.tokens_taken[key] = max(self.tokens_taken.get(key, 0), tokens)

    def _check_tokens(self, box: Box, domain: str, state: State | None) -> None:
        assert state is not None
        if state.duty.held:
            raise BreachError(f"{box.name} sleeps and holds {state.duty.held} tokens")
        for (taker, life), tokens in state.duty.sent.items():
            if self.tokens_taken.get((domain, state.epoch, box.name, state.life, taker, life), 0) < tokens:
                raise BreachError(f"{box.name} sleeps, and {taker} never took the {tokens} tokens it was given")
