"""This host's part in the mesh: its key, what the site has signed, and whether the agent takes part."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from eagent.config import Mesh
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host
from eagent.errors import EagentError, UnavailableError

if TYPE_CHECKING:
    from eagent.mesh.membership import Membership
    from eagent.mesh.table import Table

NAMED_MAX = 8  # hosts in one line


def check(host: Host) -> Iterator[Finding]:
    """Nothing is said of a host that is to be in no mesh."""
    mesh = host.config.mesh
    if mesh is None:
        return
    if host.config.fixed_w is None:
        what = "[host] fixed_w is missing: the mesh counts all that this host draws at the wall"
        yield Finding("[mesh]", Severity.PROBLEM, what, "set fixed_w to the most that all without a limit draws")
    yield from _files(mesh)
    if host.status is not None:
        yield from _agent(host.status.get("mesh"))


def _files(mesh: Mesh) -> Iterator[Finding]:
    """What the agent would join by, verified as the agent verifies it."""
    from eagent.mesh import membership  # a host without a mesh needs none of its libraries

    name = mesh.name or socket.gethostname()
    sources = membership.Sources(name, mesh.key_file, mesh.roster, mesh.tables, mesh.site_key, mesh.power_key)
    try:
        member = membership.load(sources)
    except UnavailableError as problem:
        if "Permission denied" in str(problem):
            yield Finding("files", Severity.NOTE, f"{problem}: they are not looked at", "run this as root")
        else:
            yield Finding("files", Severity.PROBLEM, str(problem), "docs/mesh.md shows what a host needs")
        return
    except EagentError as problem:
        yield Finding("files", Severity.PROBLEM, str(problem), "docs/mesh.md shows what a host needs")
        return
    what = f"{name} is one of {len(member.roster.hosts)} hosts in roster {member.roster.serial}"
    yield Finding("roster", Severity.OK, what)
    yield from _tables(member, mesh)


def _tables(member: Membership, mesh: Mesh) -> Iterator[Finding]:
    from eagent.mesh import membership
    from eagent.mesh.table import Table

    found, problems = membership.load_tables(mesh.tables, member.site_key)
    for each in problems:
        yield Finding("tables", Severity.PROBLEM, each, "sign it with the site's key: `eagent mesh sign`")
    newest: dict[str, Table] = {}
    for document in found:
        table = member.read(document)
        if isinstance(table, Table) and table.epoch > (newest[table.domain].epoch if table.domain in newest else 0):
            newest[table.domain] = table
    for domain in mesh.domains:
        if domain in newest:
            yield _table(newest[domain], member.name, round(mesh.reserve_w * 1000))
        else:
            what = "there is none on this host: it comes from a host that has one"
            yield Finding(f"table {domain}", Severity.NOTE, what)


def _table(table: Table, name: str, reserve_mw: int) -> Finding:
    subject, line = f"table {table.domain}", table.members.get(name)
    if line is None:
        what = f"{name} is not in epoch {table.epoch}: it stays at its reserve, which nobody counts"
        return Finding(subject, Severity.PROBLEM, what, "have the site sign a table with this host in it")
    if line.reserve_mw < reserve_mw:
        what = (
            f"epoch {table.epoch} reserves {line.reserve_mw / 1000:g} W for {name}, which may draw "
            f"{reserve_mw / 1000:g} W without asking (reserve_w): this host does not seal it, so no host raises"
        )
        return Finding(subject, Severity.PROBLEM, what, "have the site sign a table that reserves as much")
    what = f"epoch {table.epoch} grants {line.grant_mw / 1000:g} W to {name}"
    return Finding(subject, Severity.OK, what)


def _agent(told: dict[str, Any] | None) -> Iterator[Finding]:
    if told is None:
        what = "the agent that runs takes no part: it was started before [mesh] was configured"
        yield Finding("agent", Severity.PROBLEM, what, "start it again")
        return
    if not told["joined"]:
        what = "the agent has not joined: nothing is asked of the warden, and the host keeps to its safe caps"
        yield Finding("agent", Severity.PROBLEM, what, "`eagent mesh` says why")
    for each in told["domains"]:
        yield _domain(each)


def _domain(told: dict[str, Any]) -> Finding:
    subject = f"domain {told['domain']}"
    if told["refused"]:
        return Finding(subject, Severity.PROBLEM, told["refused"], "have the site sign another table")
    if told["budget_w"] is None:
        fix = "copy the signed table to any host, and look at `eagent mesh peers`"
        return Finding(subject, Severity.WARNING, "no table is in force: this host keeps to its reserve", fix)
    if told["unsealed"]:
        waits = f"epoch {told['epoch']} waits for {_named(told['unsealed'])}: until then nobody raises"
        return Finding(subject, Severity.WARNING, waits, "start them, or sign a table that charges who is gone")
    if told["members"] > 1 and told["heard"] <= 1:
        what = f"none of the other {told['members'] - 1} members was heard of lately"
        fix = "look at the network, the roster's addresses, and whether a firewall lets their port through"
        return Finding(subject, Severity.PROBLEM, what, fix)
    if told["silent"]:
        what = f"not heard of lately: {_named(told['silent'])}; what they hold lies unused"
        return Finding(subject, Severity.WARNING, what, "start them, or sign a table that charges who is gone")
    return Finding(subject, Severity.OK, f"epoch {told['epoch']}, all {told['members']} members heard of lately")


def _named(hosts: list[str]) -> str:
    more = f" and {len(hosts) - NAMED_MAX} more" if len(hosts) > NAMED_MAX else ""
    return f"{', '.join(hosts[:NAMED_MAX])}{more}"
