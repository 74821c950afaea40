"""Named sets of options that come with eagent: what an operator's file does not set, its profile does.

They are TOML files of the same form, in `config/profiles`. One may inherit from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eagent.errors import ConfigError
from eagent.options import told

KEY, INHERITS = "profile", "inherits"

Document = dict[str, Any]


def directory() -> Path:
    """Where they are: in an installed eagent beside its code, in a checkout in `config`."""
    package = Path(__file__).parent
    shipped = package / "shipped/profiles"
    return shipped if shipped.is_dir() else package.parent / "config/profiles"


def names() -> list[str]:
    """All that there are."""
    return sorted(path.stem for path in directory().glob("*.toml"))


def applied(document: Document, name: str) -> Document:
    """The operator's document, on its profile if it names one. `name` is what errors call it.

    Raises:
        ConfigError: there is no such profile, or it can't be read.
    """
    if KEY not in document:
        return document
    profile = document[KEY]
    if profile not in names():
        known = ", ".join(names()) or "none: install eagent from its wheel or its package"
        raise ConfigError(f"{name}: {KEY} = {told(profile)}: there is no such profile; known are {known}")
    own = {section: table for section, table in document.items() if section != KEY}
    return _over(read(profile), own)


def read(profile: str) -> Document:
    """What a profile sets, with all that it inherits.

    Raises:
        ConfigError: it can't be read.
    """
    import tomllib  # here, because `eagent status` starts without a file to parse

    path = directory() / f"{profile}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"{path}: {problem}") from None
    parent = document.pop(INHERITS, None)
    return document if parent is None else _over(read(parent), document)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Document:
    """One document on another: its keys win. What is no section is left for who checks it."""
    merged = dict(below)
    for section, table in above.items():
        under = merged.get(section)
        merged[section] = {**under, **table} if isinstance(under, dict) and isinstance(table, dict) else table
    return merged
