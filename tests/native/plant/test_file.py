"""One file, many processes, any of which may die at any instruction."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eagent.errors import DriverError, InputError
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.workload import Gang, Serving, Square

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

REQUESTS = [(0.11 * number, 5, 200 + number, 30) for number in range(100)]


def load_everything(host: Host) -> None:
    """One load of each kind and a binding cap, on six GPUs."""
    Square(period_s=0.43).start(host, [0], at_s=0.5)
    Gang(step_s=0.15, host_s=0.1).start(host, [1, 2, 3], at_s=1.2)
    Serving().start(host, REQUESTS, at_s=0.9)
    host.set_power_limit(2, 200.0)
    for cpu in range(20):
        host.set_cpu_max_khz(cpu, 1_000_000 + 100_000 * cpu)
    host.set_rapl_limit_uw(1, 0, 80_000_000)


def everything(host: Host) -> dict[str, Any]:
    """All that can be seen of a host, to be compared bit for bit; process ids apart."""
    gpus = range(host.gpu_count)
    return {
        "time": host.time_s,
        "views": [host.view(gpu) for gpu in gpus],
        "energy": [host.energy_true_j(gpu).hex() for gpu in gpus],
        "progress": host.progress(),
        "served": host.served(),
        "limits": [entry[:4] for entry in host.limit_log()],
        "locks": [entry[:4] for entry in host.lock_log()],
        "power": host.power_log(),
        "cpu": [host.cpu_view(cpu) for cpu in range(64)],
        "rapl": [(host.rapl_view(package), host.cpu_energy_true_j(package)) for package in range(2)],
        "cpu power": host.cpu_power_log(),
        "cpu writes": [entry[:-1] for entry in host.cpu_log()],
    }


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process with `host` open and ready to run the script."""
    prelude = (
        "import sys, time\nfrom eagent.sim._plant import Host\nhost = Host(sys.argv[1])\nprint('ready', flush=True)\n"
    )
    command = [sys.executable, "-c", prelude + script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def wait_for_progress(host: Host, process: subprocess.Popen[str], since_s: float) -> None:
    """Until the process has moved the host's clock."""
    while host.time_s == since_s:
        assert process.poll() is None


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed after it was ready. Not communicate(): that loses what came together with "ready"."""
    assert process.stdout is not None
    with process.stdout as printed:
        shown = printed.read()
    assert process.wait(timeout=60) == 0
    return shown


# ---- determinism -----------------------------------------------------------------------------------------------------


def test_the_same_seed_load_and_writes_give_the_same_result_bit_for_bit(lab: Lab) -> None:
    seen = []
    for _ in range(2):
        host = lab(gpus=6, seed=7, cpu={})
        load_everything(host)
        host.advance(5.0)
        host.lock_clocks(1, 210, 1005)
        host.advance(20.0)
        host.stop_load()
        host.advance(30.0)
        seen.append(everything(host))
    assert seen[0] == seen[1]


def test_another_seed_gives_other_boards(lab: Lab) -> None:
    one, other = lab(seed=1), lab(seed=2)
    assert one.view(0)["uuid"] != other.view(0)["uuid"]
    assert one.view(0)["power_instant_mw"] != other.view(0)["power_instant_mw"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 12), max_size=30), st.lists(st.sampled_from([3.0, 8.5, 9.001]), unique=True).map(sorted))
@example([3.0], [3.0])
def test_nothing_depends_on_who_looks_when(lab: Lab, looks: list[float], changes: list[float]) -> None:
    asked, left_alone = lab(gpus=6, cpu={}), lab(gpus=6, cpu={})
    for host, times in ((asked, looks), (left_alone, [])):
        load_everything(host)
        for time_s, is_change in sorted([*((at_s, False) for at_s in times), *((at_s, True) for at_s in changes)]):
            host.advance(time_s)
            if is_change:
                host.stop_load() if time_s == 8.5 else host.set_power_limit(1, 100 + 20 * time_s)
                host.set_cpu_epp(9, int(20 * time_s))
            elif host is asked:
                host.view(5), host.rapl_view(0), host.cpu_energy_true_j(1)
        host.advance(12.0)
    assert everything(asked) == everything(left_alone)


# ---- processes that die ----------------------------------------------------------------------------------------------


def test_a_process_killed_anywhere_leaves_a_host_that_goes_on_as_if_it_had_lived(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host, spared = lab(gpus=6, path=path, cpu={}), lab(gpus=6, cpu={})
    load_everything(host)
    load_everything(spared)
    rng = random.Random(4)
    for _ in range(8):
        before = host.time_s
        killed = child("t = host.time_s\nwhile t < 1500: t += 0.004; host.advance(t)", path)
        wait_for_progress(host, killed, before)
        time.sleep(rng.uniform(0.0, 0.003))  # not for a result to be there: for death to come at any instruction
        end(killed)
    host.advance(1500.0)
    spared.advance(1500.0)
    assert everything(host) == everything(spared)


def test_a_process_killed_with_the_lock_leaves_it_to_the_next_and_its_unpublished_answers_to_nobody(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "plant"
    host, spared = lab(gpus=6, path=path, cpu={}), lab(gpus=6, cpu={})
    many = [(0.02 * number, number % 6, 300, 50) for number in range(100_000)]
    for one in (host, spared):
        Serving().start(one, many)
    killed = child("host.advance(20); print('going', flush=True); host.advance(1e6)", path)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "going\n"
    end(killed)  # in the midst of some hundred milliseconds of work, nearly all of it with the lock held
    stopped_s = host.time_s
    assert 20 <= stopped_s < 2000  # while requests were being answered
    assert all(done is None or done <= stopped_s for _, _, done in host.served())
    host.stop_load()
    spared.advance(stopped_s)
    spared.stop_load()
    host.advance(stopped_s + 100.0)
    spared.advance(stopped_s + 100.0)
    assert everything(host) == everything(spared)


def test_a_process_killed_between_two_publications_takes_no_sample_with_it(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host, spared = lab(path=path), lab()
    for one in (host, spared):
        Square(period_s=0.43).start(one, [0])
    for _ in range(5):
        killed = child("host.advance(host.time_s + 20); print('going', flush=True); host.advance(1e6)", path)
        assert killed.stdout is not None
        assert killed.stdout.readline() == "going\n"
        end(killed)  # up to ten seconds of the future are in the file's tables, four times what the buffer shows
        spared.advance(host.time_s)
        assert host.samples(0) == spared.samples(0)


def test_two_processes_see_one_truth(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host = lab(gpus=2, path=path)
    host.advance(1.0)
    other = child("host.set_power_limit(1, 250.0); host.advance(2.0); print(host.view(0)['power_instant_mw'])", path)
    assert int(finish(other)) == host.view(0)["power_instant_mw"]
    assert host.time_s == 2.0
    assert host.view(1)["limit_requested_mw"] == 250_000
    assert host.limit_log() == [(1.0, 1, 400.0, 250.0, other.pid)]


def test_many_processes_at_once_lose_no_write(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host = lab(clock="wall", path=path)
    Square(period_s=0.05).start(host, [0])
    writers = [
        child("for i in range(500): host.set_power_limit(0, 100 + i % 300); host.view(0)", path) for _ in range(3)
    ]
    for writer in writers:
        finish(writer)
    log = host.limit_log()
    assert len(log) == 1500
    assert all(before[3] == after[2] for before, after in itertools.pairwise(log))
    assert [entry[0] for entry in log] == sorted(entry[0] for entry in log)


# ---- files that are not as they should be ----------------------------------------------------------------------------


def test_after_a_reboot_the_lock_is_made_anew_and_time_goes_on(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host = lab(clock="wall", path=path)
    before = host.time_s
    host.close()
    with path.open("r+b") as file:
        file.seek(24)  # the id of the boot, then the mutex: held by a thread that is no more
        file.write(b"another boot".ljust(40, b"\0") + b"\xff" * 40)
    with Host(path) as again:
        assert before <= again.time_s < before + 60
        again.set_power_limit(0, 123.0)
        assert again.view(0)["limit_requested_mw"] == 123_000


def test_damage_is_an_error_and_not_a_crash(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    load_everything(lab(gpus=6, path=path, cpu={}))
    script = """
import random
from pathlib import Path
from eagent.errors import EagentError
from eagent.sim._bmc import Bmc
rng, refused, whole = random.Random(1), 0, Path(sys.argv[1]).read_bytes()[:200_000]
for _ in range(300):
    with open(sys.argv[1], "r+b") as file:
        file.write(whole)
        for _ in range(rng.choice([1, 10, 100])):
            file.seek(rng.randrange(13_000, 111_000) // 4 * 4)  # the two states
            file.write(rng.choice([b"\\xff" * 8, b"\\0" * 8, rng.randbytes(4)]))
    try:
        with Host(sys.argv[1]) as damaged:
            damaged.advance(3.0)
            damaged.view(1), damaged.served(), damaged.progress(), damaged.power_log(), damaged.limit_log()
            Bmc(sys.argv[1]).spent(), damaged.lost()
            damaged.cpu_view(9), damaged.rapl_view(1), damaged.cpu_log(), damaged.cpu_power_log()
    except EagentError:
        refused += 1
print(refused)
"""
    assert 0 < int(finish(child(script, path))) < 300


@pytest.mark.parametrize("content", [b"", b"something else", b"\0" * 4096])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plant").write_bytes(content)
    with pytest.raises(DriverError, match="not a simulated host"):
        Host(tmp_path / "plant")
    with pytest.raises(DriverError, match="No such file"):
        Host(tmp_path / "none")


# ---- what a host is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permission", ["anyone", "root", "nobody"])
def test_a_host_remembers_who_may_set_its_knobs(lab: Lab, permission: str) -> None:
    assert lab(permission=permission).permission == permission


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"permission": "everyone"}, "permission 'everyone': must be one of anyone, root, nobody"),
        ({"clock": "sundial"}, "clock 'sundial': must be one of wall, virtual"),
        ({"gpus": 0}, "impossible numbers"),
        ({"gpus": 17}, "impossible numbers"),
        ({"heat": {"resistance_k_per_w": [0.5, 0.5, 0.5]}}, "impossible numbers"),
        ({"clocks": {"step_mhz": 7}}, "impossible numbers"),
        ({"sensor": {"period_s": float("nan")}}, "impossible numbers"),
    ],
)
def test_a_description_of_no_host_is_refused(lab: Lab, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        lab(**change)


def test_a_host_is_never_overwritten(lab: Lab, tmp_path: Path) -> None:
    lab(path=tmp_path / "plant")
    with pytest.raises(InputError, match="it exists already"):
        lab(path=tmp_path / "plant")
    with pytest.raises(InputError, match="KeyError"):
        create(tmp_path / "other", {"gpus": 1})
    assert not (tmp_path / "other").exists()


def test_a_virtual_clock_moves_when_told_and_only_forward(lab: Lab) -> None:
    host = lab()
    assert host.time_s == 0.0
    host.advance(1.2345)
    assert host.time_s == 1.2345
    with pytest.raises(InputError, match="cannot advance"):
        host.advance(1.0)
    with pytest.raises(InputError, match="not a time"):
        host.advance(float("inf"))


def test_the_wall_clock_moves_by_itself(lab: Lab) -> None:
    host = lab(clock="wall")
    early = host.time_s
    assert 0 <= early < host.time_s < 60
    assert abs(host.view(0)["sensor_time_us"] * 1e-6 - time.time()) < 1
    with pytest.raises(InputError, match="only a host with a virtual clock"):
        host.advance(100.0)


def test_a_closed_handle_says_so(lab: Lab) -> None:
    host = lab()
    host.close()
    host.close()
    with pytest.raises(DriverError, match="closed"):
        host.view(0)


def test_no_handle_leaks_its_mapping(lab: Lab, tmp_path: Path) -> None:
    lab(path=tmp_path / "plant").close()
    for _ in range(50):
        Host(tmp_path / "plant")
    assert str(tmp_path) not in Path(f"/proc/{os.getpid()}/maps").read_text()
