"""The few forms that answers are made of, as JSON Schema. Each says what it is, and in which unit.

Keys are always there, where not said otherwise; what is not known is null. Objects may gain keys, so they are open.
"""

from __future__ import annotations

from collections.abc import Iterable

from eagent.api.service import Json


def number(what: str, *, null: bool = False, least: float | None = 0) -> Json:
    """A finite number, not negative unless `least` is None."""
    bound = {} if least is None else {"minimum": least}
    return {"type": ["number", "null"] if null else "number", **bound, "description": what}


def whole(what: str, *, null: bool = False) -> Json:
    """A whole number, not negative."""
    return {"type": ["integer", "null"] if null else "integer", "minimum": 0, "description": what}


def truth(what: str) -> Json:
    """Yes or no."""
    return {"type": "boolean", "description": what}


def text(what: str, *, null: bool = False) -> Json:
    """A text for people."""
    return {"type": ["string", "null"] if null else "string", "description": what}


def one_of(values: Iterable[str], what: str, *, null: bool = False) -> Json:
    """One of some words."""
    words: list[str | None] = [*values, None] if null else [*values]
    return {"type": ["string", "null"] if null else "string", "enum": words, "description": what}


def listed(items: Json, what: str) -> Json:
    """A list."""
    return {"type": "array", "items": items, "description": what}


def mapped(values: Json, what: str) -> Json:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": values, "description": what}


def ref(name: str, what: str = "", *, null: bool = False) -> Json:
    """A schema of the document, by its name."""
    told = {"description": what} if what else {}
    found = {"$ref": f"#/components/schemas/{name}"}
    return {"anyOf": [found, {"type": "null"}], **told} if null else {**found, **told}


def made(description: str, optional: Json | None = None, /, **properties: Json) -> Json:
    """An object with these keys, all of them there, and with those of `optional` where they have a meaning."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "description": description,
    }
