"""The service under a real systemd, on a simulated host, from its installation to its end: one boot for all of it."""

from __future__ import annotations

import hashlib
import json
import signal
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagent.sim._plant import Host
from tests.integration.nspawn import Machine, machine, why_no_nspawn

WARDEN, AGENT = "eagent-warden.service", "eagent-agent.service"
FREE_W, PINNED_W = 400.0, 250.0
ONLY_SYS_ADMIN = 1 << 21
AS_AGENT = ("setpriv", "--reuid=eagent", "--regid=eagent", "--clear-groups")
CHECKOUT = Path(__file__).parents[2]
LOGS = (
    "var/log/",
    "var/lib/systemd/",
    "var/lib/dpkg/",
    "var/cache/",
    "run/",
    "tmp/",
    "var/tmp/",
)  # what any boot writes
SIM = """[Service]
Environment=EAGENT_SIM_HOST=/srv/sim/one/plant
Environment=EAGENT_SYSFS=/srv/sim/one/kernel/sys
Environment=LD_LIBRARY_PATH=/srv/sim/one/lib:/opt/python/lib
ReadWritePaths=/srv/sim
WatchdogSec=3
"""


class Service:
    """The service on its machine, and the simulated driver's own view of what it does."""

    def __init__(self, on: Machine) -> None:
        self.on = on
        on.run("eagent", "sim", "create", "one", "--gpus=2", EAGENT_SIM_DIR="/srv/sim")
        self.plant = Host(on.root / "srv/sim/one/plant")
        for unit in (WARDEN, AGENT):
            drop_in = on.root / f"etc/systemd/system/{unit}.d/sim.conf"
            drop_in.parent.mkdir(parents=True)
            drop_in.write_text(SIM)

    def eagent(self, *words: str) -> str:
        """Run a command of eagent's as root, on the simulated host."""
        lines = (line.split("=") for line in SIM.splitlines() if line.startswith("Environment="))
        environ = {name: value for _, name, value in lines}
        return self.on.run("eagent", *words, **environ).stdout

    def limits_w(self) -> list[float]:
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(2)]

    def raised_w(self, since_s: float) -> list[float]:
        """What was written to the pinned GPU above its pin since then, by the driver's own log."""
        log = self.plant.limit_log()
        return [new_w for at_s, gpu, _, new_w, _ in log if gpu == 0 and at_s > since_s and new_w > PINNED_W]

    def pin(self) -> None:
        self.eagent("pin", "set", "gpu0", f"{PINNED_W:g}W")
        self.on.until(lambda: self.limits_w() == [PINNED_W, FREE_W], 5, "the pin is in force")

    def await_free(self, most_s: float) -> float:
        return self.on.until(lambda: self.limits_w() == [FREE_W, FREE_W], most_s, f"free: {self.limits_w()}")

    def await_active(self) -> None:
        """Until both are ready: not only begun, and not becoming their successors any more."""
        self.on.until(lambda: all(self.is_ready(unit) for unit in (WARDEN, AGENT)), 20, "both are active")

    def is_ready(self, unit: str) -> bool:
        status = self.on.show(unit, "StatusText")
        return self.on.show(unit, "ActiveState") == "active" and ("GPUs" in status)

    def pid(self, unit: str) -> int:
        """Its main process, as the machine numbers it."""
        return int(self.on.show(unit, "MainPID"))

    def kill(self, unit: str, number: signal.Signals) -> None:
        self.on.run("kill", f"-{number.value}", str(self.pid(unit)))

    def proc(self, unit: str) -> dict[str, str]:
        lines = self.on.run("cat", f"/proc/{self.pid(unit)}/status").stdout.splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    if missing := why_no_nspawn():
        pytest.skip(missing)
    with machine(tmp_path) as on:
        made = Service(on)
        try:
            yield made
        finally:
            made.plant.close()


def test_the_service_from_its_installation_to_its_end(service: Service) -> None:
    before = _tree(service.on)
    it_is_ready_once_it_is_installed_and_has_no_privilege_that_it_does_not_need(service)
    its_log_in_the_journal_has_priorities_and_no_time_of_its_own(service)
    an_upgrade_in_place_keeps_holds_pins_and_budget(service)
    a_killed_warden_is_put_back_and_started_again(service)
    a_killed_agent_is_put_back_and_started_again(service)
    the_watchdog_ends_an_agent_that_stands_still(service)
    a_stop_puts_everything_back(service)
    an_uninstallation_leaves_the_tree_as_it_was(service, before)
    the_package_does_the_same(service, before)


def it_is_ready_once_it_is_installed_and_has_no_privilege_that_it_does_not_need(service: Service) -> None:
    told = service.eagent("service", "install", "--dry-run")
    assert "run systemctl start eagent.target" in told
    assert "not installed" in service.on.run("eagent", "service", "status", check=False).stdout
    service.eagent("service", "install")
    assert "write" not in service.eagent("service", "install")  # nothing is left to be written
    service.await_active()
    assert service.on.show(WARDEN, "StatusText") == "governs 2 simulated GPUs; no lease runs"
    warden, agent = service.proc(WARDEN), service.proc(AGENT)
    assert int(warden["CapBnd"], 16) == int(warden["CapEff"], 16) == ONLY_SYS_ADMIN
    assert int(agent["CapBnd"], 16) == int(agent["CapEff"], 16) == 0
    assert (warden["NoNewPrivs"], warden["Seccomp"]) == (agent["NoNewPrivs"], agent["Seccomp"]) == ("1", "2")
    assert warden["Uid"].split()[0] == "0"
    assert agent["Uid"].split()[0] != "0"
    place = Path(f"/proc/{service.on.leader}/root/run/eagent")
    socket = (place / "warden/sock").stat()
    assert (socket.st_uid, str(socket.st_gid)) == (0, agent["Gid"].split()[0])
    assert stat.S_IMODE(socket.st_mode) == 0o660
    assert service.on.run(*AS_AGENT, "touch", "/var/lib/eagent/audit/agent/x").returncode == 0
    for command in (
        *("rm /run/eagent/warden/sock", "touch /run/eagent/warden/x", "mv /run/eagent/warden /run/eagent/x"),
        *("mv /run/eagent/ring /run/eagent/x", "touch /var/lib/eagent/x"),
    ):
        assert service.on.run(*AS_AGENT, "sh", "-c", command, check=False).returncode != 0, command


def its_log_in_the_journal_has_priorities_and_no_time_of_its_own(service: Service) -> None:
    lines = service.on.run("journalctl", "-o", "json", "-u", WARDEN, "--no-pager").stdout.splitlines()
    ready = [line for line in map(json.loads, lines) if "ready: 2 GPUs" in str(line["MESSAGE"])]
    assert ready
    assert ready[0]["PRIORITY"] == "6"
    assert ready[0]["MESSAGE"].startswith("eagent.warden: ready")


def an_upgrade_in_place_keeps_holds_pins_and_budget(service: Service) -> None:
    service.pin()
    _upgrade(service, "eagent", "service", "install")
    service.eagent("budget", "set", "900W", "--fixed-w", "200W", "--safe-cap", "150W")
    service.on.until(lambda: sum(service.limits_w()) <= 700, 5, "the budget is in force")
    _upgrade(service, "eagent", "service", "install")
    assert "900" in service.eagent("budget")
    service.eagent("budget", "clear")
    service.on.until(lambda: service.limits_w() == [PINNED_W, FREE_W], 8, "only the pin stands")


def _upgrade(service: Service, *words: str) -> None:
    """Run a command that has both become their successors: neither ends, and nothing that is held moves."""
    pids, since_s = [service.pid(unit) for unit in (WARDEN, AGENT)], service.plant.time_s
    started = [_age(service, unit) for unit in (WARDEN, AGENT)]
    service.on.run(*words)
    service.on.until(
        lambda: all(_age(service, unit) != old for unit, old in zip((WARDEN, AGENT), started, strict=True)),
        10,
        "both have become their successors",
    )
    service.await_active()
    service.on.until(lambda: "a lease runs" in service.on.show(WARDEN, "StatusText"), 15, "the agent holds again")
    assert [service.pid(unit) for unit in (WARDEN, AGENT)] == pids
    assert service.limits_w()[0] <= PINNED_W
    assert service.raised_w(since_s) == []


def _age(service: Service, unit: str) -> str:
    """Something that a new program in the same process has anew: the first bytes of its environment's place."""
    return service.on.run("sh", "-c", f"cut -d' ' -f48-51 /proc/{service.pid(unit)}/stat").stdout


def a_killed_warden_is_put_back_and_started_again(service: Service) -> None:
    since_s, pid = service.plant.time_s, service.pid(AGENT)
    service.kill(WARDEN, signal.SIGKILL)
    service.on.until(lambda: FREE_W in service.raised_w(since_s), 10, "its end was put back")
    service.await_active()
    service.on.until(lambda: service.limits_w() == [PINNED_W, FREE_W], 15, "the agent has its pin held again")
    assert service.pid(AGENT) == pid
    assert service.on.show(WARDEN, "NRestarts") == "1"
    service.on.run(*AS_AGENT, "rm", "/var/lib/eagent/audit/agent/x")  # what is the agent's stays so


def a_killed_agent_is_put_back_and_started_again(service: Service) -> None:
    service.kill(AGENT, signal.SIGKILL)
    service.await_free(8)
    service.await_active()
    assert service.on.show(AGENT, "NRestarts") == "1"


def the_watchdog_ends_an_agent_that_stands_still(service: Service) -> None:
    service.pin()
    pid = service.pid(AGENT)
    service.kill(AGENT, signal.SIGSTOP)
    service.await_free(8)
    service.on.until(lambda: service.pid(AGENT) not in (0, pid), 12, "another agent")
    service.await_active()
    assert "Watchdog timeout" in service.on.journal()


def a_stop_puts_everything_back(service: Service) -> None:
    service.pin()
    service.on.run("systemctl", "stop", "eagent.target")  # it returns before its units have ended
    for unit in (AGENT, WARDEN):
        service.on.until(lambda unit=unit: service.on.show(unit, "ActiveState") == "inactive", 10, f"{unit} has ended")  # type: ignore[misc]
        assert service.on.show(unit, "Result") == "success"
    assert service.limits_w() == [FREE_W, FREE_W]
    service.on.run("systemctl", "start", "eagent.target")
    service.await_active()


def an_uninstallation_leaves_the_tree_as_it_was(service: Service, before: dict[str, str]) -> None:
    service.pin()
    told = service.eagent("service", "uninstall", "--purge")
    assert "left:" not in told
    assert service.limits_w() == [FREE_W, FREE_W]
    assert _changes(service.on, before) == set()
    service.eagent("service", "uninstall")  # once more is no error


def the_package_does_the_same(service: Service, before: dict[str, str]) -> None:
    if not Path(f"/usr/bin/python{sysconfig.get_python_version()}").exists():
        return  # a package is for the distribution's Python, and this one is of another version
    build = [sys.executable, "debian/build.py", str(service.on.root / "srv/sim"), "--quick"]
    package = subprocess.run(build, check=True, capture_output=True, text=True, cwd=CHECKOUT).stdout.strip()
    inside = f"/srv/sim/{Path(package).name}"
    service.on.run("dpkg", "-i", inside)
    service.await_active()
    refused = service.on.run("eagent", "service", "install", check=False)
    assert "eagent's package has installed the service" in refused.stderr
    service.pin()
    service.on.until(lambda: "a lease runs" in service.on.show(WARDEN, "StatusText"), 5, "a lease runs")
    _upgrade(service, "dpkg", "-i", inside)
    service.on.run("dpkg", "--purge", "eagent")
    assert service.limits_w() == [FREE_W, FREE_W]
    assert _changes(service.on, before) == set()


def _changes(on: Machine, before: dict[str, str]) -> set[str]:
    """The paths of files that are neither as they were nor as on this machine."""
    after = _tree(on)
    assert not Path(f"/proc/{on.leader}/root/run/eagent").exists()
    changed = {path for path, mark in after.items() if before.get(path, _mark(Path("/", path))) != mark}
    return changed | (before.keys() - after.keys())


def _tree(on: Machine) -> dict[str, str]:
    """What differs from this machine's own tree, by path, but for logs; of a file what is in it."""
    paths = (path for path in on.changes.rglob("*") if not path.is_dir() or path.is_symlink())
    named = {str(path.relative_to(on.changes)): path for path in paths}
    return {name: _mark(path) for name, path in named.items() if not name.startswith(LOGS) and not _is_backup(name)}


def _is_backup(name: str) -> bool:
    """What useradd and userdel leave: backups and locks of the files that they change."""
    return name.startswith("srv/sim/") or (name.startswith("etc/") and name.endswith(("-", ".pwd.lock")))


def _mark(path: Path) -> str:
    if path.is_symlink():
        return str(path.readlink())
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"
