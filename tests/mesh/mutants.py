"""One rule broken at a time. Each must be caught by what catches nothing in the real rules."""
# ruff: noqa: ARG001, ARG002  # a mutant keeps the shape of what it stands for

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from eagent.mesh import charge, epoch
from eagent.mesh.effects import Effect, Lower, Raise, Store
from eagent.mesh.epoch import Claim, Off, Stage, Standing
from eagent.mesh.escrow import Escrow
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift
from eagent.mesh.state import Lot, State
from eagent.mesh.table import Charged, Member, Table
from tests.mesh.world import Rules

# --- Rules 1 to 4 ---


class Overcommitted(Table):
    """Rule 1: the sum may exceed the budget."""

    def check(self) -> None:
        pass


class GivesItsReserve(Escrow):
    """Rule 2: the reserve is transferred like the rest."""

    def _floor_mw(self, table: Table) -> int:
        return 0


def lossless_limits_mw(permission_mw: int, uncontrolled_mw: int, efficiency_permille: int) -> int:
    """Rule 3: the power supply is taken for perfect."""
    return permission_mw - uncontrolled_mw


class RegrantsAfterDeath(Escrow):
    """Rule 4: a new life begins with what the table gave to the old one."""

    def _named(self, table: Table, life: str) -> Member | None:
        return table.members.get(self.host.name)


# --- Rule 5 ---


class GivesWithoutLowering(Escrow):
    def _giving(self, state: State, lots: Mapping[str, Lot]) -> Iterable[Effect]:
        return [step for step in super()._giving(state, lots) if not isinstance(step, Lower)]


class GivesWithoutStoring(Escrow):
    """It speaks, and stores only then: a crash in between forgets the debit."""

    def _giving(self, state: State, lots: Mapping[str, Lot]) -> Iterable[Effect]:
        return sorted(super()._giving(state, lots), key=lambda step: isinstance(step, Store))


class SpeaksFirst(Escrow):
    """It stores and speaks, and lowers last."""

    def _giving(self, state: State, lots: Mapping[str, Lot]) -> Iterable[Effect]:
        return sorted(super()._giving(state, lots), key=lambda step: isinstance(step, Lower))


# --- Rule 6 ---


class AddsUp(Escrow):
    """Every message is added, doubled ones too."""

    def _credited(self, state: State, giver: str, gift: Gift) -> State:
        party = (giver, gift.life)
        total_mw = state.watts.taken.get(party, 0) + gift.total_mw
        return super()._credited(state, giver, replace(gift, total_mw=total_mw))


class TakesFromAnyEpoch(Escrow):
    def _counts(self, state: State, giver: str, gift: Gift) -> bool:
        return super()._counts(state, giver, replace(gift, epoch=state.epoch))


class TakesForAnyLife(Escrow):
    def _counts(self, state: State, giver: str, gift: Gift) -> bool:
        return super()._counts(state, giver, replace(gift, to_life=state.life))


class ConfirmsBeforeStoring(Escrow):
    """A token is confirmed before it is stored: its giver sleeps, and a crash loses it."""

    def _taking(self, state: State) -> Iterable[Effect]:
        return sorted(super()._taking(state), key=lambda step: isinstance(step, Store))


# --- Rule 7 ---


class SealsWithoutLowering(Escrow):
    def _sealing(self, state: State) -> Iterable[Effect]:
        return [step for step in super()._sealing(state) if not isinstance(step, Lower)]


class RaisesOnSeal(Escrow):
    """The new grant is used as soon as this host has sealed."""

    def _sealing(self, state: State) -> Iterable[Effect]:
        for step in super()._sealing(state):
            if isinstance(step, Store) and step.state.table is not None:
                entitled_mw = self._entitled_mw(step.state.table, state.life)
                yield replace(step, state=replace(step.state, watts=Ledger(entitled_mw)))
                yield Raise(self.host.domain, entitled_mw)
            else:
                yield step


class TradesBeforeAllHaveSealed(Escrow):
    """It opens its epoch when it has sealed itself."""

    def _is_complete(self, table: Table) -> bool:
        return self.host.name in table.members


class GivesWhileSealed(Escrow):
    """It gives and takes under the new epoch as soon as it has sealed itself, of what it kept."""

    def _may_trade(self, state: State) -> bool:
        return state.table is not None and self.host.name in state.table.members

    def _is_partner(self, state: State, peer: str) -> bool:
        return peer in self._standings and peer != self.host.name

    def _raising(self, state: State) -> Iterable[Effect]:
        return super()._raising(replace(state, stage=Stage.OPEN))


class TakesALaterSealForThis(Escrow):
    """Who has sealed a later epoch is taken to have sealed this one, too, and to agree."""

    def _seen(self, own: Standing) -> Mapping[str, Standing]:
        seen = super()._seen(own)
        return {
            host: replace(each, epoch=own.epoch, table=own.table, rolls=(), stage=Stage.SEALED)
            if each.epoch > own.epoch
            else each
            for host, each in seen.items()
        }

    def _is_complete(self, table: Table) -> bool:
        return super()._is_complete(table) or agrees_if_all_sealed(self, table)


class BelievesSeals(Escrow):
    """One wave only: to have seen the seals of all, once each, is taken for having seen them at once."""

    def _is_complete(self, table: Table) -> bool:
        return super()._is_complete(table) or agrees_if_all_sealed(self, table)


def agrees_if_all_sealed(core: Escrow, table: Table) -> bool:
    """What `_is_complete` would be if nobody had to countersign."""
    own = core.standing
    assert own is not None
    seen = core._seen(own)
    rolls = tuple(epoch.rolls(table, seen, core._off))
    agreeing = {host: replace(each, rolls=rolls) for host, each in seen.items()}
    return core.host.name in table.members and epoch.is_complete(table, agreeing, core._off)


class GrantsToAnyLife(Escrow):
    """A seal gives its grant to whatever life it is in, if that life had sealed from an older epoch."""

    def _entitled_mw(self, table: Table, life: str) -> int:
        member = table.members.get(self.host.name)
        return member.grant_mw if member is not None else self.host.reserve_mw

    def _opening(self, state: State) -> Iterable[Effect]:
        for step in super()._opening(state):
            member = state.table.members[self.host.name] if state.table is not None else None
            if isinstance(step, Store) and member is not None and not member.charged:
                yield replace(step, state=replace(step.state, watts=Ledger(member.grant_mw)))
            else:
                yield step


def certify_at_once(table: Table, standings: Mapping[str, Standing], off: Iterable[str]) -> Off | None:
    """Who is off now counts as sealed, whatever the others have done."""
    hosts = tuple(sorted(host for host in set(off) & table.members.keys() if not table.members[host].charged))
    return Off(table.domain, table.epoch, hosts, "") if hosts else None


class BelievesAnyCertificate(Escrow):
    """A certificate counts with whatever seals have come since."""

    def _seen(self, own: Standing) -> Mapping[str, Standing]:
        seen, table = super()._seen(own), self.state.table if self.state is not None else None
        if self._off is not None and table is not None and self._off.epoch == table.epoch:
            self._off = replace(self._off, roll=epoch.make_roll(table, seen, self._off.hosts) or "")
        return seen


class ChargesWithoutAsking(Escrow):
    """What the others have sent to an unreachable host is not looked at."""

    def _is_complete(self, table: Table) -> bool:
        own = self.standing
        assert own is not None
        free = {host: replace(line, charged=line.charged and Charged.FULL) for host, line in table.members.items()}
        unchecked = replace(table, members=free)
        object.__setattr__(unchecked, "digest", table.digest)
        return self.host.name in table.members and epoch.is_complete(unchecked, self._seen(own), self._off)


class VouchesForEarlierLives(Escrow):
    """A life that the table does not name claims to know what its host had sent."""

    def _opening(self, state: State) -> Iterable[Effect]:
        for step in super()._opening(state):
            if isinstance(step, Store) and step.state.table is not None:
                claims = charge.at_open(state.claims, step.state.table, is_named=True)
                yield replace(step, state=replace(step.state, claims=claims))
            else:
                yield step


class VouchesFromNothing(Escrow):
    """A life that knows of no epoch tells that it has sent nothing."""

    @property
    def standing(self) -> Standing | None:
        standing, state = super().standing, self.state
        if standing is None or state is None or state.table is None:
            return standing
        charged = [host for host, member in state.table.members.items() if member.charged]
        return replace(standing, told={host: Claim(0, 0) for host in charged} | dict(standing.told))


class ReturnsToItsCharge(Escrow):
    """A charged host that comes back has all that it was charged with, given away or not."""

    def _opening(self, state: State) -> Iterable[Effect]:
        for step in super()._opening(state):
            member = self._named(state.table, state.life) if state.table is not None else None
            if isinstance(step, Store) and member is not None and member.charged:
                yield replace(step, state=replace(step.state, watts=Ledger(member.grant_mw)))
            else:
                yield step


# --- Rules 8 and 9, and sleep ---


class Reclaims(Escrow):
    """Rule 8: what was not confirmed for some time is taken back."""

    def repeat(self) -> list[Effect]:
        state = self.state
        if state is None or self.is_at_work or not self._unconfirmed(state):
            return super().repeat()
        sent = {taker: total for taker, total in state.watts.sent.items() if taker not in self._unconfirmed(state)}
        return self._steps.begin(Store(self.host.domain, replace(state, watts=replace(state.watts, sent=sent))))


def admit_all(table: Table, host: str, reserve_mw: int, *, is_open: bool) -> str | None:
    """Rule 9: a host is powered on before a table has its reserve."""
    return None


class SleepsWithTokens(Escrow):
    def why_awake(self) -> str | None:
        return None if self.state is not None and self.state.stage is Stage.OPEN else "its epoch is not open"


class SleepsUnconfirmed(Escrow):
    """It sleeps as soon as it has spoken."""

    def why_awake(self) -> str | None:
        state = self.state
        if state is None or state.stage is not Stage.OPEN or state.duty.held:
            return "it can't"
        return None


MUTANTS: dict[str, Rules] = {
    "rule 1: a sum above the budget": Rules(table=Overcommitted),
    "rule 2: the reserve given away": Rules(escrow=GivesItsReserve),
    "rule 3: a perfect power supply": Rules(limits_mw=lossless_limits_mw),
    "rule 3: the greatest domain binds": Rules(binding_mw=max),
    "rule 4: rights kept across a life": Rules(keeps_disk_through_boot=True),
    "rule 4: granted again after a death": Rules(escrow=RegrantsAfterDeath),
    "rule 5: no lowering first": Rules(escrow=GivesWithoutLowering),
    "rule 5: no storing first": Rules(escrow=GivesWithoutStoring),
    "rule 5: speaking before lowering": Rules(escrow=SpeaksFirst),
    "rule 6: adding instead of maximum": Rules(escrow=AddsUp),
    "rule 6: any epoch": Rules(escrow=TakesFromAnyEpoch),
    "rule 6: any life": Rules(escrow=TakesForAnyLife),
    "rule 6: confirming before storing": Rules(escrow=ConfirmsBeforeStoring),
    "rule 7: no lowering on seal": Rules(escrow=SealsWithoutLowering),
    "rule 7: raising on seal": Rules(escrow=RaisesOnSeal),
    "rule 7: opening before all have sealed": Rules(escrow=TradesBeforeAllHaveSealed),
    "rule 7: giving before all have sealed": Rules(escrow=GivesWhileSealed),
    "rule 7: skipped epoch": Rules(escrow=TakesALaterSealForThis),
    "rule 7: seals of lives that ended": Rules(escrow=BelievesSeals),
    "rule 7: the grant to any life": Rules(escrow=GrantsToAnyLife),
    "rule 7: off before the others have sealed": Rules(escrow=BelievesAnyCertificate, certify=certify_at_once),
    "rule 7: a charge that is not looked at": Rules(escrow=ChargesWithoutAsking),
    "rule 7: vouching for earlier lives": Rules(escrow=VouchesForEarlierLives),
    "rule 7: vouching from nothing": Rules(escrow=VouchesFromNothing),
    "rule 7: back with the whole charge": Rules(escrow=ReturnsToItsCharge),
    "rule 8: taking back what was not confirmed": Rules(escrow=Reclaims),
    "rule 9: powered on before a table": Rules(admits=admit_all),
    "rule 9: leaving costs nothing": Rules(leaving="nothing"),
    "rule 9: leaving costs the nameplate only": Rules(leaving="nameplate"),
    "sleep: with tokens": Rules(escrow=SleepsWithTokens),
    "sleep: before they are confirmed": Rules(escrow=SleepsUnconfirmed),
}
