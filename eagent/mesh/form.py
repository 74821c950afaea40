"""What the site's signed files have in common: TOML or JSON, no key twice, values within their ranges."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from eagent.errors import ConfigError

MOST_MW = 10**15  # a terawatt; more is a mistake
NAME_MAX = 64
_NAME = re.compile(rf"[!-~]{{1,{NAME_MAX}}}")  # printable ASCII, no space


def document(text: str, what: str) -> dict[str, Any]:
    """The maps that a text in TOML, or in JSON if it begins with a brace, holds; `what` is what errors call it.

    Raises:
        ConfigError: it is neither, or a key is in one map twice.
    """
    if not text.lstrip().startswith("{"):
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as problem:  # TOMLDecodeError is one; a number of a million digits another
            raise ConfigError(f"{what}: not TOML: {problem}") from None

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = min(key for key in keys if keys.count(key) > 1)
            raise ConfigError(f"{what}: {twice!r} stands in it twice")
        return found

    try:
        loaded: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{what}: not JSON: {problem}") from None
    return loaded


def unknown(content: Mapping[str, object], known: set[str], what: str) -> None:
    """Refuse keys that nobody reads.

    Raises:
        ConfigError: there is one.
    """
    strangers = content.keys() - known
    if strangers:
        raise ConfigError(f"{what}: no key {min(strangers)!r} is known; known are {', '.join(sorted(known))}")


def whole(value: object, low: int, high: int, what: str) -> int:
    """A whole number within a range.

    Raises:
        ConfigError: it is none, or outside.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{what} = {value!r}: must be a whole number from {low} to {high}")
    return value


def name(value: object, what: str) -> str:
    """The name of a host or a domain.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, str) or not is_name(value):
        raise ConfigError(
            f"{what} = {value!r}: must be a name of up to {NAME_MAX} printable ASCII characters, no space"
        )
    return value


@functools.lru_cache(maxsize=32_768)  # a digest has hundreds of names, the same ones each time
def is_name(value: str) -> bool:
    """Whether a text can be the name of a host or a domain."""
    return _NAME.fullmatch(value) is not None
