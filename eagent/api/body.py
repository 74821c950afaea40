"""Reading request bodies: a JSON object of known, bounded fields, and nothing else; and what it may hold, as schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from eagent.errors import InputError

Json = dict[str, Any]


class Field(Protocol):
    """One field of a body."""

    @property
    def required(self) -> bool:
        """Whether it must be there; else null and absent are the same."""

    def read(self, key: str, value: object) -> Any:
        """The value.

        Raises:
            InputError: it is none that fits.
        """

    def missing(self, key: str) -> str:
        """What to say where it is not there, and required."""

    def schema(self) -> Json:
        """What it takes, as JSON Schema."""


@dataclass(frozen=True, slots=True)
class Number:
    """One field of a body: a number in (0, most], or [0, most] where `zero` says that none is an answer too."""

    unit: str
    most: float
    zero: bool = False
    required: bool = False
    what: str = ""
    example: float | None = None

    def missing(self, key: str) -> str:
        return f"the body needs {key!r}, in {self.unit}"

    def schema(self) -> Json:
        told = f"{self.what}, in {self.unit}." if self.what else f"In {self.unit}."
        return {
            "type": "number" if self.required else ["number", "null"],
            "minimum" if self.zero else "exclusiveMinimum": 0,
            "maximum": self.most,
            "description": told,
            **({} if self.example is None else {"examples": [self.example]}),
        }

    def read(self, key: str, value: object) -> float:
        """The number that `value` is.

        Raises:
            InputError: it is none, not a finite one, or out of range.
        """
        low = "at least 0" if self.zero else "more than 0"
        most = f"{self.most:,.0f}" if self.most >= 1 else f"{self.most:g}"
        right = f"must be a number of {self.unit}, {low} and at most {most}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{key}: {right}, not {_shown(value)}")
        # Compared before it is made a float: a JSON integer may be greater than any float.
        if not (0 <= value <= self.most and (self.zero or value > 0)):
            raise InputError(f"{key}: {right}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a body: a line of text."""

    most: int  # characters
    least: int = 1
    what: str = ""
    required: bool = True

    def read(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not self.least <= len(value) <= self.most or not value.isprintable():
            raise InputError(self.missing(key))
        return value

    def missing(self, key: str) -> str:
        return f"{key}: must be a line of {self.least} to {self.most} printable characters"

    def schema(self) -> Json:
        return {
            "type": "string" if self.required else ["string", "null"],
            "minLength": self.least,
            "maxLength": self.most,
            "description": f"{self.what}, a line of printable characters.",
        }


Fields = Mapping[str, Field]


def read_fields(body: bytes, fields: Fields) -> dict[str, Any]:
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
    values: dict[str, Any] = {}
    for key, field in fields.items():
        value = document.get(key)
        if value is None and field.required:
            raise InputError(field.missing(key))
        values[key] = None if value is None else field.read(key, value)
    return values


def schema_of(fields: Fields) -> Json:
    """What `read_fields` takes, as JSON Schema."""
    return {
        "type": "object",
        "properties": {key: field.schema() for key, field in fields.items()},
        "required": [key for key, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def read_object(body: bytes) -> Json:
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
