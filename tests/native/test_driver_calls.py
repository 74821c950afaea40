"""What a call of the simulated driver costs, and the one lock that all its callers share."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from eagent.sim import model
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from tests.conftest import INITIALISED

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

CALLS = model.load("a100-sxm4-80gb")["calls"]
LIMIT_S = 30.0
FOUR = "[nvmlDeviceGetPowerUsage(gpu) for _ in range(4)]"


class Clients:
    """Processes on a host that run at once; none outlives the test."""

    def __init__(self, host: SimHost) -> None:
        self._host = host
        self._running: list[subprocess.Popen[str]] = []

    def start(self, script: str) -> subprocess.Popen[str]:
        """Run a script that asks NVML, and say so once it has been initialised."""
        command = [sys.executable, "-c", INITIALISED + "import time\nprint('ready', flush=True)\n" + script]
        process = subprocess.Popen(command, env=self._host.environ, stdout=subprocess.PIPE, text=True)
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def end(self) -> None:
        """Whatever still runs."""
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def wall(sim_host: SimHostFactory) -> SimHost:
    return sim_host(gpus=2)


@pytest.fixture
def clients(wall: SimHost) -> Iterator[Clients]:
    made = Clients(wall)
    yield made
    made.end()


def charged(host: SimHost) -> dict[str, tuple[int, float, float]]:
    with Faults(host.plant) as faults:
        return faults.calls()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- cost ------------------------------------------------------------------------------------------------------------


def test_calls_take_and_are_charged_the_time_that_the_model_says(wall: SimHost) -> None:
    script = """
import time
before = time.monotonic()
for _ in range(500):
    nvmlDeviceGetPowerUsage(gpu), nvmlDeviceGetMemoryInfo(gpu), nvmlDeviceGetClockInfo(gpu, NVML_CLOCK_SM)
reads_s = time.monotonic() - before
before = time.monotonic()
for limit in range(10):
    nvmlDeviceSetPowerManagementLimit(gpu, 300000 + limit)
tell([reads_s, time.monotonic() - before])"""
    reads_s, writes_s = wall.nvml(script)
    calls = charged(wall)
    assert [calls[kind][0] for kind in ("power", "memory", "clock", "set")] == [500, 500, 500, 10]
    for kind in ("power", "memory", "clock"):
        assert calls[kind][1] >= 500 * 0.95 * CALLS[f"{kind}_s"]  # more where another process had the processor
    held_s = sum(calls[kind][1] for kind in ("power", "memory", "clock"))
    assert held_s <= reads_s
    assert 10 * CALLS["set_s"][0] <= calls["set"][1] <= writes_s


def test_on_a_virtual_clock_calls_are_charged_and_take_no_time(host: SimHost) -> None:
    script = """
import time
before = time.monotonic()
for limit in range(300):
    nvmlDeviceSetPowerManagementLimit(gpu, 300000 + limit)
tell(time.monotonic() - before)"""
    assert host.nvml(script) < 300 * CALLS["set_s"][0]
    count, held_s, waited_s = charged(host)["set"]
    low_s, high_s = CALLS["set_s"]
    assert (count, waited_s) == (300, 0.0)
    assert held_s == pytest.approx(300 * (low_s + high_s) / 2, rel=0.1)


def test_what_a_client_works_within_calls_is_charged_and_not_what_it_sleeps(wall: SimHost) -> None:
    script = """
import time
def spent(work):
    before_s = time.process_time()
    work()
    return time.process_time() - before_s
tell([spent(lambda: [nvmlDeviceGetMemoryInfo(gpu) for _ in range(17 * 300)]),
      spent(lambda: [nvmlDeviceSetPowerManagementLimit(gpu, 300000 + i) for i in range(2 * 17)])])"""
    for _ in range(TRIES):
        worked_s, held_s, (reads_s, writes_s) = tried(wall, script)
        assert worked_s["memory"] >= 0.8 * 17 * 300 * CALLS["memory_s"]
        assert worked_s["set"] < 0.5 * held_s["set"]
        assert writes_s < 0.5 * held_s["set"]
        assert worked_s["clock"] == 0.0
        if worked_s["memory"] <= 1.05 * reads_s:
            return
    # One call in 17 stands for all: where others have the processor, those may be the ones that had much to catch up.
    pytest.fail(f"{TRIES} times more was charged than was worked: at last {worked_s['memory']} s for {reads_s} s")


TRIES = 5


def tried(wall: SimHost, script: str) -> tuple[dict[str, float], dict[str, float], Any]:
    """What a script was charged for each kind of call, as worked and as held, and what it told."""
    with Faults(wall.plant) as faults:
        worked_s, calls = faults.worked_s(), faults.calls()
        answer = wall.nvml(script)
        worked_s = {kind: now_s - worked_s[kind] for kind, now_s in faults.worked_s().items()}
        return worked_s, {kind: now[1] - calls[kind][1] for kind, now in faults.calls().items()}, answer


def test_the_same_calls_are_charged_the_same_for_the_same_seed(sim_host: SimHostFactory) -> None:
    script = "for _ in range(50): nvmlDeviceGetPowerUsage(gpu), nvmlDeviceGetUtilizationRates(gpu)\ntell(0)"
    charges = []
    for seed in (1, 1, 2):
        made = sim_host(gpus=1, clock="virtual", seed=seed)
        made.nvml(script)
        charges.append(charged(made))
    assert charges[0] == charges[1] != charges[2]
    medians = {kind: charges[0][kind][1] / 50 for kind in ("power", "utilisation")}
    assert medians["power"] == pytest.approx(CALLS["power_s"], rel=0.2)
    assert medians["utilisation"] == pytest.approx(CALLS["utilisation_s"], rel=0.2)


# ---- one lock --------------------------------------------------------------------------------------------------------


def test_callers_of_several_processes_wait_for_each_other(wall: SimHost, clients: Clients) -> None:
    with Faults(wall.plant) as faults:
        slow = faults.inject("slow-calls", "gpu", 0, (0.05,))
        before, began = faults.calls()["power"], time.monotonic()
        asking = [
            clients.start(f"while not os.path.exists({str(wall.dir / 'go')!r}): time.sleep(0.001)\n" + FOUR)
            for _ in range(3)
        ]
        (wall.dir / "go").touch()
        for process in asking:
            process.wait(LIMIT_S)
        after, took_s = faults.calls()["power"], time.monotonic() - began
        faults.clear(slow)
    assert after[0] - before[0] == 12
    assert 12 * 0.05 <= after[1] - before[1] <= took_s
    assert after[2] - before[2] >= 0.05  # somebody has waited


def test_slow_calls_go_on_when_the_fault_is_cleared(wall: SimHost, clients: Clients) -> None:
    with Faults(wall.plant) as faults:
        client = clients.start("for _ in range(1000): nvmlDeviceGetPowerUsage(gpu); time.sleep(0.001)")
        faults.inject("slow-calls", "gpu", 0, (1000.0,))
        wait_for(lambda: _stands_still(faults))
        faults.clear()
        assert client.wait(LIMIT_S) == 0


def test_a_hung_call_blocks_every_client_and_neither_the_plant_nor_the_lab(wall: SimHost, clients: Clients) -> None:
    with Faults(wall.plant) as faults, Host(wall.plant) as plant:
        victim = clients.start("while not code(nvmlDeviceGetPowerUsage, gpu): time.sleep(0.001)")
        other = clients.start("while True: nvmlDeviceGetPowerUsage(nvmlDeviceGetHandleByIndex(1)); time.sleep(0.001)")
        faults.inject("hung-calls", "gpu", 0)
        wait_for(lambda: _stands_still(faults))
        early_s = plant.time_s
        plant.set_power_limit(1, 200.0)
        assert plant.view(1)["limit_requested_mw"] == 200_000
        assert plant.time_s > early_s
        assert (victim.poll(), other.poll()) == (None, None)
        faults.clear()
        wait_for(lambda: not _stands_still(faults))


def test_killing_the_victim_of_a_hung_call_frees_the_others(wall: SimHost, clients: Clients) -> None:
    with Faults(wall.plant) as faults:
        other = clients.start("while True: nvmlDeviceGetPowerUsage(nvmlDeviceGetHandleByIndex(1)); time.sleep(0.001)")
        victim = clients.start("while True: nvmlDeviceGetPowerUsage(gpu); time.sleep(0.001)")
        faults.inject("hung-calls", "gpu", 0)
        wait_for(lambda: _stands_still(faults))
        victim.send_signal(signal.SIGKILL)
        victim.wait(LIMIT_S)
        wait_for(lambda: not _stands_still(faults))
        assert other.poll() is None
        assert [fault["kind"] for fault in faults.all()] == ["hung-calls"]


def test_clients_killed_while_they_set_limits_leave_the_lock_to_the_others(wall: SimHost, clients: Clients) -> None:
    with Faults(wall.plant) as faults:
        other = clients.start("while True: nvmlDeviceGetPowerUsage(gpu); time.sleep(0.001)")
        for _ in range(8):
            killed = clients.start("while True: nvmlDeviceSetPowerManagementLimit(gpu, 300000)")
            before = faults.calls()["set"][0]
            wait_for(lambda before=before: faults.calls()["set"][0] > before)
            killed.kill()  # nearly all of its time it holds the lock
            killed.wait(LIMIT_S)
            read = faults.calls()["power"][0]
            wait_for(lambda read=read: faults.calls()["power"][0] > read)
        assert other.poll() is None


def _stands_still(faults: Faults) -> bool:
    """Whether no call of any client ended within a time in which a hundred do."""
    before = faults.calls()
    time.sleep(0.2)
    return faults.calls() == before


def test_a_process_forks_shuts_down_and_ends_while_one_of_its_calls_hangs(wall: SimHost) -> None:
    script = """
import time, warnings
warnings.simplefilter('ignore')
from eagent.sim._faults import Faults
faults = Faults(os.environ["EAGENT_SIM_HOST"])
answers = []
faults.inject("hung-calls", "gpu", 0)
while not faults.all()[0]["begun"]: pass  # it begins with a tick
thread = threading.Thread(target=lambda: answers.append(code(nvmlDeviceGetPowerUsage, gpu)))
thread.start()
thread.join(2)  # under the sanitizers on a busy machine it takes a while until it hangs
child = os.fork()
if child == 0:
    lib.nvmlShutdown()
    os._exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
nvmlShutdown()
after = code(nvmlDeviceGetPowerUsage, gpu)
still = thread.is_alive()
faults.clear()
thread.join(10)
nvmlInit()
tell([status, after, still, answers, code(nvmlDeviceGetPowerUsage, gpu)])"""
    assert wall.nvml(script) == [7, 1, True, [0], 0]


def test_a_call_that_waits_sleeps_on_when_a_signal_comes(wall: SimHost) -> None:
    script = """
import signal, time
from eagent.sim._faults import Faults
Faults(os.environ["EAGENT_SIM_HOST"]).inject("slow-calls", "gpu", 0, (0.5,))
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
before_s, began_s = time.process_time(), time.monotonic()
nvmlDeviceGetPowerUsage(gpu)
spent = [time.process_time() - before_s, time.monotonic() - began_s]
signal.setitimer(signal.ITIMER_REAL, 0)
tell(spent)"""
    worked_s, took_s = wall.nvml(script)
    assert took_s > 0.5
    assert worked_s < 0.25


def test_a_process_that_begins_anew_has_the_driver_of_now_though_a_call_of_its_old_one_hangs(wall: SimHost) -> None:
    script = """
from eagent.sim._faults import Faults
faults = Faults(os.environ["EAGENT_SIM_HOST"])
answers = []
faults.inject("hung-calls", "gpu", 0)
while not faults.all()[0]["begun"]: pass  # it begins with a tick
hung = threading.Thread(target=lambda: answers.append(code(nvmlDeviceGetPowerUsage, gpu)))
hung.start()
hung.join(2)  # likewise
faults.inject("driver-reload")
while len(faults.all()) > 1: pass  # it strikes with a tick
nvmlShutdown()
begun = []
anew = threading.Thread(target=lambda: begun.append(code(nvmlInit)))
anew.start()
anew.join(0.2)
faults.clear()
hung.join(10)
anew.join(10)
tell([*begun, code(nvmlDeviceGetPowerUsage, gpu)])"""
    assert wall.nvml(script) == [0, 0]  # whichever of the two calls ended first
