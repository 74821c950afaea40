"""Which host is switched by what: a TOML file into a frozen `PowerConfig`.

Every option stands with its meaning in `config/power.toml`; a test holds the two together. No secret stands in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eagent.engines.power.adapter import is_host_name
from eagent.engines.power.command import Commands
from eagent.engines.power.ipmi import Bmc, why_no_secret
from eagent.engines.power.options import ADAPTERS, HOST, IPMI_PROGRAM, MESH, POWER, WATCH
from eagent.engines.power.wishes import Rules
from eagent.errors import ConfigError
from eagent.options import Option, hint

DEFAULT_FILE = Path("/etc/eagent/power.toml")
CONFIRM_S = 60.0
SECTIONS = ("power", "watch", "mesh", "ipmi", "command", "hosts")
_SECRETS = ("password", "passwd", "secret")
_Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """One host, and by what it is switched."""

    name: str
    by: Bmc | Commands
    address: str
    order: int = 0
    confirm_s: float = CONFIRM_S


@dataclass(frozen=True, slots=True)
class Watching:
    """By what it is told from the mesh that a host may sleep, or a sleeper is needed."""

    consent_s: float = 15.0  # the oldest that a record may be and still be a consent
    awake_least: int = 1  # hosts of each domain
    spare_devices: int = 0  # idle ones on hosts that are awake, of each domain
    wake_busy: float = 0.85  # the share of busy devices from which on a sleeper is needed
    wake_after_s: float = 10.0  # for how long without a break
    wake_s: float = 600.0  # the longest that a host which was woken is awaited before the next is


@dataclass(frozen=True, slots=True)
class MeshFiles:
    """How the role takes part in the mesh: its name, its keys, and what the site has signed."""

    site_key: str  # 64 hexadecimal digits
    name: str = ""  # empty: the kernel's name for this host
    listen: str | None = None  # where the roster says that it is
    roster: Path = Path("/etc/eagent/mesh/roster.toml")
    key_file: Path = Path("/etc/eagent/mesh/host.key")
    power_key_file: Path = Path("/etc/eagent/mesh/power.key")
    tables: Path = Path("/etc/eagent/mesh/tables")


@dataclass(frozen=True, slots=True)
class PowerConfig:
    """What the operator of the power role wants."""

    rules: Rules = field(default_factory=Rules)
    watching: Watching = field(default_factory=Watching)
    mesh: MeshFiles | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)
    ipmi_program: str = IPMI_PROGRAM


def load(path: Path = DEFAULT_FILE, here: str | None = None) -> PowerConfig:
    """The configuration in a file. The password files that it names are looked at, and not read.

    Args:
        path: The file. It names what this process runs, so nobody but its owner may write it.
        here: The host this runs on, which is protected; None: the kernel's name for it.

    Raises:
        ConfigError: it can't be read, is not TOML, has a key or value that is not known, or names a password file that
            others may read.
    """
    try:
        found = path.stat()
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text in UTF-8") from None
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path}: it names programs to run, and others than its owner may write it: chmod 644 {path}")
    config = parse(text, str(path))
    for file in sorted({host.by.password_file for host in config.hosts.values() if isinstance(host.by, Bmc)}):
        if why := why_no_secret(file):
            raise ConfigError(f"{path}: password_file: {why}")
    return _protecting(config, here or os.uname().nodename)


def parse(text: str, name: str) -> PowerConfig:
    """The configuration that the TOML `text` holds; `name` is what errors call it.

    Raises:
        ConfigError: not TOML, or a key or value that is not known.
    """
    import tomllib  # here, as in eagent.config: who only imports the types has no file to parse

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{name}: not TOML: {problem}") from None
    for section in document:
        if section not in SECTIONS:
            raise ConfigError(f"{name}: unknown section [{section}]{hint(section, SECTIONS)}")
    power = _read(document.get("power", {}), POWER, f"{name}: [power]")
    watch = _read(document.get("watch", {}), WATCH, f"{name}: [watch]")
    mesh = _read(document.get("mesh", {}), MESH, f"{name}: [mesh]")
    if mesh and "site_key" not in mesh:
        raise ConfigError(f"{name}: [mesh]: site_key is missing: whose signatures count")
    shared = {by: _read(document.get(by, {}), options, f"{name}: [{by}]") for by, options in ADAPTERS.items()}
    program = shared["ipmi"].pop("program", IPMI_PROGRAM)
    tables = document.get("hosts", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{name}: hosts: must be sections, one a host: [hosts.NAME]")
    hosts = {host: _host(host, table, shared, name) for host, table in tables.items()}
    _refuse_twins(hosts, name)
    for host in power.get("protected", ()):
        if host not in hosts:  # a typing error here would leave a host unprotected
            raise ConfigError(f"{name}: [power] protected: {host!r} is none of the hosts{hint(host, hosts)}")
    power["act"] = power.pop("mode", "observe") == "act"
    power["protected"] = frozenset(power.get("protected", ()))
    return PowerConfig(Rules(**power), Watching(**watch), MeshFiles(**mesh) if mesh else None, hosts, program)


def _read(table: object, options: Mapping[str, Option], where: str) -> _Values:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a section")
    values = {}
    for key, value in table.items():
        if key in _SECRETS:  # the value is not told
            raise ConfigError(
                f"{where} {key}: no secret may stand here: put it into a file and name that as password_file"
            )
        if key not in options:
            raise ConfigError(f"{where} has no key {key!r}{hint(key, options)}")
        values[key] = options[key].read(value, f"{where} {key}")
    return values


def _host(host: str, table: object, shared: Mapping[str, _Values], name: str) -> Host:
    where = f"{name}: [hosts.{host}]"
    if not is_host_name(host):
        raise ConfigError(f"{where}: {host!r} is not a name that a host can have")
    by = table.get("by") if isinstance(table, dict) else None
    if not isinstance(by, str) or by not in ADAPTERS:
        raise ConfigError(f"{where} by = {by!r}: must be {' or '.join(map(repr, ADAPTERS))}")
    options = {key: option for key, option in ADAPTERS[by].items() if key != "program"}
    values = {**shared[by], **_read(table, {**HOST, **options}, where)}
    del values["by"]
    order, confirm_s = values.pop("order", 0), values.pop("confirm_s", CONFIRM_S)
    needed = ("address", "user", "password_file") if by == "ipmi" else ("on", "off", "state")
    for key in needed:
        if key not in values:
            raise ConfigError(f"{where}: {key} is missing, here or in [{by}]")
    if by == "ipmi":
        return Host(host, Bmc(**values), values["address"], order, confirm_s)
    address = values.pop("address", host)
    return Host(host, Commands(**values), address, order, confirm_s)


def _refuse_twins(hosts: Mapping[str, Host], name: str) -> None:
    """Two hosts at one BMC: one of them would be switched in place of the other."""
    seen: dict[tuple[str, int], str] = {}
    for host in hosts.values():
        if isinstance(host.by, Bmc):
            at = (host.by.address.lower(), host.by.port)
            if at in seen:
                raise ConfigError(f"{name}: [hosts.{host.name}] address = {host.address!r}: it is that of {seen[at]}")
            seen[at] = host.name


def _protecting(config: PowerConfig, here: str) -> PowerConfig:
    """The configuration, with the host that it is used on protected, by whichever of its names it stands there."""
    short = here.partition(".")[0].lower()
    ours = {host for host in config.hosts if host.lower() == here.lower() or host.partition(".")[0].lower() == short}
    return replace(config, rules=replace(config.rules, protected=config.rules.protected | ours | {here}))
