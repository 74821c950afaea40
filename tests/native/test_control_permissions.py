"""Who may set what, and which error comes first: UNINITIALIZED, INVALID_ARGUMENT, NO_PERMISSION, then the board's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

# Every call that sets something: by name, the arguments that are right, and some that are wrong on any board.
SETTERS = """
limit = c_nvmlPowerValue_v2_t(nvmlPowerValue_v2, 0, 300_000)
other_version = c_nvmlPowerValue_v2_t(1, 0, 300_000)
other_scope = c_nvmlPowerValue_v2_t(nvmlPowerValue_v2, 9, 300_000)
of, activation = ctypes.byref, ctypes.c_uint()
SETTERS = [
    ("nvmlDeviceSetPowerManagementLimit", (300_000,), []),
    ("nvmlDeviceSetPowerManagementLimit_v2", (of(limit),), [(None,), (of(other_version),), (of(other_scope),)]),
    ("nvmlDeviceSetGpuLockedClocks", (210, 900), [(900, 210), (NVML_CLOCK_LIMIT_ID_TDP, 900)]),
    ("nvmlDeviceResetGpuLockedClocks", (), []),
    ("nvmlDeviceSetMemoryLockedClocks", (0, 1593), [(1593, 0)]),
    ("nvmlDeviceResetMemoryLockedClocks", (), []),
    ("nvmlDeviceSetApplicationsClocks", (1593, 1005), []),
    ("nvmlDeviceResetApplicationsClocks", (), []),
    ("nvmlDeviceSetAPIRestriction", (0, 1), [(0, 2), (9, 1)]),
    ("nvmlDeviceSetPersistenceMode", (1,), [(2,)]),
    ("nvmlDeviceSetMigMode", (0, of(activation)), [(2, of(activation)), (0, None)]),
]
def ask(device, name, arguments):
    return getattr(lib, name)(device, *arguments)
def right(device):
    return {name: ask(device, name, arguments) for name, arguments, _ in SETTERS}
def wrong(device):
    return {name: [ask(device, name, arguments) for arguments in bad] for name, _, bad in SETTERS if bad}
"""
NAMES = [line.split('"')[1] for line in SETTERS.splitlines() if line.startswith('    ("nvml')]


def is_admin() -> bool:
    """Whether this process has CAP_SYS_ADMIN (bit 21), which is what the driver asks for."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")]
    return bool(int(line.split()[1], 16) >> 21 & 1)


can_give_up = pytest.mark.skipif(os.geteuid() != 0 or not is_admin(), reason="only root can give its privilege up")


@pytest.fixture
def closed(sim_host: SimHostFactory) -> SimHost:
    """A host on which nobody may set anything."""
    return sim_host(gpus=1, clock="virtual", permission="nobody")


def test_the_list_of_setters_is_that_of_the_library(exported: frozenset[str]) -> None:
    """But for those that no simulated board supports, which are in no need of permission."""
    prototypes = (Path(__file__).parents[2] / "native" / "nvml_abi.h").read_text()
    newer = ("WorkloadPower", "PowerSmoothing", "AdaptiveTgp", "Rusd")
    setting = [name for name in exported if name.startswith(("nvmlDeviceSet", "nvmlDeviceReset"))]
    written = {name for name in setting if f"{name}(" in prototypes and not any(word in name for word in newer)}
    assert written == set(NAMES)


@pytest.mark.parametrize(("permission", "answer"), [("anyone", 0), ("nobody", 4), ("root", 0 if is_admin() else 4)])
def test_who_may_set_is_the_hosts_choice(sim_host: SimHostFactory, permission: str, answer: int) -> None:
    host = sim_host(gpus=1, clock="virtual", permission=permission)
    assert host.nvml(SETTERS + "tell(right(gpu))") == dict.fromkeys(NAMES, answer)


@can_give_up
def test_a_process_that_gives_its_privilege_up_may_look_and_not_touch(sim_host: SimHostFactory) -> None:
    host = sim_host(gpus=1, clock="virtual", permission="root")
    script = "before = right(gpu); os.setuid(65534); tell([before, right(gpu), code(nvmlDeviceGetPowerUsage, gpu)])"
    before, after, looks = host.nvml(SETTERS + script)
    assert before == dict.fromkeys(NAMES, 0)
    assert after == dict.fromkeys(NAMES, 4)
    assert looks == 0


@can_give_up
def test_a_call_that_was_opened_is_open_to_everybody_and_no_other_is(sim_host: SimHostFactory) -> None:
    host = sim_host(gpus=2, clock="virtual", permission="root")
    script = """
nvmlDeviceSetAPIRestriction(gpu, NVML_RESTRICTED_API_SET_APPLICATION_CLOCKS, 0)
os.setuid(65534)
tell([right(gpu), right(nvmlDeviceGetHandleByIndex(1)), nvmlDeviceGetApplicationsClock(gpu, NVML_CLOCK_SM)])"""
    opened, elsewhere, clock_mhz = host.nvml(SETTERS + script)
    assert {name for name, answer in opened.items() if answer == 0} == {
        "nvmlDeviceSetApplicationsClocks",
        "nvmlDeviceResetApplicationsClocks",
    }
    assert elsewhere == dict.fromkeys(NAMES, 4)
    assert clock_mhz == 1410


def test_without_initialisation_nothing_else_is_told(closed: SimHost) -> None:
    script = "tell([right(None), wrong(None)])"
    right, wrong = closed.nvml(SETTERS + script, initialise=False)
    assert right == dict.fromkeys(NAMES, 1)
    assert {answer for answers in wrong.values() for answer in answers} == {1}


def test_a_handle_that_is_none_is_told_before_permission(closed: SimHost) -> None:
    script = "tell([right(ctypes.c_void_p(12345)), right(None)])"
    assert closed.nvml(SETTERS + script) == [dict.fromkeys(NAMES, 2)] * 2


def test_arguments_wrong_on_any_board_are_told_before_permission(closed: SimHost) -> None:
    found = closed.nvml(SETTERS + "tell(wrong(gpu))")
    assert found.pop("nvmlDeviceSetPowerManagementLimit_v2") == [2, 25, 2]
    assert {answer for answers in found.values() for answer in answers} == {2}


def test_what_the_board_does_not_take_is_told_after_permission(closed: SimHost, sim_host: SimHostFactory) -> None:
    script = """
tell([code(nvmlDeviceSetPowerManagementLimit, gpu, 1), code(nvmlDeviceSetGpuLockedClocks, gpu, 210, 9000),
      code(nvmlDeviceSetMemoryLockedClocks, gpu, 1, 2), code(nvmlDeviceSetApplicationsClocks, gpu, 1, 1)])"""
    opened = sim_host(gpus=1, clock="virtual")
    assert closed.nvml(script) == [4] * 4
    assert opened.nvml(script) == [2] * 4


def test_a_setter_that_was_refused_has_left_no_trace(closed: SimHost) -> None:
    script = """
from eagent.sim._driver import Driver
right(gpu), wrong(gpu)
with Driver(os.environ["EAGENT_SIM_HOST"]) as driver:
    tell([driver.settings(), driver.signals(), driver.knobs(0)])"""
    settings, signals, knobs = closed.nvml(SETTERS + script)
    assert settings == signals == []
    assert set(knobs.values()) == {0}
