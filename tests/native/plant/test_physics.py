"""The model against the measurements that it was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eagent.sim.workload import Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

# The A100 PCIe board of the published fits: without a term for leakage, which the fits hold within their other numbers,
# and with one base power for all clocks, as they have it.
PCIE = {
    "limits": {"min_w": 150.0, "max_w": 300.0, "default_w": 300.0},
    "power": {"deep_idle_w": 60.0, "base_w": 60.0, "memory_w": 48.0, "compute_w": 236.0, "leak_w_per_k": 0.0},
}
COMPUTE = Square(period_s=1e5, duty=1.0, compute=1.0, memory=0.0, compute_fraction=0.96)
STREAM = Square(period_s=1e5, duty=1.0, compute=120 / 236, memory=1.0, compute_fraction=0.0)
QUIET = Square(period_s=1e5, duty=0.0)  # a process that waits for work


def energy_and_time(host: Host) -> tuple[float, float]:
    """Joules and seconds per unit of work, over ten seconds after things have settled."""
    host.advance(5.0)
    energy_j, units = host.energy_true_j(0), host.progress()[0]["units"][0]
    host.advance(15.0)
    done = host.progress()[0]["units"][0] - units
    return (host.energy_true_j(0) - energy_j) / done, 10.0 / done


def saving_and_slowdown(lab: Lab, load: Square, cap_w: float = 300.0, lock_mhz: int = 1410) -> tuple[float, float]:
    """Percent of energy saved and of time lost, against the same work at full clock."""
    free, held = lab(**PCIE), lab(**PCIE)
    held.set_power_limit(0, cap_w)
    held.lock_clocks(0, 210, lock_mhz)
    load.start(free, [0])
    load.start(held, [0])
    (free_j, free_s), (held_j, held_s) = energy_and_time(free), energy_and_time(held)
    return 100 * (1 - held_j / free_j), 100 * (held_s / free_s - 1)


@pytest.mark.parametrize("beta", [0.0, 0.65, 0.96, 1.0])
@pytest.mark.parametrize("mhz", [810, 1005, 1200, 1305, 1410])
def test_work_slows_with_the_clock_by_the_share_of_it_that_computes(lab: Lab, beta: float, mhz: int) -> None:
    host = lab()
    host.lock_clocks(0, 210, mhz)
    Square(period_s=1e5, duty=1.0, compute=0.5, memory=0.2, compute_fraction=beta).start(host, [0], at_s=1.0)
    host.advance(2.0)
    before = host.progress()[0]["units"][0]
    host.advance(12.0)
    assert 10.0 / (host.progress()[0]["units"][0] - before) == pytest.approx(1 + beta * (1410 / mhz - 1), rel=1e-6)


def test_below_the_clocks_of_the_fits_even_memory_bound_work_slows(lab: Lab) -> None:
    host = lab()
    host.lock_clocks(0, 210, 405)
    STREAM.start(host, [0])
    assert energy_and_time(host)[1] == pytest.approx(800 / 405)


@pytest.mark.parametrize(
    ("load", "lock_mhz", "saved", "slower"),
    [(STREAM, 1005, 36.4, 0.0), (COMPUTE, 1305, 18.2, 7.6)],
    ids=["stream", "compute"],
)
def test_a_clock_lock_saves_what_was_measured(
    lab: Lab, load: Square, lock_mhz: int, saved: float, slower: float
) -> None:
    found_saved, found_slower = saving_and_slowdown(lab, load, lock_mhz=lock_mhz)
    assert found_saved == pytest.approx(saved, abs=1)
    assert found_slower == pytest.approx(slower, abs=0.5)


@pytest.mark.parametrize(
    ("load", "cap_w", "saved", "slower"),
    [(STREAM, 150.0, 34.5, 2.1), (COMPUTE, 225.0, 18.6, 7.9)],
    ids=["stream", "compute"],
)
def test_a_power_cap_saves_what_was_measured(lab: Lab, load: Square, cap_w: float, saved: float, slower: float) -> None:
    found_saved, found_slower = saving_and_slowdown(lab, load, cap_w=cap_w)
    assert found_saved == pytest.approx(saved, abs=2)
    assert found_slower == pytest.approx(slower, abs=2.5)


def test_a_gpu_without_a_process_rests_at_its_lowest_clock(lab: Lab) -> None:
    host = lab()
    host.advance(10.0)
    view = host.view(0)
    assert host.energy_true_j(0) == pytest.approx(520.0)
    assert (view["sm_clock_mhz"], view["event_reasons"], view["pids"], view["gpu_utilisation_pct"]) == (210, 1, (), 0)


def test_a_gpu_with_a_quiet_process_keeps_its_clock_and_draws_more(lab: Lab) -> None:
    host = lab(power={"leak_w_per_k": 0.0})
    Square(period_s=100.0, duty=0.0).start(host, [0], pid=77)
    host.advance(10.0)
    view = host.view(0)
    assert host.energy_true_j(0) == pytest.approx(600.0, rel=1e-3)
    assert (view["sm_clock_mhz"], view["event_reasons"], view["pids"], view["gpu_utilisation_pct"]) == (
        1410,
        0,
        (77,),
        0,
    )


def drive(mhz: int) -> float:
    """The shipped model's (f/fmax) v(f)^2, on its own."""
    volt = 0.656 + 0.344 * max(0.0, (mhz - 920) / 490) ** 1.96
    return mhz / 1410 * volt * volt


def watts_at(lab: Lab, mhz: int, load: Square, **power: float) -> float:
    """True watts of a GPU locked at a clock, leakage apart, once the lock acts."""
    host = lab(limits={"max_w": 1000.0, "default_w": 1000.0}, power={"leak_w_per_k": 0.0, **power})
    host.lock_clocks(0, 210, mhz)
    load.start(host, [0])
    host.advance(2.0)
    return host.power_log()[-1][0]


@pytest.mark.parametrize("mhz", [210, 225, 600, 915, 930, 1200, 1395, 1410])
@pytest.mark.parametrize("load", [QUIET, COMPUTE], ids=["quiet", "compute"])
def test_what_a_process_costs_goes_with_the_clock_from_deep_idle_to_base(lab: Lab, mhz: int, load: Square) -> None:
    base_w = 60 - 8 * (1 - drive(mhz)) / (1 - drive(210))
    assert watts_at(lab, mhz, load) == pytest.approx(base_w + 336 * load.duty * drive(mhz), rel=1e-6)


def test_its_ends_are_the_models_numbers(lab: Lab) -> None:
    assert watts_at(lab, 210, QUIET) == pytest.approx(52.0, rel=1e-6)
    assert watts_at(lab, 1410, QUIET) == pytest.approx(60.0, rel=1e-6)


@pytest.mark.parametrize("deep_idle_w", [24.0, 33.0])
def test_where_idle_without_a_process_is_said_to_draw_more_the_clock_changes_nothing(
    lab: Lab, deep_idle_w: float
) -> None:
    for mhz in (210, 900, 1410):  # 24 and 33 W is what is reported of a V100
        assert watts_at(lab, mhz, QUIET, deep_idle_w=deep_idle_w, base_w=24.0) == pytest.approx(24.0, rel=1e-6)


def test_dense_compute_wants_more_than_the_greatest_limit(lab: Lab) -> None:
    host = lab(limits={"max_w": 1000.0, "default_w": 1000.0})
    COMPUTE.start(host, [0])
    host.advance(600.0)
    assert 410 < host.power_log()[-1][0] < 480


def test_the_temperature_settles_where_the_cooler_sheds_what_is_drawn(lab: Lab) -> None:
    host = lab(power={"leak_w_per_k": 0.0})
    Square(period_s=1e5, duty=1.0, compute=0.4, memory=0.0).start(host, [0])
    host.advance(3.0)
    soon = host.view(0)["temperature_c"]
    host.advance(1500.0)
    assert host.view(0)["temperature_c"] == round(24 + 200 * (0.0375 + 0.0232 + 0.035))
    assert soon == pytest.approx(24 + 200 * (0.0375 + 0.0232) + 52 * 0.035, abs=2)
    host.stop_load()
    host.advance(4000.0)
    assert host.view(0)["temperature_c"] == round(24 + 52 * (0.0375 + 0.0232 + 0.035))
