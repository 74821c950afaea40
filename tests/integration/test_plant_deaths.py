"""`kill -9` of clients that hammer on one simulated host: it is never wedged, and all that it holds stays whole."""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eagent.sim._plant import Host
from tests.conftest import SimHost, SimHostFactory
from tests.integration.hammer import CPUS, GPUS, HAMMERS, LIMIT_UW, LOCK_SPAN_MHZ, PACKAGES

SEED = int(os.environ.get("EAGENT_DEATHS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
WEDGED_S = 20.0  # nobody holds the lock for a hundredth of that, but the machine may run other tests
ENTRIES_PER_HOST = 20_000  # of its log, which holds 65,536: a quick machine writes some thousand in a round
HAMMERS_AT_ONCE = 8
MOST_W = 700.0  # more than any GPU of the model draws, by far
LOCK_AT, OWNER_DIED = 64, 0x40000000  # in the file, the word of its mutex; in that, what the kernel sets


class WedgedError(AssertionError):
    """Nobody can look at the host any more."""


class Clients:
    """Processes on one simulated host, all children of one parent, which this makes and ends."""

    def __init__(self, made: SimHost, directory: Path) -> None:
        self.plant = made.plant
        self._output = directory / f"{made.name}.json"
        self._errors = directory / f"{made.name}.err"
        with self._errors.open("wb") as errors:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.hammer"],
                env=made.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.living: list[int] = []

    def start(self, role: str, seed: int) -> int:
        """Make one; its pid."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        output = self._output if role == "look" else os.devnull
        self._parent.stdin.write(f"{role} {seed} {self.plant} {output}\n")
        self._parent.stdin.flush()
        pid = int(self._parent.stdout.readline())
        if role != "look":
            self.living.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.living.remove(pid)
        _await_end(pid, WEDGED_S)

    def look(self) -> dict[str, Any]:
        """What a new process sees that opens the host now.

        Raises:
            WedgedError: it does not get to see anything.
        """
        self._output.unlink(missing_ok=True)
        pid = self.start("look", 0)
        if not _await_end(pid, WEDGED_S):
            os.kill(pid, signal.SIGKILL)
            raise WedgedError(f"{self.plant}: no look within {WEDGED_S:g} s")
        assert self._output.exists(), self._errors.read_text()
        seen: dict[str, Any] = json.loads(self._output.read_text())
        return seen

    def close(self) -> None:
        for pid in [*self.living]:
            with suppress(ProcessLookupError):
                self.kill(pid)
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        assert self._parent.wait(WEDGED_S) == 0
        assert self._parent.stdout is not None
        self._parent.stdout.close()
        assert self._errors.read_text() == ""  # no hammer has ended by itself


def _await_end(pid: int, patience_s: float) -> bool:
    """Wait for a process that is not our child; whether it has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], patience_s)[0])
    finally:
        os.close(watched)


# ---- what must hold --------------------------------------------------------------------------------------------------


def check(seen: dict[str, Any], before: dict[str, Any] | None, pids: set[int]) -> None:
    """Whether what was seen of a host makes sense, alone and after what was seen before."""
    assert seen["full"] == []
    check_logs(seen, pids)
    check_requests(seen)
    check_energy(seen)
    if before is not None:
        check_progress(seen, before)


def check_logs(seen: dict[str, Any], pids: set[int]) -> None:
    """Whole entries, in order of time."""
    for name in ("limits", "locks", "cpu", "power"):
        times = [entry[0] for entry in seen[name]]
        assert times == sorted(times), name
        assert not times or (times[0] >= 0 and times[-1] <= seen["to_s"]), name
    last_w = [400.0] * GPUS
    for entry in seen["limits"]:
        _, gpu, old_w, new_w, pid = entry
        assert gpu < GPUS, entry
        assert old_w == last_w[gpu], entry
        assert 100 <= new_w <= 400 if pid else new_w in (0, 400), entry
        assert pid == 0 or pid in pids, entry
        last_w[gpu] = new_w
    for entry in seen["locks"]:
        _, gpu, low_mhz, high_mhz, pid = entry
        assert gpu < GPUS, entry
        assert high_mhz - low_mhz == LOCK_SPAN_MHZ * (gpu + 1) if pid else low_mhz == high_mhz == 0, entry
        assert pid == 0 or pid in pids, entry
    for entry in seen["cpu"]:
        _, what, place, _, _, new, pid = entry
        assert what in ("max_khz", "limit_uw"), entry
        assert place == (new % CPUS if what == "max_khz" else new / LIMIT_UW % PACKAGES), entry
        assert pid in pids, entry
    states = [state for _, state in seen["power"]]
    assert all(pair in {("on", "off"), ("off", "booting"), ("booting", "on"), ("booting", "off")}
               for pair in itertools.pairwise(states)), states[-5:]  # fmt: skip
    assert seen["boot"] >= 1 + states.count("booting")  # a boot that was switched on meanwhile


def check_requests(seen: dict[str, Any]) -> None:
    """Answered in order, never before they came, and lost only without an answer."""
    for place, (arrival_s, first_s, done_s) in enumerate(seen["served"]):
        assert done_s is None or (first_s is not None and arrival_s <= first_s <= done_s <= seen["to_s"]), place
        assert first_s is None or arrival_s <= first_s <= seen["to_s"], place
    assert all(seen["served"][place][2] is None for place in seen["lost"] if place < len(seen["served"]))


def check_energy(seen: dict[str, Any]) -> None:
    """The log of watts is that of the energy: nothing is in one and not in the other, and nothing in either twice."""
    logged_s = len(seen["rows"]) * 0.1
    for gpu, energy_j in enumerate(seen["energy_j"]):
        watts = [row[gpu] for row in seen["rows"]]
        assert all(0 <= each <= MOST_W for each in watts)
        rest_j = energy_j - 0.1 * sum(watts)
        assert -1e-3 * energy_j - 0.1 <= rest_j <= MOST_W * (seen["to_s"] - logged_s) + 1e-3 * energy_j + 0.1


def check_progress(seen: dict[str, Any], before: dict[str, Any]) -> None:
    """Time and energy do not go back, and what was in a log stays there."""
    assert seen["from_s"] >= before["to_s"]
    assert seen["boot"] >= before["boot"]
    assert all(now_j >= then_j for now_j, then_j in zip(seen["energy_j"], before["energy_j"], strict=True))
    for now, then in zip(seen["cpu_energy_j"], before["cpu_energy_j"], strict=True):
        assert all(now_j >= then_j for now_j, then_j in zip(now, then, strict=True))
    for name in ("limits", "locks", "cpu", "power"):
        assert seen[name][: len(before[name])] == before[name], name
    assert seen["rows"][: len(before["rows"])] == before["rows"]
    for now, then in zip(seen["served"], before["served"], strict=False):
        assert all(was is None or was == told for told, was in zip(now, then, strict=True))


def check_quiet(seen: dict[str, Any]) -> None:
    """Of a host without clients: what is in force is what was last written, and answers are those of the loads."""
    if seen["views"] is None:
        return
    for gpu, view in enumerate(seen["views"]):
        limits = [entry[3] for entry in seen["limits"] if entry[1] == gpu]
        assert view["limit_requested_mw"] == round(1000 * (limits[-1] if limits else 400.0))
        locks = [entry[2:4] for entry in seen["locks"] if entry[1] == gpu]
        assert [view["locked_min_mhz"], view["locked_max_mhz"]] == (locks[-1] if locks else [0, 0])
    done = sum(done_s is not None for _, _, done_s in seen["served"])
    assert sum(load["requests_done"] for load in seen["progress"]) <= done


# ---- the storm -------------------------------------------------------------------------------------------------------


class Storm:
    """Rounds of deaths on hosts of its own; each host is replaced before its log is full."""

    def __init__(self, make: SimHostFactory, directory: Path, seed: int) -> None:
        self._make, self._directory, self.rng = make, directory, random.Random(seed)
        self.deaths = self.deaths_with_lock = 0

    def host(self, rounds: int) -> int:
        """At most so many rounds on a new host. Returns how many there were."""
        made = self._make(gpus=GPUS, boot_s=0.02)
        clients = Clients(made, self._directory)
        pids: set[int] = set()
        before = None
        try:
            for done in range(1, rounds + 1):
                while len(clients.living) < HAMMERS_AT_ONCE:
                    pids.add(clients.start(self.rng.choice(HAMMERS), self.rng.randrange(2**31)))
                quiet = self.rng.random() < 0.5
                self._kill(clients, HAMMERS_AT_ONCE if quiet else self.rng.randint(1, 3))
                if quiet:
                    self.deaths_with_lock += bool(lock_word(made.plant) & OWNER_DIED)
                seen = clients.look()
                check(seen, before, pids)
                if quiet:
                    check_quiet(seen)
                before = seen
                if sum(len(seen[name]) for name in ("limits", "locks", "cpu", "power")) > ENTRIES_PER_HOST:
                    return done
            return rounds
        finally:
            clients.close()

    def _kill(self, clients: Clients, count: int) -> None:
        time.sleep(self.rng.uniform(0.01, 0.05))  # not for anything to be done: the instant of death is the input
        for pid in self.rng.sample(clients.living, count):
            clients.kill(pid)
            self.deaths += 1
            time.sleep(self.rng.uniform(0, 0.002))  # likewise


def lock_word(plant: Path) -> int:
    """0 for a lock that is free; else who holds it, and whether that one is dead."""
    with plant.open("rb") as file:
        file.seek(LOCK_AT)
        return int.from_bytes(file.read(4), "little")


@pytest.fixture
def storm(sim_host: SimHostFactory, tmp_path: Path) -> Callable[[int], None]:
    """Runs so many rounds, and more of them, up to four times as many, until one has died with the lock in hand."""

    def run(rounds: int) -> None:
        print(f"EAGENT_DEATHS_SEED={SEED}")
        deaths = Storm(sim_host, tmp_path, SEED)
        done = 0
        while done < rounds or (deaths.deaths_with_lock == 0 and done < 4 * rounds):
            done += deaths.host(max(rounds - done, 5))
        print(
            f"{deaths.deaths} deaths; after {deaths.deaths_with_lock} times all were killed the lock was a dead one's"
        )
        assert deaths.deaths_with_lock > 0  # or the storm has not been where it hurts

    return run


def test_rounds_of_deaths_leave_the_host_whole(storm: Callable[[int], None]) -> None:
    storm(25)  # each run of the tests has another seed


@pytest.mark.soak  # what is rarer than one in some hundred deaths
def test_a_thousand_rounds_of_deaths_leave_the_host_whole(storm: Callable[[int], None]) -> None:
    storm(1000)


# ---- the checks can fail ---------------------------------------------------------------------------------------------


@pytest.fixture
def clients(sim_host: SimHostFactory, tmp_path: Path) -> Iterator[Clients]:
    made = Clients(sim_host(gpus=GPUS, boot_s=0.02), tmp_path)
    yield made
    made.close()


def hammered(clients: Clients) -> tuple[dict[str, Any], set[int]]:
    """A look at a host after three kinds of writers have died, and who they were."""
    pids = {clients.start(role, 1) for role in ("sets_limits", "sets_locks", "sets_processors", "serves")}
    seen = clients.look()
    while not all(len(seen[name]) > 50 for name in ("limits", "locks", "cpu")) and (seen := clients.look()):
        pass
    for pid in pids:
        clients.kill(pid)
    seen = clients.look()
    check(seen, None, pids)
    return seen, pids


def test_a_client_that_stands_still_with_the_lock_is_noticed(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = clients.start("reads", 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        os.kill(pid, signal.SIGSTOP)
        while "State:\tT" not in Path(f"/proc/{pid}/status").read_text():
            pass
        if lock_word(clients.plant) & 0x3FFFFFFF == pid:
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.0001)
    monkeypatch.setattr("tests.integration.test_plant_deaths.WEDGED_S", 0.5)
    with pytest.raises(WedgedError):
        clients.look()
    monkeypatch.undo()
    clients.kill(pid)
    check(clients.look(), None, set())  # its death has freed the host


PARTS = {"limits": (0, 1, 2, 3, 4), "locks": (0, 1, 2, 3, 4), "cpu": (0, 2, 5, 6)}


def test_an_entry_of_which_a_part_is_anothers_is_noticed(clients: Clients) -> None:
    seen, pids = hammered(clients)
    parts = [(log, part) for log, parts in PARTS.items() for part in parts]
    assert [(log, part) for log, part in parts if not is_noticed(torn(seen, log, part, pids), pids)] == []


def torn(seen: dict[str, Any], log: str, part: int, pids: set[int]) -> dict[str, Any]:
    """What was seen, but for a part of an entry: as of one that was begun and not ended."""
    places = [entry[1] for entry in seen[log]]
    at = next(at for at in reversed(range(len(places))) if places[at] in places[at + 1 :])  # one that has a next
    entry = [*seen[log][at]]
    entry[part] = 0 if part == 0 else entry[part] + 1
    if part == len(entry) - 1:
        entry[part] = 0 if log == "cpu" else max(pids) + 1
    return {**seen, log: [*seen[log][:at], entry, *seen[log][at + 1 :]]}


def is_noticed(seen: dict[str, Any], pids: set[int]) -> bool:
    try:
        check_logs(seen, pids)
    except AssertionError:
        return True
    return False


def test_a_lost_change_is_noticed(clients: Clients) -> None:
    earlier = clients.look()
    old = clients.plant.read_bytes()[:300_000]
    seen, pids = hammered(clients)
    check(seen, earlier, pids)
    with clients.plant.open("r+b") as file:
        file.write(old)  # the host as it was, under the tables as they are
    with pytest.raises(AssertionError):
        check_progress(clients.look(), seen)


def test_a_limit_that_is_not_the_last_written_is_noticed(clients: Clients) -> None:
    seen, _ = hammered(clients)
    check_quiet(seen)
    with Host(clients.plant) as host:
        host.set_power_limit(0, 321.5)
    seen["views"] = clients.look()["views"]
    with pytest.raises(AssertionError):
        check_quiet(seen)
