"""A status as the agent gives it, an agent's HTTP server to ask, and the command line to ask it with."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eagent.api.server import Server
from eagent.cli import main
from eagent.errors import NotFoundError
from tests.api.conftest import COST_COUNTERS


def reading(value: float | None, status: str = "ok", age_s: float | None = 0.04) -> dict[str, Any]:
    return {"value": value, "unit": "", "status": status, "sensor": "nvml", "window_s": 0.025, "age_s": age_s}


def cost() -> dict[str, Any]:
    """What eagent itself costs: a minute in which nothing was shed."""

    def process(pid: int, cpu_s: float, cpu_share: float, resident_b: int) -> dict[str, Any]:
        return {"pid": pid, "cpu_s": cpu_s, "cpu_share": reading(cpu_share), "resident_b": resident_b}

    return {
        **COST_COUNTERS,
        "read_share": reading(0.0062),
        "write_share": reading(0.0001),
        "unseen_share": reading(0.005),
        "shed_share": reading(0.0),
        "lateness_p99": reading(0.000256),
        "processes": {"warden": process(811, 2.5, 0.004, 30 << 20), "agent": process(812, 20.0, 0.03, 60 << 20)},
    }


@pytest.fixture
def status() -> dict[str, Any]:
    """One busy GPU under a budget; tests change what they need otherwise."""
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
            "missed_periods": 0,
            "read_errors": 0,
            "write_errors": 0,
        },
        "cost": cost(),
        "budget": {
            "budget_w": 2480.0,
            "fixed_w": 400.0,
            "envelope_w": 2080.0,
            "limits_w": 260.5,
            "reserved_w": 260.5,
            "headroom_w": 1819.5,
            "safe_caps_w": {"GPU-0a": 150.0},
        },
        "lease": {"until_s": 2.5},
        "mesh": None,
        "held_back": None,
        "halted": None,
        "alarms": [],
        "busy_cpus": reading(3.25),
        "devices": [
            {
                "device": "gpu0",
                "kind": "gpu",
                "uuid": "GPU-0a",
                "name": "A100-SXM4-80GB",
                "pci_bus_id": "00000000:07:00.0",
                "readings": {
                    "power": reading(312.44),
                    "power_mean": reading(300.25),
                    "gpu_utilisation": reading(0.97),
                    "temperature": reading(61.0),
                },
                "power_limit": {
                    "requested_w": 260.5,
                    "enforced_w": 260.5,
                    "ours_w": 260.5,
                    "baseline_w": 400.0,
                    "min_w": 100.0,
                    "max_w": 400.0,
                    "state": "leased",
                    "writable": True,
                    "why": "share of the budget",
                    "exposure": {"seconds": 0.0, "joules": 0.0, "now": False},
                },
                "gpu_clock": {
                    "ours_mhz": None,
                    "baseline_mhz": None,
                    "min_mhz": 210,
                    "max_mhz": 1410,
                    "state": "baseline",
                    "writable": True,
                    "why": "",
                },
            }
        ],
    }


@pytest.fixture
def package() -> dict[str, Any]:
    """A CPU package that eagent holds low; tests put it among the devices, and change what they need otherwise."""
    return {
        "device": "cpu0",
        "kind": "cpu",
        "uuid": "CPU-0",
        "name": "Xeon",
        "pci_bus_id": "",
        "cpus": 32,
        "readings": {"power": reading(85.25), "power_mean": reading(84.0), "frequency": reading(2750.0)},
        "power_limit": {
            "requested_w": 250.0,
            "enforced_w": None,
            "ours_w": None,
            "baseline_w": 250.0,
            "min_w": 125.0,
            "max_w": 250.0,
            "state": "baseline",
            "writable": True,
            "why": "",
            "exposure": {"seconds": 0.0, "joules": 0.0, "now": False},
        },
        "cpu_clock": {
            "held_mhz": 1800,
            "ours_mhz": 1800,
            "baseline_mhz": 3400,
            "min_mhz": 800,
            "max_mhz": 3400,
            "state": "leased",
            "writable": True,
            "why": "",
        },
        "cpu_preference": {
            "held": "balance_power",
            "ours": "balance_power",
            "baseline": "balance_performance",
            "takes": ["performance", "balance_performance", "balance_power", "power"],
            "state": "leased",
            "writable": True,
            "why": "",
        },
    }


class ScriptedService:
    """Says what it was given, notes what it was asked, and refuses with `problem` when it has one."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self.explained: dict[str, Any] = {}
        self.planned: dict[str, Any] = {"simulated": False, "halted": None, "proposals": [], "sleep": None}
        self.meshed: dict[str, Any] = {}
        self.given_back: list[dict[str, Any]] = [{"device": "gpu0", "uuid": "GPU-0a", "baseline_w": 400.0}]
        self.asked: list[tuple[Any, ...]] = []
        self.problem: Exception | None = None

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.problem is not None:
            raise self.problem

    def status(self) -> dict[str, Any]:
        return self.said

    def explain(self, device: str) -> dict[str, Any]:
        if device not in ("gpu0", "GPU/0a ö"):
            raise NotFoundError(f"no device {device!r}: known are gpu0")
        return {"device": device, "knobs": [], **self.explained}

    def plan(self) -> dict[str, Any]:
        return self.planned

    def mesh(self) -> dict[str, Any]:
        return self.meshed

    async def set_budget(self, budget_w: float, fixed_w: float | None, safe_cap_w: float | None) -> dict[str, Any]:
        self._note("set_budget", budget_w, fixed_w, safe_cap_w)
        return {"in_force": budget_w != 2000}

    async def clear_budget(self) -> None:
        self._note("clear_budget")

    def set_pin(
        self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None
    ) -> dict[str, Any]:
        self.explain(device)
        self._note("set_pin", device, limit_w, for_s, clock_mhz)
        return {}

    def clear_pin(self, device: str) -> None:
        self._note("clear_pin", device)

    async def detach(self, device: str, by: str, why: str) -> dict[str, Any]:
        self._note("detach", device, by, why)
        return {"device": device, "why": "detached since noon by root: to be reset", "already": device == "gpu1"}

    async def attach(self, device: str) -> dict[str, Any]:
        self._note("attach", device)
        return {"device": device, "already": device == "gpu1"}

    async def restore(self) -> dict[str, Any]:
        self._note("restore")
        return {"pins_dropped": 0, "devices": self.given_back}


@contextlib.contextmanager
def serving(make: Callable[[], Server]) -> Iterator[None]:
    """A real HTTP server, on a thread of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = make()
        await server.start()
        ready.set()
        await stop.wait()
        await server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        assert not thread.is_alive()
        loop.close()


@pytest.fixture
def agent(status: dict[str, Any], tmp_path: Path) -> Iterator[ScriptedService]:
    """A service behind a real HTTP server on tmp_path/api.sock."""
    service = ScriptedService(status)
    with serving(lambda: Server(service, tmp_path / "api.sock")):
        yield service


class Said(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def eagent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in tmp_path's directories."""

    def run(*words: str) -> Said:
        try:
            code = main([f"--run-dir={tmp_path}", f"--state-dir={tmp_path}", *words])
        except SystemExit as ended:  # argparse ends so
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return run
