"""Windows as a job uses them, against a real socket whose answers a test makes up: so many watts, all the time."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import eagent
from eagent import measuring
from eagent.api.jobs import job_server
from eagent.errors import InputError, UnavailableError

WATTS = 100.0


def device(joules: float | None, why: str | None = None, name: str = "gpu0") -> dict[str, Any]:
    return {
        "device": name,
        "uuid": f"GPU-{name}",
        "energy_j": joules,
        "half_width_j": 0.0 if joules is None else joules * 0.01,
        "gain_j": 0.0 if joules is None else joules * 0.02,
        "source": "counter",
        "flags": [],
        "others": 0,
        "why": why,
    }


class Answers:
    """The agent's part: 100 W on gpu0, whoever asks."""

    def __init__(self) -> None:
        self.requests: list[tuple[list[tuple[int, int]], list[str]]] = []
        self.problem: Exception | None = None
        self.why: str | None = None

    async def windows(self, pid: int, uid: int, spans: list[tuple[int, int]], names: list[str]) -> dict[str, Any]:
        assert (pid, uid) == (os.getpid(), os.geteuid())
        self.requests.append((spans, names))
        if self.problem is not None:
            raise self.problem
        told = [[] if self.why else [device((end - begin) / 1e9 * WATTS)] for begin, end in spans]
        return {"simulated": True, "windows": [{"devices": each, "why": self.why} for each in told]}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has measured nothing, and a run directory without an agent."""
    monkeypatch.setenv("EAGENT_RUN_DIR", str(tmp_path))
    measuring._begin_anew()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Answers]:
    """What answers at the job socket."""
    (tmp_path / "jobs").mkdir()
    answers, loop, ready = Answers(), asyncio.new_event_loop(), threading.Event()
    server = job_server(answers, tmp_path / "jobs/ask.sock")

    def serve() -> None:
        loop.run_until_complete(server.start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(server.close())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    yield answers
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_without_an_agent_a_window_still_works_and_says_why_it_has_no_joules(tmp_path: Path) -> None:
    with eagent.measure("epoch") as window:
        assert window.seconds is None
        assert window.energy_j is None
        assert window.why == "the window has not ended"
    assert window.seconds is not None
    assert window.seconds > 0
    assert (window.energy_j, window.half_width_j, window.mean_w, window.devices) == (None, None, None, ())
    assert window.why.startswith(f"no agent runs here (there is no {tmp_path}/jobs/ask.sock)")
    assert f"no joules: {window.why}" in str(window)


def test_a_window_has_the_joules_that_the_agent_tells(agent: Answers) -> None:
    with eagent.measure("epoch") as window:
        pass
    assert window.seconds is not None
    assert window.energy_j == pytest.approx(window.seconds * WATTS)
    assert window.half_width_j == pytest.approx(window.seconds)
    assert window.gain_j == pytest.approx(window.seconds * 2)
    assert window.mean_w == pytest.approx(WATTS)
    assert [each.device for each in window.devices] == ["gpu0"]
    assert window.simulated
    assert (window.why, window.flags) == ("", ())
    assert "J simulated on gpu0" in str(window)
    assert agent.requests == [([(window.begin_ns, window.end_ns)], [])]


def test_one_request_answers_all_windows_that_have_ended(agent: Answers) -> None:
    windows = []
    for _ in range(60):
        with eagent.measure("step") as window:
            pass
        windows.append(window)
    assert windows[3].energy_j is not None
    assert len(agent.requests) == 1
    assert all(window.energy_j is not None for window in windows)
    assert len(agent.requests) == 1


def test_what_is_asked_for_is_answered_however_many_ended_since(agent: Answers) -> None:
    with eagent.measure("first") as first:
        pass
    for _ in range(1000):
        with eagent.measure("step"):
            pass
    assert first.energy_j is not None
    assert [len(spans) for spans, _ in agent.requests] == [64]
    summaries = {each.name: each for each in eagent.measured()}
    assert (summaries["first"].count, summaries["first"].known) == (1, 1), "and is not counted twice"
    assert (summaries["step"].count, summaries["step"].known) == (1000, 1000)


def test_nested_windows_know_what_they_lie_in() -> None:
    with eagent.measure("epoch") as epoch:
        with eagent.measure("forward") as forward:
            pass
        with eagent.measure("backward") as backward, eagent.measure("sync") as sync:
            pass
    with eagent.measure("later") as later:
        pass
    assert (epoch.parent, forward.parent, backward.parent, sync.parent) == (None, epoch, epoch, backward)
    assert later.parent is None


def test_a_window_of_a_thread_does_not_lie_in_that_of_another() -> None:
    inner: list[eagent.Window] = []

    def work() -> None:
        with eagent.measure("thread") as window:
            inner.append(window)

    with eagent.measure("main"):
        thread = threading.Thread(target=work, context=contextvars.Context()) if sys.version_info >= (3, 14) else None
        thread = thread or threading.Thread(target=work)
        thread.start()
        thread.join()
    assert inner[0].parent is None


def test_tasks_that_take_turns_nest_each_for_itself() -> None:
    async def task(name: str, windows: dict[str, eagent.Window]) -> None:
        with eagent.measure(name) as window:
            windows[name] = window
            for place in range(3):
                await asyncio.sleep(0)
                with eagent.measure(f"{name}.{place}") as inner:
                    windows[f"{name}.{place}"] = inner
                    await asyncio.sleep(0)

    async def run() -> dict[str, eagent.Window]:
        windows: dict[str, eagent.Window] = {}
        with eagent.measure("all") as whole:
            await asyncio.gather(task("a", windows), task("b", windows))
        return {**windows, "all": whole}

    windows = asyncio.run(run())
    for name in ("a", "b"):
        assert windows[name].parent is windows["all"]
        assert all(windows[f"{name}.{place}"].parent is windows[name] for place in range(3))


def test_a_window_that_ended_out_of_turn_takes_no_others_in() -> None:
    outer = eagent.measure("outer").begin()
    inner = eagent.measure("inner").begin()
    outer.end()
    inner.end()
    with eagent.measure("next") as following:
        pass
    assert inner.parent is outer
    assert following.parent is None


def test_an_error_inside_ends_the_window_and_goes_on() -> None:
    with pytest.raises(ZeroDivisionError), eagent.measure("epoch") as window:
        _ = 1 // 0
    assert window.seconds is not None


def test_the_first_end_stands_and_no_window_begins_twice() -> None:
    window = eagent.measure("once")
    with pytest.raises(RuntimeError, match="begins before it ends"):
        window.end()
    with window:
        window.end()
        end_ns = window.end_ns
    assert window.end_ns == end_ns
    with pytest.raises(RuntimeError, match=r"call eagent\.measure"):
        window.begin()
    assert eagent.measured()[0].count == 1


@pytest.mark.usefixtures("agent")
def test_a_decorated_function_is_measured_at_each_call() -> None:
    @eagent.measure("double")
    def double(number: int, *, plus: int = 0) -> int:
        """Twice the number."""
        return number * 2 + plus

    @eagent.measure
    def bare() -> None:
        with eagent.measure("inside"):
            pass

    assert [double(number, plus=1) for number in range(3)] == [1, 3, 5]
    assert (double.__name__, double.__doc__) == ("double", "Twice the number.")
    bare()
    summaries = {each.name: each for each in eagent.measured()}
    assert {name: (each.count, each.known) for name, each in summaries.items()} == {
        "double": (3, 3),
        "inside": (1, 1),
        bare.__qualname__: (1, 1),
    }
    assert summaries["double"].energy_j == pytest.approx(summaries["double"].seconds * WATTS)
    assert summaries["double"].half_width_j == pytest.approx(summaries["double"].seconds)
    assert "simulated" in str(summaries["double"])


def test_a_decorated_coroutine_is_measured_until_it_is_done() -> None:
    @eagent.measure("fetch")
    async def fetch() -> int:
        await asyncio.sleep(0.01)
        return 7

    assert asyncio.run(fetch()) == 7
    (summary,) = eagent.measured()
    assert summary.count == 1
    assert summary.seconds >= 0.01


def test_a_generator_is_not_decorated_because_its_body_runs_elsewhere() -> None:
    def batches() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"is a generator: use `with eagent\.measure"):
        eagent.measure("batches")(batches)


def test_windows_of_named_devices_are_asked_for_apart(agent: Answers) -> None:
    with eagent.measure("one", devices=["gpu0"]) as one:
        pass
    with eagent.measure("any") as any_:
        pass
    assert one.energy_j is not None
    assert [names for _, names in agent.requests] == [["gpu0"]]
    assert any_.energy_j is not None
    assert [names for _, names in agent.requests] == [["gpu0"], []]


def test_a_device_that_is_not_there_is_a_reason_and_no_error(agent: Answers) -> None:
    agent.problem = InputError("no device 'gpu9'; known are gpu0")
    with eagent.measure("epoch", devices=["gpu9"]) as window:
        pass
    assert window.energy_j is None
    assert window.why == "no device 'gpu9'; known are gpu0"
    agent.problem = None
    assert window.energy().why == window.why, "asking again would not help"
    assert len(agent.requests) == 1


def test_energy_asks_again_when_the_agent_is_back_and_properties_do_not(agent: Answers) -> None:
    agent.problem = UnavailableError("not now")
    with eagent.measure("epoch") as window:
        pass
    assert (window.energy_j, window.why) == (None, "not now")
    agent.problem = None
    assert (window.energy_j, window.why) == (None, "not now")
    assert len(agent.requests) == 1
    assert window.energy().energy_j is not None
    assert (window.why, window.energy_j is None) == ("", False)


def test_windows_without_joules_are_counted_with_the_reason(agent: Answers) -> None:
    with eagent.measure("step"):
        pass
    assert eagent.measured()[0].known == 1
    agent.why = "no process of yours was seen"
    with eagent.measure("step"):
        pass
    (summary,) = eagent.measured()
    assert (summary.count, summary.known, summary.why) == (2, 1, agent.why)
    assert f"of 1 of them; others: {agent.why}" in str(summary)


def test_so_many_windows_that_nobody_asks_for_are_let_go_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KEPT_MAX", 1000)
    for _ in range(3000):
        with eagent.measure("step"):
            pass
    assert len(measuring._ended) <= 1000
    (summary,) = eagent.measured()
    assert (summary.count, summary.known) == (3000, 0)


def test_ending_a_window_waits_for_nobody_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KEPT_MAX", 10)
    with measuring._asking:  # as another thread would, waiting for the agent
        for _ in range(100):
            with eagent.measure("step"):
                pass
    assert eagent.measured()[0].count == 100


@pytest.mark.usefixtures("agent")
def test_threads_that_end_windows_while_others_ask_lose_none() -> None:
    def work() -> None:
        for _ in range(500):
            with eagent.measure("step"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        eagent.measured()
    for thread in threads:
        thread.join()
    (summary,) = eagent.measured()
    assert (summary.count, summary.known) == (2000, 2000)


FORK = """
import json, os, sys, threading
import eagent
with eagent.measure("before") as before:
    pass
across = eagent.measure("across").begin()
from eagent import measuring
measuring._asking.acquire()  # as a thread would that asks while another one forks
read, write = os.pipe()
child = os.fork()
if child == 0:
    across.end()
    with eagent.measure("child") as own:
        pass
    told = {"before": before.why, "own": own.why, "across": across.why, "parent": own.parent is None}
    told["names"] = [each.name for each in eagent.measured()]
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(child, 0)
measuring._asking.release()
across.end()
names = [each.name for each in eagent.measured()]
print(json.dumps([json.loads(os.read(read, 65536)), names]))
"""


def test_after_a_fork_each_process_has_its_own_windows() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    child, names = json.loads(done.stdout)
    assert child["before"] == "the window ended before this process was forked off: ask in the process it ended in"
    assert child["own"].startswith("no agent runs here")
    assert child["across"].startswith("no agent runs here"), "who ends it owns it"
    assert child["names"] == ["across", "child"]
    assert child["parent"]
    assert names == ["across", "before"]


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_to_import_eagent_loads_nothing_and_to_measure_nothing_heavy() -> None:
    assert {name for name in loaded_by("import eagent") if name.startswith("eagent")} == {"eagent"}
    heavy = {"asyncio", "h11", "msgpack", "psutil", "zmq", "prometheus_client", "pynvml", "argparse", "http"}
    loaded = loaded_by("import eagent\nwith eagent.measure('x') as window: pass\nwindow.energy_j")
    assert loaded & heavy == set()
    assert loaded & {"eagent.agent", "eagent.api", "eagent.cli", "eagent.sim", "eagent.hardware"} == set()


def test_the_package_offers_what_it_says_and_nothing_else() -> None:
    assert {eagent.measure, eagent.measured, eagent.Window} == {measuring.measure, measuring.measured, measuring.Window}
    with pytest.raises(AttributeError, match="no attribute 'mesure'"):
        _ = eagent.mesure


@pytest.mark.parametrize("begin", [eagent.measure, lambda: eagent.measure("x").begin()])
def test_a_window_shows_itself_to_a_programmer_without_asking(begin: Callable[[], eagent.Window]) -> None:
    assert repr(begin()).startswith("<eagent.Window ")


def test_whatever_answers_ends_no_job(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "jobs/ask.sock"))
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[1, 2]")

        thread = threading.Thread(target=answer)
        thread.start()
        with eagent.measure("epoch") as window:
            pass
        assert window.energy_j is None
        assert "is cut short, or not one of eagent's" in window.why
        thread.join()
