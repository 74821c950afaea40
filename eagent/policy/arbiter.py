"""One total order among proposals: safety > budget > operator pin > job hint > idle > efficiency.

For each knob the proposals are walked from the strongest to the weakest. Each bends the interval that the stronger ones
left as far towards its own as that interval lets it. What remains has an upper end, and that is the limit: the
strictest of what wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from eagent.model import Decision, Device, KnobName, Proposal


def arbitrate(devices: Iterable[Device], proposals: Iterable[Proposal], now_ns: int) -> list[Decision]:
    """One decision for each knob that somebody asks something of, in the order of the devices.

    Proposals that have run out, and those for knobs that are not here or can't be written, count for nothing. The order
    in which proposals are given does not matter.
    """
    standing = sorted((each for each in proposals if each.until_ns is None or now_ns < each.until_ns), key=_rank)
    decisions = []
    for device in devices:
        for knob in KnobName:
            span = device.span(knob)
            asked = [each for each in standing if each.uuid == device.uuid and each.knob is knob]
            if asked and span is not None:
                decisions.append(_decide(device.uuid, asked, *span))
    return decisions


def _decide(uuid: str, asked: list[Proposal], low: float, high: float) -> Decision:
    """Walk `asked`, strongest first, from the device's own range; the winner is who last lowered the upper end."""
    winner = asked[0]
    for proposal in asked:
        bent_low, bent_high = (min(max(bound, low), high) for bound in (proposal.low, proposal.high))
        if bent_high < high:
            winner = proposal
        low, high = bent_low, bent_high
    return Decision(uuid, asked[0].knob, high, winner, tuple(each for each in asked if each is not winner))


def fate(decision: Decision, proposal: Proposal) -> str:
    """How a proposal that did not set the value fared, as a few words for a person."""
    unit = decision.knob.unit
    by = f"{decision.winner.policy} ({decision.winner.reason})"
    if proposal.low > decision.value:
        return f"lost: wants at least {proposal.low:g} {unit}, clipped to {decision.value:g} {unit} by {by}"
    if proposal.high < decision.value:
        return (
            f"lost: wants at most {proposal.high:g} {unit}; a stronger one, or the device, keeps it at "
            f"{decision.value:g} {unit}"
        )
    return f"met: {decision.value:g} {unit} is within what it allows"


def _rank(proposal: Proposal) -> tuple[int, float, float, str, str, int]:
    """Priority first; among equals the strictest first. The rest only makes the order total."""
    until_ns = proposal.until_ns if proposal.until_ns is not None else -1
    return (proposal.priority, proposal.high, proposal.low, proposal.policy, proposal.reason, until_ns)
