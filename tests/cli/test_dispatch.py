import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from eagent.cli import main
from eagent.cli.dispatch import BARE, SHARED, VERBS, bare
from eagent.cli.words import read

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("stats",), "did you mean 'status'?"),
        (("xyzzy",), "unknown verb 'xyzzy'"),
        (("status", "--jsn"), "unrecognized arguments: --jsn"),
        (("status", "gpu0"), "unrecognized arguments: gpu0"),
        (("budget", "set"), "required: WATTS"),
        (("budget", "set", "nan"), "'nan' is not a number of watts"),
        (("budget", "set", "inf"), "'inf' is not a number of watts"),
        (("budget", "set", "0"), "more than 0"),
        (("budget", "set", "-5W"), "never negative"),
        (("budget", "set", "5", "--fixed-w", "-5"), "never negative"),
        (("budget", "spend"), "invalid choice: 'spend'"),
        (("pin",), "required: set|clear"),
        (("pin", "set", "gpu0", "250", "--for", "soon"), "'soon' is not a duration"),
        (("explain",), "required: DEVICE"),
    ],
)
def test_what_is_not_understood_is_one_line_and_exit_code_2(eagent: Run, words: tuple[str, ...], says: str) -> None:
    said = eagent(*words)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert said.err.startswith("eagent: ")
    assert said.err.count("\n") == 1


def test_no_words_at_all_show_the_verbs_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)


def test_the_shared_options_stand_before_or_after_the_verb(
    agent: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["--run-dir", str(tmp_path), "budget", "clear"],
        ["budget", "--run-dir", str(tmp_path), "clear"],
        ["--run-dir", "/nowhere", "budget", "clear", f"--run-dir={tmp_path}"],
    ):
        assert main(words) == 0
    assert agent.asked == [("clear_budget",)] * 3
    capsys.readouterr()


def test_the_environment_names_the_directories_where_no_option_does(
    agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EAGENT_RUN_DIR", str(tmp_path))
    assert main(["status"]) == 0
    assert agent.said["host"] in capsys.readouterr().out


@pytest.mark.parametrize("verb", [verb for verb, (module, _) in VERBS.items() if importlib.util.find_spec(module)])
def test_every_verb_has_a_help_with_examples(eagent: Run, verb: str) -> None:
    said = eagent(verb, "--help")
    assert said.code == 0
    assert f"  eagent {verb}" in said.out or f"sudo eagent {verb}" in said.out
    assert "Examples:" in said.out
    assert "--run-dir" in said.out


def child(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=30, check=False, **options)


def test_python_m_eagent_is_the_command(tmp_path: Path) -> None:
    ended = child("-m", "eagent", "--run-dir", str(tmp_path), "status")
    assert ended.returncode == 1
    assert ended.stderr.startswith("eagent: no agent runs here")


def test_status_imports_nothing_that_only_the_processes_need() -> None:
    heavy = ["asyncio", "h11", "msgpack", "zmq", "prometheus_client", "rich", "psutil", "http.client", "logging"]
    program = f"import sys, eagent.cli.status; print([name for name in {heavy!r} if name in sys.modules])"
    assert child("-c", program).stdout == "[]\n"


@pytest.mark.usefixtures("agent")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "eagent", f"--run-dir={tmp_path}", "status"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_ctrl_c_is_exit_code_130_without_a_traceback(tmp_path: Path) -> None:
    """The verb waits for an answer that does not come; SIGINT reaches it there."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "api.sock"))
        listening.listen()
        words = [sys.executable, "-m", "eagent", f"--run-dir={tmp_path}", "status"]
        with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
            connection, _ = listening.accept()
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=30)
            connection.close()
    assert (process.returncode, complaint) == (130, b"")


WORDS = some.sampled_from(
    [*BARE, "status", *SHARED, *(f"{option}=x" for option in SHARED), "--config=", "--json", "--", "-", "-1", "", "x"]
)


@given(some.lists(WORDS, max_size=6))
def test_a_daemons_words_mean_without_argparse_what_they_mean_with_it(words: list[str]) -> None:
    found = bare(words)
    if found is not None:
        read_by_argparse = read(words)
        assert read_by_argparse is not None
        assert vars(found) == {name: value for name, value in vars(read_by_argparse).items() if name != "rest"}


@pytest.mark.parametrize("verb", sorted(BARE))
def test_what_a_daemons_words_hold_beyond_the_options_of_all_is_left_to_argparse(verb: str) -> None:
    assert bare([verb, "--config", "a.toml"]) == bare(["--config=a.toml", verb])
    assert bare([verb]) is not None
    for more in (["--help"], ["gpu0"], ["--config"], ["--config", "-x"], ["--", "x"], [verb]):
        assert bare([verb, *more]) is None
    assert bare([]) is None
