"""Faults as part of a host's state: when they begin, strike and end, and what they do to it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import DriverError, InputError
from eagent.sim import model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._faults import FAULTS_MAX, FOREIGN_PID, KINDS, Faults
from eagent.sim._plant import Host
from eagent.sim.supply import supply
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

Struck = Callable[..., tuple[Host, Faults]]


@pytest.fixture
def struck(lab: Lab, tmp_path: Path) -> Iterator[Struck]:
    """A host, and a handle on its faults."""
    opened: list[Faults] = []
    numbers = itertools.count()

    def make(**options: Any) -> tuple[Host, Faults]:
        path = tmp_path / f"plant{next(numbers)}"
        host = lab(path=path, **options)
        opened.append(Faults(path))
        return host, opened[-1]

    yield make
    for faults in opened:
        faults.close()


def kinds(faults: Faults, *, begun: bool | None = None) -> list[str]:
    return [fault["kind"] for fault in faults.all() if begun in (None, fault["begun"])]


def last_w(host: Host) -> float:
    """True mean watts of GPU 0 over the last five seconds."""
    return sum(row[0] for row in host.power_log()[-50:]) / 50


# ---- when ------------------------------------------------------------------------------------------------------------


def test_a_fault_lasts_until_it_is_cleared(struck: Struck) -> None:
    host, faults = struck()
    number = faults.inject("zero-power", "gpu", 0, (1.0,))
    host.advance(3600.0)
    assert host.view(0)["power_plain_mw"] == 0
    faults.clear(number)
    assert host.view(0)["power_plain_mw"] > 0
    assert faults.all() == ()


def test_a_fault_begins_and_ends_at_its_simulated_time(struck: Struck) -> None:
    host, faults = struck()
    faults.inject("zero-power", "gpu", 0, (1.0,), from_s=10.0, until_s=20.0)
    seen = []
    for time_s in (9.99, 10.0, 19.99, 20.0):
        host.advance(time_s)
        seen.append((host.view(0)["power_plain_mw"] == 0, len(faults.all())))
    assert seen == [(False, 1), (True, 1), (True, 1), (False, 0)]


def test_a_fault_strikes_at_its_time_also_while_all_sleep_and_nobody_looks(struck: Struck) -> None:
    host, faults = struck()
    faults.inject("foreign-limit", "gpu", 0, (200.0,), from_s=100.0)
    host.advance(1000.0)
    assert host.limit_log() == [(100.0, 0, 400.0, 200.0, FOREIGN_PID)]
    assert faults.all() == ()


def test_a_fault_strikes_again_and_again_until_its_end(struck: Struck) -> None:
    host, faults = struck(gpus=2)
    faults.inject("foreign-limit", "gpu", 1, (200.0,), from_s=5.0, until_s=30.0, every_s=10.0)
    for time_s in (7.0, 12.0, 29.0):
        host.advance(time_s)
        host.set_power_limit(1, 300.0)
    host.advance(60.0)
    foreign = [time_s for time_s, _, _, _, pid in host.limit_log() if pid == FOREIGN_PID]
    assert foreign == [5.0, 15.0, 25.0]
    assert host.view(1)["limit_requested_mw"] == 300_000
    assert faults.all() == ()


def test_what_has_passed_is_now_and_an_end_that_has_passed_is_refused(struck: Struck) -> None:
    host, faults = struck()
    host.advance(50.0)
    faults.inject("zero-power", "gpu", 0, (1.0,), from_s=10.0)
    assert faults.all()[0]["from_s"] == 50.0
    assert kinds(faults, begun=True) == ["zero-power"]
    with pytest.raises(InputError, match="there is no such fault"):
        faults.inject("zero-power", "gpu", 0, (1.0,), until_s=50.0)


@settings(max_examples=20, deadline=None)
@given(looks=st.lists(st.floats(0, 12), max_size=20))
def test_nothing_depends_on_who_looks_when(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, looks: list[float]
) -> None:
    truths = []
    for times in (looks, []):
        path = tmp_path_factory.mktemp("fault") / "plant"
        host = lab(gpus=2, path=path)
        Square(period_s=0.4).start(host, [0, 1])
        with Faults(path) as faults:
            faults.inject("outside-limit", "gpu", 0, (180.0,), from_s=2.0, until_s=7.003)
            faults.inject("foreign-lock", "host", 0, (210, 900), from_s=3.0, every_s=2.5)
            faults.inject("driver-reload", from_s=8.1)
            for time_s in sorted(times):
                host.advance(time_s)
                faults.all(), host.view(0)
            host.advance(12.0)
        truths.append([host.view(gpu) for gpu in range(2)] + host.limit_log() + host.lock_log() + host.power_log())
    assert truths[0] == truths[1]


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gremlins",), "gremlins"),
        (("gpu-lost", "wheel"), "wheel"),
        (("gpu-lost", "gpu", 2), "the host has no gpu 2"),
        (("sysfs-read", "cpu", 64, (5,)), "the host has no cpu 64"),
        (("rapl-wrap", "package", 2, (1.0,)), "the host has no package 2"),
        (("gpu-lost", "cpu", 0), "there is no such fault"),
        (("sysfs-read", "gpu", 0, (5,)), "there is no such fault"),
        (("driver-reload", "gpu", 0), "there is no such fault"),
        (("not-supported", "gpu", 0, (0.0,)), "it takes a share"),
        (("zero-power", "gpu", 0, (1.01,)), "it takes a share"),
        (("zero-power", "gpu", 0, (float("nan"),)), "it takes a share"),
        (("stuck-power", "gpu", 0, (50.0, 16)), "bits of what is stuck"),
        (("slow-calls", "gpu", 0, (float("inf"),)), "up to an hour"),
        (("foreign-limit", "gpu", 0, (99.0,)), "watts within the GPU's limits"),
        (("foreign-limit", "gpu", 0, (float("nan"),)), "watts within the GPU's limits"),
        (("foreign-lock", "gpu", 0, (900, 800)), "the lower first"),
        (("outside-limit", "gpu", 0, (0.0,)), "1 W or more"),
        (("sysfs-write", "cpu", 0, (5.5,)), "an errno"),
        (("rapl-wrap", "package", 0, (-1.0,)), "joules"),
        (("xid", "gpu", 0, (0,)), "from 1 to 999"),
        (("gpu-lost", "gpu", 0, (), 0.0, 0.0, 5.0), "there is no such fault"),  # what lasts does not come again
        (("energy-reset", "gpu", 0, (), 0.0, 0.0, 0.001), "there is no such fault"),  # more often than time is cut
        (("energy-reset", "gpu", 0, (), 0.0, 5.0), "there is no such fault"),  # what strikes once has no end
        (("gpu-lost", "gpu", 0, (-1.0,)), "it takes no number"),
        (("gpu-lost", "gpu", 0, (float("nan"),)), "it takes no number"),
        (("hung-calls", "host", 0, (1e10,)), "it takes no number"),
        (("xid", "gpu", 0, (79.0, float("nan")), 10.0), "from 1 to 999"),
        (("gpu-lost", "gpu", 0, (), float("nan")), "must be a time"),
        (("gpu-lost", "gpu", 0, (), -1.0), "must be a time"),
        (("gpu-lost", "gpu", 0, (), 9.0, 8.0), "there is no such fault"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(struck: Struck, arguments: Any, complaint: str) -> None:
    host, faults = struck(gpus=2, cpu={})
    with pytest.raises(InputError, match=complaint):
        faults.inject(*arguments)
    host.advance(20.0)
    assert faults.all() == ()
    assert host.limit_log() == host.lock_log() == []


def test_a_full_table_takes_no_more_and_a_fault_that_is_not_there_cannot_be_cleared(struck: Struck) -> None:
    _, faults = struck()
    numbers = [faults.inject("xid", "gpu", 0, (79,), from_s=1000.0 + n) for n in range(FAULTS_MAX)]
    assert numbers == list(range(1, FAULTS_MAX + 1))
    with pytest.raises(InputError, match="has 32 faults already"):
        faults.inject("gpu-lost")
    with pytest.raises(InputError, match="no fault has the number 99"):
        faults.clear(99)
    faults.clear(7)
    assert [fault["number"] for fault in faults.all()] == [n for n in numbers if n != 7]
    faults.clear()
    assert faults.all() == ()
    assert faults.inject("gpu-lost") == FAULTS_MAX + 1  # no number is given twice


# ---- what they do ----------------------------------------------------------------------------------------------------


def test_a_share_of_readings_is_struck_and_the_same_ones_for_the_same_seed(struck: Struck) -> None:
    seen = []
    for seed in (1, 1, 2):
        host, faults = struck(seed=seed)
        faults.inject("zero-power", "gpu", 0, (0.25,))
        seen.append([host.view(0)["power_plain_mw"] == 0 for _ in range(400)])
    assert seen[0] == seen[1] != seen[2]
    assert 70 < sum(seen[0]) < 130


@pytest.mark.parametrize(("bits", "moves"), [(1, {"time", "energy"}), (2, {"power", "energy"}), (4, {"power", "time"})])
def test_only_what_is_said_to_be_stuck_is(struck: Struck, bits: int, moves: set[str]) -> None:
    host, faults = struck()
    Square(period_s=0.3).start(host, [0])
    host.advance(5.0)
    faults.inject("stuck-power", "gpu", 0, (0.0, bits))
    keys = {"power": "power_instant_mw", "time": "sensor_time_us", "energy": "energy_mj"}
    seen: dict[str, set[Any]] = {name: set() for name in keys}
    for time_s in (6.0, 7.0, 8.0):
        host.advance(time_s)
        for name, key in keys.items():
            seen[name].add(host.view(0)[key])  # type: ignore[literal-required]
    assert {name for name, values in seen.items() if len(values) == 3} == moves
    assert all(len(seen[name]) == 1 for name in set(keys) - moves)


def test_the_samples_of_a_stuck_sensor_are_stuck_from_then_on(struck: Struck) -> None:
    host, faults = struck()
    Square(period_s=0.3).start(host, [0])
    host.advance(3.0)
    faults.inject("stuck-power", "gpu", 0, (46.19, 1))
    host.advance(4.0)
    since_us = host.view(0)["sensor_time_us"] - 500_000
    samples = host.samples(0)
    assert {sample["power_mw"] for sample in samples if sample["time_us"] > since_us} == {46_190}
    assert len({sample["power_mw"] for sample in samples if sample["time_us"] < since_us - 1_000_000}) > 10


def test_a_limit_set_past_the_driver_is_held_and_the_lowest_of_two(struck: Struck) -> None:
    host, faults = struck()
    Square(period_s=10.0, duty=1.0).start(host, [0])
    host.set_power_limit(0, 350.0)
    faults.inject("outside-limit", "gpu", 0, (250.0,), from_s=10.0)
    second = faults.inject("outside-limit", "host", 0, (150.0,), from_s=20.0)
    seen = []
    for end_s in (9.9, 19.9, 29.9):
        host.advance(end_s)
        seen.append((host.view(0)["limit_enforced_mw"], last_w(host)))
    faults.clear(second)
    host.advance(40.0)
    seen.append((host.view(0)["limit_enforced_mw"], last_w(host)))
    assert [enforced_mw for enforced_mw, _ in seen] == [350_000, 250_000, 150_000, 250_000]
    assert all(0.9 < watts * 1e3 / enforced_mw <= 1 for enforced_mw, watts in seen)
    assert host.view(0)["limit_requested_mw"] == 350_000


def test_a_limit_set_past_the_driver_above_the_one_asked_for_changes_nothing(struck: Struck) -> None:
    host, faults = struck()
    host.set_power_limit(0, 200.0)
    faults.inject("outside-limit", "gpu", 0, (300.0,))
    assert host.view(0)["limit_enforced_mw"] == 200_000


def test_a_driver_reload_is_logged_as_nobodys_writes(struck: Struck) -> None:
    host, faults = struck(gpus=2)
    Square(period_s=1.0).start(host, [0, 1])
    host.set_power_limit(0, 200.0)
    host.lock_clocks(1, 210, 900)
    host.advance(30.0)
    before_j = host.energy_true_j(0)
    faults.inject("driver-reload")
    assert host.limit_log()[1:] == [(30.0, 0, 200.0, 400.0, 0)]
    assert host.lock_log()[1:] == [(30.0, 1, 0, 0, 0)]
    for view in (host.view(gpu) for gpu in range(2)):
        assert (view["limit_requested_mw"], view["locked_max_mhz"], view["persistence_mode"]) == (400_000, 0, 0)
        assert view["energy_mj"] == 0
    host.advance(31.0)
    assert 0 < host.view(0)["energy_mj"] < 1000 * (host.energy_true_j(0) - before_j) * 1.2
    assert host.progress()[0]["running"]


def test_the_log_goes_by_time_also_where_something_strikes_between_two_ticks(struck: Struck) -> None:
    host, faults = struck()
    host.advance(0.0607)
    host.set_power_limit(0, 200)
    faults.inject("settings-dropped", "gpu", 0, (), from_s=0.0602)
    (before_s, _, _, ours_w, _), (after_s, _, _, default_w, nobody) = host.limit_log()
    assert (ours_w, default_w, nobody) == (200, 400, 0)
    assert before_s <= after_s


def test_a_gpu_reset_is_of_one_board(struck: Struck) -> None:
    host, faults = struck(gpus=2)
    host.set_power_limit(0, 200.0)
    host.set_power_limit(1, 200.0)
    host.advance(10.0)
    energies = [host.view(gpu)["energy_mj"] for gpu in range(2)]
    faults.inject("reset-required", "gpu", 0)
    faults.inject("reset-required", "gpu", 1)
    faults.inject("gpu-reset", "gpu", 1)
    assert [host.view(gpu)["limit_requested_mw"] for gpu in range(2)] == [200_000, 400_000]
    assert host.view(0)["energy_mj"] == energies[0]
    assert host.view(1)["energy_mj"] < energies[1]
    assert [fault["index"] for fault in faults.all()] == [0]


def test_the_counters_of_a_package_wrap_after_the_joules_that_were_left(struck: Struck) -> None:
    host, faults = struck(cpu={})
    host.advance(1.0)
    range_uj = host.processor["energy_range_uj"] if host.processor else 0
    faults.inject("rapl-wrap", "package", 1, (100.0,))
    early, other = host.rapl_view(1), host.rapl_view(0)
    assert early["energy_uj"] == pytest.approx(range_uj - 100e6, abs=1e6)
    assert early["dram_uj"] == pytest.approx(range_uj - 100e6, abs=1e6)
    assert other["energy_uj"] < 1e9
    before_j = host.cpu_energy_true_j(1)[0]
    host.advance(10.0)
    late, spent_j = host.rapl_view(1), host.cpu_energy_true_j(1)[0] - before_j
    assert spent_j > 100
    assert (late["energy_uj"] - early["energy_uj"]) % range_uj == pytest.approx(spent_j * 1e6, abs=2e6)
    assert late["energy_uj"] < early["energy_uj"]


@pytest.mark.parametrize("left_j", [0.0, 100.0, 262_143.0])
def test_the_counters_of_a_package_wrap_also_after_hours_without_a_change(struck: Struck, left_j: float) -> None:
    host, faults = struck(cpu={})
    host.advance(7200.0)  # in which a package draws more than its counter holds
    faults.inject("rapl-wrap", values=(left_j,))
    host.advance(7201.0)
    range_uj = host.processor["energy_range_uj"] if host.processor else 0
    spent_uj = (host.cpu_energy_true_j(0)[0] / 7201.0) * 1e6
    assert host.rapl_view(0)["energy_uj"] == pytest.approx((range_uj - left_j * 1e6 + spent_uj) % range_uj, abs=1e6)


# ---- a host that is switched off -------------------------------------------------------------------------------------


def test_a_power_cycle_brings_a_lost_gpu_back_and_nothing_strikes_a_host_that_is_off(
    struck: Struck, tmp_path: Path
) -> None:
    gpu, cpu = model.load("a100-sxm4-80gb"), processor.load("xeon-platinum-8358")
    host, faults = struck(supply=supply(gpu, 1, cpu, boot_s=1.0).as_dict())
    for kind in ("gpu-lost", "reset-required", "no-permission"):
        faults.inject(kind, "gpu", 0)
    faults.inject("foreign-limit", "gpu", 0, (200.0,), from_s=5.0)
    with Bmc(tmp_path / "plant0") as bmc:
        bmc.switch_off()
        with pytest.raises(DriverError, match="the host is not on"):
            faults.inject("xid", "gpu", 0, (79,))
        host.advance(10.0)
        bmc.switch_on()
        host.advance(20.0)
        assert bmc.power == "on"
    assert kinds(faults) == ["no-permission"]
    assert [entry for entry in host.limit_log() if entry[4] == FOREIGN_PID] == []
    assert host.view(0)["limit_requested_mw"] == 400_000


# ---- the file --------------------------------------------------------------------------------------------------------


def test_faults_are_seen_by_every_handle_and_a_closed_one_says_so(struck: Struck, tmp_path: Path) -> None:
    _, faults = struck()
    faults.inject("gpu-lost", "gpu", 0)
    with Faults(tmp_path / "plant0") as other:
        assert kinds(other) == ["gpu-lost"]
        other.clear()
    assert faults.all() == ()
    faults.close()
    faults.close()
    with pytest.raises(DriverError, match="closed"):
        faults.all()
    with pytest.raises(DriverError, match="No such file"):
        Faults(tmp_path / "none")


def test_a_damaged_table_is_an_error_and_not_a_crash(struck: Struck, tmp_path: Path) -> None:
    host, faults = struck(gpus=4)
    Square(period_s=0.3).start(host, [0, 1])
    faults.inject("stuck-power", "gpu", 0, (46.19, 15))
    faults.inject("outside-limit", "gpu", 1, (200.0,), until_s=2.0)
    faults.inject("foreign-lock", "gpu", 2, (300, 900), every_s=0.5)
    script = """
import random, struct, sys
from pathlib import Path
from eagent.errors import EagentError
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
path, rng, refused = Path(sys.argv[1]), random.Random(1), 0
whole = path.read_bytes()[:300_000]
places = [at for at in range(0, len(whole), 8) if whole[at : at + 8] == struct.pack("d", 46.19)]
assert places
for _ in range(300):
    with path.open("r+b") as file:
        file.write(whole)
        for _ in range(rng.choice([1, 5, 20])):
            file.seek(rng.choice(places) + 4 * rng.randrange(-150, 100))
            file.write(rng.choice([b"\\xff" * 8, b"\\0" * 8, rng.randbytes(4)]))
    try:
        with Host(path) as damaged, Faults(path) as faults:
            damaged.advance(3.0), damaged.view(0), damaged.view(1), damaged.samples(0)
            faults.all(), faults.file_errno(True, "cpu", 0), faults.clear()
    except EagentError:
        refused += 1
print(refused)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "plant0")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 300


def test_no_kind_is_named_twice() -> None:
    assert len(set(KINDS)) == len(KINDS) == 19
