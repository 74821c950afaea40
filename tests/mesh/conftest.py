"""Tables, standings and a core with a patient shell, said in few words."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from eagent.mesh.effects import Announce, Awaited, Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Claim, Stage, Standing
from eagent.mesh.escrow import Escrow
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Gift, Message
from eagent.mesh.state import Host, State
from eagent.mesh.table import Charged, Member, Table

RESERVE = 2


def _table(epoch: int = 1, charged: dict[str, Charged] | None = None, duty: int = 0, **grants: int) -> Table:
    """A table of these grants, each for life x1 of its host; the budget is their sum."""
    members = {
        host: Member(RESERVE, grant, f"{host}1", duty, (charged or {}).get(host, Charged.NO))
        for host, grant in grants.items()
    }
    return Table("d", epoch, sum(grants.values()) + 10, 10, members)


def _standing(table: Table, life: str, stage: Stage = Stage.OPEN, **more: Any) -> Standing:
    return Standing("d", life, table.epoch, stage, table.digest, **more)


def _open(table: Table, host: str, *, life: str = "", base: int | None = None) -> State:
    """What a host has stored that is open by a table, and remembers all."""
    member = table.members[host]
    claims = {name: Claim(0, 0) for name in table.members}
    watts = Ledger(member.grant_mw if base is None else base)
    return State(life or f"{host}1", table, Stage.OPEN, watts, Ledger(member.duty), claims)


@dataclass
class Shell:
    """Drives one core; completes what it awaits only when it is told to, and keeps everything in the order it came."""

    core: Escrow
    log: list[Effect] = field(default_factory=list)
    waiting: list[Awaited] = field(default_factory=list)

    def do(self, effects: list[Effect]) -> list[Effect]:
        """Take effects up."""
        self.log += effects
        self.waiting += [effect for effect in effects if isinstance(effect, Lower | Store | Raise)]
        return effects

    def step(self) -> Awaited:
        """Complete the next effect."""
        effect = self.waiting.pop(0)
        self.do(self.core.done(effect))
        return effect

    def settle(self) -> None:
        """Complete all."""
        while self.waiting:
            self.step()

    def kinds(self) -> list[str]:
        """The names of all effects so far."""
        return [type(effect).__name__ for effect in self.log]

    def sent(self) -> list[tuple[str, Message]]:
        """The messages so far."""
        return [(effect.peer, effect.message) for effect in self.log if isinstance(effect, Send)]

    def announced(self) -> Standing:
        """The newest announcement."""
        return [effect.standing for effect in self.log if isinstance(effect, Announce)][-1]


def _shell(host: str, stored: State | None, ceiling: int | None = None, fresh: str = "fresh") -> Shell:
    """A core of `host` that has started, everything completed, and an empty log."""
    core = Escrow(Host(host, "d", RESERVE, 20), fresh)
    shell = Shell(core)
    in_force = ceiling if ceiling is not None else stored.watts.held if stored is not None else RESERVE
    shell.do(core.start(stored, in_force))
    shell.settle()
    shell.log.clear()
    return shell


def _gift(table: Table, giver: str, taker: str, total: int, duty: int = 0, *, to: str = "") -> Gift:
    return Gift("d", table.epoch, f"{giver}1", to or f"{taker}1", total, duty)


@pytest.fixture(scope="session")
def mesh() -> Any:
    """Makers: `mesh.table(1, a=5, b=3)`, `mesh.open(table, "a")`, `mesh.shell("a", state)`, ..."""
    return SimpleNamespace(
        table=_table, standing=_standing, open=_open, shell=_shell, gift=_gift, Shell=Shell, reserve=RESERVE
    )
