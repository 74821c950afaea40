"""The demo with several hosts, with real processes: what it promises, how it ends early, and its rack by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from eagent.demo.rack import GPUS, Governed, RackHost, Watts, hosts
from eagent.errors import EagentError
from eagent.sim.workload import Square
from tests.conftest import environ_without_eagent

pytest.importorskip("cryptography")
pytestmark = pytest.mark.usefixtures("fuse")

WAIT_S = 60.0  # what should happen has happened by then, on a machine that runs other tests
GONE_S = 15.0  # what was told to end is gone by then: interpreters take a while, `eagent up` restores knobs first


@pytest.fixture
def place() -> Iterator[Path]:
    """Where simulated hosts are put: a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="eagent-rack-") as path:
        yield Path(path)


def until(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def processes_at(place: Path) -> list[str]:
    """The processes that have to do with hosts in a place: by their command lines and environments."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(place) in word for word in said):
            found.append(f"{process.pid}: {' '.join(process.cmdline())}")
    return found


def mounts_at(place: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in line]


def demo(place: Path, *arguments: str, count: int = 2) -> subprocess.Popen[str]:
    environ = {**environ_without_eagent(), "EAGENT_SIM_DIR": str(place / "s")}
    command = [sys.executable, "-m", "eagent", "demo", f"--hosts={count}", *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Rack:
    """Two hosts, of which n1 has a duty token, under eagent."""

    def __init__(self, made: Mapping[str, RackHost], agents: Governed, watts: Watts) -> None:
        self.made = made
        self.agents = agents
        self.watts = watts

    def sign(self) -> None:
        share_w = self.watts.reserve_w + 300.0
        self.agents.sign(2 * share_w, share_w, {"n1": 1})

    def wake(self, name: str) -> None:
        command = [sys.executable, "-m", "eagent", "power", "wake", name]
        subprocess.run(command, env=self.agents.power_environ, check=True, capture_output=True, timeout=30)


@pytest.fixture
def rack(place: Path) -> Iterator[Rack]:
    with hosts(place / "e", ["n1", "n2"], kernel=True) as made:
        one = made["n1"]
        watts = Watts(one.packages_w, one.greatest_w, one.others_w, packages_shown=True)
        (place / "site").mkdir()
        agents = Governed(made, watts, place / "site", environ_without_eagent(), sleep_after_s=1.0)
        with agents.running():
            yield Rack(made, agents, watts)
    assert until(lambda: processes_at(place) == [], GONE_S), processes_at(place)


def test_a_host_without_a_duty_token_sleeps_is_woken_and_gets_watts_when_work_comes(rack: Rack) -> None:
    sleeper, agents = rack.made["n2"], rack.agents
    rack.sign()
    first_life = agents.life("n2")
    assert until(lambda: sleeper.bmc.power == "off"), agents.logs()
    assert until(lambda: (agents.rights_w("n1") or 0.0) > rack.watts.reserve_w + 500.0), "n1 has what n2 gave away"
    assert rack.made["n1"].bmc.power == "on"

    rack.wake("n2")
    assert until(lambda: sleeper.bmc.power == "on"), agents.logs()
    assert sleeper.bmc.boot == 2
    assert until(lambda: rack.watts.wall_w(sum(sleeper.limits_w())) <= rack.watts.reserve_w), agents.logs()
    Square(duty=1.0).start(sleeper.plant, range(GPUS), pid=os.getpid())
    assert until(lambda: rack.watts.wall_w(sum(sleeper.limits_w())) > rack.watts.reserve_w + 200.0), agents.logs()
    assert agents.life("n2") not in ("", first_life)
    assert [state for _, state in sleeper.bmc.power_changes()] == ["on", "off", "booting", "on"]


def test_when_an_init_is_killed_who_waits_is_told_and_nothing_of_it_stays(rack: Rack) -> None:
    init = next(process for process in psutil.Process().children() if "boot n2" in " ".join(process.cmdline()))
    assert until(lambda: "runs as pid" in rack.agents.logs())
    init.kill()
    init.wait(WAIT_S)
    with pytest.raises(EagentError, match=r"^n2 has ended: "):
        rack.agents.check()


@pytest.mark.parametrize(
    ("count", "said", "number", "code"),
    [
        (2, "Two racks", signal.SIGTERM, 143),
        (2, " 0 s  answered", signal.SIGINT, 130),
        (1, " 0 s  answered", signal.SIGTERM, 143),
    ],
)
def test_a_signal_ends_the_demo_and_leaves_no_process_no_mount_and_no_file(
    place: Path, count: int, said: str, number: signal.Signals, code: int
) -> None:
    with demo(place, "--seconds", "45", count=count) as process:
        assert process.stdout is not None
        assert any(said in line for line in process.stdout)
        time.sleep(0.5)  # in the midst of what it does next
        process.send_signal(number)
        process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    assert until(lambda: processes_at(place) == [], GONE_S), processes_at(place)
    assert mounts_at(place) == []
    assert list(place.iterdir()) == []


@pytest.mark.soak
def test_two_hosts_keep_what_the_demo_promises(place: Path) -> None:
    with demo(place, "--seconds", "45", "--json", str(place / "out.json")) as process:
        out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, ""), out
    told = json.loads((place / "out.json").read_text())
    assert (told["limits_over_budget_s"], told["slept"], told["woken"]) == (0.0, ["n2"], ["n2"])
    assert [told[side]["requests_done"] for side in ("static", "eagent")] == [told["requests"]] * 2
    assert told["watts_moved_w"] > 0
    assert told["eagent"]["energy_j"] < told["static"]["energy_j"]
    assert until(lambda: processes_at(place) == [], GONE_S), processes_at(place)
    assert [path.name for path in place.iterdir()] == ["out.json"]
