"""What each option of `power.toml` takes, one line an option."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from eagent.engines.power.adapter import is_address, is_host_name
from eagent.engines.power.command import PLACES, unknown_places
from eagent.engines.power.ipmi import CIPHER_SUITES, PRIVILEGES
from eagent.errors import ConfigError

IPMI_PROGRAM = "/usr/bin/ipmitool"
_TOLD_MAX = 20  # a site may have thousands of hosts
_USER = re.compile(r"[!-,.-~][!-~]{0,15}")  # IPMI 2.0: up to 16 bytes; not an option to ipmitool
_LISTEN = re.compile(r"\S{1,255}:[0-9]{1,5}")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class Option(Protocol):
    """Reads one value."""

    def read(self, value: object, where: str) -> object:
        """The value for the configuration.

        Raises:
            ConfigError: it is none of those that are allowed.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Number:
    low: float
    high: float
    unit: str
    whole: bool = False

    def read(self, value: object, where: str) -> float | int:
        allowed = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not self.low <= value <= self.high:
            kind = "whole number" if self.whole else "number"
            raise ConfigError(f"{where} = {value!r}: must be a {kind} from {self.low:g} to {self.high:g}{self.unit}")
        return value if self.whole else float(value)


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
class _File:
    def read(self, value: object, where: str) -> Path:
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ConfigError(f"{where} = {value!r}: must be an absolute path")
        return Path(value)


@dataclass(frozen=True, slots=True)
class _Program:
    def read(self, value: object, where: str) -> str:
        return str(_File().read(value, where))


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
class _Listen:
    """Where to listen; whether that can be done shows when it is tried."""

    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _LISTEN.fullmatch(value):
            raise ConfigError(f'{where} = {value!r}: must be HOST:PORT, such as "*:7433"')
        return value


@dataclass(frozen=True, slots=True)
class _Key:
    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _HEX_KEY.fullmatch(value):
            raise ConfigError(f"{where} = {value!r}: must be 64 hexadecimal digits, an Ed25519 public key")
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


_PATIENCE = _Number(0.1, 600, " seconds")
POWER: dict[str, Option] = {
    "mode": _OneOf(("observe", "act")),
    "protected": _Hosts(),
    "switches_per_minute": _Number(1, 60, "", whole=True),
    "least_on_s": _Number(0, 86_400, " seconds"),
    "least_off_s": _Number(0, 3600, " seconds"),
    "failures_max": _Number(1, 100, "", whole=True),
}
WATCH: dict[str, Option] = {
    "consent_s": _Number(1, 300, " seconds"),
    "awake_least": _Number(0, 100_000, "", whole=True),
    "spare_devices": _Number(0, 1_000_000, "", whole=True),
    "wake_busy": _Number(0.01, 1, ""),
    "wake_after_s": _Number(0, 3600, " seconds"),
    "wake_s": _Number(1, 7200, " seconds"),
}
MESH: dict[str, Option] = {
    "name": _Name(),
    "listen": _Listen(),
    "roster": _File(),
    "key_file": _File(),
    "site_key": _Key(),
    "power_key_file": _File(),
    "tables": _File(),
}
ADAPTERS: dict[str, dict[str, Option]] = {
    "ipmi": {
        "program": _Program(),
        "user": _User(),
        "password_file": _File(),
        "port": _Number(1, 65_535, "", whole=True),
        "cipher_suite": _OneOf(CIPHER_SUITES),
        "privilege": _OneOf(PRIVILEGES),
        "timeout_s": _PATIENCE,
        "attempts": _Number(1, 10, "", whole=True),
        "backoff_s": _Number(0, 60, " seconds"),
        "grace_s": _Number(0, 3600, " seconds"),
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
    "order": _Number(-1000, 1000, "", whole=True),
}


def hint(word: str, known: Iterable[str]) -> str:
    """What was meant, most likely, for the end of an error."""
    import difflib  # only a typing error needs it

    words = list(known)
    if near := difflib.get_close_matches(word, words, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(words)}" if 0 < len(words) <= _TOLD_MAX else ""
