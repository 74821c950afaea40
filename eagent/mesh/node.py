"""One host's mesh: gossip, an escrow for each of its domains, and the trade between them; sans-IO.

    on_message, on_tick, done, failed  ->  effects for the shell, in order

What comes with gossip is handed to the escrows at the next tick, all at once: a round later, and far cheaper.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from eagent.errors import EagentError
from eagent.mesh import duty, trade
from eagent.mesh.effects import Announce, Awaited, Effect, Send
from eagent.mesh.epoch import Off, Stage, Standing
from eagent.mesh.escrow import Escrow
from eagent.mesh.gossip import Gossip
from eagent.mesh.messages import Ask, Delta, Digest, Document, Gift, Message, Receipt
from eagent.mesh.records import Demand, Payload, Power
from eagent.mesh.state import Host, Lot, State
from eagent.mesh.table import Table

ASK_PERIOD_NS = 5_000_000_000  # an ask is answered within this, or was in vain
YIELD_NS = 15_000_000_000  # so long a host says that it would sleep before it may: then others don't count on it
POWER_STEP_W = 10.0  # a smaller change of the host's power is not told: it would wake all hosts for nothing

Read = Callable[[Document], Table | Off]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a host knows of itself. `need_mw` is what its policies could use now, at the wall.

    It never says YIELDED: whether nothing is left with the host, the node knows.
    """

    need_mw: int
    power_w: float | None = None
    limits_w: float | None = None
    power: Power = Power.AWAKE  # or YIELDING, when its policies would let it sleep
    devices: int = 0
    busy: int = 0
    asleep: tuple[str, ...] = ()  # see Payload


class Node:
    """One host."""

    def __init__(
        self,
        name: str,
        hosts: Iterable[Host],
        fresh_life: str,
        peers: Iterable[str],
        rng: random.Random,
        version: int,
        read: Read,
        terms: trade.Terms,
    ) -> None:
        """A host that has not started yet.

        Args:
            name: This host's.
            hosts: This host in each of its domains; none for one that only listens, such as the power role's.
            fresh_life: A random id that was never used.
            peers: All hosts of the roster.
            rng: Chance, for gossip.
            version: Where versions of its record start; see Gossip.
            read: What a document holds; it raises an EagentError for one that can't be trusted.
            terms: What it trades by.
        """
        self.name = name
        self.hosts = {host.domain: host for host in hosts}
        self.escrows = {domain: Escrow(host, fresh_life) for domain, host in self.hosts.items()}
        self.observed = Observation(0)
        self.gossip = Gossip(self.name, peers, rng, version, self._accept)
        self._read = read
        self._terms = terms
        self._unread: list[Table | Off] = []  # accepted, not told to an escrow yet
        self._own: dict[str, Standing] = {}
        self._asks: dict[str, dict[str, tuple[int, Ask]]] = {domain: {} for domain in self.hosts}  # by peer, when heard
        self._asked_ns: dict[str, int] = {}
        self._yielding_ns: int | None = None  # since when it says that it would sleep

    # --- What the node is told ---

    def start(self, now_ns: int, stored: Mapping[str, State], ceilings_mw: Mapping[str, int]) -> list[Effect]:
        """Begin, or go on.

        Args:
            now_ns: The time.
            stored: What was stored in this boot, by domain; see Escrow.start.
            ceilings_mw: The permission that the warden has in force, by domain.
        """
        effects: list[Effect] = []
        for domain, escrow in self.escrows.items():
            effects += escrow.start(stored.get(domain), ceilings_mw[domain])
        return self._announced(now_ns, effects)

    def observe(self, observation: Observation) -> None:
        """Hear how this host is."""
        before, after = self.observed, observation
        if _is_near(before.power_w, after.power_w):
            after = replace(after, power_w=before.power_w)
        if _is_near(before.limits_w, after.limits_w):
            after = replace(after, limits_w=before.limits_w)
        self.observed = after

    def set_peers(self, peers: Iterable[str]) -> None:
        """Go by a new roster."""
        self.gossip.set_peers(peers)

    def add(self, document: Document) -> bool:
        """Hear of a document from this host's own disk; it is told to the escrows at the next tick."""
        return self.gossip.add(document)

    def on_message(self, now_ns: int, sender: str, message: Message) -> list[Effect]:
        """Hear from a peer that the transport has authenticated."""
        if isinstance(message, Digest | Delta):
            return list(self.gossip.on_message(now_ns, sender, message))
        escrow = self.escrows.get(message.domain)
        if escrow is None:
            return []
        if isinstance(message, Gift):
            return self._announced(now_ns, escrow.on_gift(sender, message))
        if isinstance(message, Receipt):
            return self._announced(now_ns, escrow.on_receipt(sender, message))
        if escrow.state is not None and message.epoch == escrow.state.epoch:
            self._asks[message.domain][sender] = (now_ns, message)
        return []

    def done(self, now_ns: int, effect: Awaited) -> list[Effect]:
        """Hear that an effect is completed."""
        return self._announced(now_ns, self.escrows[effect.domain].done(effect))

    def failed(self, now_ns: int, effect: Awaited) -> list[Effect]:
        """Hear that an effect did not come about."""
        return self._announced(now_ns, self.escrows[effect.domain].failed(effect))

    def on_tick(self, now_ns: int) -> list[Effect]:
        """Do a round's work."""
        effects = self._pass_on()
        for domain, escrow in self.escrows.items():
            effects += escrow.repeat()
            effects += self._hand_over(now_ns, domain, escrow) or self._give(now_ns, domain, escrow)
            effects += self._ask(now_ns, domain, escrow)
        effects = self._announced(now_ns, effects)
        self._publish(now_ns)
        return effects + list(self.gossip.on_tick(now_ns))

    # --- What it can be asked ---

    def why_not_yielded(self, now_ns: int) -> str | None:
        """Why this host may not be switched off, for a person; None if it may be, and tells so."""
        if self.observed.power is Power.AWAKE:
            return "its policies want it awake"
        for domain, escrow in self.escrows.items():
            why = escrow.why_not_empty() or duty.why_awake(escrow, self.gossip.records, now_ns)
            if not trade.heirs(self.name, self._partners(now_ns, domain, escrow)):
                why = f"no other host is known to stay awake{f', and {why}' if why else ''}"
            if why is not None:
                return f"{domain}: {why}"
        if self._yielding_ns is None or now_ns - self._yielding_ns < YIELD_NS:
            return "others may not have heard yet that it would sleep"
        return None

    def demand(self, domain: str) -> Demand:
        """What this host offers or wants in a domain now."""
        escrow, need_mw = self.escrows[domain], self.observed.need_mw
        state = escrow.state
        if state is None or state.stage is not Stage.OPEN or self.observed.power is not Power.AWAKE:
            return Demand(domain)
        rights_mw = state.watts.held
        nameplate_mw = self.hosts[domain].nameplate_mw
        wants_mw = trade.wants_mw(rights_mw, need_mw, nameplate_mw, self._terms)
        return Demand(domain, trade.offers_mw(rights_mw, escrow.spare_mw, need_mw, nameplate_mw, self._terms), wants_mw)

    # --- How ---

    def _accept(self, document: Document) -> bool:
        try:
            self._unread.append(self._read(document))
        except EagentError:
            return False
        return True

    def _pass_on(self) -> list[Effect]:
        effects: list[Effect] = []
        documents, self._unread = self._unread, []
        for each in documents:
            escrow = self.escrows.get(each.domain)
            if escrow is not None:
                effects += escrow.on_table(each) if isinstance(each, Table) else escrow.on_off(each)
        heard = [self.gossip.records[owner].record for owner in self.gossip.heard() if owner in self.gossip.records]
        for domain, escrow in self.escrows.items():
            standings = {record.owner: record.payload.standing(domain) for record in heard}
            known = {owner: standing for owner, standing in standings.items() if standing is not None}
            if known:
                effects += escrow.on_standings(known)
        return effects

    def _give(self, now_ns: int, domain: str, escrow: Escrow) -> list[Effect]:
        asks = self._asks[domain]
        for peer in [peer for peer, (heard_ns, _) in asks.items() if now_ns - heard_ns > ASK_PERIOD_NS]:
            del asks[peer]
        if not asks or escrow.is_at_work:
            return []
        offered_mw = self.demand(domain).offers_mw
        asked = {peer: ask.want_mw for peer, (_, ask) in asks.items() if escrow.can_reach(peer, ask.life)}
        lent_mw, claims = self._dues(domain, escrow, asked)
        lots = trade.lots(offered_mw, asked, self._terms, lent_mw=lent_mw, claims=claims)
        for peer in lots:
            del asks[peer]
        return escrow.give({peer: Lot(mw) for peer, mw in lots.items()}) if lots else []

    def _dues(self, domain: str, escrow: Escrow, peers: Iterable[str]) -> tuple[int, dict[str, int]]:
        """What this host holds on loan, and what each of these peers could claim back."""
        state = escrow.state
        if state is None:
            return 0, {}
        claims = {}
        for peer in peers:
            held = self.gossip.records.get(peer)
            standing = held.record.payload.standing(domain) if held is not None else None
            if standing is not None:
                claims[peer] = trade.claim_mw(standing.rights_mw, _grant_mw(state, peer))
        lent_mw = trade.lent_mw(state.watts.held, _grant_mw(state, self.name))
        return min(lent_mw, escrow.spare_mw), claims  # never its own reserve, however small its grant

    def _hand_over(self, now_ns: int, domain: str, escrow: Escrow) -> list[Effect]:
        """What is given unasked: by who would sleep all that it may, by anyone a token beyond its first."""
        would_sleep, tokens = self.observed.power is not Power.AWAKE, escrow.spare_duty
        if escrow.is_at_work or (tokens < 2 and not (would_sleep and (escrow.spare_mw or tokens))):
            return []
        partners = self._partners(now_ns, domain, escrow)
        lots: Mapping[str, Lot] = {}
        if would_sleep:
            lots = trade.bequests(escrow.spare_mw, tokens, trade.heirs(self.name, partners))
        lots = lots or trade.bequests(0, tokens - 1, partners)
        return escrow.give(lots) if lots else []

    def _partners(self, now_ns: int, domain: str, escrow: Escrow) -> dict[str, trade.Heir]:
        """Who could be given something: those that have been heard of lately and have not yielded."""
        partners = {}
        for peer, held in self.gossip.records.items():
            payload = held.record.payload
            standing = payload.standing(domain) if payload.power is not Power.YIELDED else None
            if standing is not None and escrow.can_reach(peer, standing.life) and not held.is_stale(now_ns):
                wants_mw, is_awake = payload.demand(domain).wants_mw, payload.power is Power.AWAKE
                partners[peer] = trade.Heir(wants_mw, standing.rights_mw, standing.duty, is_awake)
        return partners

    def _ask(self, now_ns: int, domain: str, escrow: Escrow) -> list[Effect]:
        state = escrow.state
        wanted_mw = self.demand(domain).wants_mw
        asked_ns = self._asked_ns.get(domain)
        if state is None or not wanted_mw or (asked_ns is not None and now_ns - asked_ns < ASK_PERIOD_NS):
            return []
        offers = {
            peer: demand.offers_mw
            for peer, held in self.gossip.records.items()
            for demand in held.record.payload.demands
            if demand.offers_mw and demand.domain == domain
            if escrow.can_reach(peer) and not held.is_stale(now_ns)
        }
        claim_mw = trade.claim_mw(state.watts.held, _grant_mw(state, self.name))
        if claim_mw:
            for peer, held in self.gossip.records.items():
                standing = held.record.payload.standing(domain)
                if standing is not None and escrow.can_reach(peer) and not held.is_stale(now_ns):
                    owed_mw = min(claim_mw, trade.lent_mw(standing.rights_mw, _grant_mw(state, peer)))
                    offers[peer] = max(offers.get(peer, 0), owed_mw)
        asks = trade.asks(wanted_mw, offers, self._terms)
        if asks:
            self._asked_ns[domain] = now_ns
        return [Send(peer, Ask(domain, state.epoch, state.life, mw)) for peer, mw in asks.items()]

    def _announced(self, now_ns: int, effects: list[Effect]) -> list[Effect]:
        """Take the announcements out of the effects and into this host's record."""
        rest: list[Effect] = [effect for effect in effects if not isinstance(effect, Announce)]
        if len(rest) < len(effects):
            for effect in effects:
                if isinstance(effect, Announce):
                    self._own[effect.standing.domain] = effect.standing
            self._publish(now_ns)
        return rest

    def _publish(self, now_ns: int) -> None:
        observed = self.observed
        demands = tuple(map(self.demand, self.escrows))
        if observed.power is Power.AWAKE:
            self._yielding_ns = None
        elif self._yielding_ns is None:
            self._yielding_ns = now_ns
        has_yielded = observed.power is not Power.AWAKE and self.why_not_yielded(now_ns) is None
        self.gossip.publish(
            now_ns,
            Payload(
                power_w=observed.power_w,
                limits_w=observed.limits_w,
                power=Power.YIELDED if has_yielded else min(observed.power, Power.YIELDING),
                standings=tuple(self._own.values()),
                demands=tuple(each for each in demands if each.offers_mw or each.wants_mw),
                devices=observed.devices,
                busy=observed.busy,
                asleep=observed.asleep,
            ),
        )


def _is_near(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and abs(after - before) < POWER_STEP_W


def _grant_mw(state: State, host: str) -> int:
    """What the table grants a host, in whatever life; 0 for one that is not in it."""
    line = state.table.members.get(host) if state.table is not None else None
    return line.grant_mw if line is not None else 0
