"""What a host draws beside its parts."""

from __future__ import annotations

import pytest

from eagent.errors import InputError
from eagent.sim import model, processor
from eagent.sim.supply import Supply, supply

GPU, CPU = model.load("a100-sxm4-80gb"), processor.load("xeon-platinum-8358")


def test_an_idle_server_of_eight_gpus_draws_what_was_measured_on_one() -> None:
    idle_w = 8 * GPU["power"]["deep_idle_w"] + 2 * (CPU["power"]["idle_w"] + CPU["power"]["dram_idle_w"])
    assert 1500 <= supply(GPU, 8, CPU).rest_w + idle_w <= 1700


def test_a_boot_is_charged_with_busy_processors_and_idle_gpus() -> None:
    assert supply(GPU, 8, CPU, rest_w=900.0).boot_w == 900 + 8 * 52 + 2 * (250 + 32)
    assert supply(GPU, 8, CPU, boot_w=5.0) == Supply(standby_w=30.0, boot_w=5.0, boot_s=30.0, rest_w=1000.0)


@pytest.mark.parametrize(
    "bad", [{"standby_w": -1.0}, {"boot_w": 2e6}, {"rest_w": float("nan")}, {"boot_s": -0.1}, {"boot_s": float("inf")}]
)
def test_what_no_host_draws_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(bad))} .*: must be 0 to"):
        supply(GPU, 8, CPU, **bad)
