"""What native/plant/watch.pyx offers. Times are simulated seconds since the host was made; all watts are simulated."""

from typing import TypedDict, final, type_check_only

from eagent.sim._handle import Handle

@type_check_only
class _GpuTruth(TypedDict):
    power_w: float  # the mean of the last 5 ms
    temperature_c: float
    sensor_age_s: float  # since what its power sensor shows was published

@type_check_only
class _Truth(TypedDict):
    time_s: float
    since_s: float  # when the host came to be off, booting or on
    power: str  # "off", "booting" or "on"
    writes: int  # entries of `writes()`
    wall_w: float
    gpus: list[_GpuTruth]
    package_w: list[float]  # each with its DRAM

@final
class Watch(Handle):
    def look(self) -> _Truth: ...
    def writes(self, start: int = 0) -> list[tuple[float, str, int, int, int, int, int, int]]: ...
