"""The published measurements, read in place: where they are, and what to say when they are not."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from eagent.errors import InputError

# Where each file was published; SOURCES.md beside the data tells commits, licences and what was done to them.
SOURCES = {
    "gpu_dvfs/giordano_a100_rtxpro6000_freq_x_powerlimit.csv": "github.com/giordano/gpu-power-frequency-benchmarks",
    "sensor/square_A100_truth_1ms.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/square_A100_nvidia_smi.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/square_3090_truth_1ms.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/square_3090_nvidia_smi.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/step_A100_truth_1ms.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/step_A100_events.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/step_3090_truth_1ms.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "sensor/step_3090_events.csv": "github.com/JimZeyuYang/GPU_Power_Benchmark",
    "zeus/summary_power_v100.csv": "github.com/ml-energy/zeus",
    "zeus/summary_power_a40.csv": "github.com/ml-energy/zeus",
    "acme/acme_power_temp_cdf.csv": "github.com/InternLM/AcmeTrace",
}


def require(folder: Path, names: Iterable[str] = tuple(SOURCES)) -> None:
    """Look whether all files are there.

    Raises:
        InputError: the folder or a file is not; what is missing is named in one line, and where it can be had.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; it should hold {_where(SOURCES)}")
    if missing:
        raise InputError(f"{folder}: missing: {_where(missing)}")


def _where(names: Iterable[str]) -> str:
    return ", ".join(f"{name} (from {SOURCES[name]})" for name in names)


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
