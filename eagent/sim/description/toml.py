"""Tables written as TOML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence


def write(document: Mapping[str, object]) -> str:
    """The text of tables, and of lists of tables; a key whose value is None is left out, and so is an empty table."""
    lines: list[str] = []
    for name, content in document.items():
        if isinstance(content, Mapping):
            lines += _table(name, content)
        elif isinstance(content, Sequence):
            lines += [line for table in content for line in ("", f"[[{name}]]", *_values(table))]
    return "\n".join(lines[1:]) + "\n" if lines else ""


def _table(name: str, content: Mapping[str, object]) -> Iterator[str]:
    values = list(_values(content))
    if values:
        yield from ("", f"[{name}]", *values)
    for key, inner in content.items():
        if isinstance(inner, Mapping):
            yield from _table(f"{name}.{key}", inner)


def _values(table: Mapping[str, object]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are among TOML's
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{type(value).__name__}: no value of a description")
