"""What a host draws beside its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent.errors import InputError
from eagent.sim import host, model, processor
from eagent.sim._bmc import Bmc
from eagent.sim._maker import create
from eagent.sim._plant import Host
from eagent.sim.supply import Supply, package_most_w, supply
from eagent.sim.workload import Square

GPU, CPU = model.load("a100-sxm4-80gb"), processor.load("xeon-platinum-8358")
BURN = Square(period_s=1e5, duty=1.0)


def test_a_server_of_eight_gpus_draws_what_was_measured_on_one(tmp_path: Path) -> None:
    made = host.create(tmp_path, "n1", clock="virtual")
    with Host(made.plant) as plant, Bmc(made.plant) as bmc:
        plant.advance(1.0)
        assert 1500 <= bmc.power_w <= 1700
        BURN.start(plant, range(8))
        plant.advance(60.0)
        assert 5000 <= bmc.power_w <= 6550  # its processors only feed the GPUs here


def test_hotter_air_costs_fans(tmp_path: Path) -> None:
    drawn_w = []
    for inlet_c in (18.0, 35.0):
        made = supply(GPU, 1, CPU, inlet_c=inlet_c)
        description = {"gpus": 1, "seed": 1, "permission": "anyone", "clock": "virtual", "model": GPU, "cpu": CPU}
        path = tmp_path / f"{inlet_c:g}"
        create(path, {**description, "supply": made.as_dict()})
        with Host(path) as plant, Bmc(path) as bmc:
            BURN.start(plant, [0])
            plant.advance(10.0)
            drawn_w.append(bmc.power_w)
            assert plant.view(0)["temperature_c"] > inlet_c + 20
    assert drawn_w[1] > drawn_w[0] + 20


def test_nobody_draws_more_than_what_is_declared_for_him(tmp_path: Path) -> None:
    made = host.create(tmp_path, "n1", clock="virtual")
    with Host(made.plant) as plant, Bmc(made.plant) as bmc:
        BURN.start(plant, range(8))
        plant.advance(20.0)
        parts_w = 8 * 400.0 + package_most_w(CPU)
        most_w = parts_w + supply(GPU, 8, CPU).others_most_w(parts_w)
        assert max(row[0] for row in bmc.power_log()[30:]) <= most_w <= 6600  # 6.55 kW measured


def test_a_boot_is_charged_with_busy_processors_and_idle_gpus() -> None:
    plain = {"fan_w": 0.0, "loss_w": 0.0, "loss_share": 0.0}
    assert supply(GPU, 8, CPU, rest_w=900.0, **plain).boot_w == 900 + 8 * 52 + 2 * (250 + 32)
    assert supply(GPU, 8, CPU, boot_w=5.0, **plain) == Supply(
        standby_w=30.0,
        boot_w=5.0,
        boot_s=30.0,
        rest_w=760.0,
        fan_w=0.0,
        fan_min=0.35,
        fan_full_w=pytest.approx(3764.0 * 25 / 15),  # they are sized for air of 35 degrees
        loss_w=0.0,
        loss_share=0.0,
        inlet_c=24.0,
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"standby_w": -1.0},
        {"boot_w": 2e6},
        {"rest_w": float("nan")},
        {"boot_s": -0.1},
        {"boot_s": float("inf")},
        {"fan_min": 1.1},
        {"loss_share": -0.1},
    ],
)
def test_what_no_host_draws_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(bad))} .*: must be 0 to"):
        supply(GPU, 8, CPU, **bad)


def test_air_that_cools_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="inlet_c 50: must be -40 to 49"):
        supply(GPU, 8, CPU, inlet_c=50.0)
