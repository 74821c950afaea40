"""The site of a small world: its view of the lives of hosts may be old, and its charges too low."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from eagent.mesh import charge
from eagent.mesh.table import Charged, Member, Table
from eagent.sim.truth import Truth

W = 1000  # milliwatts
RESERVE_MW, NAMEPLATE_MW, FIXED_MW = 2 * W, 9 * W, 3 * W


def first_table(rng: random.Random, domain: str, lives: Mapping[str, str]) -> Table:
    """The table that is complete when a world begins."""
    lines = {
        host: Member(RESERVE_MW, RESERVE_MW + rng.randrange(5) * W, life, rng.randrange(2))
        for host, life in lives.items()
    }
    return Table(domain, 1, FIXED_MW + sum(line.grant_mw for line in lines.values()), FIXED_MW, lines)


def next_table(
    rng: random.Random,
    make: type[Table],
    truth: Truth,
    lives: Mapping[str, str],
    charged: Iterable[str],
    leaving_mw: Mapping[str, int],
    others_mw: int = FIXED_MW,
) -> Table:
    """The table after the newest one.

    Args:
        rng: Chance.
        make: The table's type, which refuses a sum above the budget, or does not.
        truth: The tables signed so far, and which is complete.
        lives: The hosts to list, and the life that the site believes each to be in.
        charged: Those of them that can't be reached.
        leaving_mw: What each of them that leaves is charged at least.
        others_mw: What is not a host, or no longer.

    Raises:
        ConfigError: the site has reckoned wrong, and the table can't be made.
    """
    last = truth.tables[max(truth.tables)]
    spare_mw = rng.choice((sum(line.grant_mw - RESERVE_MW for line in last.members.values()), rng.randrange(7) * W))
    lines: dict[str, Member] = {}
    for host in rng.sample(sorted(lives), len(lives)):
        more_mw = rng.choice((0, spare_mw, rng.randrange(spare_mw // W + 1) * W))
        spare_mw -= more_mw
        line = Member(RESERVE_MW, RESERVE_MW + more_mw, lives[host], rng.randrange(2))
        if (host in charged and host in last.members) or host in leaving_mw:
            line = _charge(rng, truth, host, lives[host], leaving_mw.get(host, 0))
        lines[host] = line
    budget_mw = others_mw + sum(line.grant_mw for line in lines.values()) - rng.choice((0,) * 9 + (1,)) * W
    return make(last.domain, last.epoch + 1, budget_mw, others_mw, lines)


def _charge(rng: random.Random, truth: Truth, host: str, life: str, least_mw: int) -> Member:
    if rng.random() < 0.25:
        full_mw = max(all_it_could_hold_mw(table, host) for table in truth.tables.values())
        return Member(RESERVE_MW, max(full_mw, least_mw), life, charged=Charged.FULL)
    grant_mw = charge.granted_mw(truth.tables.values(), truth.completed.epoch, host)
    sent_mw = rng.choice((0, 0, 1, 2)) * W  # enough for what was sent to it, or not
    return Member(RESERVE_MW, max(RESERVE_MW, grant_mw + sent_mw, least_mw), life, charged=Charged.TOLD)


def all_it_could_hold_mw(table: Table, host: str) -> int:
    """All that is not the others' reserves."""
    grants_mw = sum(member.grant_mw for member in table.members.values())
    return grants_mw - sum(each.reserve_mw for name, each in table.members.items() if name != host)
