"""Whether a host may be put to sleep by our decision, where no engine decides it: duty tokens.

Who holds a token stays awake, and as many hosts do as there are tokens: one that comes to hold two passes one on. What
a host can know by itself about its own tokens, `Escrow.why_awake` tells; here it looks at the others. Crashes and jobs
can take tokens out of the world; our decisions can't.
"""

from __future__ import annotations

from collections.abc import Mapping

from eagent.mesh.epoch import Stage
from eagent.mesh.escrow import Escrow
from eagent.mesh.records import Held


def why_awake(escrow: Escrow, records: Mapping[str, Held], now_ns: int) -> str | None:
    """Why the host of this core has to stay awake, for a person; None if it may sleep.

    Args:
        escrow: Its core in the domain whose tokens count.
        records: What it has heard of the others.
        now_ns: The time, for the age of records.
    """
    own = escrow.why_awake()
    if own is not None:
        return own
    table = escrow.state.table if escrow.state is not None else None
    if table is None:
        return "it is in no epoch"
    missing, why = table.duty, ""  # tokens that are not known to keep a host awake, which one does however many it has
    for host, member in sorted(table.members.items()):
        held = records.get(host) if host != escrow.host.name else None
        standing = held.record.payload.standing(table.domain) if held is not None else None
        tokens = standing.duty if standing is not None and standing.epoch == table.epoch else 0
        if tokens and held is not None and held.is_stale(now_ns):
            why = why or f"{host}, which has tokens, has not been heard of for {held.age_ns(now_ns) // 10**9} s"
        elif tokens and standing is not None and standing.stage is Stage.OPEN:
            missing -= 1
        elif member.duty and standing is not None and standing.life != member.life:
            why = why or f"{host}, which the table gave tokens, has begun a new life"
    if missing <= 0:
        return None  # whoever had them before
    return why or f"{missing} of {table.duty} duty tokens are not seen with a host of their own"
