"""What is tried: ceilings, limits and the user's own words, as people type them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eagent.errors import InputError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
VALUES_MAX = 100  # of one list


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them. None: that knob is left as it is."""

    clock_mhz: float | None = None
    cap_w: float | None = None
    words: tuple[tuple[str, str], ...] = ()  # the user's parameters and their values, in the user's order

    def label(self) -> str:
        """For a person: `1200 MHz, batch=16`."""
        knobs = [] if self.clock_mhz is None else [f"{self.clock_mhz:g} MHz"]
        knobs += [] if self.cap_w is None else [f"{self.cap_w:g} W"]
        return ", ".join([*(knobs or ["no knob set"]), *(f"{name}={value}" for name, value in self.words)])

    def filled(self, command: Sequence[str]) -> list[str]:
        """The command with its values in the place of `{name}`; other braces are the command's own."""
        filled = []
        for word in command:
            for name, value in self.words:
                word = word.replace(f"{{{name}}}", value)
            filled.append(word)
        return filled


@dataclass(frozen=True, slots=True)
class Space:
    """All that may be tried. What a user varies has its first value by default."""

    clocks_mhz: tuple[float, ...] = ()
    caps_w: tuple[float, ...] = ()
    varied: tuple[tuple[str, tuple[str, ...]], ...] = ()
    pairs: bool = False  # each ceiling under each limit, too; else one of the knobs at a time

    @property
    def default(self) -> Setting:
        """Nothing of ours, and the first value of all that is varied."""
        return Setting(words=tuple((name, values[0]) for name, values in self.varied))

    def others(self) -> list[Setting]:
        """All but the default, in an order that says nothing."""
        knobs = [Setting(), *map(Setting, self.clocks_mhz), *(Setting(cap_w=cap) for cap in self.caps_w)]
        if self.pairs:
            knobs += [Setting(clock, cap) for clock in self.clocks_mhz for cap in self.caps_w]
        rows = itertools.product(*([(name, value) for value in values] for name, values in self.varied))
        settings = [replace(knob, words=words) for words in rows for knob in knobs]
        return [setting for setting in settings if setting != self.default]


def parse_varied(texts: Sequence[str], command: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The parameters in `batch=8,16,32` and the like.

    Raises:
        InputError: not of that form, named twice, or nowhere in the command.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        values = tuple(dict.fromkeys(value.strip() for value in rest.split(",")))
        if not equals or not NAME.fullmatch(name) or not all(values):
            raise InputError(f"--vary {text!r}: write it as NAME=VALUE,VALUE: --vary batch=8,16,32")
        if name in found:
            raise InputError(f"--vary {name}: it is there twice; give all its values in one")
        if not any(f"{{{name}}}" in word for word in command):
            raise InputError(f"--vary {name}: {{{name}}} stands nowhere in the command, so its value changes nothing")
        if len(values) > VALUES_MAX:
            raise InputError(f"--vary {name}: {len(values)} values; at most {VALUES_MAX}")
        found[name] = values
    return tuple(found.items())


def coarse_clocks(low_mhz: float, high_mhz: float) -> tuple[float, ...]:
    """A short ladder over the range that pays.

    Below some 0.55 of the highest clock a GPU's voltage falls no further, so work takes longer and little less power: a
    joule is saved there by nothing but what waits for memory, and that is saved at the lowest step of this ladder, too.
    """
    steps = (0.9, 0.8, 0.7, 0.6)
    return tuple(round(share * high_mhz) for share in steps if share * high_mhz >= low_mhz)


def coarse_caps(low_w: float, high_w: float) -> tuple[float, ...]:
    """A short ladder of limits, for a GPU whose clocks can't be set."""
    steps = (0.85, 0.7, 0.55, 0.4)
    return tuple(round(share * high_w) for share in steps if share * high_w >= low_w)
