"""`eagent measure` around real commands, without an agent; and how it tells what one would answer."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.cli.measure import report
from eagent.joules import DeviceJoules, Joules

TIMEOUT_S = 60.0

Measure = Callable[..., "subprocess.CompletedProcess[str]"]


def words(tmp_path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "eagent", f"--run-dir={tmp_path}", "measure", *arguments]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Runs `eagent measure` with these arguments to its end."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words(tmp_path, *arguments), capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **options
        )

    return run


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/etc"], 126),
    ],
)
def test_the_exit_code_is_the_commands_as_a_shell_would_tell_it(
    measure: Measure, command: list[str], code: int
) -> None:
    assert measure("--", *command).returncode == code


def test_without_an_agent_the_command_runs_and_one_line_says_why_there_are_no_joules(
    measure: Measure, tmp_path: Path
) -> None:
    done = measure("--name", "hello", "--", "echo", "said")
    assert done.stdout == "said\n"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("eagent: hello: 0.")
    assert f"no joules: no agent runs here (there is no {tmp_path}/jobs/ask.sock)" in done.stderr


def test_the_options_of_the_command_are_its_own(measure: Measure) -> None:
    script = 'echo "$0" "$@"'
    done = measure("--", "sh", "-c", script, "a", "--name", "x", "--config", "y", "--", "-1", "--help")
    assert done.stdout == "a --name x --config y -- -1 --help\n"
    assert measure("sh", "-c", script, "a", "b").stdout == "a b\n", "without -- it works as long as no option is ours"


def test_nothing_to_run_is_one_line(measure: Measure) -> None:
    done = measure()
    assert (done.returncode, done.stderr) == (
        1,
        "eagent: nothing to run: eagent measure -- COMMAND [ARGUMENTS]\n",
    )


def test_the_command_finds_signals_as_if_we_were_not_there(measure: Measure) -> None:
    shown = measure("--", "grep", "-E", "SigBlk|SigIgn", "/proc/self/status").stdout
    values = {line.split(":")[0]: int(line.split()[1], 16) for line in shown.splitlines()}
    assert values["SigBlk"] == 0
    assert not values["SigIgn"] & 1 << (signal.SIGPIPE - 1)


def test_what_the_command_leaves_running_is_not_waited_for(measure: Measure) -> None:
    done = measure("--", "sh", "-c", "sleep 30 > /dev/null 2>&1 & echo $!")
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.returncode == 0


LISTEN = """
import os, signal, sys, time
got = []
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(each, lambda number, _: got.append(number))
print("ready", flush=True)
while signal.SIGTERM not in got:
    time.sleep(0.01)
print(*sorted(got), flush=True)
sys.exit(5)
"""


def test_signals_are_passed_on(tmp_path: Path) -> None:
    command = words(tmp_path, "--", sys.executable, "-c", LISTEN)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline().split() == ["2", "10", "15"]
        assert process.wait(TIMEOUT_S) == 5


def test_what_the_terminal_sends_to_both_is_not_sent_twice(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs tests in the background has it ignored

    command = words(tmp_path, "--", sys.executable, "-c", LISTEN)
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=own_terminal,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.write(ours, b"\x03")
        process.send_signal(signal.SIGUSR1)  # when this has come, a second SIGINT would have come as well
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline().split() == ["2", "10", "15"]
        assert process.wait(TIMEOUT_S) == 5
    os.close(ours)
    os.close(theirs)


def test_the_result_is_written_for_a_program(measure: Measure, tmp_path: Path) -> None:
    target = tmp_path / "joules.json"
    assert measure("--json", str(target), "--name", "n", "--", "sh", "-c", "exit 3").returncode == 3
    told = json.loads(target.read_text())
    assert (told["name"], told["command"], told["exit_code"]) == ("n", ["sh", "-c", "exit 3"], 3)
    assert (told["energy_j"], told["devices"]) == (None, [])
    assert told["why"].startswith("no agent runs here")
    assert told["seconds"] == pytest.approx((told["end_ns"] - told["begin_ns"]) / 1e9)


def test_a_result_that_cannot_be_written_leaves_the_exit_code_alone(measure: Measure, tmp_path: Path) -> None:
    done = measure("--json", str(tmp_path / "none/joules.json"), "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "No such file or directory: the result is not written" in done.stderr


ONE = DeviceJoules("gpu0", "GPU-0", 3000.0, 12.0, 30.0, "counter", (), 0)
TWO = DeviceJoules("gpu1", "GPU-1", 1000.0, 5.0, 130.0, "power", ("aliasing", "gap"), 2)


def test_a_report_has_a_line_for_each_device_and_their_sum() -> None:
    assert report("train", 10.0, Joules((ONE, TWO))) == [
        "eagent: train: 10.000 s, 4000.00 J +- 13.00 J, 400.0 W on average (boards' own error: +- 160.00 J more)",
        "DEVICE     ENERGY       +-  BOARD +-     MEAN  SOURCE   SHARED WITH        DOUBTS",
        "gpu0    3000.00 J  12.00 J   30.00 J  300.0 W  counter  nobody             none",
        "gpu1    1000.00 J   5.00 J  130.00 J  100.0 W  power    2 other processes  aliasing, gap",
        "Shared: the joules are the board's, whoever used it; they are not divided.",
    ]


def test_simulated_joules_are_called_so_and_missing_ones_are_no_zeros() -> None:
    lost = replace(ONE, energy_j=None, why="too little of it was read: gap")
    lines = report("train", 10.0, Joules((lost,), simulated=True, why="gpu0: too little of it was read: gap"))
    assert lines[0] == "eagent: train: 10.000 s, no joules"
    assert lines[1].startswith("SIMULATED:")
    assert lines[3].split() == ["gpu0", "—", "—", "—", "—", "counter", "nobody", "none"]
    assert lines[4] == "gpu0: too little of it was read: gap"
    assert " J simulated, " in report("train", 10.0, Joules((ONE,), simulated=True))[0]
