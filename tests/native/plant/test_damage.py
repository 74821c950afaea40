"""Random damage to a host's file gives errors of one line and answers, but no crash and no endless loop."""

from __future__ import annotations

import contextlib
import json
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.plant.test_file import load_everything

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

PAGE = 4096
PATIENCE_S = 20.0  # for what takes some milliseconds
LOCK_WORD = range(64, 68)  # a lock that seems to be held is waited for, for 30 s: see test_lock.py

# Does on the host PATH, for each line with a path, all that can be done; answers how much of it was refused.
VICTIM = """
import json, sys
from eagent.errors import EagentError
from eagent.sim._bmc import Bmc
from eagent.sim._driver import Driver
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim._watch import Watch
from eagent.sim.workload import Gang, Serving, Square

def deeds(host, bmc, driver, faults, watch):
    gpus, end_s = range(6), 0.3 + (host.time_s if host.time_s < 1e6 else 0.0)
    yield lambda: host.advance(end_s)
    for gpu in gpus:
        yield lambda: host.view(gpu)
        yield lambda: host.energy_true_j(gpu)
        yield lambda: host.samples(gpu)
    yield lambda: (host.served(), host.lost(), host.progress(), host.power_log(), host.full_logs, host.boot_unix_s)
    yield lambda: (host.limit_log(), host.lock_log(), host.cpu_log(), host.cpu_power_log(), bmc.power_changes())
    yield lambda: (bmc.spent(), bmc.power_w, bmc.boot_id, host.processor, host.gpu_name, host.boot_id)
    yield lambda: (host.cpu_view(9), host.rapl_view(1), host.cpu_energy_true_j(0))
    yield lambda: [(driver.mig(gpu), driver.knobs(gpu), driver.throttle(gpu)) for gpu in gpus]
    yield lambda: driver.divide(0, 2, 3, 1 << 30)
    yield lambda: driver.signal(3, "xid", 79)
    yield lambda: (driver.signals(), driver.settings())
    yield lambda: (faults.all(), faults.calls(), faults.shown(), faults.file_errno(True, "cpu", 3))
    yield lambda: (watch.look(), watch.writes())
    yield lambda: faults.inject("foreign-limit", "gpu", 2, [250.0], every_s=0.01)
    yield lambda: host.set_power_limit(1, 200.0)
    yield lambda: host.lock_clocks(2, 210, 1410)
    yield lambda: host.set_persistence(3, 0)
    yield lambda: host.set_cpu_max_khz(9, 1_000_000)
    yield lambda: host.set_rapl_limit_uw(1, 0, 90_000_000)
    yield lambda: Square().start(host, [4])
    yield lambda: host.add_requests(0.0, [(0.1, 5, 100, 10), (0.2, 5, 100, 10)])
    yield lambda: host.advance(end_s + 0.3)
    yield bmc.switch_off
    yield lambda: host.advance(end_s + 0.4)
    yield bmc.switch_on
    yield lambda: host.advance(end_s + 0.6)
    yield lambda: Gang().start(host, [0, 1])
    yield lambda: Serving().start(host, [(0.0, 2, 300, 5)])
    yield lambda: host.advance(end_s + 1.0)
    yield host.stop_load

def tried(path):
    refused = 0
    try:
        faces = Host(path), Bmc(path), Driver(path), Faults(path), Watch(path)
        with faces[0] as host, faces[1] as bmc, faces[2] as driver, faces[3] as faults, faces[4] as watch:
            for deed in deeds(host, bmc, driver, faults, watch):
                try:
                    deed()
                except (EagentError, OSError):
                    refused += 1
    except EagentError:
        return -1
    return refused

for line in sys.stdin:
    print(json.dumps(tried(line.rstrip("\\n"))), flush=True)
"""


class Victim:
    """A process that opens damaged files, and is started anew when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def open(self, path: Path) -> int:
        """How many of its deeds were refused; -1: all, for the file could not be opened."""
        if self._process is None:
            command = [sys.executable, "-c", VICTIM]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        answered = select.select([self._process.stdout], [], [], PATIENCE_S)[0]
        line = self._process.stdout.readline() if answered else ""
        if line:
            refused: int = json.loads(line)
            return refused
        status = self.end()
        raise AssertionError(f"it died: {status}" if answered else f"no answer within {PATIENCE_S:g} s")

    def end(self) -> int | None:
        """End it; its exit status, if it had ended by itself."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        finally:
            process.stdout.close()


class Copies:
    """A host's file, of which copies are made and damaged."""

    def __init__(self, original: Path, directory: Path) -> None:
        content = original.read_bytes()
        pages = range(0, len(content), PAGE)
        self.size = len(content)
        self.pages = [(at, content[at : at + PAGE]) for at in pages if any(content[at : at + PAGE])]
        self._path = directory / "damaged"

    def damaged(self, changes: list[tuple[int, bytes]]) -> Path:
        """A copy in which these bytes stand at those places."""
        self._path.unlink(missing_ok=True)
        with self._path.open("wb") as file:
            file.truncate(self.size)
            for at, page in self.pages:
                file.seek(at)
                file.write(page)
            for at, change in changes:
                file.seek(at)
                file.write(change)
        return self._path


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    made = Victim()
    yield made
    made.end()


@pytest.fixture(scope="module")
def copies(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """Of a host in the midst of all kinds of work, with entries in all of its tables."""
    directory = tmp_path_factory.mktemp("damage")
    path = directory / "whole"
    host = lab(gpus=6, path=path, cpu={}, supply=None)
    load_everything(host)
    host.advance(2.0)
    host.close()
    return Copies(path, directory)


NUMBERS = [0, 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
DOUBLES = [float("nan"), float("inf"), float("-inf"), 1e300, -1e300, -1.0, 1e-300]
WORDS = st.sampled_from([struct.pack("<Q", number) for number in NUMBERS] + [struct.pack("<d", x) for x in DOUBLES])


@st.composite
def damage(draw: st.DrawFn, pages: list[int]) -> list[tuple[int, bytes]]:
    """Words and bytes at places of these pages."""
    changes = []
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.sampled_from(pages)) + draw(st.integers(0, PAGE - 9))
        change = draw(WORDS | st.binary(min_size=1, max_size=8))
        if len(change) == 8:
            at -= at % 8
        if not (at < LOCK_WORD.stop and at + len(change) > LOCK_WORD.start):
            changes.append((at, change))
    return changes


def test_a_file_that_is_not_damaged_refuses_nothing(copies: Copies, victim: Victim) -> None:
    assert victim.open(copies.damaged([])) == 0


def run(copies: Copies, victim: Victim, examples: int) -> None:
    refused = []

    @settings(max_examples=examples, deadline=None, database=None)
    @given(damage([at for at, _ in copies.pages]))
    def each(changes: list[tuple[int, bytes]]) -> None:
        refused.append(victim.open(copies.damaged(changes)))

    each()
    assert {bool(count) for count in refused} == {True, False}  # some damage matters, some does not


def test_damage_is_an_error_or_an_answer_and_never_a_crash_or_an_endless_loop(copies: Copies, victim: Victim) -> None:
    run(copies, victim, 300)


@pytest.mark.soak
def test_much_damage_is_an_error_or_an_answer_and_never_a_crash_or_an_endless_loop(
    copies: Copies, victim: Victim
) -> None:
    run(copies, victim, 20_000)
