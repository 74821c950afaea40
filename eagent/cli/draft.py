"""The next table of a domain as the mesh looks from one host: a draft, for the site to check and to sign. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from eagent.cli.quantities import format_duration, format_watts
from eagent.errors import InputError
from eagent.mesh import table

Json = dict[str, Any]

_BARE = re.compile(r"[A-Za-z0-9_-]+")  # keys that TOML takes without quotes


@dataclass(frozen=True, slots=True)
class Wish:
    """What the site wants of a domain. Milliwatts at the wall; `duty` None: tokens stay where they are."""

    domain: str
    budget_mw: int
    reserve_mw: int
    others_mw: int = 0
    duty: int | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A member to be; `kept_mw` is its grant of before if it is not heard of now, else None."""

    life: str
    duty: int
    kept_mw: int | None = None
    note: str = ""


def draft(told: Json, wish: Wish) -> str:
    """The text of the table, as TOML.

    Args:
        told: What the agent tells of the mesh.
        wish: What the table is to hold.

    Raises:
        InputError: this host is not in the domain, or the budget is too small for the reserves.
        ConfigError: no such table can be: too many members, or a number out of range.
    """
    own = next((each for each in told["domains"] if each["domain"] == wish.domain), None)
    if own is None:
        known = ", ".join(each["domain"] for each in told["domains"])
        where = f"it is in {known}" if known else "it has not joined the mesh"
        raise InputError(f"{told['name']} is not in domain {wish.domain!r}: {where}")
    lines = _lines(told, own, wish)
    lines = _spread(lines, wish.duty)
    share_mw = _share_mw(lines, wish)
    epoch = 1 + max(own["newest_epoch"], *(each["epoch"] for each in _standings(told, wish.domain).values()))
    text = "\n".join(_text(told, wish, lines, share_mw, epoch))
    table.parse(text, f"the draft for {wish.domain}")
    return text


def _standings(told: Json, domain: str) -> dict[str, Json]:
    """What every host that was heard of tells of the domain, with what is known of the host."""
    return {
        peer["host"]: {**peer, **each} for peer in told["peers"] for each in peer["domains"] if each["domain"] == domain
    }


def _lines(told: Json, own: Json, wish: Wish) -> dict[str, _Line]:
    heard, before = _standings(told, wish.domain), own.get("lines") or {}
    if not heard:
        raise InputError(
            f"{wish.domain}: no host was heard of yet, this one included: its reserve comes into force first"
        )
    found = {}
    for host in sorted(heard.keys() | before.keys()):
        known, line = heard.get(host), before.get(host)
        life, duty = (known["life"], known["duty"]) if known else (line["life"], line["duty"]) if line else ("", 0)
        found[host] = _Line(life, duty)
        if known is None or known["stale"]:
            when = f"last heard of {format_duration(known['age_s'])} ago" if known else "not heard of"
            kept = "its grant is kept" if line else "its grant of before is not known, so it has that of all"
            found[host] = replace(
                found[host],
                kept_mw=max(wish.reserve_mw, _mw(line["grant_w"])) if line else None,
                note=f"{host}: {when}; {kept}, and until it seals this table nobody raises",
            )
    return found


def _spread(lines: dict[str, _Line], duty: int | None) -> dict[str, _Line]:
    """Duty tokens on the first hosts that can be heard, as evenly as they go; None: as they are."""
    if duty is None:
        return lines
    able = [host for host, line in lines.items() if not line.note] or list(lines)
    each, more = divmod(duty, len(able))
    tokens = {host: each + (place < more) for place, host in enumerate(able)}
    return {host: replace(line, duty=tokens.get(host, 0)) for host, line in lines.items()}


def _share_mw(lines: dict[str, _Line], wish: Wish) -> int:
    """What each member gets whose grant of before is not kept."""
    kept_mw = sum(line.kept_mw for line in lines.values() if line.kept_mw is not None)
    sharers = sum(line.kept_mw is None for line in lines.values())
    least_mw = wish.others_mw + kept_mw + sharers * wish.reserve_mw
    if wish.budget_mw < least_mw:
        kept = f" + {format_watts(kept_mw / 1000)} kept by hosts that are not heard of" if kept_mw else ""
        raise InputError(
            f"a budget of {format_watts(wish.budget_mw / 1000)} is too small for {wish.domain}: {sharers} reserves of "
            f"{format_watts(wish.reserve_mw / 1000)} + {format_watts(wish.others_mw / 1000)} of others{kept} are "
            f"{format_watts(least_mw / 1000)}"
        )
    return (wish.budget_mw - wish.others_mw - kept_mw) // sharers if sharers else 0


def _text(told: Json, wish: Wish, lines: dict[str, _Line], share_mw: int, epoch: int) -> list[str]:
    simulated = ["# SIMULATED: these are the lives of simulated hosts."] if told["simulated"] else []
    head = [
        f"# A draft as {told['name']} sees the mesh: check it, and sign it with `eagent mesh sign FILE --key KEY`.",
        *simulated,
        *(f"# {line.note}" for line in lines.values() if line.note),
        f"domain = {json.dumps(wish.domain)}",
        f"epoch = {epoch}",
        f"budget_mw = {wish.budget_mw}",
        f"others_mw = {wish.others_mw}",
    ]
    for host, line in lines.items():
        head += [
            "",
            f"[members.{host if _BARE.fullmatch(host) else json.dumps(host)}]",
            f"reserve_mw = {wish.reserve_mw}",
            f"grant_mw = {share_mw if line.kept_mw is None else line.kept_mw}",
        ]
        if line.life:
            head.append(f"life = {json.dumps(line.life)}")
        if line.duty:
            head.append(f"duty = {line.duty}")
    return head


def _mw(watts: float) -> int:
    return round(watts * 1000)
