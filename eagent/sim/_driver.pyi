"""What native/plant/driver.pyx offers. Times are simulated seconds since the host was made."""

from typing import Any, TypedDict, final, type_check_only

from eagent.sim._handle import Handle

@type_check_only
class _Mig(TypedDict):
    mode: int
    pending: int
    instances: int
    slices: int
    memory_b: int
    ids: tuple[str, ...]

@type_check_only
class _Knobs(TypedDict):
    memory_min_mhz: int
    memory_max_mhz: int
    application_mhz: int
    open: int

@type_check_only
class _Throttle(TypedDict):
    power_ns: int
    sw_thermal_ns: int
    hw_thermal_ns: int
    held_ns: int
    below_base_ns: int

@final
class Driver(Handle):
    def divide(self, gpu: int, instances: int, slices: int = 1, memory_b: int = 0) -> None: ...
    def mig(self, gpu: int) -> _Mig: ...
    def knobs(self, gpu: int) -> _Knobs: ...
    def throttle(self, gpu: int) -> _Throttle: ...
    def signal(self, gpu: int, type: str, data: int = 0) -> None: ...  # noqa: A002  # NVML's word
    def signals(self) -> list[tuple[float, str, int, int]]: ...
    def settings(self) -> list[tuple[float, int, str, Any, Any, int]]: ...
