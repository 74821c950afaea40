"""Faults of a description, against what the plant takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagent.errors import InputError
from eagent.sim import faults, host
from eagent.sim._faults import KINDS, Faults
from eagent.sim._plant import Host
from eagent.sim.description import fault, file
from eagent.sim.description.fault import Fault
from eagent.sim.model import Number

NEEDED = {"outside-limit": {"power_limit_w": 200}, "foreign-limit": {"power_limit_w": 200}}
NEEDED |= {"foreign-lock": {"lock_mhz": [210, 900]}}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_the_plant_knows_can_be_described_and_is_taken(tmp_path: Path, kind: str) -> None:
    made = host.create(tmp_path, "box", gpus=2, clock="virtual")
    parts = {f"{part}s": (1,) for part in faults.KINDS[kind].parts}
    for given in (parts, {}):
        with Faults(made.plant) as opened:
            Fault(kind, at_s=5.0, values=NEEDED.get(kind, {}), **given).inject(opened)  # type: ignore[arg-type]
            entered = opened.all()
            assert {each["kind"] for each in entered} == {kind}
            assert [each["from_s"] for each in entered] == [5.0] * max(1, len(given))
            targets = {each["target"] for each in entered}
            assert targets == ({part.removesuffix("s") for part in given} or {"host"})
            opened.clear()


def test_the_values_of_every_kind_have_a_default_that_fits_or_none() -> None:
    for kind, values in fault.VALUES.items():
        for key, (fits, default) in values.items():
            assert default is None or fits.wrong(default) is None, (kind, key)


@pytest.mark.parametrize("kind", ["not-supported", "zero-power", "slow-calls", "xid"])
def test_the_plant_takes_the_least_and_the_most_that_may_be_described(tmp_path: Path, kind: str) -> None:
    made = host.create(tmp_path, "box", gpus=1, clock="virtual")
    ((key, (fits, _)),) = fault.VALUES[kind].items()
    assert isinstance(fits, Number)
    with Faults(made.plant) as opened:
        for value in (fits.low, fits.high):
            Fault(kind, at_s=5.0, values={key: value}).inject(opened)
        assert len(opened.all()) == 2


def test_faults_strike_a_host_at_their_times(tmp_path: Path) -> None:
    text = """
    [host]
    name = "box"
    clock = "virtual"
    [gpu]
    count = 3
    [[fault]]
    kind = "stuck-power"
    gpus = "1"
    stuck = ["power"]
    power_w = 46.19
    at_s = 2
    for_s = 3
    [[fault]]
    kind = "foreign-limit"
    gpus = "0"
    power_limit_w = 200
    at_s = 4
    every_s = 10
    for_s = 25
    """
    made = host.make(tmp_path, file.parse(text, "x", tmp_path))
    with Host(made.plant) as plant:
        shown = []
        for time_s in (1.0, 3.0, 6.0):
            plant.advance(time_s)
            shown.append([plant.view(gpu)["power_plain_mw"] == 46190 for gpu in range(3)])
        assert shown == [[False] * 3, [False, True, False], [False] * 3]
        plant.advance(40.0)
        assert [(time_s, gpu, new_w) for time_s, gpu, _, new_w, _ in plant.limit_log()] == [
            (4.0, 0, 200.0),
            (14.0, 0, 200.0),
            (24.0, 0, 200.0),
        ]


def test_more_faults_than_a_host_holds_make_none(tmp_path: Path) -> None:
    described = file.parse('[host]\nname = "box"\n' + "[[fault]]\nkind = 'gpu-lost'\ngpus = '0-7'\n" * 5, "x", tmp_path)
    with pytest.raises(InputError, match=r"^\[\[fault\]\] 5: gpu-lost: the host has 32 faults already"):
        host.make(tmp_path / "hosts", described)
    assert list((tmp_path / "hosts").iterdir()) == []
