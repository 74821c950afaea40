"""Runs rows of a table of NVML calls: each on a simulated host of its own, all in one process.

A row says what to do `before`, the one `call` to make, and what to look at afterwards (`seen`): Python, with the names
of nvidia-ml-py and those that the runner adds. Its answer is the call's NVML code, what was seen, and what the call
left in the plant's own log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import environ_without_eagent

INVALID, UNSUPPORTED, FORBIDDEN, NOT_FOUND, TOO_SMALL, TIMEOUT, VERSION = 2, 3, 4, 6, 7, 10, 25
VOLTA = {"identity": {"architecture": 5, "compute_capability": [7, 0]}}
GEFORCE = {"identity": {"brand": 5, "compute_capability": [8, 6]}}  # of the same generation, and without MIG

RUNNER = """
import ctypes, json, os, sys, time, pynvml
from ctypes import byref, c_uint, c_ulonglong
from pynvml import *
from eagent.sim import _maker, _plant, model
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver

def code(function, *arguments):
    try:
        function(*arguments)
    except NVMLError as error:
        return error.value
    return 0

def raw(name, *arguments):
    pynvml._nvmlCheckReturn(getattr(pynvml.nvmlLib, name)(*arguments))

def versioned(kind, version, *values):
    made = kind(*values)
    made.version = version
    return made

def field(number, scope=0, handle=None):
    (value,) = nvmlDeviceGetFieldValues(handle or GPU[0], [(number, scope)])
    kinds = {NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal", NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal"}
    return getattr(value.value, kinds[value.valueType]) if value.nvmlReturn == 0 else f"error {value.nvmlReturn}"

def load(watts_like=1.0, gpus=(0,), pid=None):
    PLANT.start_square(list(gpus), 0.0, 10.0, 1.0, watts_like, 0.3, 1.0, pid or os.getpid())

def reboot():
    with Bmc(PATH) as bmc:
        bmc.switch_off()
        bmc.switch_on()
    PLANT.advance(PLANT.time_s + 1)
    nvmlShutdown()
    nvmlInit()

def answer_of(number, row):
    global PATH, PLANT, LAB, GPU
    PATH = os.path.join(sys.argv[2], str(number))
    numbers = {section: {**keys, **row["model"].get(section, {})}
               for section, keys in model.load("a100-sxm4-80gb").items()}
    _maker.create(PATH, {"gpus": 2, "seed": 1, "permission": row["permission"], "clock": "virtual", "model": numbers})
    os.environ["EAGENT_SIM_HOST"] = PATH
    nvmlInit()
    with _plant.Host(PATH) as PLANT, Driver(PATH) as LAB:
        GPU = [nvmlDeviceGetHandleByIndex(index) for index in range(2)]
        names = {**globals(), "gpu": GPU[0], "other": GPU[1], "plant": PLANT, "lab": LAB}
        try:
            exec(row["before"], names)
        except Exception as error:
            raise SystemExit(f"{row['name']}: {row['before']}: {error!r}")
        written = len(LAB.settings())
        answer = code(lambda: exec(row["call"], names))
        log = [[gpu, what, old, new, pid == os.getpid()] for _, gpu, what, old, new, pid in LAB.settings()[written:]]
        try:
            seen = eval(row["seen"], names)
        except NVMLError as error:
            seen = f"error {error.value}"
    nvmlShutdown()
    os.unlink(PATH)
    return {"code": answer, "log": log, "seen": seen}

print(json.dumps([answer_of(number, row) for number, row in enumerate(json.load(open(sys.argv[1])))]))
"""


@dataclass(frozen=True)
class Row:
    """One call. `shows` is what `seen` comes to; `logs` what it enters in the plant's log: (gpu, what, old, new)."""

    name: str
    call: str
    code: int = 0
    seen: str = "None"
    shows: Any = None
    logs: tuple[tuple[Any, ...], ...] = ()
    before: str = ""
    permission: str = "anyone"
    model: dict[str, dict[str, Any]] = field(default_factory=dict)  # what is other than in the model of an A100

    def expected(self) -> dict[str, Any]:
        """The answer, as JSON gives it back. What is logged is this process's doing unless a fifth entry says not."""
        logs = [entry if len(entry) == 5 else (*entry, True) for entry in self.logs]
        answer: dict[str, Any] = json.loads(json.dumps({"code": self.code, "log": logs, "seen": self.shows}))
        return answer


def booted(limit_mw: int = 400_000) -> tuple[tuple[Any, ...], ...]:
    """What a boot enters in the log, of which nobody is the author."""
    off = ((0, "limit_mw", limit_mw, 0, False), (1, "limit_mw", 400_000, 0, False))
    return (*off, (0, "limit_mw", 0, 400_000, False), (1, "limit_mw", 0, 400_000, False))


def run(rows: Sequence[Row], folder: Path) -> dict[str, dict[str, Any]]:
    """The answers, by the rows' names."""
    from eagent.sim import host  # here: the tests of other rooms run without the native build

    table = folder / "rows.json"
    table.write_text(json.dumps([asdict(row) for row in rows]))
    with_library = host.create(folder, "host")
    command = [sys.executable, "-c", RUNNER, str(table), str(folder)]
    environ = with_library.environment(environ_without_eagent())
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240, check=False)
    host.delete(folder, "host")
    assert done.returncode == 0, done.stderr
    return dict(zip((row.name for row in rows), json.loads(done.stdout), strict=True))
