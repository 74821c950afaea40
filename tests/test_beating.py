"""`eagent.beat()`: cheap, never in the way, and heard by the agent's socket with the kernel's word on who sent it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import eagent
from eagent import beating
from eagent.agent.beat_socket import BeatSocket
from eagent.progress.beats import Beat, Beats

MINE = (os.getuid(), 1, 1)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EAGENT_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(beating, "_sum", beating._Sum())
    (tmp_path / "jobs").mkdir()
    return tmp_path / "jobs"


@pytest.fixture
def heard(jobs: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(jobs / "beat.sock"))
        listener.setblocking(False)
        yield listener


def totals(heard: socket.socket) -> list[float]:
    found = []
    while True:
        try:
            found.append(float(heard.recv(512).split()[2]))
        except BlockingIOError:
            return found


def test_beats_are_added_up_and_sent_seldom(heard: socket.socket) -> None:
    for _ in range(1000):
        eagent.beat(2)
    told = totals(heard)
    assert told[0] == 2
    assert len(told) < 20
    assert beating._sum.total == 2000


def test_no_agent_no_number_and_no_room_in_the_queue_are_nothing_to_the_job(jobs: Path) -> None:
    for n in (1, float("nan"), -5, 1e300, "x", None, object()):
        eagent.beat(n)  # type: ignore[arg-type]
    assert beating._sum.total == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(jobs / "beat.sock"))
        for _ in range(2000):  # nobody reads
            beating._sum.due_ns = 0
            eagent.beat()
    assert beating._sum.total == 2001


def test_an_agent_that_comes_back_is_told_all_of_it(jobs: Path) -> None:
    for life in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(jobs / "beat.sock"))
            listener.setblocking(False)
            beating._sum.due_ns = 0
            eagent.beat(5)
            assert totals(listener) == [5.0 * (2 * life + 1)]
        (jobs / "beat.sock").unlink()
        beating._sum.due_ns = 0
        eagent.beat(5)


def test_a_child_counts_for_itself(heard: socket.socket) -> None:
    eagent.beat(7)
    child = os.fork()
    if child == 0:
        eagent.beat(1)
        os._exit(0)
    os.waitpid(child, 0)
    assert totals(heard) == [7.0, 1.0]


def test_threads_and_a_handler_of_signals_lose_no_beat(jobs: Path) -> None:  # noqa: ARG001
    def handler(*_: object) -> None:
        eagent.beat(1)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        threads = [threading.Thread(target=lambda: [eagent.beat(1000) for _ in range(5000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    eagent.beat(0)
    assert beating._sum.total // 1000 == 20_000


def test_what_was_not_sent_is_sent_at_the_end(heard: socket.socket) -> None:
    code = "import eagent\nfor _ in range(50): eagent.beat()"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
    assert totals(heard)[-1] == 50.0


def test_importing_eagent_loads_nothing_for_it() -> None:
    code = (
        "import sys, eagent; print([name for name in ('socket', 'asyncio', 'eagent.beating') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


def test_the_kernel_tells_who_beats_and_a_flood_leaves_the_agent_its_turns(jobs: Path) -> None:
    seen: set[tuple[int, int]] = set()

    def place(pid: int, uid: int, _: int) -> list[tuple[int, int, int]]:
        seen.add((pid, uid))
        return [MINE]

    beats = Beats(place)
    flood = (
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.setblocking(False)\n"
        "end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end:\n"
        "    try: s.sendto(b'1 0 1e15 step x', sys.argv[1])\n"
        "    except OSError: pass\n"
    )

    async def listen() -> tuple[float, int]:
        listener = BeatSocket(jobs / "beat.sock", beats, time.monotonic_ns)
        listener.open()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", flood, str(jobs / "beat.sock"))
        await asyncio.sleep(0.3)
        begun, turns = time.process_time(), 0
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            eagent.beat(1)
            turns += 1
        spent = time.process_time() - begun
        await process.wait()
        await asyncio.sleep(0.15)
        eagent.beat(1)
        await asyncio.sleep(0.15)
        listener.close()
        return spent, turns

    spent, turns = asyncio.run(listen())
    assert turns > 20
    assert spent < 0.6
    assert (os.getpid(), os.getuid()) in seen, "who floods keeps nobody out for long"
    assert MINE in beats.said()
    assert not (jobs / "beat.sock").exists()
    assert beats.take(Beat(1, 0), os.getpid(), os.getuid(), time.monotonic_ns())


def test_what_is_no_beat_counts_for_nothing_and_leaves_no_file_open(jobs: Path) -> None:
    beats = Beats(lambda *_: [MINE])
    totals = (b"nan", b"-5", b"inf", b"1e300", b"9" * 5000, b"\xff", b"")
    hostile = [b"1 0 " + total + b" step x" for total in totals] + [b"1 " + total + b" x step x" for total in totals]

    async def listen() -> None:
        listener = BeatSocket(jobs / "beat.sock", beats, time.monotonic_ns)
        listener.open()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            Path(os.devnull).open("rb") as file,
        ):
            sender.connect(str(jobs / "beat.sock"))
            before = len(list(Path("/proc/self/fd").iterdir()))
            for message in (*hostile, b"\x00" * 60_000):
                sender.send(message)
                await asyncio.sleep(0.001)  # until it is read
            assert MINE not in beats.said()
            for total in (b"5", b"7"):
                socket.send_fds(sender, [b"1 0 " + total + b" step x"], [file.fileno()] * 4)
                await asyncio.sleep(0.001)
            assert len(list(Path("/proc/self/fd").iterdir())) == before
        listener.close()

    asyncio.run(listen())
    assert beats.said()[MINE].units == 2  # since it was heard first
