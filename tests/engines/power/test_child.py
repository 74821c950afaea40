import asyncio
import contextlib
import os
import resource
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power import child
from eagent.errors import UnavailableError

FOREVER_S = 1000


def run(*argv: str, timeout_s: float = 30.0) -> child.Finished:
    return asyncio.run(child.run(argv, timeout_s))


def python(script: str, timeout_s: float = 30.0) -> child.Finished:
    return run(sys.executable, "-c", script, timeout_s=timeout_s)


def await_pid(path: Path) -> int:
    """The number that a process writes into a file when it is there."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()):
            return int(text)
        time.sleep(0.01)
    raise AssertionError(f"{path} is still empty")


def ends(pid: int) -> bool:
    """Whether a process that was killed is gone, within the time that the kernel needs for it."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_status_output_and_errors_are_told_apart() -> None:
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (done.status, done.output, done.errors) == (3, "out\n", "err\n")


def test_no_shell_looks_at_the_arguments() -> None:
    assert run("/bin/echo", "$HOME; `id` && *").output == "$HOME; `id` && *\n"


def test_a_program_gets_no_input_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGENT_SECRET", "hush")
    done = python("import os, sys; print(sys.stdin.read(), sorted(os.environ))")
    assert "EAGENT_SECRET" not in done.output
    assert "'PATH'" in done.output


def test_output_beyond_the_bound_is_dropped_and_blocks_nobody() -> None:
    done = python("print('x' * 5_000_000)")
    assert (done.status, len(done.output)) == (0, child.OUTPUT_BYTES_MAX)


def test_a_program_that_is_not_there_is_an_error_that_tells_no_argument() -> None:
    with pytest.raises(UnavailableError, match=r"^switch: can't be started: No such file") as refusal:
        run("/nowhere/switch", "hush")
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("free", range(5))
def test_without_descriptors_it_is_an_error_of_ours(free: int) -> None:
    async def work() -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = [os.open(os.devnull, os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 16, before[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(held[0]))
            for _ in range(free):
                os.close(held.pop())
            with pytest.raises(UnavailableError, match="Too many open files"):
                await child.run((sys.executable, "-c", ""), 30.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for each in held:
                os.close(each)

    asyncio.run(work())


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep {FOREVER_S} & echo $! > {pid}; wait"
    with pytest.raises(UnavailableError, match=r"^sh: not done after 0.5 s, and killed$"):
        run("/bin/sh", "-c", script, timeout_s=0.5)
    assert ends(int(pid.read_text()))


def test_what_a_program_leaves_behind_with_its_output_open_is_killed_at_the_time_out(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(UnavailableError, match="not done after"):
        run("/bin/sh", "-c", f"sleep {FOREVER_S} & echo $! > {pid}", timeout_s=0.5)
    assert ends(int(pid.read_text()))


def test_cancelling_kills_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def cancelled() -> int:
        task = asyncio.create_task(child.run(["/bin/sh", "-c", f"echo $$ > {pid}; exec sleep {FOREVER_S}"], 60))
        number = await asyncio.to_thread(await_pid, pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return number

    assert ends(asyncio.run(cancelled()))


def test_nothing_stays_open_however_it_ends() -> None:
    python("pass")  # what the interpreter opens once for itself
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  # names alone
    python("pass")
    for argv in (["/nowhere/x"], ["/bin/sleep", str(FOREVER_S)]):
        with pytest.raises(UnavailableError):
            run(*argv, timeout_s=0.2)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


@given(st.text(), st.text())
def test_last_words_are_one_printable_line(output: str, errors: str) -> None:
    words = child.Finished(1, output, errors).last_words()
    assert words.isprintable()
    assert 0 < len(words) <= child.WORDS_MAX
