"""What `eagent verify` prints, from what NVML and the agent say; with real processes it is tested under integration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.cli import verify
from eagent.doctor.driver import Driver, Gpu

Run = Callable[..., Any]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let NVML show one GPU with these limits, one after another; the last one stays. The kernel shows tmp_path/sys."""
    monkeypatch.setenv("EAGENT_SYSFS", str(tmp_path / "sys"))

    def show(*limits_w: float, **driver: Any) -> None:
        left = list(limits_w)

        def ask(library: str, symbols: tuple[str, ...], **_: Any) -> Driver:
            assert symbols == ()
            limit_w = left.pop(0) if len(left) > 1 else left[0]
            gpu = Gpu(index=0, uuid="GPU-0a", max_limit_w=400.0, requested_w=limit_w, sm_clock_mhz=1410)
            return Driver(library, **{"code": 0, "gpus": (gpu,), **driver})

        monkeypatch.setattr(verify, "ask", ask)
        monkeypatch.setattr(verify, "LOOK_AGAIN_S", 0)
        monkeypatch.setattr("socket.gethostname", lambda: "c01")

    return show


@pytest.mark.usefixtures("agent")
def test_all_that_agrees_is_a_table_and_exit_code_0(eagent: Run, nvml: Callable[..., None]) -> None:
    nvml(260.5)
    assert eagent("verify") == (
        0,
        "c01  eagent 0.1.0\n"
        "\n"
        "DEVICE  KNOB            LIVE     HELD  VERDICT\n"
        "gpu0    power limit  260.5 W  260.5 W  agrees\n"
        "host    budget       660.5 W   2480 W  agrees\n"
        "\n"
        "All agree.\n",
        "",
    )


@pytest.mark.usefixtures("agent")
def test_what_differs_is_named_and_exit_code_1(eagent: Run, nvml: Callable[..., None]) -> None:
    nvml(300.0, simulated=True)
    said = eagent("verify")
    assert said.code == 1
    assert said.out.split("\n")[1].startswith("SIMULATED")
    assert "power limit  300 W  260.5 W  DIFFERS: 39.5 W above what is held: see `eagent doctor`" in said.out
    assert said.out.endswith("\n1 of 2 does not agree.\n")
    document = json.loads(eagent("verify", "--json").out)
    assert (document["agrees"], document["simulated"], document["problem"]) == (False, True, "")
    assert document["rows"][0] == {
        "subject": "gpu0",
        "uuid": "GPU-0a",
        "knob": "power limit",
        "unit": "W",
        "live": 300.0,
        "held": 260.5,
        "verdict": "DIFFERS",
        "why": "39.5 W above what is held: see `eagent doctor` for other writers",
    }


def test_a_clock_ceiling_has_a_row_of_its_own(eagent: Run, agent: Any, nvml: Callable[..., None]) -> None:
    nvml(260.5)
    agent.said["devices"][0]["gpu_clock"]["ours_mhz"] = 705
    said = eagent("verify")
    assert said.code == 1
    assert "gpu0    gpu clock    1410 MHz  705 MHz  DIFFERS: it runs 705 MHz above what is held\n" in said.out


def test_the_knobs_of_a_package_are_read_from_the_kernel(
    eagent: Run, agent: Any, nvml: Callable[..., None], package: dict[str, Any], tmp_path: Path
) -> None:
    nvml(260.5)
    cpus = tmp_path / "sys/devices/system/cpu"
    policy = cpus / "cpufreq/policy0"
    for path, text in {
        cpus / "cpu0/topology/physical_package_id": "0",
        policy / "affected_cpus": "0",
        policy / "scaling_max_freq": "1800000",
        policy / "energy_performance_preference": "balance_power",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    package["power_limit"].update(requested_w=None, state="unwritable", writable=False)
    agent.said["devices"].append(package)
    said = eagent("verify")
    assert (said.code, said.out.split("\n")[2:-2]) == (
        0,
        [
            "DEVICE  KNOB                     LIVE           HELD  VERDICT",
            "gpu0    power limit           260.5 W        260.5 W  agrees",
            "cpu0    cpu clock            1800 MHz       1800 MHz  agrees",
            "cpu0    cpu preference  balance_power  balance_power  agrees",
            "host    budget                660.5 W         2480 W  agrees",
            "",
        ],
    )
    (policy / "scaling_max_freq").write_text("3400000\n")
    (policy / "energy_performance_preference").write_text("performance\n")
    said = eagent("verify")
    assert said.code == 1
    told = " ".join(said.out.split())
    assert "cpu clock 3400 MHz 1800 MHz DIFFERS: 1600 MHz above what is held: see `eagent doctor`" in told
    assert "cpu preference performance balance_power DIFFERS: not what is held: see `eagent doctor`" in told
    rows = json.loads(eagent("verify", "--json").out)["rows"]
    assert [(row["knob"], row["live"], row["held"]) for row in rows if row["uuid"] == "CPU-0"] == [
        ("cpu clock", 3400.0, 1800),
        ("cpu preference", "performance", "balance_power"),
    ]


@pytest.mark.usefixtures("agent")
def test_what_was_on_its_way_is_looked_at_again(eagent: Run, nvml: Callable[..., None]) -> None:
    nvml(300.0, 260.5)
    assert eagent("verify").code == 0


def test_without_an_agent_live_values_are_shown_and_that_nobody_can_be_asked(
    eagent: Run, nvml: Callable[..., None]
) -> None:
    nvml(400.0)
    said = eagent("verify")
    assert said.code == 1
    assert "gpu0    power limit  400 W     —  unknown: the warden can't be asked" in said.out.split("\n")
    assert "\nThe warden can't be asked what it holds: no agent runs here" in said.out
    assert json.loads(eagent("verify", "--json").out)["problem"].startswith("no agent runs here")


def test_an_agent_without_a_warden_vouches_for_nothing(eagent: Run, agent: Any, nvml: Callable[..., None]) -> None:
    nvml(260.5)
    agent.said["warden"]["connected"] = False
    said = eagent("verify")
    assert said.code == 1
    assert said.out.endswith("The warden can't be asked what it holds: the agent runs, but no warden answers it.\n")


@pytest.mark.usefixtures("agent")
def test_without_a_driver_it_is_one_line(eagent: Run, nvml: Callable[..., None]) -> None:
    nvml(0.0, code=None, gpus=(), not_opened="cannot open shared object file")
    said = eagent("verify")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("eagent: nothing can be read: libnvidia-ml.so.1: NVML can't be loaded: cannot open")
    assert said.err.count("\n") == 1
