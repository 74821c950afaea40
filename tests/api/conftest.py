"""A Service to serve, and what it says: two GPUs, one of them with readings that are missing, and a CPU package."""

from __future__ import annotations

from typing import Any

import pytest

from eagent.errors import NotFoundError

UUID = ("GPU-0a", "GPU-1b")


def reading(value: float | None, unit: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "status": status, "sensor": "nvml", "window_s": 0, "age_s": 0.04, **more}


COST_COUNTERS = {
    "read_share_since_start": 0.0061,
    "write_share_since_start": 0.0002,
    "read_s": 6.1,
    "write_s": 0.2,
    "reads": 5000,
    "writes": 12,
    "refreshes_caught": 9950,
    "refreshes_missed": 50,
    "refreshes_shed": 0,
    "shedding_s": None,
    "lateness": [0, 0, 0, 0, 0, 0, 700, 250, 40, 9] + [0] * 9 + [1],
    "loop_cpu_s": 1.75,
}


def cost() -> dict[str, Any]:
    """What eagent itself costs: a minute in which nothing was shed."""

    def process(pid: int, cpu_s: float, cpu_share: float, resident_b: int) -> dict[str, Any]:
        return {
            "pid": pid,
            "cpu_s": cpu_s,
            "cpu_share": reading(cpu_share, "ratio", sensor="kernel process times", window_s=5.0),
            "resident_b": resident_b,
        }

    return {
        **COST_COUNTERS,
        "read_share": reading(0.0062, "ratio", sensor="warden's loop", window_s=60.0),
        "write_share": reading(0.0001, "ratio", sensor="warden's loop", window_s=60.0),
        "unseen_share": reading(0.005, "ratio", sensor="warden's loop", window_s=60.0),
        "shed_share": reading(0.0, "ratio", sensor="warden's loop", window_s=60.0),
        "lateness_p99": reading(0.000256, "s", sensor="warden's loop", window_s=60.0),
        "processes": {"warden": process(811, 2.5, 0.004, 30 << 20), "agent": process(812, 20.0, 0.03, 60 << 20)},
    }


@pytest.fixture
def status() -> dict[str, Any]:
    foreign = {"count": 3, "ago_s": 12.0, "value": 260.0, "before": 250.0, "stands": True, "fate": "stands"}

    def device(index: int, power: dict[str, Any], temperature: dict[str, Any]) -> dict[str, Any]:
        return {
            "device": f"gpu{index}",
            "kind": "gpu",
            "uuid": UUID[index],
            "name": "A100-SXM4-80GB",
            "pci_bus_id": f"00000000:0{index}:00.0",
            "readings": {
                "power": power,
                "power_mean": reading(300.25, "W", sensor="eagent mean", window_s=1.0),
                "power_recent": reading(310.5, "W", sensor="eagent mean", window_s=10.0),
                "energy": reading(1234.5, "J"),
                "sm_clock": reading(1410, "MHz"),
                "gpu_utilisation": reading(0.97, "ratio"),
                "memory_utilisation": reading(0.5, "ratio"),
                "temperature": temperature,
                "capped_share": reading(0.0, "ratio"),
                "memory_used": reading(8 << 30, "B"),
                "pcie_tx": reading(7_000_000_000, "B") if index == 0 else reading(None, "B", "missing"),
                "pcie_rx": reading(9_000_000_000, "B") if index == 0 else reading(None, "B", "missing"),
                "compute_processes": reading(2 - index, "processes"),
            },
            "power_limit": {
                "requested_w": 260.0,
                "enforced_w": 260.0,
                "ours_w": 260.0 if index == 0 else None,
                "baseline_w": 400.0,
                "min_w": 100.0,
                "max_w": 400.0,
                "state": "leased" if index == 0 else "foreign",
                "writable": index == 0,
                "why": "share of the budget",
                "exposure": {"seconds": 1.25, "joules": 187.5, "now": False} if index == 0 else None,
                "foreign": None if index == 0 else foreign,
            },
        }

    package = {
        "device": "cpu0",
        "kind": "cpu",
        "uuid": "CPU-0",
        "name": "Xeon",
        "pci_bus_id": "",
        "cpus": 32,
        "readings": {
            "power": reading(85.5, "W", sensor="rapl", window_s=0.1),
            "power_mean": reading(84.0, "W", sensor="mean of rapl", window_s=1.0),
            "power_recent": reading(None, "W", "missing", sensor="mean of rapl", window_s=10.0),
            "energy": reading(777.25, "J", sensor="rapl energy counter"),
            "frequency": reading(2750.0, "MHz", sensor="kernel cpufreq"),
        },
        "power_limit": {
            "requested_w": 200.0,
            "enforced_w": None,
            "ours_w": 200.0,
            "baseline_w": 250.0,
            "min_w": 125.0,
            "max_w": 250.0,
            "state": "leased",
            "writable": True,
            "why": "",
            "exposure": {"seconds": 0.0, "joules": 0.0, "now": False},
        },
        "cpu_clock": {"held_mhz": 2100, "ours_mhz": 2000, "baseline_mhz": 3400, "state": "leased"},
        "cpu_preference": {"held": "mixed", "ours": "balance_power", "baseline": None, "state": "leased"},
    }
    return {
        "version": "0.1.0",
        "host": "c01",
        "simulated": False,
        "time": "2026-07-22T10:00:00Z",
        "warden": {
            "connected": True,
            "why": None,
            "stale_s": 0.04,
            "halves": {
                "reading": {"silent_s": 0.04, "hangs": False},
                "writing": {"silent_s": 0.07, "hangs": False},
            },
            "nvml_time_share": 0.012,
            "lateness_max_s": 0.0003,
            "missed_periods": 2,
            "read_errors": 1,
            "write_errors": 0,
        },
        "cost": cost(),
        "budget": {
            "budget_w": 2480.0,
            "fixed_w": 400.0,
            "envelope_w": 2080.0,
            "limits_w": 520.0,
            "reserved_w": 520.0,
            "headroom_w": 1560.0,
            "safe_caps_w": {UUID[0]: 150.0, UUID[1]: 150.0},
        },
        "lease": {"until_s": 2.5},
        "mesh": None,
        "alarms": [],
        "jobs": [
            {
                "job": "1000 python train.py 0a1b2c3d",
                "devices": ["gpu0"],
                "source": "beats",
                "units": 1234.0,
                "unit": "step",
                "rate_per_s": 2.5,
                "age_s": 0.05,
                "why": None,
            },
            {
                "job": "1001 serve 4d5e6f70",
                "devices": ["gpu1"],
                "source": "none",
                "units": None,
                "unit": None,
                "rate_per_s": None,
                "age_s": None,
                "why": "it says nothing, and shows no rhythm",
            },
        ],
        "busy_cpus": reading(3.5, "CPUs", sensor="kernel cpu times", window_s=1.0),
        "devices": [
            device(0, reading(312.4, "W", sensor="nvml instant", window_s=0.025), reading(61, "°C")),
            device(1, reading(None, "W", "not_supported"), reading(None, "°C", "stale", age_s=9.0)),
            package,
        ],
    }


class FakeService:
    """Knows gpu0 and gpu1, notes what it is asked, and raises `problem` when it has one."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.said = status
        self.asked: list[tuple[Any, ...]] = []
        self.problem: Exception | None = None

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.problem is not None:
            raise self.problem

    def _known(self, device: str) -> None:
        if device not in ("gpu0", "gpu1", "00000000:00:00.0"):
            raise NotFoundError(f"no device {device!r}")

    def status(self) -> dict[str, Any]:
        self._note("status")
        return self.said

    def explain(self, device: str) -> dict[str, Any]:
        self._known(device)
        return {"device": device, "knobs": []}

    async def set_budget(self, budget_w: float, fixed_w: float | None, safe_cap_w: float | None) -> dict[str, Any]:
        self._note("set_budget", budget_w, fixed_w, safe_cap_w)
        return {"budget_w": budget_w}

    async def clear_budget(self) -> None:
        self._note("clear_budget")

    def set_pin(
        self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None
    ) -> dict[str, Any]:
        self._known(device)
        self._note("set_pin", device, limit_w, for_s, clock_mhz)
        return {"device": device}

    def clear_pin(self, device: str) -> None:
        self._known(device)
        self._note("clear_pin", device)

    async def detach(self, device: str, by: str, why: str) -> dict[str, Any]:
        self._known(device)
        self._note("detach", device, by, why)
        return {"device": device, "why": "detached since noon by root: to be reset", "already": device == "gpu1"}

    async def attach(self, device: str) -> dict[str, Any]:
        self._known(device)
        self._note("attach", device)
        return {"device": device, "already": device == "gpu1"}

    async def restore(self) -> dict[str, Any]:
        self._note("restore")
        return {}


@pytest.fixture
def service(status: dict[str, Any]) -> FakeService:
    return FakeService(status)
