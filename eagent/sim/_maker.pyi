"""What native/plant/maker.pyx offers: `create` makes a host's file, `sense` runs a recorded truth through a sensor."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

def sense(
    model: Mapping[str, Any], board: Mapping[str, float] | int, power_w: Sequence[float], step_s: float
) -> list[tuple[float, float, float | None]]: ...
def create(path: str | PathLike[str], description: Mapping[str, Any]) -> None: ...
