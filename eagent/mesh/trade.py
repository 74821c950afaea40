"""Who asks whom for watts, and who gives how many to whom. Pure; what it proposes, escrow may still refuse.

A host keeps what it needs and some headroom. Between wanting and offering lies a band, in which it does neither, so
that watts do not wander to and fro when needs are steady: who gives stays above the line below which it would ask.

    rights  0 ........ need ... need + headroom ......... + band ........
                       asks up to here ^         neither ^    offers what is above

What a host holds above its grant it holds on loan: to a host that asks and is below its own grant it goes back, needed
or not. So when all are short, each has its grant, and a host that has slept or begun a new life is not left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagent.mesh.state import Lot


@dataclass(frozen=True, slots=True)
class Terms:
    """What a site trades by."""

    headroom_mw: int = 100_000  # above the need, for what the next minute may bring
    band_mw: int = 100_000  # between where asking ends and where offering begins
    lot_mw: int = 50_000  # the least that is asked for or given: each gift costs a lowering and a second's settling
    asked_max: int = 3  # peers that are asked at once


def wants_mw(rights_mw: int, need_mw: int, nameplate_mw: int, terms: Terms) -> int:
    """What a host asks for: nothing, or at least a lot."""
    short_mw = min(need_mw + terms.headroom_mw, nameplate_mw) - rights_mw
    return short_mw if short_mw >= terms.lot_mw else 0


def offers_mw(rights_mw: int, spare_mw: int, need_mw: int, nameplate_mw: int, terms: Terms) -> int:
    """What a host offers: nothing, or at least a lot; `spare_mw` is what it may give at all (its reserve stays).

    Rights above the nameplate are of no use to it, whatever it needs.
    """
    kept_mw = min(need_mw + terms.headroom_mw + terms.band_mw, nameplate_mw)
    over_mw = min(spare_mw, rights_mw - kept_mw)
    return over_mw if over_mw >= terms.lot_mw else 0


def asks(wanted_mw: int, offers: Mapping[str, int], terms: Terms) -> dict[str, int]:
    """Whom to ask for how much: the greatest offers first, few at once, no more in all than is wanted."""
    chosen: dict[str, int] = {}
    for peer, offered_mw in sorted(offers.items(), key=lambda offer: (-offer[1], offer[0]))[: terms.asked_max]:
        asked_mw = min(offered_mw, wanted_mw)
        if asked_mw >= terms.lot_mw:
            chosen[peer] = asked_mw
            wanted_mw -= asked_mw
    return chosen


def lots(
    offered_mw: int,
    asked: Mapping[str, int],
    terms: Terms,
    *,
    lent_mw: int = 0,
    claims: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Who is given how much, each at least a lot: who has a claim first, then the hungriest.

    Args:
        offered_mw: What is not needed here.
        asked: What each peer asks for.
        terms: The site's.
        lent_mw: What this host holds above its own grant, needed or not: to a claim it must go back.
        claims: What each peer holds less than its own grant; see `claim_mw`.
    """
    claims = claims or {}
    given: dict[str, int] = {}
    for peer, wanted_mw in sorted(asked.items(), key=lambda ask: (not claims.get(ask[0]), -ask[1], ask[0])):
        lot_mw = min(wanted_mw, max(offered_mw, min(claims.get(peer, 0), lent_mw)))
        if lot_mw >= terms.lot_mw:
            given[peer] = lot_mw
            offered_mw, lent_mw = max(0, offered_mw - lot_mw), max(0, lent_mw - lot_mw)
    return given


def lent_mw(rights_mw: int, grant_mw: int) -> int:
    """What a host holds above its grant: others lent it."""
    return max(0, rights_mw - grant_mw)


def claim_mw(rights_mw: int, grant_mw: int) -> int:
    """What a host holds less than its grant: when all are short, who is above its own gives it back."""
    return max(0, grant_mw - rights_mw)


# --- What a host hands over unasked ---


@dataclass(frozen=True, slots=True)
class Heir:
    """A host that has not yielded, as another sees it."""

    wants_mw: int
    rights_mw: int
    duty: int
    is_awake: bool = True  # or would sleep, too


def heirs(name: str, partners: Mapping[str, Heir]) -> dict[str, Heir]:
    """To whom a host that would sleep can leave what it holds.

    To those that are awake. If none is, to those that would sleep, too, and come before it by name: so when all would
    sleep at once, nobody gives to one that gives to it, and the first of them stays awake.
    """
    awake = {peer: heir for peer, heir in partners.items() if heir.is_awake}
    return awake or {peer: heir for peer, heir in partners.items() if peer < name}


def bequests(spare_mw: int, duty: int, partners: Mapping[str, Heir]) -> dict[str, Lot]:
    """Who is given what by a host that would sleep: all the watts that it may give, and its duty tokens.

    The hungriest come first, each with what it wants; what is left goes to who holds least, so that no single host ends
    up with all. A token goes only to who has none: as many hosts stay awake as there are tokens.
    """
    watts = dict.fromkeys(partners, 0)
    for peer in sorted(partners, key=lambda peer: (-partners[peer].wants_mw, peer)):
        watts[peer] = min(partners[peer].wants_mw, spare_mw)
        spare_mw -= watts[peer]
    if partners:
        watts[min(partners, key=lambda peer: (partners[peer].rights_mw + watts[peer], peer))] += spare_mw
    takers = sorted(peer for peer, heir in partners.items() if not heir.duty)[: max(0, duty)]
    lots = {peer: Lot(mw, int(peer in takers)) for peer, mw in watts.items()}
    return {peer: lot for peer, lot in lots.items() if lot.mw or lot.duty}
