"""Frames of `eagent top`, and the terminal before, while and after it runs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.top import frame

TAKEN, GIVEN_BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
WAIT_S = 20.0


def test_a_frame_shows_each_device_with_bar_and_numbers_and_their_sum(status: dict[str, Any]) -> None:
    status["devices"][0]["readings"]["sm_clock"] = {"value": 1410.0, "status": "ok", "age_s": 0.1}
    assert frame(status) == [
        "c01  eagent 0.1.0  2026-07-22T10:00:00Z",
        "warden   connected, newest reading 40ms old",
        "cost     in NVML 0.62% of the time for reads, 0.01% for writes; 99.5% of the sensors' publications caught; "
        "wake-ups at most 0.256 ms late (99 %); warden 0.4% of a CPU, 30 MiB; agent 3.0% of a CPU, 60 MiB",
        "budget   2480 W: limits in force 260.5 W + fixed 400 W, headroom 1819.5 W",
        "         without a lease each device falls to its safe cap of 150 W",
        "lease    runs 2.5s more, unless renewed",
        "",
        "DEVICE  DRAWN, LIMIT                POWER    LIMIT  BUSY   TEMP     CLOCK  STATE",
        "gpu0    ███████████████┃███·····  312.4 W  260.5 W   97%  61 °C  1410 MHz  leased: share of the budget",
        "all                               312.4 W  260.5 W",
    ]


def test_packages_come_below_the_gpus_and_have_a_sum_of_their_own(
    status: dict[str, Any], package: dict[str, Any]
) -> None:
    status["devices"].append(package)
    lines = frame(status)
    assert lines[6] == "cpus     3.2 of 32 busy over the last second, at 2750 MHz"
    assert lines[-3:] == [
        "cpu0    ████████···············┃   85.2 W    250 W               ≤ 1800 MHz  ours: ceiling, preference",
        "gpus                              312.4 W  260.5 W",
        "cpus                               85.2 W    250 W",
    ]


def test_a_package_without_a_limit_or_a_ceiling_shows_neither(status: dict[str, Any], package: dict[str, Any]) -> None:
    why = "RAPL has no limit here; its draw is a part of fixed_w"
    package["power_limit"].update(requested_w=None, min_w=None, max_w=None, state="unwritable", why=why)
    package["cpu_clock"].update(held_mhz=3400, ours_mhz=None, state="baseline")
    package["cpu_preference"].update(state="baseline")
    status["devices"].append(package)
    assert re.split(r"  +", frame(status)[-3]) == ["cpu0", "—", "85.2 W", "—", f"limit unwritable: {why}"]


def test_a_frame_of_a_simulated_host_says_so(status: dict[str, Any]) -> None:
    assert not any("SIMULATED" in line for line in frame(status))
    status["simulated"] = True
    assert frame(status)[1].startswith("SIMULATED")


def test_a_frame_of_a_halted_host_says_so_and_why(status: dict[str, Any]) -> None:
    status["halted"] = "maintenance"
    assert frame(status)[1] == "HALTED: no policy acts but the budget's: maintenance"


def test_a_missing_reading_is_a_dash_and_leaves_no_sum_that_looks_whole(status: dict[str, Any]) -> None:
    first = status["devices"][0]
    other = {**first, "device": "gpu1", "readings": {"power": {"value": 300.0, "status": "stale", "age_s": 9.0}}}
    other["power_limit"] = {**first["power_limit"], "requested_w": None, "enforced_w": 200.0, "why": ""}
    status["devices"].append(other)
    lines = frame(status)
    assert re.split(r"  +", lines[-2]) == [
        "gpu1",
        "—",
        "— stale",
        "200 W",
        "— missing",
        "— missing",
        "— missing",
        "leased",
    ]
    assert re.split(r"  +", lines[-1]) == ["all", "—", "460.5 W"]


def test_alarms_are_shown_and_a_host_without_devices_too(status: dict[str, Any]) -> None:
    status.update(devices=[], alarms=["gpu0: lost"])
    assert frame(status)[-3:] == ["ALARM: gpu0: lost", "", "No device is visible."]


def test_once_prints_one_plain_frame(eagent: Callable[..., Any], agent: Any) -> None:
    assert eagent("top", "--once") == (0, "\n".join(frame(agent.said)) + "\n", "")


def test_without_an_agent_once_fails_in_one_line(eagent: Callable[..., Any]) -> None:
    said = eagent("top", "--once")
    assert (said.code, said.out) == (1, "")
    assert "start it with `eagent up`" in said.err


@pytest.mark.usefixtures("agent")
def test_without_a_terminal_it_says_what_to_use(eagent: Callable[..., Any]) -> None:
    said = eagent("top")
    assert (said.code, said.out) == (1, "")
    assert "eagent top --once" in said.err


class Terminal:
    """A terminal with `eagent top` in it."""

    def __init__(self, run_dir: Path) -> None:
        self._ours, self.theirs = pty.openpty()
        self.resize(100, 24)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eagent", f"--run-dir={run_dir}", "top"],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait_for(self, condition: Callable[[str], bool]) -> bool:
        """Read on until what was seen fulfils the condition."""
        deadline = time.monotonic() + WAIT_S
        while not condition(self.seen):
            ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            self.seen += os.read(self._ours, 65_536).decode("utf-8", "ignore")
        return True

    def assert_left(self) -> None:
        """It ended well, and the terminal is as it was."""
        assert self.wait_for(lambda seen: seen.endswith(GIVEN_BACK)), self.seen[-300:]
        assert self.process.wait(WAIT_S) == 0
        assert termios.tcgetattr(self.theirs) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    """Makes terminals with `eagent top` in them."""
    made: list[Terminal] = []

    def make() -> Terminal:
        made.append(Terminal(tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("key", [b"q", b"Q"])
def test_q_ends_it_and_the_terminal_is_as_it_was(terminal: Callable[[], Terminal], key: bytes) -> None:
    shown = terminal()
    assert shown.wait_for(lambda seen: seen.startswith(TAKEN) and "312.4 W" in seen), shown.seen
    assert termios.tcgetattr(shown.theirs) != shown.before
    shown.type(b"x")  # any other key leaves it running
    shown.type(key)
    shown.assert_left()


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(
    terminal: Callable[[], Terminal], number: signal.Signals
) -> None:
    shown = terminal()
    assert shown.wait_for(lambda seen: "312.4 W" in seen), shown.seen
    shown.process.send_signal(number)
    shown.assert_left()


@pytest.mark.usefixtures("agent")
def test_a_frame_fits_the_terminal_and_follows_its_size(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    assert shown.wait_for(lambda seen: "312.4 W" in seen), shown.seen
    shown.seen = ""
    shown.resize(12, 4)
    shown.process.send_signal(signal.SIGWINCH)  # the kernel sends it to the terminal's own session only
    small = ["c01  eagent ", "warden   con", "cost     in ", "… 7 more lin"]
    wanted = "\x1b[H" + "\x1b[K\n".join(small) + "\x1b[K\x1b[J"
    assert shown.wait_for(lambda seen: wanted in seen.replace("\r", "")), shown.seen
    shown.type(b"q")
    shown.assert_left()


def test_it_follows_the_agent_and_never_shows_a_dead_ones_numbers(terminal: Callable[[], Terminal], agent: Any) -> None:
    shown = terminal()
    assert shown.wait_for(lambda seen: "312.4 W" in seen), shown.seen
    agent.said["devices"][0]["readings"]["power"]["value"] = 222.2
    assert shown.wait_for(lambda seen: "222.2 W" in seen), shown.seen
    agent.said = {"not": "a status"}  # answered with an error
    shown.seen = ""
    agent.problem = RuntimeError("broken")
    agent.status = lambda: 1 / 0
    assert shown.wait_for(lambda seen: "eagent top: eagent failed to answer this" in seen), shown.seen
    last = shown.seen.rpartition("\x1b[H")[2]
    assert "222.2 W" not in last
    shown.type(b"q")
    shown.assert_left()


@pytest.mark.usefixtures("agent")
def test_ctrl_z_gives_the_terminal_back_until_it_is_continued(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    assert shown.wait_for(lambda seen: "312.4 W" in seen), shown.seen
    shown.process.send_signal(signal.SIGTSTP)
    assert shown.wait_for(lambda seen: seen.endswith(GIVEN_BACK)), shown.seen[-300:]
    stopped = time.monotonic() + WAIT_S
    while "State:\tT" not in Path(f"/proc/{shown.process.pid}/status").read_text():
        assert time.monotonic() < stopped
    assert termios.tcgetattr(shown.theirs) == shown.before
    shown.seen = ""
    shown.process.send_signal(signal.SIGCONT)
    assert shown.wait_for(lambda seen: seen.startswith(TAKEN) and "312.4 W" in seen), shown.seen
    shown.type(b"q")
    shown.assert_left()
