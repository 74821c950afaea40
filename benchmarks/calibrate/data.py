"""The published measurements, read in place: where they are, and what to say when they are not."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from eagent.errors import InputError

_SENSORS = "github.com/JimZeyuYang/GPU_Power_Benchmark"
# Every file that is read, and the repository in which its numbers were published
SOURCES = {
    "gpu_dvfs/giordano_a100_rtxpro6000_freq_x_powerlimit.csv": "github.com/giordano/gpu-power-frequency-benchmarks",
    "sensor/square_A100_truth_1ms.csv": _SENSORS,
    "sensor/square_A100_nvidia_smi.csv": _SENSORS,
    "sensor/square_3090_truth_1ms.csv": _SENSORS,
    "sensor/square_3090_nvidia_smi.csv": _SENSORS,
    "sensor/step_A100_truth_1ms.csv": _SENSORS,
    "sensor/step_A100_events.csv": _SENSORS,
    "sensor/step_3090_truth_1ms.csv": _SENSORS,
    "sensor/step_3090_events.csv": _SENSORS,
    "zeus/summary_power_v100.csv": "github.com/ml-energy/zeus",
    "zeus/summary_power_a40.csv": "github.com/ml-energy/zeus",
    "acme/acme_power_temp_cdf.csv": "github.com/InternLM/AcmeTrace",
}
WHERE = "docs/calibration.md tells of each"


def folder(arguments: Sequence[str]) -> Path:
    """The folder that the command line names, with all files in it.

    Raises:
        InputError: none is named, or something is missing.
    """
    if len(arguments) != 1:
        raise InputError(f"no data: make calibrate DATA=FOLDER, which should hold {_listed(SOURCES)}; {WHERE}")
    named = Path(arguments[0])
    require(named)
    return named


def require(folder: Path, names: Iterable[str] = tuple(SOURCES)) -> None:
    """Look whether files are there.

    Raises:
        InputError: one is not; all that are missing are named, and where they can be had.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold {_listed(SOURCES)}; {WHERE}")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"{folder}: missing: {_listed(missing)}; {WHERE}")


def _listed(names: Iterable[str]) -> str:
    """By where they were published."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(SOURCES[name], []).append(name)
    return ", ".join(f"{' '.join(here)} (from {where})" for where, here in found.items())


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The lines of one file by their column names.

    Raises:
        InputError: it is not there.
    """
    require(folder, (name,))
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def columns(folder: Path, name: str, *keys: str) -> list[tuple[float, ...]]:
    """Some columns of one file, as numbers.

    Raises:
        InputError: it is not there, or what stands there is no number.
    """
    try:
        return [tuple(float(row[key]) for key in keys) for row in rows(folder, name)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / name}: not as published: {error}") from None
