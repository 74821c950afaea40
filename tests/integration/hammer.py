"""Clients of a simulated host that hammer on it until they are killed, and one that looks whether it is still whole.

Run as a module it is their parent, which has imported all that they need and makes one by fork() for each line
`ROLE SEED PLANT OUTPUT` that it reads; it answers with the pid. `look` is no hammer: it opens the host, prints what it
sees of it as JSON and ends. With the parent its children die.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pynvml

from eagent.errors import EagentError
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.workload import Gang, Serving, Square

GPUS, CPUS, PACKAGES = 4, 64, 2
# What is written tells what it was written to, so that an entry in the log of which a part is another's can be told: a
# lock of GPU n is n + 1 spans wide; a clock in kHz leaves, divided by CPUS, its CPU, and a limit in units its package.
LOCK_SPAN_MHZ, LIMIT_UW = 15, 125_000
READS_BETWEEN_WRITES = 30  # the host's log holds 65,536 writes
PAUSE_S = 0.0005  # of who writes without a driver's delay: a quick machine would fill the log alone


def _devices() -> list[Any]:
    pynvml.nvmlInit()
    return [pynvml.nvmlDeviceGetHandleByIndex(gpu) for gpu in range(GPUS)]


def _read(device: Any) -> None:
    pynvml.nvmlDeviceGetPowerUsage(device)
    pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
    pynvml.nvmlDeviceGetPowerManagementLimit(device)


def _with_driver(rng: random.Random, write: Callable[[Any, int, random.Random], None] | None) -> None:
    """As a client of NVML does: for ever, with a new beginning whenever the host was off."""
    while True:
        with suppress(pynvml.NVMLError):
            devices = _devices()
            while True:
                gpu = rng.randrange(GPUS)
                if write is not None:
                    write(devices[gpu], gpu, rng)
                for _ in range(READS_BETWEEN_WRITES):
                    _read(devices[gpu])
        pynvml.nvmlShutdown()


def _set_limit(device: Any, gpu: int, rng: random.Random) -> None:  # noqa: ARG001  # one shape for all writes
    pynvml.nvmlDeviceSetPowerManagementLimit(device, 100_000 + rng.randrange(300_000))


def _set_lock(device: Any, gpu: int, rng: random.Random) -> None:
    low_mhz = 210 + LOCK_SPAN_MHZ * rng.randrange(60)
    pynvml.nvmlDeviceSetGpuLockedClocks(device, low_mhz, low_mhz + LOCK_SPAN_MHZ * (gpu + 1))
    pynvml.nvmlDeviceSetPersistenceMode(device, rng.randrange(2))


def reads(rng: random.Random, _plant: str) -> None:
    _with_driver(rng, None)


def sets_limits(rng: random.Random, _plant: str) -> None:
    _with_driver(rng, _set_limit)


def sets_locks(rng: random.Random, _plant: str) -> None:
    _with_driver(rng, _set_lock)


def sets_processors(rng: random.Random, plant: str) -> None:
    with Host(plant) as host:
        while True:
            with suppress(OSError, EagentError):
                cpu, package = rng.randrange(CPUS), rng.randrange(PACKAGES)
                host.set_cpu_max_khz(cpu, CPUS * (10_000 + rng.randrange(40_000)) + cpu)
                host.set_rapl_limit_uw(package, 0, LIMIT_UW * (PACKAGES * (200 + rng.randrange(500)) + package))
                for _ in range(READS_BETWEEN_WRITES):
                    host.rapl_view(rng.randrange(PACKAGES))
            time.sleep(PAUSE_S)


def works(rng: random.Random, plant: str) -> None:
    """Start loads and end them."""
    with Host(plant) as host:
        while True:
            gpu = rng.randrange(GPUS)
            with suppress(EagentError):
                rng.choice([Square(period_s=0.02), Gang(step_s=0.01)]).start(host, [gpu])
            for _ in range(READS_BETWEEN_WRITES):
                host.progress(), host.energy_true_j(gpu)
            if rng.random() < 0.2:
                host.stop_load()


def serves(rng: random.Random, plant: str) -> None:
    """Keep engines busy."""
    with Host(plant) as host:
        while True:
            gpu = rng.randrange(GPUS)
            requests = [(0.003 * number, gpu, 50 + number, 1 + rng.randrange(40)) for number in range(20)]
            with suppress(EagentError):
                Serving().start(host, requests)
            with suppress(EagentError):
                host.add_requests(0.0, requests)
            for _ in range(READS_BETWEEN_WRITES):
                host.progress(), host.energy_true_j(gpu)


def switches(rng: random.Random, plant: str) -> None:
    with Host(plant) as host, Bmc(plant) as bmc:
        while True:
            for _ in range(1000 + rng.randrange(2000)):
                host.energy_true_j(rng.randrange(GPUS))
            bmc.switch_off()
            for _ in range(rng.randrange(300)):
                host.energy_true_j(rng.randrange(GPUS))
            bmc.switch_on()


def look(_rng: random.Random, plant: str) -> None:
    """Print all that a check may want to know."""
    with Host(plant) as host, Bmc(plant) as bmc:
        views = None  # it is not on
        with suppress(EagentError):
            views = [host.view(gpu) for gpu in range(GPUS)]
        seen = {
            "from_s": host.time_s,
            "views": views,
            "limits": host.limit_log(),
            "locks": host.lock_log(),
            "cpu": host.cpu_log(),
            "power": bmc.power_changes(),
            "boot": bmc.boot,
            "progress": host.progress(),  # loads go on without clients: answers come meanwhile
            "served": host.served(),
            "lost": host.lost(),
            "rows": host.power_log(),
            "energy_j": [host.energy_true_j(gpu) for gpu in range(GPUS)],
            "cpu_energy_j": [host.cpu_energy_true_j(package) for package in range(PACKAGES)],
            "full": host.full_logs,
            "to_s": host.time_s,
        }
        os.write(1, json.dumps(seen).encode())


ROLES: dict[str, Callable[[random.Random, str], None]] = {
    role.__name__: role for role in (reads, sets_limits, sets_locks, sets_processors, works, serves, switches, look)
}
HAMMERS = tuple(name for name in ROLES if name != "look")
PR_SET_PDEATHSIG = 1


def _child(role: str, seed: str, plant: str, output: str) -> None:
    """What a child does; it never returns."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.environ["EAGENT_SIM_HOST"] = plant
    try:
        ROLES[role](random.Random(int(seed)), plant)
    except Exception as problem:  # a child of fork() must not go on where its parent was
        os.write(2, f"{role}: {type(problem).__name__}: {problem}\n".encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    """Make children until there are no more lines."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()  # loads the library; there is no host yet
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(*line.split())
        print(pid, flush=True)


if __name__ == "__main__":
    main()
