"""What keeps a host from going: what it still holds, and what it gave that may not have arrived. Pure.

Watts and duty tokens that a host holds when it is switched off are lost until the next epoch, so it hands them over
first, and waits until those who took them have confirmed it.
"""

from __future__ import annotations

from collections.abc import Mapping

from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.ledger import Party
from eagent.mesh.messages import Receipt
from eagent.mesh.state import State

Receipts = Mapping[Party, Receipt]


def unconfirmed(state: State, standings: Mapping[str, Standing], receipts: Receipts) -> list[Party]:
    """To whom something was given that it has not confirmed, and whose life has not ended as far as is known."""
    return sorted(
        taker
        for taker in state.watts.sent.keys() | state.duty.sent.keys()
        if not _has_ended(taker, standings) and not _is_confirmed(state, taker, receipts)
    )


def why_awake(state: State, standings: Mapping[str, Standing], receipts: Receipts) -> str | None:
    """Why a host may not sleep by our decision, as far as it concerns its own tokens; None if it may."""
    if state.stage is not Stage.OPEN:
        return "its epoch is not open"  # while tables change hands, nobody sleeps
    if state.duty.held:
        return f"it holds {state.duty.held} duty tokens"
    for taker, tokens in sorted(state.duty.sent.items()):
        if tokens and not _is_confirmed(state, taker, receipts):
            if taker[0] not in standings or _has_ended(taker, standings):
                return f"{taker[0]}, which was given tokens, has begun a new life"
            return f"{taker[0]} has not confirmed the tokens it was given"
    return None


def why_not_empty(state: State, floor_mw: int, standings: Mapping[str, Standing], receipts: Receipts) -> str | None:
    """Why watts would be lost if the host were switched off now; None if there are none but its reserve."""
    over_mw = state.watts.held - floor_mw
    if over_mw > 0:
        return f"it holds {over_mw / 1000:g} W above its reserve"
    waiting = unconfirmed(state, standings, receipts)
    return f"{waiting[0][0]} has not confirmed what it was given" if waiting else None


def _has_ended(taker: Party, standings: Mapping[str, Standing]) -> bool:
    host, life = taker
    standing = standings.get(host)
    return standing is not None and standing.life != life


def _is_confirmed(state: State, taker: Party, receipts: Receipts) -> bool:
    receipt = receipts.get(taker)
    return (
        receipt is not None
        and receipt.epoch == state.epoch
        and receipt.total_mw >= state.watts.sent.get(taker, 0)
        and receipt.total_duty >= state.duty.sent.get(taker, 0)
    )
