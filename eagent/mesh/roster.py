"""The site's roster: which hosts there are, where, and by which key each is known. Who is not in it is revoked.

serial = 3

[hosts.n01]
address = "10.1.0.1:7433"
key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"      # its CURVE public key, Z85
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagent.errors import ConfigError
from eagent.mesh.form import document, name, unknown, whole

HOSTS_MAX = 16_384
KEY_LENGTH = 40  # 32 bytes in Z85
SERIAL_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Peer:
    """How a host is reached and recognised."""

    address: str  # host:port
    key: str


@dataclass(frozen=True, slots=True)
class Roster:
    """All hosts of the site; a greater serial replaces a smaller."""

    serial: int
    hosts: Mapping[str, Peer]


def parse(text: str, what: str) -> Roster:
    """The roster that a TOML or JSON text holds; `what` is what errors call it.

    Raises:
        ConfigError: neither TOML nor JSON, a key that is unknown or twice there, or a value that can't be used.
    """
    content = document(text, what)
    unknown(content, {"serial", "hosts"}, what)
    lines = content.get("hosts")
    if not isinstance(lines, dict) or not 0 < len(lines) <= HOSTS_MAX:
        raise ConfigError(f"{what}: hosts: must be from 1 to {HOSTS_MAX} sections, [hosts.HOST]")
    hosts = {name(host, f"{what}: host"): _peer(line, f"{what}: {host}") for host, line in lines.items()}
    for field, values in (("key", [peer.key for peer in hosts.values()]),):
        twice = {value for value in values if values.count(value) > 1} if len(set(values)) < len(values) else set()
        if twice:
            sharers = sorted(host for host, peer in hosts.items() if peer.key in twice)
            raise ConfigError(f"{what}: {sharers[0]} and {sharers[1]} have the same {field}; each host needs its own")
    return Roster(whole(content.get("serial"), 1, SERIAL_MAX, f"{what}: serial"), hosts)


def _peer(line: object, what: str) -> Peer:
    if not isinstance(line, dict):
        raise ConfigError(f"{what}: must be a section with address and key")
    unknown(line, {"address", "key"}, what)
    address, key = line.get("address"), line.get("key")
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or len(host) > 255 or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65_536:
        raise ConfigError(f"{what}: address = {address!r}: must be HOST:PORT")
    if not isinstance(key, str) or len(key) != KEY_LENGTH or not key.isascii():
        raise ConfigError(f"{what}: key: must be a CURVE public key, {KEY_LENGTH} characters in Z85")
    return Peer(f"{host}:{int(port)}", key)
