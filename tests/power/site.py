"""A domain of hosts as the power role hears of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from eagent.engines.power.wishes import SECOND_NS
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.records import Held, Payload, Power, Record
from eagent.mesh.table import Member, Table
from eagent.power.watch import View

NOW_NS = 1000 * SECOND_NS
RESERVE_MW = 900_000


def table(hosts: Iterable[str] = ("n1", "n2", "n3"), epoch: int = 1, domain: str = "rack", **lines: Member) -> Table:
    members = {host: Member(RESERVE_MW, 2 * RESERVE_MW, f"{host}life") for host in hosts} | lines
    return Table(domain, epoch, sum(line.grant_mw for line in members.values()) + 5, 5, members)


def standing(host: str, of: Table, **changed: Any) -> Standing:
    """One that bears out that the host has handed over."""
    own = Standing(of.domain, f"{host}life", of.epoch, Stage.OPEN, of.digest, rights_mw=RESERVE_MW)
    return replace(own, **changed)


def told(host: str, *standings: Standing, age_s: float = 3.0, now_ns: int = NOW_NS, **payload: Any) -> Held:
    """An idle host's record; it has 4 devices."""
    content = Payload(**{"power_w": 250.0, "devices": 4, "standings": standings, **payload})
    return Held(Record(host, 1, content), now_ns - round(age_s * SECOND_NS))


def yielded(host: str, of: Table, **payload: Any) -> Held:
    return told(host, standing(host, of), power=Power.YIELDED, **payload)


def view(of: Table, *held: Held, gone: Iterable[str] = (), now_ns: int = NOW_NS) -> View:
    return View(now_ns, {each.record.owner: each for each in held}, {of.domain: of}, frozenset(gone))
