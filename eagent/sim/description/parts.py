"""Which GPUs and processors a host has: a model by name, or whole, with some numbers of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eagent.errors import InputError
from eagent.sim import model, processor
from eagent.sim.description.values import Kind, Text, at, require_fit
from eagent.sim.model import Number, Word

Numbers = Mapping[str, Mapping[str, Any]]  # section -> key -> value

GPU: Mapping[str, Kind] = {"count": Number(1, 16, whole=True), "model": Text()}
CPU: Mapping[str, Kind] = {"model": Text(), "powercap": Word(processor.POWERCAPS)}


@dataclass(frozen=True, slots=True)
class Gpus:
    """All GPUs of a host, of one model."""

    count: int = 8
    model: str | Numbers = "a100-sxm4-80gb"  # one of `eagent.sim.model.names()`, or all its numbers
    override: Numbers = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all of it."""
        with at("[gpu] "):
            require_fit({"count": self.count}, GPU)
        self.numbers()

    def numbers(self) -> dict[str, dict[str, Any]]:
        """All that the plant is told of the model."""
        if isinstance(self.model, str):
            with at("[gpu] "):
                base = model.load(self.model)
        else:
            base = model.whole(self.model, "[gpu.model]", model.KEYS)
        changed = model.changed(base, self.override, "[gpu.override]", model.KEYS)
        model.require_sense(changed, "[gpu.override]" if self.override else "[gpu.model]")
        return changed


@dataclass(frozen=True, slots=True)
class Cpus:
    """The processors of a host."""

    model: str | Numbers = "xeon-platinum-8358"  # one of `eagent.sim.processor.names()`, or all its numbers
    powercap: str | None = None  # the kind of its RAPL zones; None: the model's own
    override: Numbers = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all of it."""
        with at("[cpu] "):
            require_fit({"powercap": self.powercap}, CPU)
        self.numbers()

    def numbers(self) -> dict[str, dict[str, Any]]:
        """All that the plant is told of the model."""
        if isinstance(self.model, str):
            with at("[cpu] "):
                base = processor.load(self.model)
        else:
            base = model.whole(self.model, "[cpu.model]", processor.KEYS)
        changed = model.changed(base, self.override, "[cpu.override]", processor.KEYS)
        if self.powercap is not None:
            changed["identity"]["powercap"] = self.powercap
        processor.require_sense(changed, "[cpu.override]" if self.override else "[cpu.model]")
        return changed


def model_file(text: str, directory: Path, parse: Callable[[str, str], Numbers]) -> str | Numbers:
    """A model as somebody named it: the name of one that ships, or all numbers of the TOML file at that path.

    A path has a slash in it or ends with .toml; a relative one starts at `directory`.

    Raises:
        InputError: the file can't be read, or `parse` finds no model in it.
    """
    if "/" not in text and not text.endswith(".toml"):
        return text
    path = directory / text
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text in UTF-8") from None
