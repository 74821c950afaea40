"""The status as Prometheus text: base units, a HELP with unit and source, and nothing where nothing is known.

A reading whose status is not ok has no sample here: Prometheus then shows a gap, which is the truth, and not a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from eagent.api import cost_metrics, job_metrics, mesh_metrics
from eagent.api.health import unhealthy
from eagent.api.service import Json

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class _Kind:
    """Devices of one kind: how their families begin, and what their number is called in labels."""

    kind: str  # as in `status()`
    family: str
    number: str

    @property
    def labels(self) -> tuple[str, str]:
        return (self.number, "uuid")

    def of(self, devices: list[Json]) -> list[Json]:
        return [device for device in devices if device["kind"] == self.kind]

    def named(self, device: Json) -> list[str]:
        return [device["device"].removeprefix(self.kind), device["uuid"]]


GPU = _Kind("gpu", "eagent_gpu", "gpu")
CPU = _Kind("cpu", "eagent_cpu", "package")  # node_exporter's label for it


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one reading of `status()` becomes one metric family."""

    of: _Kind
    key: str
    name: str
    help: str
    scale: float = 1.0
    counter: bool = False


READINGS = (
    _Reading(GPU, "power", "power_watts", "Power draw as last read, in watts"),
    _Reading(GPU, "power_mean", "power_mean_watts", "Power draw as the mean of the last second, in watts"),
    _Reading(GPU, "power_recent", "power_recent_watts", "Power draw as the mean of ten seconds, in watts"),
    _Reading(GPU, "energy", "energy_joules", "Energy drawn since the driver was loaded, in joules", counter=True),
    _Reading(GPU, "sm_clock", "sm_clock_hertz", "Clock of the streaming multiprocessors, in hertz", scale=1e6),
    _Reading(GPU, "gpu_utilisation", "utilisation_ratio", "Share of time with a kernel running, 0 to 1"),
    _Reading(
        GPU,
        "memory_utilisation",
        "memory_utilisation_ratio",
        "Share of time with device memory being read or written, 0 to 1",
    ),
    _Reading(GPU, "temperature", "temperature_celsius", "Temperature of the GPU, in degrees Celsius"),
    _Reading(
        GPU,
        "capped_share",
        "power_capped_ratio",
        "Share of the last ten seconds in which the power limit held the clock down, 0 to 1",
    ),
    _Reading(GPU, "memory_used", "memory_used_bytes", "Device memory in use, in bytes"),
    _Reading(GPU, "compute_processes", "compute_processes", "Processes that hold a compute context, a count"),
    _Reading(CPU, "power", "power_watts", "Power draw of the package as last read, in watts"),
    _Reading(CPU, "power_mean", "power_mean_watts", "Power draw as the mean of the last second, in watts"),
    _Reading(CPU, "power_recent", "power_recent_watts", "Power draw as the mean of ten seconds, in watts"),
    _Reading(CPU, "energy", "energy_joules", "Energy that the package has drawn, in joules", counter=True),
    _Reading(
        CPU, "frequency", "frequency_hertz", "Frequency of the package's CPUs now, their mean, in hertz", scale=1e6
    ),
)
PCIE = {"tx": "pcie_tx", "rx": "pcie_rx"}

LIMIT_KINDS = {"requested": "requested_w", "enforced": "enforced_w", "ours": "ours_w", "baseline": "baseline_w"}
FOREIGN_KNOBS = ("power_limit", "cpu_clock", "cpu_preference")  # a GPU's clock lock can't be read back
UNKNOWN = {"state": "unknown"}
CEILING_KINDS = {"held": "held_mhz", "ours": "ours_mhz", "baseline": "baseline_mhz"}


def exposition(status: Json) -> bytes:
    """The text that a scraper gets for one `status()`, of the type `CONTENT_TYPE`."""
    return generate_latest(_StatusCollector(status))


class _StatusCollector(Collector):
    """One scrape: the metric families of one status. It keeps nothing, so it can show nothing old."""

    def __init__(self, status: Json) -> None:
        self._status = status
        self._mark = "SIMULATED, no real hardware: " if status["simulated"] else ""

    def collect(self) -> Iterable[Metric]:
        devices = self._status["devices"]
        yield from self._about(self._status)
        for kind in (GPU, CPU):
            yield from (self._reading(reading, kind.of(devices)) for reading in READINGS if reading.of is kind)
            if kind is GPU:
                yield self._traffic(kind.of(devices))
            yield self._ages(kind, kind.of(devices))
            yield from self._limits(kind, kind.of(devices))
            yield from self._exposures(kind, kind.of(devices))
        yield self._ceilings(CPU.of(devices))
        yield self._busy(self._status["busy_cpus"])
        yield from self._budget(self._status["budget"])
        yield from self._warden(self._status["warden"])
        yield from cost_metrics.families(self._status["cost"], self._gauge, self._mark)
        yield from job_metrics.families(self._status.get("jobs", []), self._gauge, self._mark)
        yield from mesh_metrics.families(self._status["mesh"], self._gauge, self._mark)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, self._mark + text, labels=labels)

    def _about(self, status: Json) -> Iterator[Metric]:
        info = self._gauge(
            "eagent_build_info",
            "Always 1; the version of the agent, and whether its hardware is simulated. Source: the agent.",
            ("version", "simulated"),
        )
        info.add_metric([status["version"], "true" if status["simulated"] else "false"], 1)
        yield info
        alarms = self._gauge("eagent_alarms", "Alarms standing now, a count. Source: the agent, see `eagent status`.")
        alarms.add_metric([], len(status["alarms"]))
        yield alarms
        healthy = self._gauge("eagent_healthy", "1 while /healthz answers 200, else 0. Source: the agent.")
        healthy.add_metric([], int(unhealthy(status) is None))
        yield healthy

    def _reading(self, kind: _Reading, devices: list[Json]) -> Metric:
        known = [(device, device["readings"][kind.key]) for device in devices if _known(device, kind.key)]
        text = f"{self._mark}{kind.help}. Source: {_sources(reading for _, reading in known)}."
        shape = CounterMetricFamily if kind.counter else GaugeMetricFamily
        family = shape(f"{kind.of.family}_{kind.name}", text, labels=kind.of.labels)
        for device, reading in known:
            family.add_metric(kind.of.named(device), reading["value"] * kind.scale)
        return family

    def _traffic(self, gpus: list[Json]) -> Metric:
        family = CounterMetricFamily(
            f"{GPU.family}_pcie_bytes",
            f"{self._mark}Bytes over PCIe, tx those that the GPU sent and rx those that it received. Source: nvml.",
            labels=(*GPU.labels, "direction"),
        )
        for gpu in gpus:
            for direction, key in PCIE.items():
                if _known(gpu, key):
                    family.add_metric([*GPU.named(gpu), direction], gpu["readings"][key]["value"])
        return family

    def _ages(self, kind: _Kind, devices: list[Json]) -> Metric:
        family = self._gauge(
            f"{kind.family}_reading_age_seconds",
            "Time since the reading was taken, in seconds, also for one too old to be shown. Source: the agent.",
            (*kind.labels, "reading"),
        )
        for device in devices:
            for name, reading in device["readings"].items():
                if reading["status"] in ("ok", "stale") and reading["age_s"] is not None:
                    family.add_metric([*kind.named(device), name], reading["age_s"])
        return family

    def _limits(self, kind: _Kind, devices: list[Json]) -> Iterator[Metric]:
        keeper = "driver" if kind is GPU else "kernel"
        limits = self._gauge(
            f"{kind.family}_power_limit_watts",
            f"Power limit, in watts. Source: requested and enforced as read back from the {keeper}; ours and baseline "
            "(the value before ours) from the warden's journal.",
            (*kind.labels, "kind"),
        )
        states = self._gauge(
            f"{kind.family}_power_limit_state",
            "Always 1; what the power limit is now: baseline, leased, safe, foreign, unwritable and so on. Source: "
            "the warden.",
            (*kind.labels, "state"),
        )
        for device in devices:
            limit = device["power_limit"]
            for name, key in LIMIT_KINDS.items():
                if limit[key] is not None:
                    limits.add_metric([*kind.named(device), name], limit[key])
            states.add_metric([*kind.named(device), limit["state"]], 1)
        yield limits
        yield states
        yield self._foreign(kind, devices)

    def _foreign(self, kind: _Kind, devices: list[Json]) -> Metric:
        family = CounterMetricFamily(
            f"{kind.family}_foreign_writes",
            f"{self._mark}Times that a knob that eagent held was found changed by somebody else, a count. Source: the "
            "warden, which reads its knobs back once a second.",
            labels=(*kind.labels, "knob"),
        )
        for device in devices:
            for knob in FOREIGN_KNOBS:
                if device.get(knob, UNKNOWN)["state"] != "unknown":
                    found = device[knob].get("foreign")
                    family.add_metric([*kind.named(device), knob], found["count"] if found else 0)
        return family

    def _exposures(self, kind: _Kind, devices: list[Json]) -> Iterator[Metric]:
        for name, text in (
            ("seconds", "Time in which the power limit in force was above the one held, in seconds"),
            ("joules", "What that allowed to be drawn beyond it, as limit above times time, in joules"),
        ):
            family = CounterMetricFamily(
                f"{kind.family}_exposure_{name}",
                f"{self._mark}{text}, since the warden began; at most so much. Source: the warden.",
                labels=kind.labels,
            )
            for device in devices:
                exposure = device["power_limit"]["exposure"]
                if exposure is not None:
                    family.add_metric(kind.named(device), exposure[name])
            yield family

    def _ceilings(self, packages: list[Json]) -> Metric:
        """Called as node_exporter calls the same file."""
        family = self._gauge(
            "eagent_cpu_scaling_frequency_max_hertz",
            "Ceiling of the CPUs' frequency, in hertz. Source: held as read back from the kernel, the least of the "
            "package's CPUs; ours and baseline (the value before ours) from the warden.",
            (*CPU.labels, "kind"),
        )
        for package in packages:
            for name, key in CEILING_KINDS.items():
                if package["cpu_clock"][key] is not None:
                    family.add_metric([*CPU.named(package), name], package["cpu_clock"][key] * 1e6)
        return family

    def _busy(self, reading: Json) -> Metric:
        family = self._gauge(
            "eagent_busy_cpus",
            "CPUs' worth of time that all processes of the host used over the last second, a count. Source: the "
            "kernel's CPU times.",
        )
        if reading["status"] == "ok" and reading["value"] is not None:
            family.add_metric([], reading["value"])
        return family

    def _budget(self, budget: Json | None) -> Iterator[Metric]:
        for name, key, text in (
            ("eagent_budget_watts", "budget_w", "Budget of this host, in watts. Source: the operator."),
            (
                "eagent_budget_fixed_watts",
                "fixed_w",
                "Draw that no limit holds, reserved at its most, in watts. Source: the operator.",
            ),
            (
                "eagent_budget_limits_watts",
                "limits_w",
                "Sum of the power limits in force, in watts. Source: the warden, as read back from the driver.",
            ),
            (
                "eagent_budget_reserved_watts",
                "reserved_w",
                "What the power limits count with: as read back, else as read last, in watts. Source: the agent.",
            ),
            (
                "eagent_budget_headroom_watts",
                "headroom_w",
                "Budget less fixed draw less what the limits count with, in watts. Source: the agent.",
            ),
        ):
            family = self._gauge(name, text)
            if budget is not None and budget[key] is not None:
                family.add_metric([], budget[key])
            yield family

    def _halves(self, halves: Json) -> Iterator[Metric]:
        ages = self._gauge(
            "eagent_loop_heartbeat_age_seconds",
            "Time since each half of the warden's loop showed a sign of life, in seconds. Source: the warden.",
            ("half",),
        )
        hung = self._gauge(
            "eagent_loop_hung",
            "1 while a half of the warden's loop is silent for so long that a call of the driver hangs in it, else 0. "
            "Source: the agent.",
            ("half",),
        )
        for name, half in halves.items():
            if half["silent_s"] is not None:
                ages.add_metric([name], half["silent_s"])
                hung.add_metric([name], int(half["hangs"]))
        yield ages
        yield hung

    def _warden(self, warden: Json) -> Iterator[Metric]:
        yield from self._halves(warden["halves"])
        gauges = (
            ("eagent_warden_connected", "connected", "1 while the agent speaks with the warden, else 0."),
            ("eagent_ring_stale_seconds", "stale_s", "Age of the newest reading of any kind, in seconds."),
            (
                "eagent_loop_lateness_max_seconds",
                "lateness_max_s",
                "Greatest lateness of the sampling loop against its deadline, in seconds.",
            ),
        )
        counters = (
            (
                "eagent_loop_missed_periods",
                "missed_periods",
                "Turns of the loop that ended after the next one was due, a count.",
            ),
            ("eagent_read_errors", "read_errors", "Reads that the driver failed, a count."),
            ("eagent_write_errors", "write_errors", "Writes that the driver failed, a count."),
        )
        for shape, families in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
            for name, key, text in families:
                source = "agent" if key == "connected" else "warden"
                family = shape(name, f"{self._mark}{text} Source: the {source}.")
                if warden[key] is not None:
                    family.add_metric([], warden[key])
                yield family


def _known(device: Json, key: str) -> bool:
    reading = device["readings"].get(key)
    return reading is not None and reading["status"] == "ok" and reading["value"] is not None


def _sources(readings: Iterable[Json]) -> str:
    """The sensors behind these readings, each with the time it averages over, as HELP text."""
    sensors = {(reading["sensor"] or "unnamed", reading["window_s"] or 0) for reading in readings}
    named = (f"{name}, mean of {window_s:g} s" if window_s else name for name, window_s in sorted(sensors))
    return "; ".join(named) or "no device has it now"
