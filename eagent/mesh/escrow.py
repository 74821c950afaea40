"""Escrow: one host's part in keeping a domain's budget without a leader. docs/mesh.md has the nine rules.

    Invariant: at every instant, sum over members of max(reserve, permission in force) + others <= budget of the last
    completed epoch.

The core is sans-IO. What it is told (tables, standings, gifts) it only writes down; then, if nothing is under way, it
takes the first action that the rules call for: seal, open, take, raise. An action is a few effects in a fixed order,
and the next effect is released when the one before is done. So at any moment the host is at one known place between
two stored states, and what it announces is always a stored one.

Rule 1 is kept by `Table`, which can't be made with a sum above its budget; rule 3 by `eagent.mesh.permission` and by
the shell, which takes the minimum over a host's domains; rule 7's question, whether an epoch is complete, is answered
in `eagent.mesh.epoch`; rule 9 by `epoch.admits`, for whoever powers hosts on. Rule 8 is kept by what is not here: no
function is told the time, so nothing can expire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from eagent.errors import RefusedError
from eagent.mesh import charge, epoch, parting
from eagent.mesh.effects import Announce, Awaited, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Off, Stage, Standing
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift, Receipt
from eagent.mesh.state import Host, Lot, State
from eagent.mesh.steps import Steps
from eagent.mesh.table import Charged, Member, Table


class Escrow:
    """One host in one domain."""

    def __init__(self, host: Host, fresh_life: str) -> None:
        """A host that has not started yet.

        Args:
            host: Who it is.
            fresh_life: A random id that was never used; it becomes the host's life if the stored one can't go on.
        """
        self.host = host
        self.state: State | None = None  # as stored; None until there is one that speaks for the present life
        self.ceiling_mw = 0  # as last told by the warden
        self.refused = ""  # why the newest table is not sealed, for a person
        self._fresh_life = fresh_life
        self._table: Table | None = None  # the newest heard
        self._off: Off | None = None  # the newest certificate heard
        self._standings: dict[str, Standing] = {}  # of the others, as last heard
        self._gifts: dict[tuple[str, str], Gift] = {}  # heard, not taken yet; by giver and its life
        self._receipts: dict[tuple[str, str], Receipt] = {}  # by taker and its life
        self._steps = Steps()
        self._announced: Standing | None = None
        self._announced_state: State | None = None

    # --- What the core is told ---

    def start(self, stored: State | None, ceiling_mw: int) -> list[Effect]:
        """Begin, or go on.

        Args:
            stored: What was stored in this life of the host, that is in this boot; None if it is lost, damaged, or of
                another boot.
            ceiling_mw: The permission that the warden has in force.
        """
        self.ceiling_mw = ceiling_mw
        if stored is not None and ceiling_mw <= self._permission_mw(stored):
            self.state = stored
            return self._advance()
        # Rule 4: lost or inconsistent state begins a new life, with the reserve only, announced after it is in force.
        reserve_mw = self.host.reserve_mw
        return self._steps.begin(
            Lower(self.host.domain, reserve_mw),
            Store(self.host.domain, State(self._fresh_life, watts=Ledger(reserve_mw))),
        )

    def on_table(self, table: Table) -> list[Effect]:
        """Hear of a table of this domain that the site has signed."""
        newest = max(self._table.epoch if self._table else 0, self.state.epoch if self.state else 0)
        if table.domain != self.host.domain or table.epoch <= newest:
            return []
        member = table.members.get(self.host.name)
        if member is not None and member.reserve_mw < self.host.reserve_mw:
            # Rule 2: a table that reserves too little is not sealed, so its epoch is not completed.
            self.refused = (
                f"table {table.domain} {table.epoch} reserves {member.reserve_mw} mW for {self.host.name}, "
                f"which may draw {self.host.reserve_mw} mW without asking"
            )
            return []
        self.refused = ""
        self._table = table
        return self._advance()

    def on_standings(self, standings: Mapping[str, Standing]) -> list[Effect]:
        """Hear what other hosts announce of themselves in this domain."""
        self._standings.update(standings)
        self._standings.pop(self.host.name, None)
        return self._advance()

    def on_off(self, certificate: Off) -> list[Effect]:
        """Hear from the power role who was off."""
        if certificate.domain == self.host.domain and certificate.epoch >= (self._off.epoch if self._off else 0):
            self._off = certificate
        return self._advance()

    def on_gift(self, giver: str, gift: Gift) -> list[Effect]:
        """Hear what `giver` has given to this host."""
        if self.state is None or not self._counts(self.state, giver, gift):
            return []
        self._gifts[giver, gift.life] = gift
        return self._advance()

    def on_receipt(self, taker: str, receipt: Receipt) -> list[Effect]:
        """Hear that `taker` has stored what this host gave."""
        state = self.state
        if state is not None and receipt.epoch == state.epoch and receipt.from_life == state.life:
            self._receipts[taker, receipt.life] = receipt
        return []

    def done(self, effect: Awaited) -> list[Effect]:
        """Hear that the awaited effect is completed."""
        self._steps.done(effect)
        if isinstance(effect, Store):
            self.state = effect.state
        else:
            self.ceiling_mw = (
                effect.ceiling_mw if isinstance(effect, Raise) else min(self.ceiling_mw, effect.ceiling_mw)
            )
        return self._steps.proceed() + self._advance()

    def failed(self, effect: Awaited) -> list[Effect]:
        """Hear that the awaited effect did not come about: the rest of its action is dropped.

        Nothing is tried again before the next word from outside, `repeat` at the latest. A first life whose reserve
        can't be brought into force is not begun; the shell starts the core anew.
        """
        self._steps.drop(effect)
        return []

    def repeat(self) -> list[Effect]:
        """Say again what a taker has not confirmed. Counters are cumulative, so this changes nothing (rule 6)."""
        state = self.state
        if state is None or self.is_at_work:
            return []
        again: list[Effect] = [self._say(state, taker) for taker in self._unconfirmed(state)]
        return again + self._advance()

    # --- What the host may do by itself ---

    @property
    def is_at_work(self) -> bool:
        """Whether something is under way, so that it can begin nothing else."""
        return self._steps.awaited is not None

    @property
    def spare_mw(self) -> int:
        """What it could give when it is not at work: rights above its line's reserve in an open epoch (rule 7)."""
        state = self.state
        if state is None or state.table is None or not self._may_trade(state):
            return 0
        return max(0, state.watts.held - self._floor_mw(state.table))

    @property
    def spare_duty(self) -> int:
        """How many duty tokens it could give then: all that it has."""
        state = self.state
        return state.duty.held if state is not None and self._may_trade(state) else 0

    def can_reach(self, peer: str, life: str | None = None) -> bool:
        """Whether a gift to this peer, in this life if one is told, would arrive as far as is known."""
        state = self.state
        if state is None or not self._is_partner(state, peer):
            return False
        return life is None or self._standings[peer].life == life

    def give(self, lots: Mapping[str, Lot]) -> list[Effect]:
        """Give watts and duty tokens to peers.

        Raises:
            RefusedError: this host may not give so much now, or a peer is in no life of this epoch.
        """
        state = self.state
        if state is None or not self._may_trade(state) or self.is_at_work:
            raise RefusedError(f"{self.host.name}: can't give now: its epoch is not open, or it is at work")
        strangers = [peer for peer in lots if not self._is_partner(state, peer)]
        if strangers:
            raise RefusedError(f"{self.host.name}: {strangers[0]} is not known to be open in epoch {state.epoch}")
        total_mw, total_duty = sum(lot.mw for lot in lots.values()), sum(lot.duty for lot in lots.values())
        if min(min(lot.mw, lot.duty) for lot in lots.values()) < 0 or total_mw + total_duty == 0:
            raise RefusedError(f"{self.host.name}: a gift is some watts or tokens, and not fewer than none")
        if total_mw > self.spare_mw or total_duty > state.duty.held:
            raise RefusedError(
                f"{self.host.name}: {total_mw} mW and {total_duty} tokens are to be given, "
                f"there are {self.spare_mw} mW and {state.duty.held}"
            )
        return self._steps.begin(*self._giving(state, lots))

    def why_awake(self) -> str | None:
        """Why this host may not be put to sleep by our decision, as far as it concerns its own tokens; None if it may.

        `eagent.mesh.duty` asks this, and looks at the other holders.
        """
        if self.state is None or self.is_at_work:
            return "its epoch is not open"
        return parting.why_awake(self.state, self._standings, self._receipts)

    def why_not_empty(self) -> str | None:
        """Why watts would be lost if this host were switched off now; None if it holds no more than its reserve."""
        state = self.state
        if state is None or state.table is None or not self._may_trade(state) or self.is_at_work:
            return "its epoch is not open"
        return parting.why_not_empty(state, self._floor_mw(state.table), self._standings, self._receipts)

    @property
    def standing(self) -> Standing | None:
        """What is announced: always what is stored."""
        state = self.state
        if state is None:
            return None
        if self._announced is not None and self._announced_state is state and state.stage is not Stage.SEALED:
            return self._announced
        standing = Standing(
            domain=self.host.domain,
            life=state.life,
            epoch=state.epoch,
            stage=state.stage,
            table=state.table.digest if state.table is not None else "",
            rights_mw=state.watts.held,
            duty=state.duty.held,
        )
        if state.table is None or state.stage is not Stage.SEALED:
            return standing
        standing = replace(standing, told=charge.told(state.claims, state.table))
        return replace(standing, rolls=self._rolls(state.table, standing))

    # --- The actions, each a few effects in their order ---

    def _giving(self, state: State, lots: Mapping[str, Lot]) -> Iterable[Effect]:
        """Rule 5: the warden lowers, reads back, settles and stores; the agent stores the debit; then it speaks."""
        takers = {(peer, self._standings[peer].life): lot for peer, lot in lots.items()}
        watts, duty = state.watts, state.duty
        for taker, lot in takers.items():
            watts = watts.debit(taker, lot.mw)
            duty = duty.debit(taker, lot.duty)
        debited = replace(state, watts=watts, duty=duty)
        yield Lower(self.host.domain, self._permission_mw(debited))
        yield Store(self.host.domain, debited)
        yield from (self._say(debited, taker) for taker in takers)

    def _taking(self, state: State) -> Iterable[Effect]:
        """Rule 6: keep the maximum, store; `_raising` then sees it in the stored state."""
        credited, receipts = state, []
        for (giver, _), gift in self._gifts.items():
            if self._counts(state, giver, gift):
                credited = self._credited(credited, giver, gift)
                receipts.append((giver, gift.life))
        self._gifts.clear()
        if credited is not state:
            yield Store(self.host.domain, credited)
        yield from (self._confirm(credited, giver) for giver in receipts)

    def _raising(self, state: State) -> Iterable[Effect]:
        """Rules 6 and 7: only what is stored, and only in an open epoch, is raised to."""
        permission_mw = self._permission_mw(state)
        if state.stage is Stage.OPEN and self.ceiling_mw < permission_mw:
            yield Raise(self.host.domain, permission_mw)

    def _sealing(self, state: State) -> Iterable[Effect]:
        """Rule 7: send no more under k, lower to min(rights, new grant), store; then it is announced."""
        table = self._table
        if table is None or table.epoch <= state.epoch:
            return
        kept_mw = min(state.watts.held, self._entitled_mw(table, state.life))
        sealed = State(
            life=state.life,
            table=table,
            stage=Stage.SEALED,
            watts=Ledger(kept_mw),
            claims=charge.at_seal(state.claims, state.table, state.watts, table),
        )
        yield Lower(self.host.domain, self._permission_mw(sealed))
        yield Store(self.host.domain, sealed)

    def _opening(self, state: State) -> Iterable[Effect]:
        """Rule 7: when all have sealed, the life that the table names has its grant; `_raising` follows."""
        table = state.table
        if table is None or state.stage is not Stage.SEALED or not self._is_complete(table):
            return
        member = self._named(table, state.life)
        watts, duty = state.watts, Ledger()
        if member is not None and not member.charged:  # what a charged one had given away is not in its grant any more
            watts, duty = Ledger(member.grant_mw), Ledger(member.duty)
        claims = charge.at_open(state.claims, table, is_named=member is not None)
        yield Store(self.host.domain, replace(state, stage=Stage.OPEN, watts=watts, duty=duty, claims=claims))

    # --- What the actions go by ---

    def _permission_mw(self, state: State) -> int:
        """The ceiling that a state allows: its rights, at most the nameplate, and never below the reserve (rule 2).

        Rights above the nameplate are of no use here, and are not lost: trade offers them to others. Of a reserve that
        has grown since, the table in force knows nothing: it grants no more than the one that stands in it.
        """
        line = state.table.members.get(self.host.name) if state.table is not None else None
        reserve_mw = self.host.reserve_mw if line is None else min(self.host.reserve_mw, line.reserve_mw)
        return max(reserve_mw, min(state.watts.held, self.host.nameplate_mw))

    def _entitled_mw(self, table: Table, life: str) -> int:
        """Rule 7: only the life named in the table gets the grant; any other life gets its reserve."""
        member = self._named(table, life)
        return member.grant_mw if member is not None else self.host.reserve_mw

    def _named(self, table: Table, life: str) -> Member | None:
        return epoch.named(table, self.host.name, life)

    def _floor_mw(self, table: Table) -> int:
        """Rule 2: the reserve is never transferred; nor what the host may draw without asking by its own word."""
        return max(table.members[self.host.name].reserve_mw, self.host.reserve_mw)

    def _is_complete(self, table: Table) -> bool:
        own = self.standing
        if own is None or self.host.name not in table.members:
            return False  # who has left stays at its reserve
        return epoch.is_complete(table, self._seen(own), self._off)

    def _rolls(self, table: Table, own: Standing) -> tuple[str, ...]:
        member = table.members.get(self.host.name)
        if member is None or member.charged is not Charged.NO:
            return ()
        return epoch.rolls(table, self._seen(own), self._off)

    def _seen(self, own: Standing) -> Mapping[str, Standing]:
        """What this host goes by: the others as last heard, itself as stored."""
        return {**self._standings, self.host.name: own}

    def _counts(self, state: State, giver: str, gift: Gift) -> bool:
        """Rule 6: a gift of another epoch or to another life is ignored; rule 7: so is one before the epoch is open."""
        return (
            gift.epoch == state.epoch
            and gift.to_life == state.life
            and self._may_trade(state)
            and state.table is not None
            and giver in state.table.members
        )

    def _may_trade(self, state: State) -> bool:
        """Rule 7: nobody gives or takes in an epoch before every member has sealed it."""
        return state.stage is Stage.OPEN

    def _is_partner(self, state: State, peer: str) -> bool:
        """Whether a gift to this peer would arrive. If its life ends meanwhile, the watts lie unused until an epoch."""
        standing = self._standings.get(peer)
        return (
            peer != self.host.name
            and state.table is not None
            and peer in state.table.members
            and standing is not None
            and standing.epoch == state.epoch
            and standing.stage is Stage.OPEN
        )

    def _credited(self, state: State, giver: str, gift: Gift) -> State:
        party = (giver, gift.life)
        # Nobody can hold more than there is; a liar who says so would make this host announce what no peer believes.
        room_mw = state.table.budget_mw - state.watts.held if state.table is not None else 0
        watts = state.watts.credit(party, gift.total_mw, room_mw)
        duty = state.duty.credit(party, gift.total_duty)
        return state if watts is state.watts and duty is state.duty else replace(state, watts=watts, duty=duty)

    def _unconfirmed(self, state: State) -> list[tuple[str, str]]:
        return parting.unconfirmed(state, self._standings, self._receipts)

    def _say(self, state: State, taker: tuple[str, str]) -> Send:
        peer, life = taker
        total_mw, total_duty = state.watts.sent.get(taker, 0), state.duty.sent.get(taker, 0)
        return Send(peer, Gift(self.host.domain, state.epoch, state.life, life, total_mw, total_duty))

    def _confirm(self, state: State, giver: tuple[str, str]) -> Send:
        peer, life = giver
        total_mw, total_duty = state.watts.taken.get(giver, 0), state.duty.taken.get(giver, 0)
        return Send(peer, Receipt(self.host.domain, state.epoch, state.life, life, total_mw, total_duty))

    # --- One action at a time ---

    def _advance(self) -> list[Effect]:
        """Announce what is new, and begin the first action that is due, if none is under way."""
        if self.is_at_work or self.state is None:
            return []
        effects: list[Effect] = []
        for action in (self._sealing, self._opening, self._taking, self._raising):
            effects += self._steps.begin(*action(self.state))
            if self.is_at_work:
                break
        return self._announcement() + effects

    def _announcement(self) -> list[Effect]:
        standing = self.standing
        if standing is None or standing == self._announced:
            return []
        self._announced, self._announced_state = standing, self.state
        return [Announce(standing)]
