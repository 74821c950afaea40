"""The init of a simulated host, as a real process with real children."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eagent.errors import RefusedError
from eagent.sim import host as hosts
from eagent.sim._bmc import Bmc
from eagent.sim.boot import STOP_S

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

PATIENCE_S = 20.0
# A command that runs on in a session of its own, as a daemon would, and leaves a child there; each notes its pid.
DAEMON = """
import os, signal, sys, time
where = os.environ["EAGENT_STATE_DIR"] + "/pids"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.environ["EAGENT_RUN_DIR"] + f"/{os.getpid()}", "w").close()
with open(where, "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
    return found


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


class Init:
    """`eagent sim boot` for a host, and what its command has noted."""

    def __init__(self, made: SimHost, command: list[str]) -> None:
        self.made, self.bmc = made, Bmc(made.plant)
        self.log = made.dir / "boot.log"
        start = [sys.executable, "-m", "eagent", "sim", "boot", made.name, "--", *command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(start, env=made.environ, stdout=log, stderr=log)

    def pids(self, count: int) -> list[int]:
        """What the commands have noted, once there is so much of it."""
        path = self.made.dir / "state/pids"
        return wait_for(
            lambda: path.exists() and (found := [*map(int, path.read_text().split())]) and len(found) >= count and found
        )

    def says(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.log.read_text().count(text) >= times)

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.bmc.close()


@pytest.fixture
def init(sim_host: SimHostFactory) -> Iterator[Callable[..., Init]]:
    """`init(command, ...)` for a host that boots in 0.3 s."""
    begun: list[Init] = []

    def begin(*command: str, **options: Any) -> Init:
        begun.append(Init(sim_host(gpus=1, **{"boot_s": 0.3, **options}), list(command)))
        return begun[-1]

    yield begin
    for one in begun:
        one.clean_up()


def test_a_cut_kills_all_that_the_command_has_started_and_a_boot_starts_it_anew(init: Callable[..., Init]) -> None:
    running = init(sys.executable, "-c", DAEMON)
    first = running.pids(3)
    made = running.made
    wait_for(lambda: len(list((made.dir / "run").iterdir())) == 2)
    running.bmc.switch_off()
    cut_s = time.monotonic()
    wait_for(lambda: all(map(is_gone, first)))
    assert time.monotonic() - cut_s < 2
    running.says("has lost power")
    assert list((made.dir / "run").iterdir()) == []
    assert running.pids(3) == first  # and a disk keeps what is on it
    running.bmc.switch_on()
    second = running.pids(6)[3:]
    assert set(second).isdisjoint(first)
    running.process.terminate()
    assert running.process.wait(PATIENCE_S + STOP_S) == 0
    assert all(map(is_gone, second))  # also what is deaf to SIGTERM: killed when the time to stop was over


def test_a_cut_is_not_missed_though_the_host_is_on_again_at_once(init: Callable[..., Init]) -> None:
    running = init(sys.executable, "-c", DAEMON, boot_s=0.0)
    first = running.pids(3)
    running.bmc.switch_off()
    running.bmc.switch_on()
    wait_for(lambda: all(map(is_gone, first)))
    second = running.pids(6)[3:]
    running.bmc.switch_off()  # else what is deaf to SIGTERM is waited for
    wait_for(lambda: all(map(is_gone, second)))


def test_sigterm_ends_the_command_in_order_and_all_that_it_has_left_behind(init: Callable[..., Init]) -> None:
    orderly = (
        "import os, signal, sys, time\n"
        "os.chdir(os.environ['EAGENT_STATE_DIR'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('orderly', 'w'), sys.exit()))\n"
        "open('pids', 'w').write(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    running = init(sys.executable, "-c", orderly)
    (pid,) = running.pids(1)
    running.process.terminate()
    assert running.process.wait(PATIENCE_S) == 0
    assert is_gone(pid)
    assert (running.made.dir / "state/orderly").exists()


def test_a_command_is_told_to_end_when_init_is_killed(init: Callable[..., Init]) -> None:
    running = init("sleep", "600")
    running.says("runs as pid")
    pid = int(running.log.read_text().rstrip(".\n").split()[-1])
    running.process.send_signal(signal.SIGKILL)
    wait_for(lambda: is_gone(pid))


def test_a_command_that_fails_is_started_again_and_one_that_succeeds_is_not(init: Callable[..., Init]) -> None:
    failing = init("sh", "-c", 'echo $$ >> "$EAGENT_STATE_DIR/pids"; exit 3')
    assert len(failing.pids(2)) == 2
    failing.says("failed (3); starting it again in 1 s")
    failing.says("failed (3); starting it again in 2 s")
    done = init("sh", "-c", 'echo $$ >> "$EAGENT_STATE_DIR/pids"')
    done.says("it runs again after the next boot")
    done.bmc.switch_off()
    done.says("has lost power")
    assert len(done.pids(1)) == 1
    done.bmc.switch_on()
    assert len(done.pids(2)) == 2


def test_an_init_waits_for_a_host_that_is_off(sim_host: SimHostFactory) -> None:
    made = sim_host(gpus=1, boot_s=0.1)
    (made.dir / "run/left").write_text("by whoever ran before the cut")
    with Bmc(made.plant) as bmc:
        bmc.switch_off()
    running = Init(made, ["sh", "-c", 'echo 1 > "$EAGENT_STATE_DIR/pids"; sleep 600'])
    try:
        running.says("waiting for it")
        assert not (made.dir / "run/left").exists()
        assert not (made.dir / "state/pids").exists()
        running.bmc.switch_on()
        running.pids(1)
    finally:
        running.clean_up()


def test_a_host_has_one_init_and_is_not_deleted_under_it(init: Callable[..., Init]) -> None:
    running = init("sleep", "600")
    running.says("runs as pid")
    second = Init(running.made, ["true"])
    assert second.process.wait(PATIENCE_S) == 1
    assert "runs for host0 already" in second.log.read_text()
    second.clean_up()
    with pytest.raises(RefusedError, match="`eagent sim boot` runs for it"):
        hosts.delete(running.made.dir.parent, "host0")


def test_a_command_that_is_none_is_one_line(init: Callable[..., Init]) -> None:
    running = init("/no/such/program")
    assert running.process.wait(PATIENCE_S) == 1
    assert running.log.read_text() == "eagent: /no/such/program: No such file or directory\n"


def test_options_behind_the_dashes_are_the_commands(init: Callable[..., Init]) -> None:
    running = init("sh", "-c", 'echo "$@" > "$EAGENT_STATE_DIR/said"; sleep 600', "sh", "-1", "--config=x", "--", "-h")
    said = running.made.dir / "state/said"
    wait_for(lambda: said.exists() and said.read_text())
    assert said.read_text() == "-1 --config=x -- -h\n"
