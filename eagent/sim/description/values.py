"""How values of a description are checked: each mistake is one line that says where, what, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from eagent.errors import InputError
from eagent.sim.model import hint

SHOWN_MAX = 60
YEAR_S = 366 * 86_400  # the latest time and the longest span that may be told


class Kind(Protocol):
    """What a key may hold: a `Number` or `Word` of `eagent.sim.model`, or one of the classes below."""

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        ...


class Text:
    """A text that is not empty."""

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        return None if isinstance(value, str) and value and value.isprintable() else "must be a text, such as a name"


class Flag:
    """True or false."""

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        return None if isinstance(value, bool) else "must be true or false"


class Indices:
    """Parts of a host by their numbers: GPUs, CPUs, packages."""

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        some = value if isinstance(value, tuple) and all(type(index) is int and index >= 0 for index in value) else ()
        in_order = some and list(some) == sorted(set(some))
        return None if in_order else 'must be a list in order, such as "0-3,6"'


@dataclass(frozen=True, slots=True)
class Words:
    """Some of these words, each once."""

    choices: tuple[str, ...]

    def wrong(self, value: object) -> str | None:
        """What is wrong with `value`, in words, or None."""
        known = isinstance(value, list) and all(isinstance(word, str) and word in self.choices for word in value)
        fits = known and 0 < len(set(value)) == len(value)  # type: ignore[arg-type, call-overload]  # it is a list
        return None if fits else f"must be a list of some of {', '.join(self.choices)}"


@contextmanager
def at(place: str) -> Iterator[None]:
    """Put the place before what is wrong there."""
    try:
        yield
    except InputError as problem:
        raise InputError(f"{place}{problem}") from None


def require_fit(values: Mapping[str, object], kinds: Mapping[str, Kind]) -> None:
    """Check each value that is given; None is a value that is not.

    Raises:
        InputError: one does not fit.
    """
    for key, value in values.items():
        if value is not None and (wrong := kinds[key].wrong(value)):
            raise InputError(f"{key} = {shown(value)}: {wrong}")


def require_known(table: Mapping[str, object], keys: Mapping[str, object]) -> None:
    """Check that nothing stands in a table but these keys.

    Raises:
        InputError: there is another.
    """
    for key in table:
        if key not in keys:
            raise InputError(f"unknown key {key!r}{hint(key, keys)}; known are {', '.join(keys)}")


def shown(value: object) -> str:
    """A value on one line, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
