"""Reading request bodies: a JSON object of known, finite, bounded numbers, and nothing else."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from eagent.errors import InputError


@dataclass(frozen=True, slots=True)
class Number:
    """One field of a body: a number in (0, most], or [0, most] where `zero` says that none is an answer too."""

    unit: str
    most: float
    zero: bool = False
    required: bool = False

    def read(self, key: str, value: object) -> float:
        """The number that `value` is.

        Raises:
            InputError: it is none, not a finite one, or out of range.
        """
        low = "at least 0" if self.zero else "more than 0"
        right = f"must be a number of {self.unit}, {low} and at most {self.most:,.0f}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{key}: {right}, not {_shown(value)}")
        # Compared before it is made a float: a JSON integer may be greater than any float.
        if not (0 <= value <= self.most and (self.zero or value > 0)):
            raise InputError(f"{key}: {right}")
        return float(value)


def read_numbers(body: bytes, fields: Mapping[str, Number]) -> dict[str, float | None]:
    """The value of each of `fields` in the JSON object `body`; None for one that is optional and absent, or null.

    Raises:
        InputError: not a JSON object, an unknown or doubled key, a missing or unfit value.
    """
    document = read_object(body)
    for key in document:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
            raise InputError(f"unknown key {_shown(key)} in the body; {hint}")
    values: dict[str, float | None] = {}
    for key, field in fields.items():
        value = document.get(key)
        if value is None and field.required:
            raise InputError(f"the body needs {key!r}, in {field.unit}")
        values[key] = None if value is None else field.read(key, value)
    return values


def read_text(body: bytes, key: str, most: int) -> str:
    """The only thing that the JSON object `body` may hold: one line of text of at most so many characters.

    Raises:
        InputError: it is not that.
    """
    document = read_object(body)
    text = document.get(key)
    if document.keys() != {key} or not isinstance(text, str) or len(text) > most or not text.isprintable():
        raise InputError(f"the body must hold {key!r} and nothing else: a line of text, at most {most} characters")
    return text


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        InputError: it is not one; also for NaN, Infinity and doubled keys, which Python's parser would let pass.
    """
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_not_finite)
    except RecursionError:
        raise InputError("the body is nested too deeply") from None
    except ValueError:  # not UTF-8, not JSON, or a number of thousands of digits
        raise InputError("the body is not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise InputError(f"the body must be a JSON object, not {_shown(document)}")
    return document


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise InputError("the body has a key twice")
    return document


def _not_finite(text: str) -> NoReturn:
    raise InputError(f"{text} in the body: numbers must be finite")


def _shown(value: object) -> str:
    """A value of the client's, cut short and free of line breaks, for an error message."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
