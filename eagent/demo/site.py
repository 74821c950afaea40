"""A site for simulated hosts: its keys, its signed roster and tables, and each host's configuration of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eagent.mesh import keys, signer
from eagent.mesh.membership import signature_of

DOMAIN = "rack"


class Site:
    """Files under one directory; each host has a directory of its own in it."""

    def __init__(self, directory: Path, addresses: Mapping[str, str]) -> None:
        """Make keys for the site, its power role and the hosts, and sign the roster.

        Args:
            directory: An empty directory.
            addresses: Of all members of the roster, HOST:PORT each, by name.
        """
        self.directory = directory
        self.signer = signer.make(directory / "site.key")
        self.power_signer = signer.make(directory / "power.key")
        self._roster = "serial = 1\n"
        for name, address in addresses.items():
            home = self.home(name)
            (home / "tables").mkdir(parents=True)
            pair = keys.make()
            keys.store(pair, home / "host.key")
            self._roster += f'[hosts."{name}"]\naddress = "{address}"\nkey = \'{pair.public}\'\n'
        for name in addresses:
            self._sign(self.home(name) / "roster.toml", self._roster)

    def home(self, name: str) -> Path:
        """Where a host's own files are."""
        return self.directory / name

    def options(self, name: str) -> dict[str, str]:
        """A host's [mesh] section, but for its watts: TOML values by key."""
        home = self.home(name)
        return {
            "name": f'"{name}"',
            "domains": f'["{DOMAIN}"]',
            "site_key": f'"{self.signer.public_key.hex()}"',
            "power_key": f'"{self.power_signer.public_key.hex()}"',
            "roster": f'"{home / "roster.toml"}"',
            "key_file": f'"{home / "host.key"}"',
            "tables": f'"{home / "tables"}"',
        }

    def table(
        self,
        epoch: int,
        budget_w: float,
        others_w: float,
        reserve_w: float,
        grants_w: Mapping[str, float],
        *,
        duty: Mapping[str, int] | None = None,
        lives: Mapping[str, str] | None = None,
    ) -> str:
        """The text of a table; `lives` are those that are to have their grants, by host."""
        lines = [
            f'domain = "{DOMAIN}"',
            f"epoch = {epoch}",
            f"budget_mw = {_mw(budget_w)}",
            f"others_mw = {_mw(others_w)}",
        ]
        for name, grant_w in grants_w.items():
            lines += [f'[members."{name}"]', f"reserve_mw = {_mw(reserve_w)}", f"grant_mw = {_mw(grant_w)}"]
            if lives and name in lives:
                lines.append(f'life = "{lives[name]}"')
            if duty and duty.get(name):
                lines.append(f"duty = {duty[name]}")
        return "\n".join([*lines, ""])

    def tell(self, name: str, epoch: int, text: str) -> None:
        """Sign a table and put it where one host finds it; gossip tells the others."""
        self._sign(self.home(name) / "tables" / f"{DOMAIN}-{epoch:06}.toml", text)

    def _sign(self, path: Path, text: str) -> None:
        signature_of(path).write_bytes(self.signer.sign(text.encode()))
        path.write_text(text)


def _mw(watts: float) -> int:
    return round(watts * 1000)
