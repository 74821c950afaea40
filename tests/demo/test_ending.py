"""Signals that end the demo where it may end, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# Each sends itself a signal in the midst of something; `held` is told only if nothing interrupted it.
SCRIPT = """
import os, signal, sys
from eagent.demo.ending import Ending
number = signal.Signals(int(sys.argv[1]))
with Ending() as ending:
    try:
        ending.check()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        print("held", flush=True)
        ending.check()
        print("went on")
    finally:
        os.kill(os.getpid(), number)
        print("ended in order", flush=True)
"""


def run(script: str, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(int(number))]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)])
def test_a_signal_ends_the_program_where_it_may_end_and_later_ones_disturb_nothing(
    number: signal.Signals, code: int
) -> None:
    done = run(SCRIPT, number)
    assert (done.stdout.split("\n")[:-1], done.returncode) == (["held", "ended in order"], code)


def test_a_signal_that_came_last_ends_the_program_nevertheless() -> None:
    script = (
        "import os\nfrom eagent.demo.ending import Ending\n"
        "with Ending():\n    os.kill(os.getpid(), 15)\nprint('went on')"
    )
    done = run(script, signal.SIGTERM)
    assert (done.stdout, done.returncode) == ("", 143)


def test_a_hangup_that_is_ignored_stays_so() -> None:
    script = (
        "import os, signal\nfrom eagent.demo.ending import Ending\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with Ending() as ending:\n    os.kill(os.getpid(), signal.SIGHUP)\n    ending.check()\nprint('went on')"
    )
    done = run(script, signal.SIGHUP)
    assert (done.stdout, done.returncode) == ("went on\n", 0)


def test_afterwards_signals_do_what_they_did_before() -> None:
    script = (
        "import os, signal\nfrom eagent.demo.ending import Ending\n"
        "with Ending():\n    pass\nos.kill(os.getpid(), 15)\nprint('went on')"
    )
    done = run(script, signal.SIGTERM)
    assert (done.stdout, done.returncode) == ("", -signal.SIGTERM)
