"""A small world in which anything may happen in any order: hosts with hardware and disks, a network that keeps every
message ever sent, a site that signs tables, and a power role.

One step is one thing that happens. Time does not pass: a message may be delivered at once, at the end, twice, or never;
an effect may be completed at any later step, or be lost with the process that wanted it. After every step the invariant
is checked on the hardware's truth, which no core can see.
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
from eagent.mesh import charge, epoch, permission
from eagent.mesh.effects import Announce, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Off, Stage, Standing
from eagent.mesh.escrow import Escrow, Host, Lot, State
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift, Receipt
from eagent.mesh.table import Charged, Member, Table
from eagent.sim.truth import BreachError, Fact, Truth

W = 1000  # milliwatts
RESERVE_MW, NAMEPLATE_MW, UNCONTROLLED_MW, FIXED_MW = 2 * W, 9 * W, 1 * W, 3 * W
EFFICIENCY = 800  # permille
SITE, RACK = "site", "rack"


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
    nameplate_mw: int = NAMEPLATE_MW  # what leaving hosts are charged


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
    parts: dict[str, Part]
    on: bool = True
    limits_mw: int = 0  # in force, behind the power supply
    boots: int = 0
    slept: bool = False

    @property
    def wall_mw(self) -> int:
        if not self.on:
            return 0
        return permission.permission_mw(UNCONTROLLED_MW, [self.limits_mw], EFFICIENCY)


class World:
    """Everything there is. `run` raises BreachError when a promise is broken."""

    def __init__(self, seed: int, rules: Rules = Rules()) -> None:
        self.rng = rng = random.Random(seed)
        self.rules = rules
        self.domains = (SITE, RACK) if rng.random() < 0.25 else (SITE,)
        self.boxes = {name: Box(name, {}) for name in "abcd"[: rng.choice((2, 3, 3, 3, 4))]}
        if rng.random() < 0.3:
            self.boxes["n"] = Box("n", {}, on=False)  # nobody has heard of it yet
        self.bags: dict[type, list[tuple[str, str, str, Any]]] = {}  # by kind: to, from, domain, what
        self.standings: dict[str, dict[str, Standing]] = {domain: {} for domain in self.domains}  # as last announced
        self.apart: set[str] = set()  # cut off from the site and from the others, not from each other
        self.truths: dict[str, Truth] = {}
        self.power: dict[str, dict[str, Standing]] = {domain: {} for domain in self.domains}
        self.certificates: dict[str, Off] = {}
        self.dropped: dict[str, set[str]] = {domain: set() for domain in self.domains}  # left a table, may be on
        self.tokens_taken: dict[tuple[str, int, str, str, str, str], int] = {}
        for domain in self.domains:
            self._found(domain)
        for box in self.boxes.values():
            if box.on:
                self._apply(box)
                for domain in box.parts:
                    self._start(box, domain)
        # In two worlds of three the site signs once or twice at a certain step, after some were cut off, and seldom
        # later; in one of these who is cut off stays so, and is charged.
        self.plot = rng.choice(("free", "handover", "charge"))
        self.now, self.turn = 0, rng.randrange(1, 30)
        self.actions = [
            (self._work, 12),
            (self._finish, 16),
            (self._deliver, 22),
            (self._gossip, 18),
            (self._give, 16),
            (self._sign, 3 if self.plot == "free" else 0.5),
            (self._certify, 2),
            (self._repeat, 4),
            (self._crash, 1.5),
            (self._cut, 1.5),
            (self._boot, 3),
            (self._sleep, 1),
            (self._part, 0.1 if self.plot == "charge" else 2),
        ]
        # Each world has its own temper: what is rare in one is frequent in another, so that odd orders come up.
        self.late = rng.choice((0.1, 0.3, 0.6))  # the share of messages that are not recent
        self.lossy = rng.choice((0.1, 0.4, 0.8))  # the share of crashes that cost the disk
        self._kinds = [action for action, _ in self.actions]
        self._weights = list(accumulate(weight * rng.choice((0.1, 0.5, 1, 1, 2)) for _, weight in self.actions))
        for domain in self.domains:
            for to in self.boxes:
                for sender, standing in list(self.standings[domain].items()):
                    if sender != to:
                        self._hand(to, sender, domain, standing)

    def run(self, steps: int) -> None:
        """Let so many things happen."""
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """Let one thing happen, and look."""
        self.now += 1
        if self.plot != "free" and self.now == self.turn:
            self._turn()
        else:
            self.rng.choices(self._kinds, cum_weights=self._weights)[0]()
        self.check()

    def _turn(self) -> None:
        while not self.apart:
            self._part()
        for _ in range(self.rng.choice((1, 1, 2))):
            self._sign()

    def check(self) -> None:
        """Look at the truth."""
        for domain, truth in self.truths.items():
            truth.check(self.facts(domain))

    def facts(self, domain: str) -> dict[str, Fact]:
        return {
            box.name: Fact(RESERVE_MW, box.wall_mw, box.on, box.parts[domain].disk if box.on else None)
            for box in self.boxes.values()
            if domain in box.parts
        }

    # --- The beginning ---

    def _found(self, domain: str) -> None:
        members = [box for box in self.boxes.values() if domain == SITE or box.name != "a"]
        grants = {box.name: RESERVE_MW + self.rng.randrange(5) * W for box in members if box.on}
        lives = {name: f"{name}{domain[0]}0" for name in grants}
        tokens = {name: self.rng.randrange(2) for name in grants}
        lines = {name: Member(RESERVE_MW, grants[name], lives[name], tokens[name]) for name in grants}
        first = Table(domain, 1, FIXED_MW + sum(grants.values()), FIXED_MW, lines)
        self.truths[domain] = Truth(FIXED_MW, first)
        for box in members:
            box.parts[domain] = Part()
            self._post(box.name, "site", domain, first)
            if box.on:
                line = lines[box.name]
                claims = {name: epoch.Claim(0, 0) for name in lines}
                state = State(line.life, first, Stage.OPEN, Ledger(line.grant_mw), Ledger(line.duty), claims)
                box.parts[domain] = Part(disk=state, ceiling_mw=line.grant_mw)

    # --- What may happen ---

    def _work(self) -> None:
        """A shell completes the next of its effects."""
        busy = [(box, domain) for box in self.boxes.values() for domain, part in box.parts.items() if part.todo]
        if busy:
            self._complete(*self.rng.choice(busy))

    def _finish(self) -> None:
        """A host is left in peace until all its shells are done."""
        self._settle(self.rng.choice(list(self.boxes.values())))

    def _deliver(self) -> None:
        """A message arrives, most often a late one, and stays in the bag."""
        if not self.bags:
            return
        bag = self.bags[self.rng.choice(list(self.bags))]
        recent = len(bag) if self.rng.random() < self.late else min(len(bag), 8)
        to, sender, domain, what = bag[-1 - self.rng.randrange(recent)]
        if to == "power":
            self.power[domain][sender] = what
        elif self._reaches(sender, to):
            self._hand(to, sender, domain, what)

    def _gossip(self) -> None:
        """A host, or the power role, hears from some of those that it can reach what they stand for now."""
        to, share = self.rng.choice([*self.boxes, "power"]), self.rng.choice((0.4, 1, 1))
        for domain in self.domains:
            for sender, standing in list(self.standings[domain].items()):
                if to == "power":
                    self.power[domain][sender] = standing
                elif sender != to and self._reaches(sender, to) and self.rng.random() <= share:
                    part = self.boxes[sender].parts[domain]
                    self._hand(to, sender, domain, standing)
                    if part.disk is not None and part.disk.table is not None and self.rng.random() < 0.5:
                        self._hand(to, sender, domain, part.disk.table)
            if to != "power" and self._reaches("site", to) and self.rng.random() < 0.5:
                self._hand(to, "site", domain, self.truths[domain].tables[max(self.truths[domain].tables)])
                if domain in self.certificates:
                    self._hand(to, "power", domain, self.certificates[domain])

    def _reaches(self, sender: str, to: str) -> bool:
        return (sender in self.apart) == (to in self.apart)

    def _give(self) -> None:
        """A host gives, and sometimes all that follows from it happens at once."""
        found = self._any_core()
        if found is None:
            return
        box, domain, core = found
        peers = [name for name, other in self.boxes.items() if name != box.name and domain in other.parts]
        if not peers or core.state is None:
            return
        lots = {}
        for peer in self.rng.sample(peers, self.rng.choice((1, 1, min(2, len(peers))))):
            mw = self.rng.choice((W, W, core.spare_mw))
            lots[peer] = Lot(mw, self.rng.randrange(2) if core.state.duty.held else 0)
        with suppress(RefusedError):
            self._do(box, domain, core.give(lots))
            if self.rng.random() < 0.5:
                self._settle(box)
                for peer in lots:
                    if (gift := self._latest(Gift, peer, box.name, domain)) and self._reaches(box.name, peer):
                        self._hand(peer, box.name, domain, gift)
                        self._settle(self.boxes[peer])

    def _sign(self) -> None:
        """The site signs the next table, from a view of the lives that may be old, and right or too low charges."""
        domain = self.rng.choice(self.domains)
        truth, rng = self.truths[domain], self.rng
        number = max(truth.tables) + 1
        if number > 5:
            return
        last = truth.tables[number - 1]
        lines: dict[str, Member] = {}
        spare_mw = rng.choice((sum(each.grant_mw - RESERVE_MW for each in last.members.values()), rng.randrange(7) * W))
        for box in rng.sample(list(self.boxes.values()), len(self.boxes)):
            if domain not in box.parts or (box.name in last.members and len(lines) and rng.random() < 0.05):
                continue
            if box.name not in last.members and rng.random() < 0.4:
                continue
            state = box.parts[domain].disk
            life = state.life if state is not None and rng.random() < 0.8 else f"{box.name}{domain[0]}{box.boots}"
            charged, duty = Charged.NO, rng.randrange(2)
            more_mw = rng.choice((0, spare_mw, rng.randrange(spare_mw // W + 1) * W))
            spare_mw -= more_mw
            grant_mw = RESERVE_MW + more_mw
            if box.name in last.members and rng.random() < self._charging(box):
                charged, duty = rng.choice((Charged.TOLD, Charged.TOLD, Charged.FULL)), 0
                grant_mw = charge.granted_mw(truth.tables.values(), truth.completed.epoch, box.name)
                grant_mw += rng.choice((0, 0, 1, 2)) * W  # for what was sent to it: enough, or not
                if charged is Charged.FULL:
                    grant_mw = max(self._all_it_could_hold_mw(table, box.name) for table in truth.tables.values())
            lines[box.name] = Member(RESERVE_MW, grant_mw, life, duty, charged)
        gone = {name for name in self.dropped[domain] | (last.members.keys() - lines.keys()) if name not in lines and self.boxes[name].boots}
        others_mw = FIXED_MW + self.rules.nameplate_mw * len(gone)
        budget_mw = others_mw + sum(line.grant_mw for line in lines.values()) - rng.choice((0, 0, 0, 0, 0, 1)) * W
        with suppress(ConfigError):  # rule 1: a table above its budget can't be signed
            table = self.rules.table(domain, number, budget_mw, others_mw, lines)
            self.dropped[domain] = gone
            truth.sign(table)
            self._spread("site", domain, table)

    def _charging(self, box: Box) -> float:
        """How readily the site charges a host."""
        if box.name not in self.apart:
            return 0.03
        return {"free": 0.5, "handover": 0.2, "charge": 1.0}[self.plot]

    def _certify(self) -> None:
        """The power role looks which hosts are off, at one instant."""
        domain = self.rng.choice(self.domains)
        truth = self.truths[domain]
        off = [box.name for box in self.boxes.values() if not box.on and domain in box.parts]
        certificate = self.rules.certify(truth.tables[max(truth.tables)], self.power[domain], off)
        if certificate is not None and certificate != self.certificates.get(domain):
            self.certificates[domain] = certificate
            self._spread("power", domain, certificate)

    def _repeat(self) -> None:
        found = self._any_core()
        if found is not None:
            box, domain, core = found
            self._do(box, domain, core.repeat())

    def _crash(self) -> None:
        """An agent dies, with its disk or without, and is started again; the hardware goes on."""
        busy = [(box, domain) for box in self.boxes.values() for domain, part in box.parts.items() if part.todo]
        found = self._any_core()
        if found is None:
            return
        box, domain = self.rng.choice(busy) if busy and self.rng.random() < 0.7 else found[:2]
        part = box.parts[domain]
        part.todo.clear()
        if self.rng.random() < self.lossy:
            part.disk = None
        self._start(box, domain)

    def _cut(self) -> None:
        """A host loses power."""
        box = self.rng.choice(list(self.boxes.values()))
        if box.on:
            self._off(box)

    def _boot(self) -> None:
        """A host comes on: a member by itself, any other when rule 9 admits it."""
        off = [box for box in self.boxes.values() if not box.on]
        if not off:
            return
        box = self.rng.choice(off)
        for domain in box.parts:
            truth = self.truths[domain]
            newest = truth.tables[max(truth.tables)]
            is_open = any(each.epoch == newest.epoch and each.stage is Stage.OPEN for each in self.power[domain].values())
            is_member = box.boots and (box.name in truth.completed.members or box.name in self.dropped[domain])
            if not is_member and self.rules.admits(newest, box.name, RESERVE_MW, is_open=is_open):
                return
        box.on, box.slept = True, False
        for part in box.parts.values():
            part.ceiling_mw = RESERVE_MW
        self._apply(box)
        for domain, part in box.parts.items():
            if not self.rules.keeps_disk_through_boot:
                part.disk = None  # rule 4: what another boot has stored speaks for another life
            self._start(box, domain)
        if self.rng.random() < 0.5:
            self._settle(box)

    def _part(self) -> None:
        """The network is parted in two, or is whole again."""
        self.apart = {name for name in self.boxes if self.rng.random() < 0.35} if self.rng.random() < 0.7 else set()

    def _sleep(self) -> None:
        """A host goes to sleep by our decision, if it may in all of its domains."""
        box = self.rng.choice(list(self.boxes.values()))
        if not box.on or any(part.core is None or part.core.why_awake() for part in box.parts.values()):
            return
        for domain, part in box.parts.items():
            self._check_tokens(box, domain, part.disk)
        self._off(box)
        box.slept = True

    # --- How it happens ---

    def _complete(self, box: Box, domain: str) -> None:
        part = box.parts[domain]
        effect = part.todo.popleft()
        if isinstance(effect, Lower):
            part.ceiling_mw = min(part.ceiling_mw, effect.ceiling_mw)
            self._apply(box)
        elif isinstance(effect, Raise):
            part.ceiling_mw = effect.ceiling_mw
            self._apply(box)
        elif isinstance(effect, Store):
            self._note_tokens(box, domain, effect.state)
            part.disk = effect.state
        assert part.core is not None
        assert isinstance(effect, Lower | Raise | Store)
        if self.rng.random() < 0.02 and not isinstance(effect, Store):
            part.core.failed(effect)
        else:
            self._do(box, domain, part.core.done(effect))

    def _settle(self, box: Box) -> None:
        for domain, part in box.parts.items():
            while part.todo:
                self._complete(box, domain)
                self.check()

    def _latest(self, kind: type, to: str, sender: str, domain: str) -> Any:
        return next((w for t, s, d, w in reversed(self.bags.get(kind, ())) if (t, s, d) == (to, sender, domain)), None)

    def _hand(self, to: str, sender: str, domain: str, what: Any) -> None:
        box = self.boxes[to]
        part = box.parts.get(domain)
        if part is None or part.core is None:
            return
        if isinstance(what, Gift):
            self._do(box, domain, part.core.on_gift(sender, what))
        elif isinstance(what, Receipt):
            self._do(box, domain, part.core.on_receipt(sender, what))
        elif isinstance(what, Standing):
            self._do(box, domain, part.core.on_standings({sender: what}))
        elif isinstance(what, Table):
            self._do(box, domain, part.core.on_table(what))
        else:
            self._do(box, domain, part.core.on_off(what))

    def _off(self, box: Box) -> None:
        box.on = False
        for part in box.parts.values():
            part.core = None
            part.todo.clear()

    def _start(self, box: Box, domain: str) -> None:
        box.boots += 1
        part = box.parts[domain]
        host = Host(box.name, domain, RESERVE_MW, NAMEPLATE_MW)
        part.core = self.rules.escrow(host, f"{box.name}{domain[0]}{box.boots}")
        self._do(box, domain, part.core.start(part.disk, part.ceiling_mw))

    def _apply(self, box: Box) -> None:
        """The warden brings the ceilings of all domains into force."""
        ceiling_mw = self.rules.binding_mw([part.ceiling_mw for part in box.parts.values()])
        box.limits_mw = self.rules.limits_mw(ceiling_mw, UNCONTROLLED_MW, EFFICIENCY)

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

    def _any_core(self) -> tuple[Box, str, Escrow] | None:
        found = [(b, domain, part.core) for b in self.boxes.values() for domain, part in b.parts.items() if part.core]
        return self.rng.choice(found) if found else None

    @staticmethod
    def _all_it_could_hold_mw(table: Table, host: str) -> int:
        grants_mw = sum(member.grant_mw for member in table.members.values())
        return grants_mw - sum(each.reserve_mw for name, each in table.members.items() if name != host)

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
