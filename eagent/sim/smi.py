"""The `nvidia-smi` of a simulated host: the part of that tool's command line which scripts use, for simulated GPUs.

It asks the host's NVML library as any client does, and refuses to speak with one that is not simulated. It is started
in loops, so it imports little. Exit statuses are the real tool's, which are NVML's numbers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import pynvml

from eagent.sim import smi_fields

HELP = """\
nvidia-smi of a simulated host: what it shows is simulated. It is part of eagent and not affiliated with NVIDIA.

  nvidia-smi                            a line for each GPU
  nvidia-smi -L, --list-gpus            their names and UUIDs
  nvidia-smi --query-gpu=FIELD,... --format=csv[,noheader][,nounits]
  nvidia-smi --help-query-gpu           the fields there are
  nvidia-smi -pm, --persistence-mode=0|1
  nvidia-smi -pl, --power-limit=WATTS
  nvidia-smi -lgc, --lock-gpu-clocks=MIN,MAX    in MHz; one number stands for both
  nvidia-smi -rgc, --reset-gpu-clocks
  nvidia-smi -r, --gpu-reset            refused while a process has the GPU open
  nvidia-smi -h, --help

  -i, --id=GPU,...    only these: by index, UUID or PCI bus id

Exit status: 0 done, 2 bad argument, 3 not supported, 4 no permission, 6 no such GPU, 9 no driver: the host is not on,
12 no library, 15 a GPU is lost, 255 anything else."""

OPTIONS = {
    "-i": "--id",
    "-L": "--list-gpus",
    "-h": "--help",
    "-pm": "--persistence-mode",
    "-pl": "--power-limit",
    "-lgc": "--lock-gpu-clocks",
    "-rgc": "--reset-gpu-clocks",
    "-r": "--gpu-reset",
}
FLAGS = ("--help", "--help-query-gpu", "--list-gpus", "--reset-gpu-clocks", "--gpu-reset")
KNOBS = ("--persistence-mode", "--power-limit", "--lock-gpu-clocks", "--reset-gpu-clocks")
VALUED = ("--id", "--query-gpu", "--format", *KNOBS[:3])
SUMMARY = (
    "index",
    "name",
    "temperature.gpu",
    "pstate",
    "power.draw",
    "enforced.power.limit",
    "clocks.sm",
    "utilization.gpu",
    "memory.used",
)
BAD_ARGUMENT, NO_LIBRARY, OTHER = 2, 12, 255
PLAIN_STATUSES = (2, 3, 4, 6, 8, 9, 10, 12, 13, 14, 15)


class Refusal(Exception):  # noqa: N818  # it is an answer
    """Why nothing more is done: the exit status, and a line for a person."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def main(words: Sequence[str]) -> int:
    """Do what the command line says; its exit status."""
    try:
        options = parse(words)
        if "--help" in options:
            print(HELP)
        elif "--help-query-gpu" in options:
            print("\n".join(smi_fields.describe()))
        else:
            check(options)
            return ask(options)
    except Refusal as refusal:
        return complain(refusal.status, str(refusal))
    except pynvml.NVMLError as error:  # such as a GPU lost between two calls
        return complain(exit_status(error), str(error))
    return 0


def complain(status: int, line: str) -> int:
    print(f"nvidia-smi (simulated): {line}", file=sys.stderr)
    return status


def parse(words: Sequence[str]) -> dict[str, str]:
    """The options by their long names, in order; flags with an empty value."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        written, has_value, value = rest.pop(0).partition("=")
        option = OPTIONS.get(written, written)
        if option in FLAGS:
            if has_value:
                raise Refusal(BAD_ARGUMENT, f"{written} takes no value")
        elif option in VALUED:
            if not has_value:
                if not rest:
                    raise Refusal(BAD_ARGUMENT, f"{written} needs a value; see --help")
                value = rest.pop(0)
        else:
            raise Refusal(BAD_ARGUMENT, f"no option {written!r}; the simulated tool has only what --help lists")
        if option in found:
            raise Refusal(BAD_ARGUMENT, f"{written} is given twice")
        found[option] = value
    return found


def check(options: dict[str, str]) -> None:
    """Refuse what can be refused before a driver is asked."""
    is_set = any(name in options for name in KNOBS)
    if is_set + sum(name in options for name in ("--list-gpus", "--query-gpu", "--gpu-reset")) > 1:
        raise Refusal(BAD_ARGUMENT, "list, query, set or reset: one of them at a time")
    if "--query-gpu" in options:
        read_format(options.get("--format", ""))
        for name in options["--query-gpu"].split(","):
            if smi_fields.find(name) is None:
                raise Refusal(BAD_ARGUMENT, f"no field {name.strip()!r} to query; --help-query-gpu lists them")
    elif "--format" in options:
        raise Refusal(BAD_ARGUMENT, "--format is of --query-gpu")
    for name in KNOBS[:3]:
        if name in options:
            READ[name](options[name])


def read_format(text: str) -> tuple[bool, bool]:
    """Whether to print a header, and units."""
    words = text.split(",")
    if "csv" not in words or not {*words} <= {"csv", "noheader", "nounits"}:
        raise Refusal(BAD_ARGUMENT, f"--format {text!r}: must be csv[,noheader][,nounits]")
    return "noheader" not in words, "nounits" not in words


def ask(options: dict[str, str]) -> int:
    """Answer from the host's driver."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        if not hasattr(library, "eagent_simulated_host"):
            raise Refusal(NO_LIBRARY, "the library found is not of a simulated host: see `eagent sim env`")
    except OSError:
        raise Refusal(NO_LIBRARY, "libnvidia-ml.so.1 is not found: see `eagent sim env`") from None
    resets = "--gpu-reset" in options
    try:
        pynvml.nvmlInitWithFlags(pynvml.NVML_INIT_FLAG_NO_ATTACH if resets else 0)
    except pynvml.NVMLError as error:
        refuse(error, f"no driver for EAGENT_SIM_HOST={os.environ.get('EAGENT_SIM_HOST', '')!r}")
    try:
        if resets:
            return reset(library, options.get("--id"))
        gpus = choose(options.get("--id"))
        if "--list-gpus" in options:
            for gpu in gpus:
                index, name, uuid = (smi_fields.read(field, gpu) for field in ("index", "name", "uuid"))
                print(f"GPU {index}: {name} (UUID: {uuid})")
        elif "--query-gpu" in options:
            return query(gpus, options["--query-gpu"].split(","), *read_format(options["--format"]))
        elif any(name in options for name in KNOBS):
            turn(gpus, options)
        else:
            return show(gpus)
        return 0
    finally:
        pynvml.nvmlShutdown()


def reset(library: ctypes.CDLL, text: str | None) -> int:
    """Reset the GPUs that `--id` numbers, all without it. Whoever takes a handle of one has it open, so none is taken.

    Returns:
        The exit status, of the last that failed.
    """
    count = pynvml.nvmlDeviceGetCount()
    names = [str(gpu) for gpu in range(count)] if text is None else [each.strip() for each in text.split(",")]
    status = 0
    for name in names:
        if not name.isdecimal() or int(name) >= count:
            raise Refusal(BAD_ARGUMENT, f"no GPU {name!r} to reset: by their numbers, 0 to {count - 1}")
        code = library.eagent_simulated_reset(ctypes.c_uint(int(name)))
        if code == pynvml.NVML_SUCCESS:
            print(f"GPU {name} was successfully reset.")
            continue
        error = pynvml.NVMLError(code)
        status = complain(exit_status(error), f"GPU {name} could not be reset: {error}")
    return status


def choose(text: str | None) -> list[pynvml.c_nvmlDevice_t]:
    """The GPUs meant by `--id`, in the order given; all without it."""
    if text is None:
        return [handle(index) for index in range(pynvml.nvmlDeviceGetCount())]
    return [find(each.strip()) for each in text.split(",")]


def handle(index: int) -> pynvml.c_nvmlDevice_t:
    try:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:  # lost, or to be reset; --id asks the others
        refuse(error, f"GPU {index}")


def find(name: str) -> pynvml.c_nvmlDevice_t:
    """One GPU by index, UUID or PCI bus id."""
    try:
        if name.isdecimal():
            if len(name) > 3 or int(name) >= pynvml.nvmlDeviceGetCount():
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
            return pynvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.startswith("GPU-"):
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        return pynvml.nvmlDeviceGetHandleByPciBusId(name)
    except pynvml.NVMLError as error:
        refuse(error, f"no GPU {name!r}")


def query(gpus: Sequence[pynvml.c_nvmlDevice_t], names: Sequence[str], has_header: bool, has_units: bool) -> int:
    """Print a line of values for each GPU. One that is lost or must be reset says so in each, and in the status."""
    if has_header:
        print(", ".join(smi_fields.header(name) for name in names))
    status = 0
    for gpu in gpus:
        cells, failed = read(gpu, names, has_units)
        print(", ".join(cells))
        status = failed or status
    return status


def read(gpu: pynvml.c_nvmlDevice_t, names: Sequence[str], has_units: bool) -> tuple[list[str], int]:
    """A GPU's values, or why there is none in their place, and the exit status that it makes."""
    cells, status = [], 0
    for name in names:
        try:
            cells.append(smi_fields.read(name, gpu, with_unit=has_units))
        except pynvml.NVMLError as error:  # NOT_SUPPORTED is no error: it reads [N/A]
            cells.append(f"[{error}]")
            status = exit_status(error)
    return cells, status


def show(gpus: Sequence[pynvml.c_nvmlDevice_t]) -> int:
    """Print the main values of each GPU, aligned."""
    found = [read(gpu, SUMMARY, has_units=False) for gpu in gpus]
    rows = [[smi_fields.header(name) for name in SUMMARY], *(cells for cells, _ in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("Simulated GPUs (eagent; not NVIDIA's tool)")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return next((status for _, status in found if status), 0)


def turn(gpus: Sequence[pynvml.c_nvmlDevice_t], options: dict[str, str]) -> None:
    """Set the knobs named, GPU by GPU, and say so."""
    for gpu in gpus:
        index = smi_fields.read("index", gpu)
        for name, text in options.items():
            if name not in KNOBS:
                continue
            try:
                print(f"GPU {index}: {SET[name](gpu, text)}")
            except pynvml.NVMLError as error:
                refuse(error, f"GPU {index}: {name[2:]}{text and ' '}{text}{takes(name, gpu, error)}")


def takes(knob: str, gpu: pynvml.c_nvmlDevice_t, error: pynvml.NVMLError) -> str:
    """What would have been right, where that is the question."""
    if error.value != pynvml.NVML_ERROR_INVALID_ARGUMENT or knob not in ("--power-limit", "--lock-gpu-clocks"):
        return ""
    if knob == "--power-limit":
        low, high = (smi_fields.read(f"power.{name}_limit", gpu) for name in ("min", "max"))
        return f" is not within {low} to {high}"
    return f" is no range up to {smi_fields.read('clocks.max.sm', gpu)}"


def set_persistence(gpu: pynvml.c_nvmlDevice_t, text: str) -> str:
    pynvml.nvmlDeviceSetPersistenceMode(gpu, read_mode(text))
    return f"persistence mode is {smi_fields.read('persistence_mode', gpu).lower()}"


def set_limit(gpu: pynvml.c_nvmlDevice_t, text: str) -> str:
    before = smi_fields.read("power.limit", gpu)
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, round(read_watts(text) * 1000))
    return f"power limit is {smi_fields.read('power.limit', gpu)}, was {before}"


def lock_clocks(gpu: pynvml.c_nvmlDevice_t, text: str) -> str:
    low, high = read_range(text)
    pynvml.nvmlDeviceSetGpuLockedClocks(gpu, low, high)
    return f"clocks are locked to {low} to {high} MHz"


def reset_clocks(gpu: pynvml.c_nvmlDevice_t, _: str) -> str:
    pynvml.nvmlDeviceResetGpuLockedClocks(gpu)
    return "clocks are not locked"


def read_mode(text: str) -> int:
    if text not in ("0", "1"):
        raise Refusal(BAD_ARGUMENT, f"persistence mode {text!r}: must be 0 or 1")
    return int(text)


def read_watts(text: str) -> float:
    if not text.replace(".", "", 1).isdecimal() or float(text) > 1e6:  # NVML's milliwatts have 32 bits
        raise Refusal(BAD_ARGUMENT, f"power limit {text!r}: must be a number of watts, up to a million")
    return float(text)


def read_range(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise Refusal(BAD_ARGUMENT, f"clocks {text!r}: must be MIN,MAX in MHz")
    return int(parts[0]), int(parts[-1])


READ: dict[str, Callable[[str], object]] = dict(zip(KNOBS, (read_mode, read_watts, read_range), strict=False))
SET = dict(zip(KNOBS, (set_persistence, set_limit, lock_clocks, reset_clocks), strict=True))


def exit_status(error: pynvml.NVMLError) -> int:
    return error.value if error.value in PLAIN_STATUSES else OTHER


def refuse(error: pynvml.NVMLError, what: str) -> NoReturn:
    """End because NVML said no."""
    raise Refusal(exit_status(error), f"{what}: {error}") from None


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as `head` may have seen enough
    sys.exit(main(sys.argv[1:]))
