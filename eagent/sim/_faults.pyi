"""What native/plant/faults.pyx offers. Times are simulated seconds since the host was made."""

from collections.abc import Sequence
from typing import Final, TypedDict, final, type_check_only

from eagent.sim._handle import Handle

KINDS: Final[tuple[str, ...]]
FOREIGN_PID: Final[int]
FAULTS_MAX: Final[int]

@type_check_only
class _Fault(TypedDict):
    number: int
    kind: str
    target: str  # "host", "gpu", "cpu" or "package"
    index: int
    values: tuple[float, float]
    from_s: float
    until_s: float | None
    every_s: float | None
    begun: bool

@type_check_only
class _Shown(TypedDict):
    published: int
    last: int
    ages: tuple[int, ...]
    age_s: float

@final
class Faults(Handle):
    def inject(
        self,
        kind: str,
        target: str = "host",
        index: int = 0,
        values: Sequence[float] = (),
        from_s: float = 0.0,
        until_s: float = 0.0,
        every_s: float = 0.0,
    ) -> int: ...
    def clear(self, number: int = 0) -> None: ...
    def all(self) -> tuple[_Fault, ...]: ...
    def file_errno(self, writes: bool, target: str, index: int) -> int: ...
    def calls(self) -> dict[str, tuple[int, float, float]]: ...
    def worked_s(self) -> dict[str, float]: ...
    def shown(self) -> tuple[_Shown, ...]: ...
