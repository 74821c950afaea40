"""For every kind of fault: what a client of the driver sees of it, and whether the truth goes on regardless."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim import faults, symbols
from eagent.sim._plant import Host
from eagent.sim.host import SimulatedHost
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

LOST, NEEDS_RESET, REFUSED, UNSUPPORTED, UNKNOWN = "error 15", "error 16", "error 4", "error 3", "error 999"

# In the client: it has GPU 0 at hand and asks, lets the fault begin, asks again, ends it, and asks a third time.
CLIENT = """
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
path = os.environ["EAGENT_SIM_HOST"]
plant, faults = Host(path), Faults(path)
kind, target, values, asks = json.loads(sys.argv[1])
def answered(function, *arguments):
    try:
        return function(*arguments)
    except NVMLError as error:
        return f"error {error.value}"
def over_time(function):  # at three instants
    seen = []
    for _ in range(3):
        plant.advance(plant.time_s + 0.5)
        seen.append(function())
    return seen
def begun_anew(function):
    nvmlShutdown()
    nvmlInit()
    return function()
def hangs(function):  # a call that still does not end when others long have
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(0.3)
    return thread.is_alive()
def ask():
    return [eval(each) for each in asks]
def set_limit(watts):
    return answered(nvmlDeviceSetPowerManagementLimit, gpu, int(watts * 1000))
def field(number):
    return answered(lambda: nvmlDeviceGetFieldValues(gpu, [number])[0].value.uiVal)
def power():
    return answered(nvmlDeviceGetPowerUsage, gpu)
def energy():
    return answered(nvmlDeviceGetTotalEnergyConsumption, gpu)
def limit():
    return answered(nvmlDeviceGetPowerManagementLimit, gpu)
def clock():
    return answered(nvmlDeviceGetClockInfo, gpu, NVML_CLOCK_SM)
def utilisation():
    return answered(lambda: nvmlDeviceGetUtilizationRates(gpu).gpu)
def temperature():
    return answered(nvmlDeviceGetTemperature, gpu, NVML_TEMPERATURE_GPU)
events = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, events)
def told_event():
    event = answered(nvmlEventSetWait_v2, events, 0)
    return event if isinstance(event, str) else [nvmlDeviceGetIndex(event.device), event.eventType, event.eventData]
plant.advance(3.0)
told = [ask()]
number = None
if kind != "missing-symbols":
    number = faults.inject(kind, target, 0, values)
plant.advance(plant.time_s + 0.5)
told.append(ask())
if any(fault["number"] == number for fault in faults.all()):
    faults.clear(number)
plant.advance(plant.time_s + 0.5)
told.append(ask())
plant.advance(20.0)
tell(told)
"""


@dataclass(frozen=True)
class Row:
    """What a client `asks` of GPU 0, and whether what it is told before, during and after the fault is `right`."""

    asks: tuple[str, ...]
    right: Callable[[list[Any], list[Any], list[Any]], bool]
    values: tuple[float, ...] = ()
    target: str = "gpu"
    truth_changes: bool = False


def _are_numbers(*told: list[Any]) -> bool:
    return all(isinstance(each, int) and each > 0 for one in told for each in one)


NAME, COUNT = "answered(nvmlDeviceGetName, gpu)", "answered(nvmlDeviceGetCount)"
OTHER = "answered(nvmlDeviceGetPowerUsage, nvmlDeviceGetHandleByIndex(1)) > 0"
READINGS = ("power()", "clock()", "utilisation()", "temperature()", "energy()")
SETTERS = (
    "set_limit(300)",
    "answered(nvmlDeviceSetGpuLockedClocks, gpu, 210, 1410)",
    "answered(nvmlDeviceResetGpuLockedClocks, gpu)",
    "answered(nvmlDeviceSetPersistenceMode, gpu, 1)",
)

SAME_LIMIT = "set_limit(400)"  # changes nothing

ROWS: dict[str, Row] = {
    "not-supported": Row(
        (*READINGS, NAME, OTHER),
        lambda before, during, after: (
            _are_numbers(before[:5], after[:5]) and during == [UNSUPPORTED] * 5 + before[5:] and during[6] is True
        ),
        (1.0,),
    ),
    "zero-power": Row(
        ("power()", "field(186)", "utilisation()", "temperature()", "energy()", OTHER),
        lambda before, during, after: _are_numbers(before, after) and during[:2] == [0, 0] and _are_numbers(during[2:]),
        (1.0,),
    ),
    "stuck-power": Row(
        ("over_time(power)", "over_time(energy)", "utilisation()", "clock()", "temperature()"),
        lambda before, during, after: (
            len(set(before[0])) == len(set(after[0])) == 3
            and during[0] == [46_190] * 3
            and during[1] == sorted(set(during[1]))
            and during[2] == 100
            and (isinstance(before[3], int), during[3], isinstance(after[3], int)) == (True, UNKNOWN, True)
            and during[4] >= before[4]
        ),
        (46.19, 1 + 8),
    ),
    "gpu-lost": Row(
        (*READINGS, NAME, "answered(nvmlDeviceGetHandleByIndex, 0) and 1", SAME_LIMIT, COUNT, OTHER),
        lambda before, during, after: (
            _are_numbers(before[:5], after[:5])
            and during[:6] == [LOST] * 6
            and during[7:] == [LOST, 2, True]
            and before[7:] == [None, 2, True]
        ),
    ),
    "reset-required": Row(
        (*READINGS, NAME, SAME_LIMIT, COUNT, OTHER),
        lambda before, during, after: _are_numbers(before[:5], after[:5]) and during == [NEEDS_RESET] * 7 + [2, True],
    ),
    "no-permission": Row(
        (*SETTERS, "limit()", "power()"),
        lambda before, during, after: (
            before[:5] == after[:5] == [None] * 4 + [300_000]
            and during[:5] == [REFUSED] * 4 + [300_000]
            and _are_numbers(during[5:])
        ),
        truth_changes=True,  # by the setters
    ),
    "slow-calls": Row(  # a virtual clock only charges for them
        ("[faults.calls()['power'][1], power(), faults.calls()['power'][1]]", OTHER),
        lambda before, during, after: (
            before[0][2] - before[0][0] < 1e-3 > after[0][2] - after[0][0]
            and 0.25 < during[0][2] - during[0][0] < 0.251
            and _are_numbers([during[0][1]])
        ),
        (0.25,),
    ),
    "hung-calls": Row(
        (
            "hangs(power)",
            "hangs(lambda: nvmlDeviceGetPowerUsage(nvmlDeviceGetHandleByIndex(1)))",
            "plant.view(0) != {}",
        ),
        lambda before, during, after: before == after == [False, False, True] and during == [True, True, True],
    ),
    "outside-limit": Row(
        ("limit()", "answered(nvmlDeviceGetEnforcedPowerLimit, gpu)", "field(190)", "field(192)", "power()"),
        lambda before, during, after: (
            before[:4] == after[:4] == [400_000] * 4
            and during[:4] == [400_000, 150_000, 150_000, 400_000]
            and during[4] < 170_000 < before[4]
        ),
        (150.0,),
        truth_changes=True,
    ),
    "energy-reset": Row(
        ("energy()", "power()"),
        lambda before, during, after: during[0] < after[0] < before[0] and _are_numbers(during),
    ),
    "rapl-wrap": Row(  # of the kernel's counter: the driver's goes on
        ("plant.rapl_view(0)['energy_uj']", "energy()"),
        lambda before, during, after: during[0] > 1e11 > after[0] and before[1] < during[1] < after[1],
        (60.0,),
        "package",
    ),
    "xid": Row(
        ("told_event()", "power()"),
        lambda before, during, after: (
            [before[0], during[0], after[0]] == ["error 10", [0, 8, 79], "error 10"] and _are_numbers(during[1:])
        ),
        (79,),
    ),
    "driver-reload": Row(  # the third time the client has begun anew
        ("power()", "set_limit(200)", "limit()", "begun_anew(limit)", "answered(nvmlDeviceGetPersistenceMode, gpu)"),
        lambda before, during, after: (
            before[1:] == [None, 200_000, 200_000, 1]
            and during == [LOST, LOST, LOST, 400_000, 0]
            and after[1:] == [None, 200_000, 200_000, 0]
        ),
        target="host",
        truth_changes=True,
    ),
    "gpu-reset": Row(
        ("limit()", "set_limit(200)", "energy()", "answered(nvmlDeviceGetPersistenceMode, gpu)"),
        lambda before, during, after: (
            [before[0], during[0], after[0]] == [400_000, 400_000, 200_000]
            and during[2] < before[2]
            and [before[3], during[3]] == [1, 0]
        ),
        truth_changes=True,
    ),
    "settings-dropped": Row(
        (
            "limit()",
            "set_limit(200)",
            "energy()",
            "answered(nvmlDeviceGetPersistenceMode, gpu)",
            "answered(nvmlDeviceGetApplicationsClock, gpu, NVML_CLOCK_SM)",
            "answered(nvmlDeviceSetApplicationsClocks, gpu, 1593, 1005)",
        ),
        lambda before, during, after: (
            [before[0], during[0], after[0]] == [400_000, 400_000, 200_000]
            and before[2] < during[2]
            and [before[3], during[3]] == [1, 0]
            and 1005 < before[4] == during[4]
            and after[4] == 1005
        ),
        truth_changes=True,
    ),
    "foreign-limit": Row(
        ("limit()", "answered(nvmlDeviceGetEnforcedPowerLimit, gpu)"),
        lambda before, during, after: before == [400_000] * 2 and during == after == [250_000] * 2,
        (250.0,),
        truth_changes=True,
    ),
    "foreign-lock": Row(
        ("clock()",),
        lambda before, during, after: before[0] > 705 and during == after == [705],
        (705, 705),
        truth_changes=True,
    ),
    "missing-symbols": Row(
        (
            "[hasattr(lib, name) for name in ('nvmlDeviceGetTemperatureV', 'nvmlDeviceGetPciInfoExt',"
            " 'nvmlEventSetWait_v3', 'nvmlDeviceSetRusdSettings_v1', 'nvmlDeviceWorkloadPowerProfileGetProfilesInfo')]",
            "code(nvmlDevicePowerSmoothingSetState, gpu, None)",
            "temperature()",
            "power()",
        ),
        lambda before, during, after: (
            before[:2] == [[False] * 5, 13] and _are_numbers(before[2:], during[2:], after[2:])
        ),
        target="host",
    ),
    "sysfs-read": Row(
        ("faults.file_errno(False, 'cpu', 0)", "faults.file_errno(True, 'cpu', 0)", "power()"),
        lambda before, during, after: before[:2] == after[:2] == [0, 0] and during[:2] == [errno.EIO, 0],
        (errno.EIO,),
        "cpu",
    ),
    "sysfs-write": Row(
        ("faults.file_errno(False, 'package', 0)", "faults.file_errno(True, 'package', 0)", "power()"),
        lambda before, during, after: before[:2] == after[:2] == [0, 0] and during[:2] == [0, errno.EBUSY],
        (errno.EBUSY,),
        "package",
    ),
}


def test_every_kind_of_fault_has_its_row() -> None:
    assert set(ROWS) == set(faults.KINDS)


def loaded(made: SimHost) -> Host:
    """The host's plant, with GPUs that work."""
    plant = Host(made.plant)
    Square(period_s=1.0, duty=1.0).start(plant, [0, 1])
    return plant


@pytest.mark.parametrize("kind", ROWS)
def test_a_fault_is_seen_by_clients_and_leaves_the_truth_alone(sim_host: SimHostFactory, kind: str) -> None:
    row = ROWS[kind]
    struck, spared = sim_host(gpus=2, clock="virtual"), sim_host(gpus=2, clock="virtual")
    if kind == "missing-symbols":
        symbols.drop(SimulatedHost(struck.dir))
    with loaded(struck) as plant, loaded(spared) as twin:
        before, during, after = struck.nvml(CLIENT, json.dumps([kind, row.target, row.values, row.asks]))
        assert row.right(before, during, after), (before, during, after)
        twin.advance(20.0)
        truths = [[one.energy_true_j(gpu) for gpu in range(2)] for one in (plant, twin)]
        assert (truths[0] == truths[1]) is not row.truth_changes
        assert plant.power_log()[-1][0] > 100  # whatever is said of it, it works
