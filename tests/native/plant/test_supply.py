"""A host that is switched off and on: what is lost, what it draws meanwhile, and what a boot gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eagent.errors import DriverError, InputError
from eagent.sim import model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.workload import Gang, Serving, Square
from tests.native.plant.test_file import child, end

if TYPE_CHECKING:
    from tests.native.plant.conftest import Lab

SUPPLY = {
    "standby_w": 30.0,
    "boot_w": 900.0,
    "boot_s": 20.0,
    "rest_w": 700.0,
    "fan_w": 500.0,
    "fan_min": 0.4,
    "fan_full_w": 1500.0,
    "loss_w": 40.0,
    "loss_share": 0.05,
    "inlet_c": 24.0,
}


def at_the_wall_w(parts_w: float) -> float:
    """What wall.h says that a host draws which is on."""
    speed = 0.4 + 0.6 * min(1.0, parts_w / 1500.0 * 25 / 26)
    return (parts_w + 700.0 + 500.0 * speed**3) * 1.05 + 40.0


IDLE_W = at_the_wall_w(2 * 52.0 + 2 * (65.0 + 12.0))


@pytest.fixture
def switched(lab: Lab, tmp_path: Path) -> Iterator[tuple[Host, Bmc]]:
    """A host with two GPUs and two packages in virtual time, and its BMC."""
    host = lab(gpus=2, path=tmp_path / "plant", cpu={}, supply=SUPPLY)
    with Bmc(tmp_path / "plant") as bmc:
        yield host, bmc


def settings_of(host: Host) -> dict[str, Any]:
    """All that a driver or kernel was told, and would show a client who comes now."""
    keys = (
        "limit_requested_mw",
        "limit_enforced_mw",
        "locked_min_mhz",
        "locked_max_mhz",
        "pids",
        "gpu_utilisation_pct",
    )
    return {
        "gpus": [{key: value for key, value in host.view(gpu).items() if key in keys} for gpu in range(2)],
        "cpus": [
            {key: value for key, value in host.cpu_view(cpu).items() if not key.endswith("_s")} for cpu in range(64)
        ],
        "rapl": [
            {key: value for key, value in host.rapl_view(package).items() if not key.endswith("_uj")}
            for package in range(2)
        ],
    }


def change_everything(host: Host) -> None:
    host.set_power_limit(0, 200.0)
    host.lock_clocks(1, 210, 900)
    host.set_persistence(0, 1)
    host.set_cpu_max_khz(3, 1_000_000)
    host.set_cpu_governor(3, "performance")
    host.set_cpu_epp(4, 255)
    host.set_rapl_limit_uw(1, 0, 100_000_000)
    host.set_rapl_window_us(1, 1, 1000)
    host.set_rapl_enabled(0, False)


# ---- states ----------------------------------------------------------------------------------------------------------


def test_a_host_is_on_when_it_is_made_and_boots_for_as_long_as_it_is_said(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    host.advance(10.001)
    bmc.switch_off()
    assert bmc.power == "off"
    host.advance(15.0)
    bmc.switch_on()
    host.advance(34.995)
    assert (bmc.power, host.boot_id) == ("booting", None)
    host.advance(35.0)
    assert (bmc.power, bmc.boot) == ("on", 2)
    assert bmc.power_changes() == [(0.0, "on"), (10.001, "off"), (15.0, "booting"), (35.0, "on")]


def test_switching_what_is_switched_so_already_does_nothing(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    bmc.switch_on()
    host.advance(1.0)
    bmc.switch_off()
    bmc.switch_off()
    host.advance(2.0)
    bmc.switch_on()
    host.advance(12.0)
    bmc.switch_on()  # begins no second boot
    host.advance(22.0)
    assert bmc.power == "on"
    assert bmc.power_changes() == [(0.0, "on"), (1.0, "off"), (2.0, "booting"), (22.0, "on")]


def test_a_boot_that_is_cut_off_begins_anew(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    bmc.switch_off()
    bmc.switch_on()
    host.advance(19.0)
    bmc.switch_off()
    bmc.switch_on()
    host.advance(38.0)
    assert bmc.power == "booting"
    host.advance(39.0)
    assert (bmc.power, bmc.boot) == ("on", 3)


def test_each_boot_of_each_host_has_an_id_of_its_own(lab: Lab, switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    seen = {host.boot_id, lab(gpus=2, cpu={}, supply=SUPPLY).boot_id}
    for at_s in (30.0, 60.0):
        bmc.switch_off()
        bmc.switch_on()
        host.advance(at_s)
        seen.add(host.boot_id)
    assert None not in seen
    assert len(seen) == 4


def test_the_wall_clock_boots_a_host_that_nobody_looks_at(lab: Lab, tmp_path: Path) -> None:
    host = lab(clock="wall", path=tmp_path / "plant", supply={**SUPPLY, "boot_s": 0.05})
    with Bmc(tmp_path / "plant") as bmc:
        bmc.switch_off()
        bmc.switch_on()
        assert bmc.power == "booting"
        before_s = host.time_s
        while bmc.power != "on":
            assert host.time_s < before_s + 5
        (_, off, booting, on) = bmc.power_changes()
        assert off[0] == pytest.approx(booting[0], abs=0.1)
        assert 0.05 <= on[0] - booting[0] + 0.005 < 0.07


# ---- what is lost ----------------------------------------------------------------------------------------------------


def test_a_boot_gives_the_settings_of_a_host_just_made(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    fresh = settings_of(host)
    change_everything(host)
    Gang().start(host, [0, 1])
    host.advance(7.0)
    assert settings_of(host) != fresh
    bmc.switch_off()
    bmc.switch_on()
    host.advance(30.0)
    assert settings_of(host) == fresh
    assert [host.view(gpu)["persistence_mode"] for gpu in range(2)] == [0, 0]


def test_counters_of_driver_and_kernel_begin_again_with_a_boot(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    Square(duty=1.0).start(host, [0, 1])
    host.advance(100.0)
    assert host.view(0)["energy_mj"] > 10_000_000
    came_up_s = host.boot_unix_s
    bmc.switch_off()
    host.advance(150.0)
    bmc.switch_on()
    host.advance(180.0)
    assert host.boot_unix_s == came_up_s + 170.0
    assert host.view(0)["energy_mj"] / 1e3 == pytest.approx(52 * 10, rel=0.02)
    assert host.rapl_view(0)["energy_uj"] / 1e6 == pytest.approx(65 * 10, rel=0.001)
    assert host.rapl_view(0)["dram_uj"] / 1e6 == pytest.approx(12 * 10, rel=0.001)
    seen = host.cpu_view(0)
    assert (seen["busy_s"], seen["idle_s"]) == (0.0, pytest.approx(10.0))


def test_requests_in_service_and_in_the_queue_are_lost_and_counted(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    answered = [(0.0, 0, 10, 5), (0.0, 1, 10, 5)]
    in_service = [(5.0, 0, 10, 100_000)] * 300  # more than one batch: some of them wait
    to_come = [(500.0, 1, 10, 5)]
    Serving().start(host, [*answered, *in_service, *to_come])
    host.advance(10.0)
    bmc.switch_off()
    assert host.lost() == list(range(2, 303))
    (load,) = host.progress()
    assert (load["running"], load["requests_done"], load["requests_lost"]) == (False, 2, 301)
    bmc.switch_on()
    host.advance(600.0)
    assert [done is None for _, _, done in host.served()] == [False] * 2 + [True] * 301
    Serving().start(host, [(0.0, 0, 10, 5)])
    host.advance(700.0)
    bmc.switch_off()
    assert host.lost() == list(range(2, 303))  # what was answered in the second boot is not lost by its end


def test_requests_of_a_load_that_was_stopped_before_are_not_lost_by_switching_off(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    Serving().start(host, [(0.0, 0, 10, 100_000)])
    host.advance(1.0)
    host.stop_load()
    bmc.switch_off()
    assert host.lost() == []


def test_there_is_nothing_to_be_asked_or_loaded_while_a_host_is_not_on(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    calls = (
        lambda: host.view(0),
        lambda: host.set_power_limit(0, 200.0),
        lambda: host.lock_clocks(0, 210, 900),
        lambda: host.reset_clocks(0),
        lambda: host.set_persistence(0, 1),
        lambda: host.cpu_view(0),
        lambda: host.rapl_view(0),
        lambda: Square().start(host, [0]),
        lambda: Gang().start(host, [0]),
        lambda: Serving().start(host, [(0.0, 0, 1, 1)]),
    )
    bmc.switch_off()
    for state in ("off", "booting"):
        assert bmc.power == state
        for call in calls:
            with pytest.raises(DriverError, match="the host is not on"):
                call()
        with pytest.raises(OSError, match="No such device"):
            host.set_cpu_max_khz(0, 1_000_000)
        with pytest.raises(OSError, match="No such device"):
            host.set_rapl_enabled(0, False)
        host.stop_load()  # there is none: nothing to refuse
        bmc.switch_on()


def test_the_log_of_limits_says_what_was_in_force_through_a_boot(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    host.set_power_limit(0, 200.0)
    host.lock_clocks(1, 210, 900)
    host.advance(5.0)
    bmc.switch_off()
    bmc.switch_on()
    host.advance(30.0)
    assert host.limit_log()[1:] == [
        (5.0, 0, 200.0, 0.0, 0),
        (5.0, 1, 400.0, 0.0, 0),
        (25.0, 0, 0.0, 400.0, 0),
        (25.0, 1, 0.0, 400.0, 0),
    ]
    assert host.lock_log()[1:] == [(5.0, 1, 0, 0, 0)]


# ---- watts and joules ------------------------------------------------------------------------------------------------


def test_the_wall_sees_standby_boot_and_all_parts_of_a_host_that_is_on(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    host.advance(10.0)
    assert bmc.power_w == pytest.approx(IDLE_W)
    bmc.switch_off()
    assert bmc.power_w == 30.0
    host.advance(110.0)
    bmc.switch_on()
    assert bmc.power_w == 900.0
    host.advance(140.0)
    assert bmc.power_w == pytest.approx(IDLE_W)
    spent = bmc.spent()
    assert {state: seconds for state, (seconds, _) in spent.items()} == {"on": 20.0, "off": 100.0, "booting": 20.0}
    assert spent["off"][1] == pytest.approx(3000.0)
    assert spent["booting"][1] == pytest.approx(18_000.0)
    assert spent["on"][1] == pytest.approx(20 * IDLE_W)


def test_the_log_of_the_wall_is_what_fans_and_losses_make_of_each_100_ms(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    Square(period_s=3.0, duty=0.5).start(host, [0, 1], at_s=0.3)
    host.advance(5.0)
    bmc.switch_off()
    host.advance(6.0)
    bmc.switch_on()
    host.advance(30.0)
    rows = zip(bmc.power_log(), host.power_log(), host.cpu_power_log(), strict=True)
    expected = {"on": at_the_wall_w, "off": lambda _: 30.0, "booting": lambda _: 900.0}
    for number, ((wall_w,), gpus_w, packages_w) in enumerate(rows):
        state = "on" if number < 50 or number >= 260 else "off" if number < 60 else "booting"
        assert wall_w == pytest.approx(expected[state](sum(gpus_w) + sum(packages_w)), rel=1e-5), number
    assert sum(row[0] for row in bmc.power_log()) * 0.1 == pytest.approx(
        sum(j for _, j in bmc.spent().values()), rel=1e-5
    )


def test_no_gpu_and_no_package_draws_anything_while_its_host_is_not_on(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    Square(duty=1.0).start(host, [0, 1])
    host.advance(10.0)
    bmc.switch_off()
    before = [host.energy_true_j(gpu) for gpu in range(2)], [host.cpu_energy_true_j(package) for package in range(2)]
    host.advance(15.0)
    bmc.switch_on()
    host.advance(35.0)
    assert before == (
        [host.energy_true_j(gpu) for gpu in range(2)],
        [host.cpu_energy_true_j(package) for package in range(2)],
    )
    host.advance(36.0)
    assert host.power_log()[100:350] == [(0.0, 0.0)] * 250
    assert host.cpu_power_log()[100:350] == [(0.0, 0.0)] * 250
    assert host.power_log()[350:] == [(52.0, 52.0)] * 10


def test_a_host_that_was_off_for_long_is_cold(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    Square(duty=1.0).start(host, [0])
    host.advance(1000.0)
    bmc.switch_off()
    host.advance(5000.0)
    bmc.switch_on()
    host.advance(5020.0)
    assert host.view(0)["temperature_c"] == 24  # the inlet's


def test_load_and_limits_work_after_a_boot_as_before_it(switched: tuple[Host, Bmc]) -> None:
    host, bmc = switched
    bmc.switch_off()
    bmc.switch_on()
    host.advance(20.0)
    host.set_power_limit(0, 150.0)
    Square(duty=1.0).start(host, [0])
    host.advance(80.0)
    watts = [row[0] for row in host.power_log()[700:]]
    assert sum(watts) / len(watts) == pytest.approx(150 * 0.985, rel=0.01)
    assert host.view(0)["power_instant_mw"] / 1e3 == pytest.approx(150, rel=0.1)


# ---- processes that die, supplies that are none ---------------------------------------------------------------------


def test_a_process_killed_while_it_switches_leaves_a_whole_host(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "plant"
    host = lab(gpus=2, path=path, cpu={}, supply={**SUPPLY, "boot_s": 0.0})
    script = """
from eagent.sim._bmc import Bmc
from eagent.sim.workload import Serving
bmc, many = Bmc(sys.argv[1]), [(0.1 * n, n % 2, 10, 50) for n in range(20)]
while True:
    Serving().start(host, many)
    host.advance(host.time_s + 1)
    bmc.switch_off()
    bmc.switch_on()
    host.advance(host.time_s + 1)
"""
    for number in range(5):
        killed = child(script, path)
        time.sleep(0.05 + 0.013 * number)  # not for a result to be there: for death to come at any instruction
        end(killed)
        with Bmc(path) as bmc:
            bmc.switch_off()
            bmc.switch_on()
            host.advance(host.time_s + 1.0)
            spent = bmc.spent()
        assert sum(seconds for seconds, _ in spent.values()) == pytest.approx(host.time_s)
        done = {place for place, (_, _, done_s) in enumerate(host.served()) if done_s is not None}
        lost = set(host.lost())
        assert done.isdisjoint(lost)
        assert done | lost == set(range(len(host.served())))


@pytest.mark.parametrize("bad", [{"standby_w": -1.0}, {"boot_w": 1e7}, {"boot_s": -0.1}, {"rest_w": float("nan")}])
def test_an_impossible_supply_is_refused(lab: Lab, bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match="impossible numbers"):
        lab(supply={**SUPPLY, **bad})


# ---- any order -------------------------------------------------------------------------------------------------------


class Switching(RuleBasedStateMachine):
    """A host that is loaded, set, switched and looked at in any order, beside the simplest account of it."""

    directory: Path
    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        path = self.directory / f"plant{type(self).made}"
        cpu = processor.load("xeon-platinum-8358")
        description = {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual", "supply": SUPPLY}
        create(path, {**description, "model": model.load("a100-sxm4-80gb"), "cpu": cpu})
        self.path, self.host, self.bmc = path, Host(path), Bmc(path)
        self.now_s, self.state, self.on_at_s, self.limit_w, self.is_loaded = 0.0, "on", 0.0, 400.0, False
        self.spent_s = dict.fromkeys(("off", "booting", "on"), 0.0)

    def teardown(self) -> None:
        self.host.close()
        self.bmc.close()
        self.path.unlink()

    @rule(ticks=st.integers(1, 10_000))
    def time_passes(self, ticks: int) -> None:
        to_s = (round(self.now_s / 0.005) + ticks) * 0.005
        if self.state == "booting" and to_s >= self.on_at_s - 1e-9:
            self.spent_s["booting"] += self.on_at_s - self.now_s
            self.now_s, self.state, self.limit_w = self.on_at_s, "on", 400.0
        self.spent_s[self.state] += to_s - self.now_s
        self.now_s = to_s
        self.host.advance(to_s)

    @rule()
    def power_is_cut(self) -> None:
        self.bmc.switch_off()
        self.state, self.is_loaded = "off", False

    @rule()
    def it_is_switched_on(self) -> None:
        self.bmc.switch_on()
        if self.state == "off":
            self.state, self.on_at_s = "booting", self.now_s + 20.0

    @precondition(lambda self: self.state == "on")
    @rule(limit_w=st.integers(100, 400))
    def a_limit_is_set(self, limit_w: int) -> None:
        self.host.set_power_limit(0, limit_w)
        self.limit_w = limit_w

    @precondition(lambda self: self.state == "on" and not self.is_loaded)
    @rule()
    def work_comes(self) -> None:
        Square(period_s=0.5).start(self.host, [0])
        self.is_loaded = True

    @invariant()
    def the_bmc_tells_the_truth(self) -> None:
        assert self.bmc.power == self.state
        for state, (seconds, _) in self.bmc.spent().items():
            assert seconds == pytest.approx(self.spent_s[state], abs=1e-6)

    @invariant()
    def the_driver_is_there_while_the_host_is_on_and_holds_what_it_was_told_in_this_boot(self) -> None:
        if self.state == "on":
            assert self.host.view(0)["limit_requested_mw"] == self.limit_w * 1000
        else:
            with pytest.raises(DriverError):
                self.host.view(0)

    @invariant()
    def the_limit_in_force_is_the_logs_last(self) -> None:
        log = self.host.limit_log()
        in_force_w = log[-1][3] if log else 400.0
        assert in_force_w == (self.limit_w if self.state == "on" else 0.0)

    @invariant()
    def joules_are_those_of_the_parts(self) -> None:
        spent = self.bmc.spent()
        parts_j = self.host.energy_true_j(0) + sum(sum(self.host.cpu_energy_true_j(package)) for package in range(2))
        assert spent["off"][1] == pytest.approx(30.0 * self.spent_s["off"], abs=1e-3)
        assert spent["booting"][1] == pytest.approx(900.0 * self.spent_s["booting"], abs=1e-3)
        on_s = self.spent_s["on"]
        assert (
            (parts_j + 700.0 * on_s) * 1.05 - 1 <= spent["on"][1] <= (parts_j + 1200.0 * on_s) * 1.05 + 40.0 * on_s + 1
        )
        assert self.host.energy_true_j(0) >= 52.0 * self.spent_s["on"] - 1e-2
        logged_j = sum(row[0] for row in self.host.power_log()) * 0.1
        assert logged_j == pytest.approx(self.host.energy_true_j(0), abs=45.0)  # up to a row is not yet written


def test_a_host_switched_in_any_order_keeps_its_account(tmp_path: Path) -> None:
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    Switching.directory = tmp_path
    run_state_machine_as_test(Switching, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
