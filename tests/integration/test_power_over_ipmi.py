"""The power role with the real ipmitool, against two IPMI servers that are not ours: pyghmi's and OpenIPMI's."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from eagent.engines.power import config
from eagent.engines.power.adapter import PowerState
from eagent.engines.power.ipmi import Bmc, IpmiAdapter
from eagent.engines.power.registry import switches
from eagent.engines.power.role import Entry, Event, Role
from eagent.engines.power.wishes import SECOND_NS, Consent, Kind, Wish
from eagent.errors import RefusedError, UnavailableError

IPMITOOL = shutil.which("ipmitool") or ""
USER, PASSWORD = "eagent", "Pa55-hush"
START_S = 30.0

pytestmark = pytest.mark.skipif(not IPMITOOL, reason="ipmitool is missing (Debian: apt-get install ipmitool)")


@dataclass
class Board:
    """A BMC that runs, and how it is reached."""

    process: subprocess.Popen[str]
    bmc: Bmc
    said: Path

    @property
    def told(self) -> list[str]:
        """What it was told, a word each."""
        return self.said.read_text().split()[1:]

    def adapter(self, **changed: object) -> IpmiAdapter:
        return IpmiAdapter({"n1": replace(self.bmc, **changed)}, IPMITOOL)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def bmc(secret: Path) -> Bmc:
    """How a BMC on loopback is reached, by somebody of little patience."""
    return Bmc(
        "127.0.0.1", USER, secret, free_port(), cipher_suite=3, timeout_s=10, attempts=2, backoff_s=0.1, grace_s=8
    )


@pytest.fixture
def board(bmc: Bmc, tmp_path: Path) -> Iterator[Callable[[str], Board]]:
    """Starts BMCs whose host obeys an orderly shutdown, or is deaf to it."""
    if importlib.util.find_spec("pyghmi") is None:
        pytest.skip("pyghmi is missing (pip install pyghmi)")
    with contextlib.ExitStack() as running:

        def start(manner: str) -> Board:
            said = tmp_path / "said"
            command = [sys.executable, str(Path(__file__).with_name("bmc_server.py")), str(bmc.port), USER, manner]
            with said.open("w") as out:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, text=True)
            running.callback(end, process)
            assert process.stdin is not None
            process.stdin.write(PASSWORD + "\n")
            process.stdin.flush()
            await_true(lambda: said.read_text() != "" or process.poll() is not None)
            assert process.poll() is None
            return Board(process, bmc, said)

        yield start


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_host_is_switched_on_measured_shut_down_in_order_and_measured_again(board: Callable[[str], Board]) -> None:
    served = board("obeys")
    adapter = served.adapter()

    async def course() -> None:
        assert await adapter.state("n1") is PowerState.OFF
        assert await adapter.power_w("n1") == 7.0
        await adapter.on("n1")
        assert await adapter.state("n1") is PowerState.ON
        assert await adapter.power_w("n1") == 312.0
        await adapter.off("n1")
        assert await adapter.state("n1") is PowerState.OFF

    asyncio.run(course())
    assert served.told == ["on", "soft"]  # its power was not taken


def test_a_host_that_is_deaf_to_the_shutdown_loses_its_power_after_the_grace(board: Callable[[str], Board]) -> None:
    served = board("deaf")
    adapter = served.adapter(grace_s=1.0)
    asyncio.run(adapter.on("n1"))
    begun = time.monotonic()
    asyncio.run(adapter.off("n1"))
    assert time.monotonic() - begun >= 1.0
    assert asyncio.run(adapter.state("n1")) is PowerState.OFF
    assert served.told == ["on", "soft", "off"]


def test_a_deaf_host_keeps_its_power_where_force_is_forbidden(board: Callable[[str], Board]) -> None:
    served = board("deaf")
    adapter = served.adapter(grace_s=0.5, force=False)
    asyncio.run(adapter.on("n1"))
    with pytest.raises(RefusedError, match="force = false"):
        asyncio.run(adapter.off("n1"))
    assert asyncio.run(adapter.state("n1")) is PowerState.ON


def test_a_wrong_password_is_refused_at_once_and_told_nowhere(board: Callable[[str], Board]) -> None:
    served = board("obeys")
    served.bmc.password_file.write_text("hush-but-wrong\n")
    begun = time.monotonic()
    with pytest.raises(RefusedError, match="does not let in eagent: the password is wrong") as refusal:
        asyncio.run(served.adapter(attempts=10, backoff_s=60).on("n1"))
    assert time.monotonic() - begun < 30  # asked once
    assert "hush" not in str(refusal.value)
    assert served.told == []


def test_a_cipher_suite_that_the_bmc_does_not_speak_is_named(board: Callable[[str], Board]) -> None:
    with pytest.raises(RefusedError, match="try cipher_suite = 3"):
        asyncio.run(board("obeys").adapter(cipher_suite=17).state("n1"))


def test_without_a_cipher_suite_the_bmc_is_asked_for_one(board: Callable[[str], Board]) -> None:
    assert asyncio.run(board("obeys").adapter(cipher_suite=None).state("n1")) is PowerState.OFF


@pytest.mark.parametrize("bound", [True, False], ids=["silent", "closed"])
def test_a_bmc_that_does_not_answer_is_given_up_in_a_bounded_time(bmc: Bmc, bound: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        if bound:
            deaf.bind((bmc.address, bmc.port))
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer after 2 attempts"):
            asyncio.run(IpmiAdapter({"n1": replace(bmc, timeout_s=3)}, IPMITOOL).state("n1"))
        assert time.monotonic() - begun < 2 * 3 + 5


def test_the_role_puts_a_host_to_sleep_and_wakes_it_over_ipmi(board: Callable[[str], Board], tmp_path: Path) -> None:
    served = board("obeys")
    asyncio.run(served.adapter().on("n1"))
    file = tmp_path / "power.toml"
    file.touch(0o600)
    file.write_text(
        textwrap.dedent(f"""
            [power]
            mode = "act"
            least_on_s = 0
            least_off_s = 0
            [ipmi]
            program = "{IPMITOOL}"
            user = "{USER}"
            password_file = "{served.bmc.password_file}"
            port = {served.bmc.port}
            cipher_suite = 3
            grace_s = 8
            [hosts.n1]
            by = "ipmi"
            address = "127.0.0.1"
        """)
    )
    wanted = config.load(file)
    told: list[Entry] = []
    role = Role(switches(wanted), wanted.rules, told.append)
    now_ns = time.monotonic_ns()
    consent = Consent("n1", "life1", "slurm", True, True, True, now_ns, now_ns + 3600 * SECOND_NS)

    async def course() -> None:
        role.ask(Wish("n1", Kind.SLEEP, "packer", "idle", now_ns, consent))
        role.turn()
        await role.settled()
        role.ask(Wish("n1", Kind.WAKE, "slurm", "a job waits", time.monotonic_ns()))
        role.turn()
        await role.settled()

    asyncio.run(course())
    assert [(entry.event, entry.state, entry.power_w) for entry in told if entry.event is not Event.ASKED] == [
        (Event.BEGUN, PowerState.ON, 312.0),
        (Event.DONE, PowerState.OFF, 7.0),
        (Event.BEGUN, PowerState.OFF, 7.0),
        (Event.DONE, PowerState.ON, 312.0),
    ]
    assert PASSWORD not in repr(told)


@pytest.fixture
def openipmi(bmc: Bmc, tmp_path: Path) -> Iterator[Bmc]:
    """OpenIPMI's server: another one's reading of the standard. It refuses an orderly shutdown and has no DCMI."""
    if (program := shutil.which("ipmi_sim")) is None:
        pytest.skip("ipmi_sim is missing (Debian: apt-get install openipmi)")
    host = tmp_path / "host"
    host.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/host.pid\nexec sleep 1000\n")
    host.chmod(0o755)
    auths = "\n".join(
        f"  allowed_auths_{who} none md2 md5 straight" for who in ("callback", "user", "operator", "admin")
    )
    (tmp_path / "lan.conf").write_text(
        f'name "n1"\nset_working_mc 0x20\nstartlan 1\n  addr 127.0.0.1 {bmc.port}\n  priv_limit admin\n{auths}\n'
        "  guid a123456789abcdefa123456789abcdef\nendlan\n"
        'user 1 true "" "test" user 10 none md2 md5 straight\n'
        f'user 2 true "{USER}" "{PASSWORD}" admin 10 none md2 md5 straight\n'
        f'serial 15 127.0.0.1 {free_port()} codec VM\nstartcmd "{host}"\nstartnow false\npoweroff_wait 1\nkill_wait 1\n'
    )
    board = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
    (tmp_path / "n1.emu").write_text(board)
    command = [program, "-c", "lan.conf", "-f", "n1.emu", "-s", str(tmp_path / "state"), "-n"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
    try:
        yield bmc
    finally:
        process.kill()
        end(process)
        if (pid := host_pid(tmp_path)) is not None:  # the BMC's end does not end its host
            os.kill(pid, signal.SIGKILL)


def host_pid(directory: Path) -> int | None:
    """The host's process while it lives."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((directory / "host.pid").read_text())
        return pid if Path(f"/proc/{pid}/cwd").readlink() == directory else None
    return None


def test_another_servers_reading_of_the_standard_is_understood(openipmi: Bmc, tmp_path: Path) -> None:
    adapter = IpmiAdapter({"n1": replace(openipmi, grace_s=0.5)}, IPMITOOL)
    await_true(lambda: asyncio.run(adapter.state("n1")) is PowerState.OFF)
    asyncio.run(adapter.on("n1"))
    assert asyncio.run(adapter.state("n1")) is PowerState.ON
    await_true(lambda: host_pid(tmp_path) is not None)
    assert asyncio.run(adapter.power_w("n1")) is None
    asyncio.run(adapter.off("n1"))  # soft is refused: the power is taken after the grace
    await_true(lambda: asyncio.run(adapter.state("n1")) is PowerState.OFF)
    await_true(lambda: host_pid(tmp_path) is None)


def test_another_server_that_does_not_know_the_user_is_asked_once(openipmi: Bmc) -> None:
    adapter = IpmiAdapter({"n1": openipmi}, IPMITOOL)
    await_true(lambda: asyncio.run(adapter.state("n1")) is PowerState.OFF)
    stranger = IpmiAdapter({"n1": replace(openipmi, user="nobody", attempts=10, backoff_s=60)}, IPMITOOL)
    with pytest.raises(RefusedError, match="it does not know the user"):
        asyncio.run(stranger.state("n1"))
