"""What a rack under eagent is made of, before anything of it runs."""

from __future__ import annotations

import os
import socket
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from eagent.demo import rack as racks
from eagent.demo.rack import Governed, Watts, hosts, why_no_kernel
from eagent.errors import DriverError, EagentError
from eagent.sim import sysfs
from tests.demo.conftest import RackMaker

WATTS = Watts(600.0, 1600.0, 1200.0, packages_shown=True)
Address = tuple[str, int]


def addresses(site: Path) -> list[Address]:
    roster = tomllib.loads((site / "n1" / "roster.toml").read_text())
    found = [each["address"].split(":") for each in roster["hosts"].values()]
    return [(host, int(port)) for host, port in found]


@pytest.fixture
def governed(rack: RackMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Governed, Path]:
    """Two hosts under an eagent whose every process is a `sleep`."""
    monkeypatch.setattr(Governed, "_start", _start_sleeping)
    site = tmp_path / "site"
    site.mkdir()
    return Governed(rack(2), WATTS, site, os.environ), site


def _start_sleeping(self: Governed, name: str, arguments: list[str]) -> None:  # noqa: ARG001  # the shape of a start
    self._processes[name] = subprocess.Popen(["sleep", "60"])


def listen(address: Address) -> socket.socket:
    return socket.create_server(address)  # with SO_REUSEADDR, as asyncio's


def test_ports_of_the_rack_are_its_own_until_it_has_ended(governed: tuple[Governed, Path]) -> None:
    agents, site = governed
    found = addresses(site)
    assert len(set(found)) == 3
    with agents.running():
        for address in found:
            with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
                somebody.bind(address)
            with listen(address):
                pass
    for address in found:
        with socket.socket() as somebody:
            somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            somebody.bind(address)


def test_who_listens_at_a_port_of_the_rack_is_not_disturbed(governed: tuple[Governed, Path]) -> None:
    agents, site = governed
    with agents.running(), listen(addresses(site)[0]) as server, socket.create_connection(addresses(site)[0]):
        server.accept()[0].close()


def test_what_has_ended_is_told_by_name(governed: tuple[Governed, Path]) -> None:
    agents, site = governed
    (site / "power.log").write_text("first\nwhy it ended\n")
    with agents.running():
        agents.check()
        agents._processes["power"].kill()
        agents._processes["power"].wait()
        with pytest.raises(EagentError, match=r"^power has ended: power: why it ended$"):
            agents.check()


def test_all_has_ended_when_something_fails_meanwhile(governed: tuple[Governed, Path]) -> None:
    agents, _ = governed
    with pytest.raises(EagentError, match="anything"), agents.running():
        raise EagentError("anything")
    assert [process.returncode for process in agents._processes.values()] == [-15] * 3


def test_configurations_hold_what_was_declared(governed: tuple[Governed, Path]) -> None:
    agents, site = governed
    with agents.running():
        config = tomllib.loads((site / "n2" / "eagent.toml").read_text())
        power = tomllib.loads((site / "power" / "power.toml").read_text())
    assert (config["host"]["fixed_w"], config["mesh"]["reserve_w"], config["mesh"]["name"]) == (1200.0, 2200.0, "n2")
    assert (sorted(power["hosts"]), power["mesh"]["name"]) == (["n1", "n2"], "power")
    assert (site / "power" / "power.toml").stat().st_mode & 0o077 == 0


def refuse(_: object) -> int:
    raise DriverError("/dev/fuse is missing")


def test_without_fuse_it_is_said_why_and_no_host_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "start", refuse)
    assert why_no_kernel(tmp_path) == "/dev/fuse is missing"
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_may_have_begun_is_stopped_when_its_start_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def note(mount: object) -> None:
        stopped.append(str(mount))

    monkeypatch.setattr(sysfs, "start", refuse)
    monkeypatch.setattr(racks.simulated.Mount, "stop", note)
    with pytest.raises(DriverError), hosts(tmp_path, ["n1"], kernel=True):
        pass
    assert len(stopped) == 1


def stop_after(count: int) -> Callable[[], None]:
    left = iter(range(count))

    def check() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return check


def test_hosts_are_made_until_somebody_ends_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hosts(tmp_path, ["n1", "n2", "n3"], kernel=False, check=stop_after(1)):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n1", "n2"]
