"""What every benchmark ends with: figures with their goals, as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

DIRECTORY = Path("build/figures")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `goal` is text such as "< 1", and `holds` whether it was met (None: no goal, told only)."""

    figure: str
    value: float
    unit: str
    goal: str = ""
    holds: bool | None = None
    peers: dict[str, float] = field(default_factory=dict)


def publish(name: str, figures: list[Figure]) -> None:
    """Print the figures and write them to build/figures/NAME.json."""
    width = max(len(figure.figure) for figure in figures)
    for figure in figures:
        verdict = {True: "holds", False: "MISSED", None: ""}[figure.holds]
        peers = ", ".join(f"{peer} {value:.4g}" for peer, value in figure.peers.items())
        print(f"{figure.figure:<{width}}  {figure.value:>9.4g} {figure.unit:<8} {figure.goal:<8} {verdict:<7} {peers}")
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    target = DIRECTORY / f"{name}.json"
    target.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")
