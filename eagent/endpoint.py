"""Where a job's own metrics are, and what of them tells how far it has come: the operator's `[[progress.metrics]]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from eagent.errors import ConfigError
from eagent.options import hint, told

RECIPES = ("vllm", "sglang", "triton", "tgi")
ENDPOINTS_MAX = 64
KEYS = ("url", "recipe", "counter", "unit", "labels", "gpus", "elsewhere")

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNIT = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,15}")


class Endpoint(NamedTuple):
    """One job's metrics."""

    host: str
    port: int
    target: str  # path and query
    recipe: str = ""  # or `counter`
    counter: str = ""
    unit: str = "unit"
    labels: tuple[tuple[str, str], ...] = ()
    gpus: tuple[str, ...] = ()  # empty: those of whoever listens there

    @property
    def where(self) -> str:
        """For a person."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{self.target}"


class Endpoints:
    """A list of tables."""

    def read(self, value: object, where: str) -> tuple[Endpoint, ...]:
        """The endpoints.

        Raises:
            ConfigError: it is none, or one of them is not whole.
        """
        if not isinstance(value, list) or len(value) > ENDPOINTS_MAX or not all(isinstance(one, dict) for one in value):
            raise ConfigError(f"{where} = {told(value)}: must be at most {ENDPOINTS_MAX} tables [[progress.metrics]]")
        return tuple(_endpoint(table, f"{where}, table {number}") for number, table in enumerate(value, 1))


def _endpoint(table: Mapping[str, Any], where: str) -> Endpoint:
    for key in table:
        if key not in KEYS:
            raise ConfigError(f"{where}: unknown key {told(key)}{hint(str(key), KEYS)}")
    host, port, target = _address(table.get("url"), where, elsewhere=table.get("elsewhere") is True)
    recipe, counter = table.get("recipe", ""), table.get("counter", "")
    if bool(recipe) == bool(counter):
        raise ConfigError(f"{where}: needs a recipe ({', '.join(RECIPES)}) or the name of a counter, and not both")
    if recipe and recipe not in RECIPES:
        raise ConfigError(f"{where}: recipe = {told(recipe)}: must be one of {', '.join(RECIPES)}")
    if counter and not (isinstance(counter, str) and _METRIC.fullmatch(counter)):
        raise ConfigError(f"{where}: counter = {told(counter)}: must be the name of a metric")
    unit, labels, gpus = table.get("unit", "unit"), table.get("labels", {}), table.get("gpus", [])
    if not (isinstance(unit, str) and _UNIT.fullmatch(unit)):
        raise ConfigError(f'{where}: unit = {told(unit)}: must be a word, such as "step"')
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise ConfigError(f'{where}: labels = {told(labels)}: must be a table of texts, such as {{model_name = "a"}}')
    if not isinstance(gpus, list) or not all(isinstance(name, str) and name for name in gpus):
        raise ConfigError(f'{where}: gpus = {told(gpus)}: must be a list of GPUs, such as ["gpu0"]')
    return Endpoint(host, port, target, recipe, counter, unit, tuple(sorted(labels.items())), tuple(gpus))


def _address(url: object, where: str, *, elsewhere: bool) -> tuple[str, int, str]:
    right = 'must be http://HOST:PORT/PATH, such as "http://127.0.0.1:8000/metrics"'
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{where}: url = {told(url)}: {right}")
    try:
        from urllib.parse import urlsplit  # only who names one needs it

        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{where}: url = {told(url)}: {right}") from None
    if parts.scheme != "http" or not parts.hostname or not port or parts.username or parts.fragment:
        raise ConfigError(f"{where}: url = {told(url)}: {right}")
    if not elsewhere and not _is_loopback(parts.hostname):
        raise ConfigError(f"{where}: url = {told(url)}: not of this host; say elsewhere = true if that is meant")
    target = (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, target


def _is_loopback(host: str) -> bool:
    try:
        import ipaddress

        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
