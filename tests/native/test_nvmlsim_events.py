"""Waiting for events of the simulated driver, with other threads and processes about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

WAITING = """
import time
from eagent.sim._driver import Driver
from eagent.sim._bmc import Bmc
PATH = os.environ["EAGENT_SIM_HOST"]
events = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, events)
got = []
def wait():
    begun = time.monotonic()
    try:
        data = nvmlEventSetWait_v2(events, 20_000)
        got.extend([data.eventData, time.monotonic() - begun])
    except NVMLError as error:
        got.extend([f"error {error.value}", time.monotonic() - begun])
waiter = threading.Thread(target=wait)
waiter.start()
"""
END = "\nwaiter.join(15); tell([waiter.is_alive(), *got])"


def test_a_waiter_wakes_when_another_process_has_the_driver_tell_of_an_xid(host: SimHost) -> None:
    script = """
other = "import sys; from eagent.sim._driver import Driver; Driver(sys.argv[1]).signal(0, 'xid', 79)"
subprocess.run([sys.executable, "-c", other, PATH], check=True)"""
    waits, xid, seconds = host.nvml(WAITING + script + END)
    assert (waits, xid) == (False, 79)
    assert seconds < 15


def test_a_waiter_holds_up_neither_its_process_nor_another(host: SimHost) -> None:
    script = """
begun = time.monotonic()
for _ in range(100):
    nvmlDeviceGetPowerUsage(gpu)
calls_s = time.monotonic() - begun
still = waiter.is_alive()
Driver(PATH).signal(0, "xid", 79)
waiter.join(15)
tell([still, calls_s])"""
    still, calls_s = host.nvml(WAITING + script)
    assert still
    assert calls_s < 5


def test_a_waiter_is_told_that_the_host_has_gone_off(sim_host: SimHostFactory) -> None:
    waits, answer, _ = sim_host(gpus=1).nvml(WAITING + "Bmc(PATH).switch_off()" + END)
    assert (waits, answer) == (False, "error 15")


def test_a_waiter_is_told_that_the_library_was_shut_down(host: SimHost) -> None:
    waits, answer, _ = host.nvml(WAITING + "nvmlShutdown()" + END)
    assert (waits, answer) == (False, "error 1")


def test_a_waiter_is_told_that_its_set_was_freed(host: SimHost) -> None:
    waits, answer, _ = host.nvml(WAITING + "nvmlEventSetFree(events)" + END)
    assert (waits, answer) == (False, "error 2")


def test_a_set_that_is_late_gets_the_last_events_of_those_it_missed(host: SimHost) -> None:
    script = """
from eagent.sim._driver import Driver
events = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(gpu, nvmlEventTypeXidCriticalError, events)
with Driver(os.environ["EAGENT_SIM_HOST"]) as driver:
    for xid in range(100):
        driver.signal(0, "xid", xid)
found = []
try:
    while True:
        found.append(nvmlEventSetWait_v2(events, 0).eventData)
except NVMLError as error:
    found.append(f"error {error.value}")
tell(found)"""
    assert host.nvml(script) == [*range(36, 100), "error 10"]
