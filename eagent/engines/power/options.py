"""What each option of `power.toml` takes, one line an option."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eagent.engines.power.adapter import is_address, is_host_name
from eagent.engines.power.command import PLACES, unknown_places
from eagent.engines.power.ipmi import CIPHER_SUITES, PRIVILEGES
from eagent.errors import ConfigError
from eagent.options import File, Listen, Number, Option, PublicKey, hint

IPMI_PROGRAM = "/usr/bin/ipmitool"
_USER = re.compile(r"[!-,.-~][!-~]{0,15}")  # IPMI 2.0: up to 16 bytes; not an option to ipmitool


@dataclass(frozen=True, slots=True)
class _OneOf:
    values: tuple[str | int, ...]

    def read(self, value: object, where: str) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in self.values:
            raise ConfigError(f"{where} = {value!r}: must be {' or '.join(map(repr, self.values))}")
        return value


@dataclass(frozen=True, slots=True)
class _Switch:
    def read(self, value: object, where: str) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} = {value!r}: must be true or false")
        return value


@dataclass(frozen=True, slots=True)
class _Program:
    def read(self, value: object, where: str) -> str:
        return str(File().read(value, where))


@dataclass(frozen=True, slots=True)
class _User:
    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _USER.fullmatch(value):
            raise ConfigError(f"{where} = {value!r}: must be the name of a user of the BMC, of 1 to 16 characters")
        return value


@dataclass(frozen=True, slots=True)
class _Address:
    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not is_address(value):
            raise ConfigError(f"{where} = {value!r}: must be the name of a host, an IP address or a MAC address")
        return value


@dataclass(frozen=True, slots=True)
class _Hosts:
    def read(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and is_host_name(name) for name in value):
            raise ConfigError(f"{where} = {value!r}: must be a list of hosts")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class _Name:
    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not is_host_name(value):
            raise ConfigError(f"{where} = {value!r}: must be the name that the roster gives to this host")
        return value


@dataclass(frozen=True, slots=True)
class _Command:
    """A program and its arguments. What it holds is not told: some sites' commands hold secrets."""

    def read(self, value: object, where: str) -> tuple[str, ...]:
        right = 'must be a list of texts, an absolute path first, such as ["/usr/sbin/etherwake", "{address}"]'
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            raise ConfigError(f"{where}: {right}")
        if not value[0].startswith("/") or "{" in value[0] or any("\0" in word for word in value):
            raise ConfigError(f"{where}: {right}")
        for word in value[1:]:
            if unknown := unknown_places(word):
                raise ConfigError(f"{where}: {{{unknown[0]}}} is nothing that is filled in{hint(unknown[0], PLACES)}")
        return tuple(value)


_PATIENCE = Number(0.1, 600, "seconds")
POWER: dict[str, Option] = {
    "mode": _OneOf(("observe", "act")),
    "protected": _Hosts(),
    "switches_per_minute": Number(1, 60, "", whole=True),
    "least_on_s": Number(0, 86_400, "seconds"),
    "least_off_s": Number(0, 3600, "seconds"),
    "failures_max": Number(1, 100, "", whole=True),
}
WATCH: dict[str, Option] = {
    "consent_s": Number(1, 300, "seconds"),
    "awake_least": Number(0, 100_000, "", whole=True),
    "spare_devices": Number(0, 1_000_000, "", whole=True),
    "wake_busy": Number(0.01, 1, ""),
    "wake_after_s": Number(0, 3600, "seconds"),
    "wake_s": Number(1, 7200, "seconds"),
}
MESH: dict[str, Option] = {
    "name": _Name(),
    "listen": Listen(),
    "roster": File(),
    "key_file": File(),
    "site_key": PublicKey(),
    "power_key_file": File(),
    "tables": File(),
}
ADAPTERS: dict[str, dict[str, Option]] = {
    "ipmi": {
        "program": _Program(),
        "user": _User(),
        "password_file": File(),
        "port": Number(1, 65_535, "", whole=True),
        "cipher_suite": _OneOf(CIPHER_SUITES),
        "privilege": _OneOf(PRIVILEGES),
        "timeout_s": _PATIENCE,
        "attempts": Number(1, 10, "", whole=True),
        "backoff_s": Number(0, 60, "seconds"),
        "grace_s": Number(0, 3600, "seconds"),
        "force": _Switch(),
        "confirm_s": _PATIENCE,
    },
    "command": {
        "on": _Command(),
        "off": _Command(),
        "state": _Command(),
        "power_w": _Command(),
        "timeout_s": _PATIENCE,
        "confirm_s": _PATIENCE,
    },
}
# Of one host, beside those of its adapter's section.
HOST: dict[str, Option] = {
    "by": _OneOf(tuple(ADAPTERS)),
    "address": _Address(),
    "order": Number(-1000, 1000, "", whole=True),
}
