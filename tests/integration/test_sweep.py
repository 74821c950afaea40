"""`eagent sweep` of real commands on simulated hosts, against the plant's own truth; and what is left when it dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eagent.sim import _maker, _plant, model
from eagent.sim.workload import Square
from tests.integration.conftest import CONFIG, Site

WORK_S = 3.0
MEMORY = Square(period_s=1e6, duty=1.0, compute=0.5, memory=1.0, compute_fraction=0.0)
COMPUTE = Square(period_s=1e6, duty=1.0)
TIMEOUT_S = 150.0


def words(load: Square, host: str, *more: str) -> list[str]:
    """The command that does this load's work."""
    shares = ("--compute", load.compute, "--memory", load.memory, "--clock-bound", load.compute_fraction)
    return [sys.executable, "-m", "eagent", "sim", "work", host, *map(str, shares), *more]


def sweep(site: Site, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "eagent", f"--config={site.config}", "sweep", *arguments]
    return subprocess.Popen(
        command,
        env=site.made.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def truth(directory: Path, load: Square, clock_mhz: int | None) -> tuple[float, float]:
    """Seconds and joules of the work, by the plant in virtual time."""
    path = directory / f"oracle{clock_mhz}{load.compute}"
    described = {
        "gpus": 1,
        "seed": 1,
        "permission": "anyone",
        "clock": "virtual",
        "model": model.load("a100-sxm4-80gb"),
    }
    _maker.create(path, described)
    with _plant.Host(path) as host:
        if clock_mhz is not None:
            host.lock_clocks(0, 210, clock_mhz)
        load.start(host, [0])
        host.advance(20.0)  # as warm as one that works again and again
        (begun,), energy_j = host.progress()[0]["units"], host.energy_true_j(0)
        while host.progress()[0]["units"][0] - begun < WORK_S:
            host.advance(host.time_s + 0.005)
        return host.time_s - 20.0, host.energy_true_j(0) - energy_j


def advised(told: dict[str, Any]) -> dict[float, float | None]:
    return {each["bound"]: each["setting"]["clock_mhz"] for each in told["advice"]}


def best(true: dict[int | None, tuple[float, float]], bound: float) -> int | None:
    """The clock with the least energy within the bound."""
    base_s = true[None][0]
    within = [clock for clock, (seconds, _) in true.items() if seconds <= base_s * (1 + bound) + 1e-9]
    return min(within, key=lambda clock: true[clock][1])


Truth = dict[int | None, tuple[float, float]]


def begin(site: Site, gpu: int, load: Square, clocks: Sequence[int], target: Path, *how: str) -> subprocess.Popen[str]:
    options = ["--gpu", f"gpu{gpu}", "--clocks", ",".join(map(str, clocks)), "--warmup", "0", *how]
    options += ["--begin", "working", "--end", "units in", "--units-from", "^([0-9.]+) units in", "--unit", "step"]
    prepare = ["--prepare", "3s"] if "hint" in how else []
    work = words(load, site.made.name, "--units", str(WORK_S * 100), "--gpus", str(gpu), *prepare)
    return sweep(site, *options, "--json", str(target), "--plot", f"{target}.svg", "--", *work)


def check_points(told: dict[str, Any], true: Truth, out: str) -> None:
    assert [run["why"] for run in told["runs"] if run["why"]] == [], told["runs"]
    assert {run["units"] for run in told["runs"]} == {WORK_S * 100}
    for point in told["points"]:
        seconds, joules = true[point["setting"]["clock_mhz"]]
        # A line is seen hundredths of a second late on a busy machine; a board's sensor speaks ten times a second.
        assert point["slowdown"] == pytest.approx(seconds / true[None][0] - 1, abs=0.06), out
        assert point["saved"] == pytest.approx(1 - joules / true[None][1], abs=0.09), out
        assert point["energy_j"] * WORK_S * 100 == pytest.approx(joules, rel=0.15), "the board's own error"


def check_no_advice_breaks_its_bound(told: dict[str, Any], true: Truth) -> None:
    for each in told["advice"]:
        slowdown = true[each["setting"]["clock_mhz"]][0] / true[None][0] - 1
        assert slowdown <= each["bound"] + 0.04, "beyond what runs of seconds can't tell"


def check_said_to_be_simulated(told: dict[str, Any], out: str, progress: str, picture: str) -> None:
    assert told["simulated"]
    assert "SIMULATED" in out
    assert "SIM. ENERGY/STEP" in out
    assert all("J simulated" in line for line in progress.splitlines() if " s, " in line), progress
    assert "SIMULATED" in picture


def test_the_found_fronts_are_the_plants_own_by_pins_and_by_hints(site: Callable[..., Site], tmp_path: Path) -> None:
    one, plants = site(gpus=3), tmp_path / "plants"
    plants.mkdir()
    of_memory: Truth = {clock: truth(plants, MEMORY, clock) for clock in (None, 1005, 1200)}
    of_compute: Truth = {clock: truth(plants, COMPUTE, clock) for clock in (None, 1005, 1305)}
    one.config.write_text(f'{CONFIG}[policy]\nmode_hint = "act"\n')
    one.up()
    targets = [tmp_path / f"{gpu}.json" for gpu in range(3)]
    running = [
        begin(one, 0, MEMORY, (1005, 1200), targets[0], "--repeat", "2"),
        begin(one, 1, COMPUTE, (1305, 1005), targets[1], "--repeat", "2"),
        begin(one, 2, MEMORY, (1005,), targets[2], "--repeat", "1", "--by", "hint"),
    ]
    said = [each.communicate(timeout=TIMEOUT_S) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], said
    told = [json.loads(target.read_text()) for target in targets]
    for each, true, (out, progress), target in zip(
        told, (of_memory, of_compute, of_memory), said, targets, strict=True
    ):
        check_points(each, true, out)
        check_no_advice_breaks_its_bound(each, true)
        check_said_to_be_simulated(each, out, progress, Path(f"{target}.svg").read_text())
    assert [each["order"]["by"] for each in told] == ["pin", "pin", "hint"]
    assert advised(told[0])[0.1] == best(of_memory, 0.1) == 1005, said[0]
    assert advised(told[1])[0.1] == best(of_compute, 0.1) == 1305, said[1]
    assert "eagent pin set gpu0 --clock 1005" in said[0][0]
    assert one.await_true(lambda: all(unlocked(one, gpu) for gpu in range(3)), 10)


def unlocked(site: Site, gpu: int) -> bool:
    view = site.plant.view(gpu)
    return (view["locked_min_mhz"], view["locked_max_mhz"]) in ((0, 0), (210, 1410))


def test_however_a_sweep_ends_the_knob_goes_back_and_it_can_go_on(site: Callable[..., Site], tmp_path: Path) -> None:
    one, target = site(gpus=1), tmp_path / "front.json"
    one.up()
    work = words(MEMORY, one.made.name, "--units", "100")
    options = ["--clocks", "1005", "--repeat", "1", "--warmup", "0", "--json", str(target), "--units", "100"]

    def pinned() -> bool:
        return one.plant.view(0)["locked_max_mhz"] == 1005

    broken = sweep(one, *options, "--", *work)
    assert one.await_true(pinned, TIMEOUT_S)
    broken.send_signal(signal.SIGINT)
    out, progress = broken.communicate(timeout=TIMEOUT_S)
    assert broken.returncode == 130
    assert f"broken off after 1 runs; `eagent sweep --resume {target}` goes on" in progress
    assert "as it is" in out
    assert one.await_true(lambda: unlocked(one, 0), 3), "Ctrl-C puts it back at once"
    assert one.await_true(lambda: not any(load["running"] for load in one.plant.progress()), 3), "and ends the command"
    killed = sweep(one, "--resume", str(target))
    assert one.await_true(pinned, TIMEOUT_S)
    killed.kill()
    killed.communicate(timeout=TIMEOUT_S)
    assert one.await_true(lambda: unlocked(one, 0), 13), "a pin that nobody renews ends"
    again = sweep(one, "--resume", str(target))
    out, progress = again.communicate(timeout=TIMEOUT_S)
    assert again.returncode == 0, progress
    assert "1 runs are done already" in progress
    told = json.loads(target.read_text())
    assert [run["setting"]["clock_mhz"] for run in told["runs"]] == [None, 1005, None]
    assert [run["why"] for run in told["runs"]] == ["", "", ""]
