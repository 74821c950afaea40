"""Just what is needed of Prometheus' text format: the samples of some names, out of what may be anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from eagent.errors import InputError

LINE_MAX = 16_384  # bytes of a line that we read; others may be of any length
SAMPLES_MAX = 4096  # of the names that are wanted
READ_MAX = 512 << 10  # bytes of their lines, which take some 80 ms of a CPU at worst
LINES_MAX = 65_536
_SHOWN = 60

_NAME = re.compile(rb"[^{ \t]*")
_CLOSED = re.compile(rb"[ \t]*\}")
_LABEL = re.compile(rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"[ \t]*(,?)')
_REST = re.compile(rb"[ \t]*([^ \t_]+)(?:[ \t]+[-+]?[0-9]+)?[ \t\r]*")
_ESCAPED = re.compile(rb'\\([n"\\])')

Labels = tuple[tuple[str, str], ...]  # sorted


@dataclass(frozen=True, slots=True)
class Sample:
    """One line."""

    name: str
    labels: Labels
    value: float  # may be anything that a float is


def samples(body: bytes, names: Collection[str]) -> Iterator[Sample]:
    """The samples whose names are wanted, in the order of the text.

    The lines of all others are passed over unread, so that an endpoint with thousands of them costs little.

    Raises:
        InputError: a wanted line is not of the format, or there are too many.
    """
    if body.count(b"\n") > LINES_MAX:
        raise InputError(f"more than {LINES_MAX} lines")
    wanted = {name.encode(): name for name in names}
    begins = (*wanted, b" ", b"\t")
    count, read = 0, 0
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.startswith(begins):
            continue
        line = line.lstrip(b" \t")
        told = _NAME.match(line)
        if told is None or (name := wanted.get(told[0])) is None:
            continue
        count += 1
        read += len(line)
        if count > SAMPLES_MAX or read > READ_MAX:
            raise InputError(f"more than {SAMPLES_MAX} samples, or {READ_MAX >> 10} KiB, of {name} and its like")
        yield _sample(name, line[told.end() :], number)


def _sample(name: str, rest: bytes, number: int) -> Sample:
    labels: dict[str, str] = {}
    at = 0
    if len(rest) > LINE_MAX:
        raise InputError(f"line {number}: longer than {LINE_MAX} bytes")
    begin = rest.lstrip(b" \t")
    if begin.startswith(b"{"):
        at = len(rest) - len(begin) + 1
        more = True
        while more and (label := _LABEL.match(rest, at)):
            labels[label[1].decode()] = _text(label[2])
            at, more = label.end(), bool(label[3])
        end = _CLOSED.match(rest, at)
        if end is None:
            raise InputError(f"line {number}: {_shown(rest)}: no labels")
        at = end.end()
    value = _REST.fullmatch(rest, at)
    if value is None:
        raise InputError(f"line {number}: {_shown(rest)}: no value")
    try:
        return Sample(name, tuple(sorted(labels.items())), float(value[1]))
    except ValueError:
        raise InputError(f"line {number}: {_shown(value[1])} is no number") from None


def _text(escaped: bytes) -> str:
    if b"\\" in escaped:
        escaped = _ESCAPED.sub(lambda found: b"\n" if found[1] == b"n" else found[1], escaped)
    return escaped.decode("utf-8", "replace")


def _shown(text: bytes) -> str:
    """Of somebody else's text: short, and nothing in it that a terminal obeys."""
    return ascii(text[:_SHOWN].decode("ascii", "replace"))
