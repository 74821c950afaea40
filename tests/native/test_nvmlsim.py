"""The simulated NVML library as any client on the host meets it: initialisation, arguments, processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

ERROR_TEXTS = """Success|Uninitialized|Invalid Argument|Not Supported|Insufficient Permissions|Already Initialized
Not Found|Insufficient Size|Insufficient External Power|Driver Not Loaded|Timeout|Interrupt Request Issue
NVML Shared Library Not Found|Function Not Found|Corrupted infoROM|GPU is lost|GPU requires reset
GPU access blocked by the operating system|Driver/library version mismatch|In use by another client|Insufficient Memory
No data|vGPU ECC not supported|Insufficient Resources|Invalid Frequency|Argument version mismatch
Requested functionality has been deprecated|System is not in ready state""".replace("\n", "|").split("|")


@pytest.mark.parametrize("path", [None, "", "/nonexistent/plant", "/dev/null", __file__, "/" + "x" * 5000])
def test_a_machine_without_a_usable_host_answers_as_one_without_the_driver(host: SimHost, path: str | None) -> None:
    environ = {name: value for name, value in host.environ.items() if name != "EAGENT_SIM_HOST"}
    if path is not None:
        environ["EAGENT_SIM_HOST"] = path
    script = (
        "tell([code(nvmlInit), code(nvmlInitWithFlags, 0), code(nvmlDeviceGetCount), code(nvmlSystemGetDriverVersion)])"
    )
    assert host.nvml(script, initialise=False, environ=environ) == [9, 9, 1, 1]


def test_a_host_of_another_version_answers_as_a_machine_without_the_driver(host: SimHost) -> None:
    with host.plant.open("r+b") as file:
        file.seek(8)
        file.write(b"\6\0\0\0")
    assert host.nvml("tell([code(nvmlInit), code(nvmlDeviceGetCount)])", initialise=False) == [9, 1]


def test_a_host_that_its_user_may_not_open_is_a_matter_of_permission(host: SimHost) -> None:
    host.plant.chmod(0)
    script = """
if os.geteuid() == 0:
    os.setuid(65534)
tell(code(nvmlInit))"""
    assert host.nvml(script, initialise=False) == 4


def test_the_version_of_the_library_needs_no_initialisation(host: SimHost) -> None:
    script = "tell([nvmlSystemGetNVMLVersion(), code(nvmlSystemGetDriverVersion)])"
    version, driver = host.nvml(script, initialise=False)
    assert version.startswith("12.")
    assert driver == 1


def test_a_shutdown_without_initialisation_succeeds_three_times_running(host: SimHost) -> None:
    script = "tell([lib.nvmlShutdown() for _ in range(3)])"
    assert host.nvml(script, initialise=False) == [0, 0, 0]


def test_two_initialisations_need_two_shutdowns(host: SimHost) -> None:
    script = """
answers = []
for step in [nvmlInit, nvmlInit, nvmlShutdown, nvmlShutdown, nvmlInit]:
    step()
    answers.append(code(nvmlDeviceGetCount))
tell(answers)"""
    assert host.nvml(script, initialise=False) == [0, 0, 0, 1, 0]


def test_errors_have_the_texts_of_the_real_library(host: SimHost) -> None:
    script = "tell([nvmlErrorString(n) for n in [*range(28), 28, 999, -1]])"
    assert host.nvml(script, initialise=False) == [*ERROR_TEXTS, *["Unknown Error"] * 3]


def test_the_library_says_which_host_it_simulates(host: SimHost) -> None:
    script = """
lib.eagent_simulated_host.restype = ctypes.c_char_p
while_initialised = lib.eagent_simulated_host().decode()
nvmlShutdown()
tell([while_initialised, lib.eagent_simulated_host().decode()])"""
    assert host.nvml(script) == [host.environ["EAGENT_SIM_HOST"]] * 2


SWEEP = """
names, state = sys.argv[1].split(","), sys.argv[2]
if state != "uninitialised":
    nvmlInit()
null = ctypes.c_void_p(0)
device = ctypes.c_void_p(1234567) if state == "garbage" else null
if state in ("gpu", "instance"):
    device = nvmlDeviceGetHandleByIndex(0)
if state == "instance":
    from eagent.sim._driver import Driver
    Driver(os.environ["EAGENT_SIM_HOST"]).divide(0, 7, 1, 2**30)
    device = nvmlDeviceGetMigDeviceHandleByIndex(device, 6)
def call(name):
    without_device = not name.startswith("nvmlDevice") or name.startswith(("nvmlDeviceGetHandle", "nvmlDeviceGetCount"))
    return getattr(lib, name)(null if without_device else device, *[null] * 7)
tell({name: call(name) for name in names})
"""
# Given a GPU and zeroes, these have all they need.
CONTENT = {
    "nvmlDeviceSetPersistenceMode",
    "nvmlDeviceSetAPIRestriction",
    "nvmlDeviceResetGpuLockedClocks",
    "nvmlDeviceResetMemoryLockedClocks",
    "nvmlDeviceResetApplicationsClocks",
}


@pytest.mark.parametrize(
    ("state", "answers", "succeed"),
    [
        ("uninitialised", {1}, set()),
        ("null", {2, 3}, set()),
        ("garbage", {2, 3}, set()),
        ("gpu", {2, 3}, CONTENT),
        ("instance", {2, 3}, set()),
    ],
)
def test_no_function_crashes_on_null_or_garbage(
    host: SimHost, exported: frozenset[str], state: str, answers: set[int], succeed: set[str]
) -> None:
    others = ("nvmlInit", "nvmlShutdown", "nvmlErrorString", "nvmlSystemGetNVMLVersion", "eagent")
    names = sorted(name for name in exported if not name.startswith(others))
    found = host.nvml(SWEEP, ",".join(names), state, initialise=False)
    assert len(found) > 400
    assert {name for name, answer in found.items() if answer == 0} == succeed
    assert set(found.values()) - {0} == answers


def test_a_buffer_that_is_too_short_is_refused_and_left_alone(host: SimHost) -> None:
    script = """
short = ctypes.create_string_buffer(b"untouched", 12)
answers = [lib.nvmlDeviceGetUUID(gpu, short, 12), lib.nvmlDeviceGetName(gpu, short, 3),
           lib.nvmlSystemGetDriverVersion(short, 2), lib.nvmlSystemGetNVMLVersion(short, 2)]
tell([answers, short.value.decode()])"""
    assert host.nvml(script) == [[7, 7, 7, 7], "untouched"]


def test_a_versioned_struct_of_another_version_is_refused(host: SimHost) -> None:
    script = """
ext = nvmlPciInfoExt_v1_t(version=nvmlPciInfoExt_v1 + 1)
temperature = c_nvmlTemperature_v1_t(version=1)
limit = c_nvmlPowerValue_v2_t(version=1, powerValueMw=300000)
tell([code(nvmlDeviceGetMemoryInfo, gpu, 1), code(nvmlDeviceGetPciInfoExt, gpu, ctypes.byref(ext)),
      lib.nvmlDeviceGetTemperatureV(gpu, ctypes.byref(temperature)),
      lib.nvmlDeviceSetPowerManagementLimit_v2(gpu, ctypes.byref(limit))])"""
    assert host.nvml(script) == [25, 25, 25, 25]


def test_an_index_beyond_the_last_is_an_invalid_argument(host: SimHost) -> None:
    assert host.nvml("tell([nvmlDeviceGetCount(), code(nvmlDeviceGetHandleByIndex, 2)])") == [2, 2]


def test_a_device_is_found_again_by_its_uuid_and_its_address(host: SimHost) -> None:
    script = """
second = nvmlDeviceGetHandleByIndex(1)
pci = nvmlDeviceGetPciInfo(second)
by = [nvmlDeviceGetHandleByUUID(nvmlDeviceGetUUID(second).encode()), nvmlDeviceGetHandleByPciBusId(pci.busId.encode()),
      nvmlDeviceGetHandleByPciBusId(pci.busIdLegacy.encode())]
tell([[nvmlDeviceGetIndex(handle) for handle in by], code(nvmlDeviceGetHandleByUUID, b"GPU-none"),
      code(nvmlDeviceGetHandleByPciBusId, b"0000:FF:1F.0"), code(nvmlDeviceGetHandleByPciBusId, b"nonsense")])"""
    assert host.nvml(script) == [[1, 1, 1], 6, 6, 6]


def test_older_pci_calls_write_no_further_than_their_older_structs(host: SimHost) -> None:
    script = """
def written(name):
    buffer = ctypes.create_string_buffer(b"\\xaa" * 96, 96)
    assert getattr(lib, name)(gpu, buffer) == 0
    return len(buffer.raw.rstrip(b"\\xaa"))
tell([written("nvmlDeviceGetPciInfo"), written("nvmlDeviceGetPciInfo_v2"), written("nvmlDeviceGetPciInfo_v3")])"""
    assert host.nvml(script) == [32, 52, 68]


def test_a_limit_set_by_one_process_is_seen_by_another_that_was_there_before(host: SimHost) -> None:
    script = """
before = nvmlDeviceGetPowerManagementLimit(gpu)
other = "from pynvml import *; nvmlInit(); nvmlDeviceSetPowerManagementLimit(nvmlDeviceGetHandleByIndex(0), 250000)"
subprocess.run([sys.executable, "-c", other], check=True)
tell([before, nvmlDeviceGetPowerManagementLimit(gpu)])"""
    before, after = host.nvml(script)
    assert before != 250000
    assert after == 250000


def test_a_forked_child_uses_the_library_and_its_changes_are_seen(host: SimHost) -> None:
    script = """
child = os.fork()
if child == 0:
    nvmlDeviceSetPowerManagementLimit(gpu, 250000)
    nvmlShutdown()
    os._exit(code(nvmlDeviceGetPowerUsage, gpu))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
tell([status, nvmlDeviceGetPowerManagementLimit(gpu)])"""
    assert host.nvml(script) == [1, 250000]


def test_forking_while_threads_ask_hangs_nobody(sim_host: SimHostFactory) -> None:
    script = """
stop = threading.Event()
def ask():
    while not stop.is_set():
        lib.nvmlDeviceGetPowerUsage(gpu, ctypes.byref(ctypes.c_uint()))
threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads: thread.start()
statuses = set()
for _ in range(40):
    child = os.fork()
    if child == 0:
        os._exit(lib.nvmlDeviceGetPowerUsage(gpu, ctypes.byref(ctypes.c_uint())))
    statuses.add(os.waitpid(child, 0)[1])
stop.set()
for thread in threads: thread.join()
tell(sorted(statuses))"""
    assert sim_host(gpus=1).nvml("import warnings; warnings.simplefilter('ignore')\n" + script) == [0]


def test_a_process_may_unload_the_library_and_fork(host: SimHost) -> None:
    script = """
import _ctypes
assert lib.nvmlInit_v2() == 0
lib.nvmlShutdown()
_ctypes.dlclose(lib._handle)
child = os.fork()
if child == 0:
    os._exit(0)
tell([os.waitpid(child, 0)[1], "libnvidia-ml" in open("/proc/self/maps").read()])"""
    assert host.nvml(script, initialise=False) == [0, False]


def test_only_processes_that_live_are_listed_in_every_version_of_the_list(host: SimHost) -> None:
    dead = host.nvml("tell(os.getpid())", initialise=False)
    script = """
def listed(name, record):
    count = ctypes.c_uint(0)
    answer = getattr(lib, name)(gpu, ctypes.byref(count), None)
    room = (record * 4)()
    room_count = ctypes.c_uint(4)
    assert getattr(lib, name)(gpu, ctypes.byref(room_count), room) == 0
    return [answer, count.value, [(r.pid, r.usedGpuMemory > 0) for r in room[:room_count.value]]]
class Old(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("usedGpuMemory", ctypes.c_ulonglong)]
name = "nvmlDevice%sRunningProcesses%s"
tell([listed(name % ("GetCompute", ""), Old), listed(name % ("GetCompute", "_v2"), c_nvmlProcessInfo_v2_t),
      listed(name % ("GetCompute", "_v3"), c_nvmlProcessInfo_v3_t), listed(name % ("GetGraphics", ""), Old),
      [p.gpuInstanceId for p in nvmlDeviceGetComputeRunningProcesses(gpu)],
      [(s.pid, s.smUtil > 0) for s in nvmlDeviceGetProcessUtilization(gpu, 0)]])"""
    with Host(str(host.plant)) as plant:
        plant.start_square([0], 0.0, 10.0, 1.0, 0.5, 0.5, 1.0, os.getpid())
        plant.advance(2.0)
        living: list[Any] = host.nvml(script)
        plant.stop_load()
        plant.start_square([0], 2.0, 10.0, 1.0, 0.5, 0.5, 1.0, dead)
        plant.advance(4.0)
        assert host.nvml("tell(len(nvmlDeviceGetComputeRunningProcesses(gpu)))") == 0
    one = [7, 1, [[os.getpid(), True]]]
    assert living == [one, one, one, [0, 0, []], [2**32 - 1], [[os.getpid(), True]]]


def test_a_device_that_does_nothing_has_no_process_utilisation_to_report(host: SimHost) -> None:
    assert host.nvml("tell(code(nvmlDeviceGetProcessUtilization, gpu, 0))") == 6


# ---- a host that is switched off -------------------------------------------------------------------------------------

POWER = """
from eagent.sim._bmc import Bmc
import time
bmc = Bmc(os.environ["EAGENT_SIM_HOST"])
def asked():
    return [
        code(nvmlDeviceGetCount), code(nvmlDeviceGetHandleByIndex, 0), code(nvmlDeviceGetPowerUsage, gpu),
        code(nvmlDeviceGetUUID, gpu), code(nvmlDeviceGetIndex, gpu), code(nvmlSystemGetDriverVersion),
        code(nvmlDeviceSetPowerManagementLimit, gpu, 200_000), code(nvmlDeviceResetGpuLockedClocks, gpu),
    ]
def booted():
    bmc.switch_on()
    while bmc.power != "on":
        time.sleep(0.01)
"""
LOST = 15


def test_the_gpus_of_a_host_without_power_are_lost_to_who_has_the_library_open(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=2, boot_s=5.0)
    script = "first = asked(); bmc.switch_off(); off = asked(); bmc.switch_on(); tell([first, off, asked()])"
    before, off, booting = made.nvml(POWER + script)
    assert before == [0] * 8
    assert off == booting == [LOST] * 8


def test_a_process_of_an_earlier_boot_gets_no_gpu_back_unless_it_begins_anew(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=2, boot_s=0.1)
    script = "bmc.switch_off(); booted(); stale = asked(); nvmlShutdown(); nvmlInit(); tell([stale, asked()])"
    stale, fresh = made.nvml(POWER + script)
    assert stale == [LOST] * 8
    assert fresh == [0] * 8


def test_a_host_that_is_not_on_has_no_driver_to_be_initialised(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=2, boot_s=0.3)
    script = "bmc.switch_off(); off = code(nvmlInit); bmc.switch_on(); boots = code(nvmlInit); booted();"
    answers = made.nvml(POWER + script + "tell([off, boots, code(nvmlInit)])", initialise=False)
    assert answers == [9, 9, 0]


def test_a_boot_drops_limits_and_modes_and_keeps_who_the_gpus_are(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=2, boot_s=0.1)
    script = """
def seen():
    gpu = nvmlDeviceGetHandleByIndex(0)
    return [nvmlDeviceGetUUID(gpu), nvmlDeviceGetPowerManagementLimit(gpu), nvmlDeviceGetPersistenceMode(gpu)]
nvmlDeviceSetPowerManagementLimit(gpu, 200_000)
before = seen()
bmc.switch_off(); booted(); nvmlShutdown(); nvmlInit()
tell([before, seen()])
"""
    (uuid, limit_mw, persistence), after = made.nvml(POWER + script)
    assert (limit_mw, persistence) == (200_000, 1)
    assert after == [uuid, 400_000, 0]
