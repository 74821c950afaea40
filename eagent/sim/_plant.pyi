"""What native/plant/plant.pyx offers. Times are simulated seconds since the host was made; all watts are simulated."""

from collections.abc import Sequence
from typing import TypedDict, final, type_check_only

from eagent.sim._handle import Handle

@type_check_only
class _GpuView(TypedDict):
    name: str
    uuid: str
    pci_domain: int
    pci_bus: int
    pci_device: int
    pci_device_id: int
    pci_subsystem_id: int
    architecture: int
    brand: int
    compute_major: int
    compute_minor: int
    memory_total_b: int
    memory_used_b: int
    power_instant_mw: int
    power_average_mw: int
    has_average: int
    has_counter: int
    power_plain_mw: int
    sensor_time_us: int
    energy_mj: int
    limit_requested_mw: int
    limit_enforced_mw: int
    limit_min_mw: int
    limit_max_mw: int
    limit_default_mw: int
    sm_clock_mhz: int
    sm_clock_min_mhz: int
    sm_clock_max_mhz: int
    sm_clock_base_mhz: int
    sm_clock_step_mhz: float
    memory_clock_mhz: int
    memory_clock_max_mhz: int
    locked_min_mhz: int
    locked_max_mhz: int
    gpu_utilisation_pct: int
    memory_utilisation_pct: int
    temperature_c: int
    slow_c: int
    stop_c: int
    event_reasons: int
    pids: tuple[int, ...]
    pid_count: int
    persistence_mode: int
    mig_mode: int

@type_check_only
class _Progress(TypedDict):
    kind: str  # "square", "gang" or "serving"
    gpus: tuple[int, ...]
    pid: int
    start_s: float
    running: bool
    units: tuple[float, ...]  # square: per GPU of `gpus`, seconds of work as at full clock
    steps: int  # gang
    tokens: int  # serving
    requests_done: int  # serving
    requests_lost: int  # serving: by switching the host off
    starved_s: float  # gang: how long its GPUs stood still because a processor was not done

@type_check_only
class _Engine(TypedDict):
    running: int
    waiting: int
    prompt_tokens: int
    tokens: int
    requests_done: int
    latencies: dict[str, tuple[tuple[float, ...], tuple[int, ...], float]]  # bounds, counts, sum

@type_check_only
class _Processor(TypedDict):
    name: str
    driver: str  # "acpi-cpufreq" or "intel_pstate"
    powercap: str  # "intel-rapl", "intel-rapl-mmio" or "amd", which has no limits
    packages: int
    cores: int  # of one package
    min_khz: int
    max_khz: int
    governors: tuple[str, ...]
    has_epp: bool
    energy_range_uj: int
    limit_max_uw: tuple[int, int]

@type_check_only
class _CpuView(TypedDict):
    package: int
    governor: str
    epp: int
    min_khz: int
    max_khz: int
    min_request_khz: int
    max_request_khz: int
    current_khz: int
    busy: float  # now, as a share of time
    busy_s: float  # since the host came up, up to the last 5 ms
    idle_s: float  # likewise

@type_check_only
class _RaplView(TypedDict):
    energy_uj: int
    dram_uj: int
    limit_uw: tuple[int, int]
    window_us: tuple[int, int]
    enabled: int

@type_check_only
class _Sample(TypedDict):
    time_us: int
    power_mw: int
    clock_mhz: int
    busy_pct: int
    memory_pct: int

@final
class Readings:
    # A number for each GPU.
    @property
    def is_there(self) -> bool: ...
    @property
    def sensor_time_us(self) -> memoryview: ...
    @property
    def energy_mj(self) -> memoryview: ...
    @property
    def event_reasons(self) -> memoryview: ...
    @property
    def power_plain_mw(self) -> memoryview: ...
    @property
    def sm_clock_mhz(self) -> memoryview: ...
    @property
    def temperature_c(self) -> memoryview: ...
    @property
    def gpu_utilisation_pct(self) -> memoryview: ...
    @property
    def memory_utilisation_pct(self) -> memoryview: ...

@final
class Host(Handle):
    @property
    def gpu_count(self) -> int: ...
    @property
    def gpu_name(self) -> str: ...
    @property
    def permission(self) -> str: ...
    @property
    def clock(self) -> str: ...
    @property
    def time_s(self) -> float: ...
    @property
    def boot_unix_s(self) -> float: ...
    @property
    def boot_id(self) -> str | None: ...
    @property
    def full_logs(self) -> tuple[str, ...]: ...
    def advance(self, to_s: float, readings: Readings | None = None) -> None: ...
    def readings(self) -> Readings: ...
    def read(self, readings: Readings) -> None: ...
    def view(self, gpu: int) -> _GpuView: ...
    def set_power_limit(self, gpu: int, watts: float) -> None: ...
    def lock_clocks(self, gpu: int, min_mhz: int, max_mhz: int) -> None: ...
    def reset_clocks(self, gpu: int) -> None: ...
    def set_persistence(self, gpu: int, mode: int) -> None: ...
    def start_square(
        self,
        gpus: Sequence[int],
        at_s: float,
        period_s: float,
        duty: float,
        compute: float,
        memory: float,
        compute_fraction: float,
        pid: int = 0,
    ) -> None: ...
    def start_gang(
        self,
        gpus: Sequence[int],
        at_s: float,
        step_s: float,
        compute: float,
        memory: float,
        compute_fraction: float,
        imbalance: float,
        spin_compute: float,
        spin_memory: float,
        pid: int = 0,
        host_s: float = 0.0,
    ) -> None: ...
    def start_serving(
        self,
        at_s: float,
        requests: Sequence[tuple[float, int, int, int]],
        *,
        gpus: Sequence[int] = (),
        prefill_s_per_token: float,
        prefill_compute: float,
        prefill_memory: float,
        prefill_compute_fraction: float,
        decode_s: float,
        decode_s_per_sequence: float,
        decode_s_per_context_token: float,
        decode_compute: float,
        decode_memory: float,
        decode_compute_fraction: float,
        batch_max: int,
        pid: int = 0,
        host_s: float = 0.0,
    ) -> None: ...
    def add_requests(self, at_s: float, requests: Sequence[tuple[float, int, int, int]]) -> None: ...
    def stop_load(self, gpus: Sequence[int] | None = None) -> None: ...
    def progress(self) -> list[_Progress]: ...
    def engine(self, gpu: int) -> _Engine: ...
    def served(self) -> list[tuple[float, float | None, float | None]]: ...
    def lost(self) -> list[int]: ...
    def limit_log(self) -> list[tuple[float, int, float, float, int]]: ...
    def lock_log(self) -> list[tuple[float, int, int, int, int]]: ...
    def power_log(self) -> list[tuple[float, ...]]: ...
    def energy_true_j(self, gpu: int) -> float: ...
    def power_true_w(self, gpu: int, time_s: float | None = None) -> float: ...
    def samples(self, gpu: int, after_us: int = 0) -> list[_Sample]: ...
    @property
    def processor(self) -> _Processor | None: ...
    def cpu_view(self, cpu: int) -> _CpuView: ...
    def rapl_view(self, package: int) -> _RaplView: ...
    # These raise OSError with the errno that the kernel gives; `pid` is who is said to have written, 0 this process.
    def set_cpu_min_khz(self, cpu: int, khz: int, pid: int = 0) -> None: ...
    def set_cpu_max_khz(self, cpu: int, khz: int, pid: int = 0) -> None: ...
    def set_cpu_governor(self, cpu: int, governor: str, pid: int = 0) -> None: ...
    def set_cpu_epp(self, cpu: int, epp: int, pid: int = 0) -> None: ...
    def set_rapl_limit_uw(self, package: int, constraint: int, uw: int, pid: int = 0) -> None: ...
    def set_rapl_window_us(self, package: int, constraint: int, us: int, pid: int = 0) -> None: ...
    def set_rapl_enabled(self, package: int, enabled: bool, pid: int = 0) -> None: ...
    def cpu_log(self) -> list[tuple[float, str, int, int, int | str, int | str, int]]: ...
    def cpu_power_log(self) -> list[tuple[float, ...]]: ...
    def cpu_energy_true_j(self, package: int) -> tuple[float, float]: ...
