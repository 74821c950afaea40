"""What a host remembers of what others may hold, so that a table can charge one of them that can't be reached (rule 7).

A host that does not answer is in some epoch since it was last seen to seal. It holds at most what that epoch's table
granted it, plus all that was sent to it there. Each host remembers both for each other member, from the last epoch that
both were in; it tells them with its seal. It tells nothing if it can't know: a life that a table does not name may
follow one that had sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eagent.mesh.epoch import Claim
from eagent.mesh.ledger import Ledger
from eagent.mesh.table import Table

Claims = Mapping[str, Claim]


def at_seal(claims: Claims, old: Table | None, watts: Ledger, new: Table) -> Claims:
    """What to remember when leaving the epoch of `old`, with the account had in it, for that of `new`."""
    if old is None or old.members.keys() - new.members.keys():
        return {}  # who is no longer a member does not tell what it had sent
    return {
        host: Claim(
            max(claim.grant_mw, old.members[host].grant_mw if host in old.members else 0),
            max(claim.sent_mw, watts.sent_to(host)),
        )
        for host, claim in claims.items()
        if host in new.members
    }


def at_open(claims: Claims, table: Table, *, is_named: bool) -> Claims:
    """What to remember when the epoch of `table` opens: who sealed it holds nothing from before."""
    if not is_named:
        return {}  # an earlier life may have been open in this epoch, and have sent
    return {
        host: claims[host] if member.charged else Claim(0, 0)
        for host, member in table.members.items()
        if not member.charged or host in claims
    }


def told(claims: Claims, table: Table) -> Claims:
    """What to tell with the seal of `table`: only of those whom it charges."""
    return {host: claims[host] for host, member in table.members.items() if member.charged and host in claims}


def granted_mw(tables: Iterable[Table], completed: int, host: str) -> int:
    """For the site: the least that a table may charge a host for its grant, to which comes what was sent to it.

    Every table signed since counts, also one that was never completed and that most members have never seen: were all
    of them to begin a new life, they could still complete it with the host that is charged.

    Args:
        tables: All that the site has signed in the domain.
        completed: The number of an epoch that is known to be complete.
        host: Who can't be reached.
    """
    lines = [table.members.get(host) for table in tables if table.epoch >= completed]
    return max((line.grant_mw for line in lines if line is not None), default=0)
