"""What the mesh knows here, as JSON-ready dicts: the schema of the API's mesh. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eagent.mesh import documents, epoch
from eagent.mesh.epoch import Standing
from eagent.mesh.escrow import Escrow
from eagent.mesh.node import Node
from eagent.mesh.records import Held
from eagent.mesh.table import Table

if TYPE_CHECKING:
    from eagent.agent.member import Member

Json = dict[str, Any]


def status(member: Member, now_ns: int) -> Json:
    """This host's part, its domains and its peers. Watts are at the wall, but `power_w` and `limits_w` of devices."""
    node, station = member.node, member.station
    began = node is not None and member.ceilings is not None
    return {
        "name": member.name,
        "joined": began,
        "alarms": member.alarms,
        "permission_w": _permission_w(member) if began else None,
        "reserve_w": member.mesh.reserve_w,
        "nameplate_w": member.mesh.nameplate_w,
        "need_w": _watts(node.observed.need_mw) if node is not None else None,
        "sleep": sleep(member, now_ns),
        "domains": [domain(node, name, now_ns) for name in member.mesh.domains] if node is not None else [],
        "peers": peers(node, now_ns) if node is not None else [],
        "transport": asdict(station.transport.counters) if station is not None else None,
    }


def summary(member: Member, now_ns: int) -> Json:
    """The same for a host's own status: nothing that grows with the number of hosts but the names of those missing."""
    told = {key: value for key, value in status(member, now_ns).items() if key not in ("peers", "name", "alarms")}
    told["domains"] = [{key: each[key] for key in each if key != "lines"} for each in told["domains"]]
    return told


def _permission_w(member: Member) -> float | None:
    if member.ceilings is None:
        return None
    return min(_watts(member.ceilings.in_force_mw), member.mesh.nameplate_w)  # without a ceiling: all that it can


def too_small(node: Node) -> list[str]:
    """A line for each table in force that reserves less for this host than it may draw without asking (rule 2)."""
    lines = []
    for name, escrow in node.escrows.items():
        table = escrow.state.table if escrow.state is not None else None
        line = table.members.get(node.name) if table is not None else None
        if table is not None and line is not None and line.reserve_mw < escrow.host.reserve_mw:
            lines.append(
                f"table {name} {table.epoch} is in force and reserves {_watts(line.reserve_mw):g} W for {node.name}, "
                f"which may draw {_watts(escrow.host.reserve_mw):g} W without asking: have the site sign another"
            )
    return lines


def sleep(member: Member, now_ns: int) -> Json:
    """Whether this host would sleep, whether it may, and what it must still hand over before."""
    node = member.node
    return {
        "wanted": member.rest.wanted,
        "reason": member.rest.reason,
        "acts": member.sleeps,
        "hindered": node.why_not_yielded(now_ns) if node is not None and member.sleeps else None,
        "draws_w": node.observed.power_w if node is not None else None,
    }


def doubled(node: Node, now_ns: int) -> list[str]:
    """A line if another host speaks under this host's name, with its key: a copied image or /etc."""
    double = node.gossip.double
    if double is None or double.is_stale(now_ns):
        return []
    own = {escrow.state.life for escrow in node.escrows.values() if escrow.state is not None}
    lives = sorted({standing.life for standing in double.record.payload.standings} - own)
    return [
        f"another host says that it is {node.name}, and has its key{f' (life {lives[0]})' if lives else ''}: what it "
        "draws is in no table; stop it, and give it a name and a key of its own"
    ]


def domain(node: Node, name: str, now_ns: int) -> Json:
    """One domain: its table, what this host holds of it, and how far a change of table has got."""
    escrow = node.escrows[name]
    state, table = escrow.state, escrow.state.table if escrow.state is not None else None
    demand = node.demand(name)
    held = node.gossip.records
    ages_ns = [held[peer].age_ns(now_ns) for peer in _standings(node, name) if peer != node.name]
    return {
        "domain": name,
        "epoch": state.epoch if state is not None else 0,
        "newest_epoch": _newest_epoch(node, name),
        "stage": state.stage.name.lower() if state is not None else "beginning",
        "life": state.life if state is not None else None,
        "rights_w": _watts(state.watts.held) if state is not None else None,
        "duty": state.duty.held if state is not None else None,
        "offers_w": _watts(demand.offers_mw),
        "wants_w": _watts(demand.wants_mw),
        "refused": escrow.refused or None,
        "heard_age_s": min(ages_ns) / 1e9 if ages_ns else None,  # of the newest word of another host
        **(_table(node, escrow, table, now_ns) if table is not None else {"budget_w": None}),
    }


def _table(node: Node, escrow: Escrow, table: Table, now_ns: int) -> Json:
    """What a table says, and what is known of its members. Who was not heard of is counted with its grant."""
    standings = _standings(node, table.domain)
    fresh = {name for name in standings if name == node.name or not node.gossip.records[name].is_stale(now_ns)}
    line = table.members.get(escrow.host.name)
    promised_mw = sum(
        max(member.reserve_mw, _held_mw(table, standings.get(name), member.grant_mw))
        for name, member in table.members.items()
    )
    return {
        "budget_w": _watts(table.budget_mw),
        "others_w": _watts(table.others_mw),
        "promised_w": _watts(promised_mw),
        "grant_w": _watts(line.grant_mw) if line is not None else None,
        "members": len(table.members),
        "heard": len(fresh & table.members.keys()),
        "silent": sorted(table.members.keys() - fresh),
        "unsealed": epoch.unsealed(table, standings),
        "duty_in_all": table.duty,
        "lines": {
            name: {"grant_w": _watts(member.grant_mw), "life": member.life, "duty": member.duty}
            for name, member in table.members.items()
        },
    }


def _newest_epoch(node: Node, name: str) -> int:
    """That of the newest table heard of, which may wait to be sealed or be refused here; 0 for none."""
    escrow, document = node.escrows[name], node.gossip.documents.get(documents.TABLE + name)
    sealed = escrow.state.epoch if escrow.state is not None else 0
    return max(sealed, document.number if document is not None else 0)


def _held_mw(table: Table, standing: Standing | None, grant_mw: int) -> int:
    if standing is None:
        return grant_mw
    if standing.epoch != table.epoch:  # it still draws what it had before, and may have sealed this table unheard
        return max(grant_mw, standing.rights_mw)
    return standing.rights_mw


def _standings(node: Node, name: str) -> dict[str, Standing]:
    found = {owner: held.record.payload.standing(name) for owner, held in node.gossip.records.items()}
    return {owner: standing for owner, standing in found.items() if standing is not None}


def peers(node: Node, now_ns: int) -> list[Json]:
    """All hosts that were heard of, this one among them."""
    asleep = {name for held in node.gossip.records.values() for name in held.record.payload.asleep}
    return [
        _peer(name, held, now_ns, own=name == node.name, asleep=name in asleep)
        for name, held in sorted(node.gossip.records.items())
    ]


def _peer(name: str, held: Held, now_ns: int, *, own: bool, asleep: bool) -> Json:
    payload = held.record.payload
    stale = not own and held.is_stale(now_ns)
    return {
        "host": name,
        "age_s": held.age_ns(now_ns) / 1e9,
        "stale": stale,
        "power": "asleep" if asleep and stale else payload.power.name.lower(),
        "devices": payload.devices,
        "busy": payload.busy,
        "power_w": payload.power_w,
        "limits_w": payload.limits_w,
        "domains": [
            {
                "domain": each.domain,
                "life": each.life,
                "epoch": each.epoch,
                "stage": each.stage.name.lower(),
                "rights_w": _watts(each.rights_mw),
                "duty": each.duty,
            }
            for each in payload.standings
        ],
    }


def _watts(mw: int) -> float:
    return mw / 1000
