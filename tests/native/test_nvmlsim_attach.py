"""Who has a GPU open in the simulated library, as a reset meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim._faults import Faults
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost

from tests.conftest import PRELUDE

IN_USE, LOST, NOT_FOUND, NO_PERMISSION, INVALID, UNINITIALISED = 19, 15, 6, 4, 2, 1
RESETS = "nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH); tell([lib.eagent_simulated_reset(gpu) for gpu in range(2)])"


def resets(host: SimHost) -> Any:
    """What a reset of each GPU comes to."""
    return host.nvml(RESETS, initialise=False)


@contextmanager
def client(host: SimHost, script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has done this, and lives until it is told otherwise."""
    command = [sys.executable, "-c", f"{PRELUDE}\n{script}\nprint('done', flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, env=host.environ, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "done\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("nvmlInit()", [IN_USE, IN_USE]),
        ("nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH)", [0, 0]),
        ("nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH); nvmlDeviceGetHandleByIndex(1)", [0, IN_USE]),
        ("nvmlInit(); nvmlShutdown()", [0, 0]),
        ("nvmlInit(); nvmlInit(); nvmlShutdown()", [IN_USE, IN_USE]),
    ],
)
def test_what_a_process_has_open_is_not_reset(host: SimHost, script: str, found: list[int]) -> None:
    with client(host, script):
        assert resets(host) == found
    assert resets(host) == [0, 0], "the kernel closes what the dead had open"


@pytest.mark.parametrize(("way", "found"), [("ByPciBusId", [0, IN_USE]), ("ByUUID", [IN_USE, IN_USE])])
def test_an_address_leads_past_the_others_and_a_search_opens_them(host: SimHost, way: str, found: list[int]) -> None:
    asked = {"ByPciBusId": "nvmlDeviceGetPciInfo(h).busId", "ByUUID": "nvmlDeviceGetUUID(h)"}[way]
    name = host.nvml(f"h = nvmlDeviceGetHandleByIndex(1); x = {asked}; tell(x if isinstance(x, str) else x.decode())")
    script = f"nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH); nvmlDeviceGetHandle{way}({name!r})"
    with client(host, script):
        assert resets(host) == found


def test_an_address_leads_to_its_gpu_while_another_is_lost(host: SimHost) -> None:
    name = host.nvml("tell(nvmlDeviceGetPciInfo(nvmlDeviceGetHandleByIndex(1)).busId)")
    with Host(host.plant) as plant, Faults(host.plant) as faults:
        faults.inject("gpu-lost", "gpu", 0)
        plant.advance(plant.time_s + 1)
    found = host.nvml(
        f"nvmlInit(); gpu = nvmlDeviceGetHandleByPciBusId({name!r})\n"
        "tell([nvmlDeviceGetIndex(gpu), code(nvmlDeviceGetHandleByPciBusId, '00000000:FF:00.0'),"
        " lib.nvmlDeviceGetHandleByPciBusId_v2(None, None)])",
        initialise=False,
    )
    assert found == [1, NOT_FOUND, INVALID]


def test_a_gpu_on_which_a_process_has_a_context_is_not_reset(host: SimHost) -> None:
    with Host(host.plant) as plant:
        plant.start_square([1], 0.0, 1.0, 1.0, 0.9, 0.5, 0.7, os.getpid())
        plant.advance(plant.time_s + 1)
    assert resets(host) == [0, IN_USE]


def test_a_child_has_open_what_its_parent_had(host: SimHost) -> None:
    script = "nvmlInit()\nif os.fork() == 0:\n    print('done', flush=True); sys.stdin.read(); os._exit(0)\nos._exit(0)"
    with client(host, script):
        assert resets(host) == [IN_USE, IN_USE]


def test_a_reset_brings_the_defaults_back_and_cures_what_needs_one(host: SimHost) -> None:
    with Host(host.plant) as plant, Faults(host.plant) as faults:
        plant.set_power_limit(0, 250)
        faults.inject("reset-required", "gpu", 0)
        faults.inject("gpu-lost", "gpu", 1)
        plant.advance(plant.time_s + 1)
        assert resets(host) == [0, LOST]
        plant.advance(plant.time_s + 1)
        assert plant.view(0)["limit_requested_mw"] == 400_000
        assert [fault["kind"] for fault in faults.all()] == ["gpu-lost"]


def test_who_may_not_set_may_not_reset_and_there_is_no_third_gpu(sim_host: Any) -> None:
    assert resets(sim_host(gpus=2, permission="nobody")) == [NO_PERMISSION, NO_PERMISSION]
    free = sim_host(gpus=2)
    third = "nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH); tell([lib.eagent_simulated_reset(gpu) for gpu in (2, 99)])"
    assert free.nvml(third, initialise=False) == [INVALID, INVALID]
    assert free.nvml("tell(lib.eagent_simulated_reset(0))", initialise=False) == UNINITIALISED
