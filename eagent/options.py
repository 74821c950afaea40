"""The kinds of values that options take: each reads one value of a TOML file, or says in a line what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from eagent.errors import ConfigError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_TEXT_MAX = 100  # characters of what was found
_TOLD_MAX = 20  # a site may have thousands of hosts
_LISTEN = re.compile(r"\S{1,255}:[0-9]{1,5}")
_PORT = re.compile(r"[0-9]{1,5}")
_PUBLIC_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # never a path


class Option(Protocol):
    """Reads one value."""

    def read(self, value: object, where: str) -> object:
        """The value for the configuration.

        Raises:
            ConfigError: it is none of those that are allowed.
        """
        ...


class Number(NamedTuple):
    """A number within bounds."""

    low: float
    high: float
    unit: str
    whole: bool = False

    def read(self, value: object, where: str) -> float | int:
        kind = "whole number" if self.whole else "number"
        allowed = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not self.low <= value <= self.high:
            raise ConfigError(
                f"{where} = {told(value)}: must be a {kind} from {self.low:g} to {self.high:g} {self.unit}".rstrip()
            )
        return value if self.whole else float(value)


class Text:
    """A text that is not empty."""

    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} = {told(value)}: must be a text")
        return value


class Gangs:
    """Lists of devices that do one job."""

    def read(self, value: object, where: str) -> tuple[tuple[str, ...], ...]:
        right = (
            'must be a list of lists of at least two devices, such as [["gpu0", "gpu1"]], each device in one of them'
        )
        if not isinstance(value, list):
            raise ConfigError(f"{where} = {told(value)}: {right}")
        for gang in value:
            if not isinstance(gang, list) or len(gang) < 2 or not all(isinstance(name, str) and name for name in gang):
                raise ConfigError(f"{where}: {told(gang)}: {right}")
        names = [name for gang in value for name in gang]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{where}: {told(twice[0])} stands in it twice: {right}")
        return tuple(tuple(gang) for gang in value)


class Mode:
    """Whether a policy acts."""

    def read(self, value: object, where: str) -> str:
        if value not in ("observe", "act"):
            raise ConfigError(f'{where} = {told(value)}: must be "observe" (only say what would be done) or "act"')
        return str(value)


class Foreign:
    """What is to become of a knob that somebody else writes."""

    def read(self, value: object, where: str) -> str:
        if value not in ("respect", "overrule", "report"):
            raise ConfigError(
                f'{where} = {told(value)}: must be "respect" (leave the knob to them), "overrule" (write ours again) '
                'or "report" (say so, and go on when our own wish changes)'
            )
        return str(value)


class Share:
    """What a budget's watts go by."""

    def read(self, value: object, where: str) -> str:
        if value not in ("need", "work"):
            raise ConfigError(
                f'{where} = {told(value)}: must be "need" (to whom limits hold down) or "work" (where watts buy most)'
            )
        return str(value)


class Devices:
    """Devices by the names that people type."""

    def read(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise ConfigError(f'{where} = {told(value)}: must be a list of devices, such as ["gpu0"], or ["all"]')
        return tuple(value)


class File:
    """An absolute path."""

    def read(self, value: object, where: str) -> Path:
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ConfigError(f"{where} = {told(value)}: must be an absolute path")
        return Path(value)


class Names(NamedTuple):
    """Names of hosts or domains, at least one."""

    what: str
    most: int

    def read(self, value: object, where: str) -> tuple[str, ...]:
        if (
            not isinstance(value, list)
            or not 0 < len(value) <= self.most
            or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)
            or len(set(value)) < len(value)
        ):
            raise ConfigError(
                f"{where} = {told(value)}: must be a list of 1 to {self.most} {self.what}: "
                "letters, digits and any of '.-_'"
            )
        return tuple(value)


class GroupName:
    """The name of a group of the host; that it is not there is no error."""

    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _GROUP.fullmatch(value):
            raise ConfigError(f'{where} = {value!r}: must be the name of a group, such as "eagent"')
        return value


class GroupNames:
    """Names of groups of the host; none: no group."""

    def read(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and _GROUP.fullmatch(name) for name in value):
            raise ConfigError(f'{where} = {value!r}: must be a list of names of groups, such as ["wheel"], or []')
        return tuple(value)


class Listen:
    """Where to listen; whether that can be done shows when it is tried."""

    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _LISTEN.fullmatch(value):
            raise ConfigError(f'{where} = {told(value)}: must be HOST:PORT, such as "*:7433"')
        return value


class Address:
    """A literal address of this host and a port: a name could come to mean another."""

    def read(self, value: object, where: str) -> str:
        host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if not _PORT.fullmatch(port) or not 0 < int(port) < 65_536 or _address(host) is None:
            raise ConfigError(
                f'{where} = {told(value)}: must be ADDRESS:PORT, such as "127.0.0.1:9400" or "[::1]:9400"'
            )
        return str(value)


class Consent:
    """Yes or no."""

    def read(self, value: object, where: str) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} = {told(value)}: must be true or false")
        return value


class PublicKey:
    """An Ed25519 public key."""

    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not _PUBLIC_KEY.fullmatch(value):
            raise ConfigError(f"{where} = {told(value)}: must be 64 hexadecimal digits, an Ed25519 public key")
        return value


def is_loopback(address: str) -> bool:
    """Whether an address with its port is reached from this host alone."""
    found = _address(address.rpartition(":")[0])
    return found is not None and found.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that is written there, an IPv6 one in brackets; None: it is none."""
    import ipaddress  # only who sets one needs it

    try:
        if host.startswith("[") and host.endswith("]"):
            return ipaddress.IPv6Address(host[1:-1])
        return ipaddress.IPv4Address(host)
    except ValueError:
        return None


def told(value: object) -> str:
    """A value as it is written, for one line: never long, and nothing in it that a terminal obeys."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no whole number of thousands of digits, and TOML may hold one
        return "a number of thousands of digits"
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."


def hint(word: str, known: Iterable[str]) -> str:
    """What somebody may have meant by a word that is none of the known ones, for the end of an error."""
    import difflib  # only a typing error needs it

    words = list(known)
    if near := difflib.get_close_matches(word, words, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(words)}" if 0 < len(words) <= _TOLD_MAX else ""
