"""Rule 1: a domain's table, one for each epoch, and the site's roster. Both are files that the site signs.

A table, in TOML or JSON (`eagent.mesh.signing` checks the signature):

    domain = "rack7"
    epoch = 12
    budget_mw = 40_000_000
    others_mw = 1_200_000             # hosts without eagent, switches, who left while powered: at nameplate

    [members.n01]
    reserve_mw = 900_000              # the worst it may draw at the wall without asking
    grant_mw = 5_000_000              # what it starts the epoch with, if this is its life
    life = "5f0c61d2a9e8b374"
    duty = 1                          # tokens; who holds one stays awake

A member that can't be reached is `charged` with all that it could hold: "told" if the others' accounts must bear it
out, "full" if the site has charged it all that is not the others' reserves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eagent.errors import ConfigError
from eagent.mesh.form import MOST_MW, document, name, unknown, whole

MEMBERS_MAX = 1024
EPOCH_MAX = 2**53
DUTY_MAX = 1000
LIFE_MAX = 32


class Charged(StrEnum):
    """Whether a member must seal, or is charged because it can't be reached (rule 7)."""

    NO = ""
    TOLD = "told"  # complete only if what the others tell of it is no more than its grant
    FULL = "full"  # the site answers for it


@dataclass(frozen=True, slots=True)
class Member:
    """One host's line."""

    reserve_mw: int
    grant_mw: int
    life: str = ""  # the one life that gets the grant; every other gets its reserve
    duty: int = 0
    charged: Charged = Charged.NO


@dataclass(frozen=True, slots=True)
class Table:
    """A domain's watts in one epoch. There is none whose sum exceeds its budget: it can't be made.

    Raises:
        ConfigError: one line with what is wrong and what would be right.
    """

    domain: str
    epoch: int
    budget_mw: int
    others_mw: int
    members: Mapping[str, Member]
    digest: str = field(init=False, compare=False, default="")  # 16 hex characters of all that is above

    def __post_init__(self) -> None:
        self.check()
        content = json.dumps(as_document(self), sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "digest", hashlib.sha256(content.encode()).hexdigest()[:16])

    def check(self) -> None:
        """Refuse what would break the invariant from the start."""
        where = f"table {self.domain} {self.epoch}"
        if not 0 < len(self.members) <= MEMBERS_MAX:
            raise ConfigError(f"{where}: {len(self.members)} members; must be from 1 to {MEMBERS_MAX}")
        for host, member in self.members.items():
            if not 0 < member.reserve_mw <= member.grant_mw:
                raise ConfigError(
                    f"{where}: {host} has a reserve of {member.reserve_mw} mW and a grant of {member.grant_mw} mW: "
                    "the reserve must be above 0, the grant at least the reserve"
                )
            if member.charged and member.duty:
                raise ConfigError(f"{where}: {host} is charged as unreachable, so it can't have duty tokens")
        total_mw = self.others_mw + sum(member.grant_mw for member in self.members.values())
        if total_mw > self.budget_mw:
            raise ConfigError(
                f"{where}: others and grants are {total_mw} mW, which is {total_mw - self.budget_mw} mW above the "
                f"budget of {self.budget_mw} mW"
            )

    @property
    def duty(self) -> int:
        """All its tokens: so many hosts stay awake."""
        return sum(member.duty for member in self.members.values())


def as_document(table: Table) -> dict[str, Any]:
    """The table as plain maps, for a file or a store."""
    members = {}
    for host, member in sorted(table.members.items()):
        line: dict[str, Any] = {"reserve_mw": member.reserve_mw, "grant_mw": member.grant_mw}
        if member.life:
            line["life"] = member.life
        if member.duty:
            line["duty"] = member.duty
        if member.charged:
            line["charged"] = str(member.charged)
        members[host] = line
    return {
        "domain": table.domain,
        "epoch": table.epoch,
        "budget_mw": table.budget_mw,
        "others_mw": table.others_mw,
        "members": members,
    }


def parse(text: str, what: str) -> Table:
    """The table that a TOML or JSON text holds; `what` is what errors call it.

    Raises:
        ConfigError: neither TOML nor JSON, a key that is unknown or twice there, a value out of range, or a table that
            would not hold.
    """
    return from_document(document(text, what), what)


def from_document(content: Mapping[str, Any], what: str) -> Table:
    """The table that plain maps hold; `what` is what errors call it.

    Raises:
        ConfigError: a key is unknown, a value out of range, or the table would not hold.
    """
    unknown(content, {"domain", "epoch", "budget_mw", "others_mw", "members"}, what)
    lines = content.get("members")
    if not isinstance(lines, dict):
        raise ConfigError(f"{what}: members: must be a section for each host, [members.HOST]")
    return Table(
        domain=name(content.get("domain"), f"{what}: domain"),
        epoch=whole(content.get("epoch"), 1, EPOCH_MAX, f"{what}: epoch"),
        budget_mw=whole(content.get("budget_mw"), 1, MOST_MW, f"{what}: budget_mw"),
        others_mw=whole(content.get("others_mw"), 0, MOST_MW, f"{what}: others_mw"),
        members={name(host, f"{what}: member"): _member(line, f"{what}: {host}") for host, line in lines.items()},
    )


def is_life(text: str) -> bool:
    """Whether a text can name a life, or none."""
    return len(text) <= LIFE_MAX and text.isascii() and (text == "" or text.isalnum())


def _member(line: object, what: str) -> Member:
    if not isinstance(line, dict):
        raise ConfigError(f"{what}: must be a section with reserve_mw and grant_mw")
    unknown(line, {"reserve_mw", "grant_mw", "life", "duty", "charged"}, what)
    life, charged = line.get("life", ""), line.get("charged", "")
    if not isinstance(life, str) or not is_life(life):
        raise ConfigError(f"{what}: life = {life!r}: must be up to {LIFE_MAX} letters and digits")
    if charged not in set(Charged):
        raise ConfigError(f'{what}: charged = {charged!r}: must be "told" or "full", or not be there')
    return Member(
        reserve_mw=whole(line.get("reserve_mw"), 1, MOST_MW, f"{what}: reserve_mw"),
        grant_mw=whole(line.get("grant_mw"), 1, MOST_MW, f"{what}: grant_mw"),
        life=life,
        duty=whole(line.get("duty", 0), 0, DUTY_MAX, f"{what}: duty"),
        charged=Charged(charged),
    )
