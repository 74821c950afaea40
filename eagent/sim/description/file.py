"""Descriptions as TOML files. Every key stands with its meaning in config/sim-host.toml; a test holds the two together.

A description that is written makes the same host again: a model that came from a file is written out in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from eagent.errors import InputError
from eagent.sim import model, processor
from eagent.sim.description import fault, load, mig, setting, toml
from eagent.sim.description.description import HOST, SUPPLY, Description
from eagent.sim.description.fault import PARTS
from eagent.sim.description.parts import CPU, GPU, Cpus, Gpus, Numbers, model_file
from eagent.sim.description.values import Kind, at, require_fit, require_known, shown
from eagent.sim.gpus import parse_gpus
from eagent.sim.model import hint

One = TypeVar("One")

# A new one is a field in Description, a name here, a line in `parse` and one in `write`, and its keys in
# config/sim-host.toml.
SECTIONS = ("host", "gpu", "cpu", "supply", "set", "mig", "load", "fault")
LIST_MAX = 64  # of the sections that may stand there more than once


def read(path: str) -> Description:
    """The description in the file at `path`, or what comes from stdin for `-`.

    Raises:
        InputError: it can't be read, or describes no host.
    """
    where, directory = ("stdin", Path()) if path == "-" else (path, Path(path).parent)
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise InputError(f"{where}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{where}: not a text in UTF-8") from None
    return parse(text, where, directory)


def parse(text: str, where: str, directory: Path) -> Description:
    """The description that the TOML `text` holds.

    Args:
        text: The content of a file.
        where: What errors call the file.
        directory: Where relative paths in it start.

    Raises:
        InputError: it describes no host.
    """
    document = model.document(text, where)
    with at(f"{where}: "):
        for section in document:
            if section not in SECTIONS:
                raise InputError(
                    f"unknown section [{section}]{hint(section, SECTIONS)}; known are {', '.join(SECTIONS)}"
                )
        return Description(
            **_table(document, "host", HOST),
            gpu=Gpus(**_part(document, "gpu", GPU, directory, model.parse)),
            cpu=Cpus(**_part(document, "cpu", CPU, directory, processor.parse)),
            supply=_table(document, "supply", SUPPLY),
            settings=_each(document, "set", setting.read),
            migs=_each(document, "mig", mig.read),
            loads=_each(document, "load", partial(load.read, directory=directory)),
            faults=_each(document, "fault", fault.read),
        )


def write(description: Description) -> str:
    """The file that `parse` makes the same description of."""
    given = description
    return toml.write(
        {
            "host": {key: getattr(given, key) for key in HOST},
            "gpu": {"count": given.gpu.count, "model": given.gpu.model, "override": given.gpu.override},
            "cpu": {"model": given.cpu.model, "powercap": given.cpu.powercap, "override": given.cpu.override},
            "supply": given.supply,
            "set": [each.table() for each in given.settings],
            "mig": [each.table() for each in given.migs],
            "load": [each.table() for each in given.loads],
            "fault": [each.table() for each in given.faults],
        }
    )


def _table(document: Mapping[str, Any], section: str, keys: Mapping[str, object]) -> dict[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise InputError(f"{section}: must be a section, [{section}]")
    with at(f"[{section}] "):
        require_known(table, keys)
    return table


def _part(
    document: Mapping[str, Any],
    section: str,
    keys: Mapping[str, Kind],
    directory: Path,
    parse_model: Callable[[str, str], Numbers],
) -> dict[str, Any]:
    table = _table(document, section, {**keys, "override": None})
    with at(f"[{section}] "):
        if not isinstance(table.get("override", {}), dict):
            raise InputError(
                f"override = {shown(table['override'])}: must be sections, such as [{section}.override.power]"
            )
        if isinstance(table.get("model", {}), dict):
            return table
        require_fit({"model": table["model"]}, keys)
        return {**table, "model": model_file(table["model"], directory, parse_model)}


def _each(document: Mapping[str, Any], section: str, read_one: Callable[[dict[str, Any]], One]) -> tuple[One, ...]:
    out = []
    for number, table in enumerate(_list(document, section), 1):
        with at(f"[[{section}]] {number}: "):
            out.append(read_one(_with_indices(table)))
    return tuple(out)


def _list(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    tables = document.get(section, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{section}: must be a list of sections, each of which begins with [[{section}]]")
    if len(tables) > LIST_MAX:
        raise InputError(f"[[{section}]]: {len(tables)} of them; at most {LIST_MAX}")
    return tables


def _with_indices(table: dict[str, Any]) -> dict[str, Any]:
    """The table, its lists of parts as tuples, whether they are written "0-3" or [0, 1, 2, 3]."""
    out = dict(table)
    for part in PARTS:
        if isinstance(table.get(part), str):
            out[part] = parse_gpus(table[part])
        elif isinstance(table.get(part), list):
            out[part] = tuple(table[part])
    return out
