"""Work for a host's GPUs: what kind, on which of them, from when; and where the requests of serving come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eagent.errors import InputError
from eagent.sim import trace, workload
from eagent.sim._plant import Host
from eagent.sim.description.values import YEAR_S, Indices, Kind, Text, require_fit, require_known
from eagent.sim.gpus import of_host
from eagent.sim.model import Number, Word

GENERATED_S = 3600.0

Work = workload.Square | workload.Gang | workload.Serving

SHARE = Number(0, 1)
STEP = Number(0, 10)
WORKS: Mapping[str, type[Work]] = {"square": workload.Square, "gang": workload.Gang, "serving": workload.Serving}
# The bounds are the plant's. What each number means stands in eagent/sim/workload.py.
KEYS: Mapping[str, Mapping[str, Kind]] = {
    "square": {
        "period_s": Number(1e-3, 1e6),
        "duty": SHARE,
        "compute": SHARE,
        "memory": SHARE,
        "compute_fraction": SHARE,
    },
    "gang": {
        "step_s": Number(1e-3, 1e4),
        "compute": SHARE,
        "memory": SHARE,
        "compute_fraction": SHARE,
        "imbalance": Number(0, 0.5),
        "spin_compute": SHARE,
        "spin_memory": SHARE,
        "host_s": Number(0, 1e4),
    },
    "serving": {
        "prefill_s_per_token": STEP,
        "prefill_compute": SHARE,
        "prefill_memory": SHARE,
        "prefill_compute_fraction": SHARE,
        "decode_s": STEP,
        "decode_s_per_sequence": STEP,
        "decode_s_per_context_token": STEP,
        "decode_compute": SHARE,
        "decode_memory": SHARE,
        "decode_compute_fraction": SHARE,
        "batch_max": Number(1, 128, whole=True),
        "host_s": STEP,
    },
}
REQUESTS: Mapping[str, Kind] = {
    "trace": Text(),
    "for_s": Number(1e-3, YEAR_S),
    "rate_per_s": Number(1e-6, 1e6),
    "zipf": Number(0, 100),
    "seed": Number(0, 2**63 - 1, whole=True),
}
PLACE: Mapping[str, Kind] = {"kind": Word(tuple(WORKS)), "gpus": Indices(), "at_s": Number(0, YEAR_S)}


@dataclass(frozen=True, slots=True)
class Requests:
    """Those of a trace, or generated ones: for `for_s` seconds, or an hour, at `rate_per_s`, or the public trace's."""

    trace: Path | None = None
    for_s: float | None = None
    rate_per_s: float | None = None
    zipf: float = 0.0  # how unevenly they come to the GPUs: 0 evenly, 1 by Zipf's law
    seed: int = 1  # of generated ones, and of their spread over the GPUs

    def __post_init__(self) -> None:
        """Check all of it but the file."""
        require_fit(self.table(), REQUESTS)
        for key in ("for_s", "rate_per_s"):
            if self.trace is not None and getattr(self, key) is not None:
                raise InputError(f"{key} is of generated requests: it does not go with trace")

    def table(self) -> dict[str, object]:
        """As in a file."""
        return {**asdict(self), "trace": None if self.trace is None else str(self.trace)}

    def dispatched(self, gpus: tuple[int, ...]) -> tuple[list[workload.Dispatched], str]:
        """The requests with a GPU for each, and in words where they are from.

        Raises:
            InputError: the trace can't be used, or too many requests are asked for.
        """
        if self.trace is not None:
            chosen = trace.read_azure_csv(self.trace)
        else:
            rate_per_s = trace.MEAN_RATE_PER_S if self.rate_per_s is None else self.rate_per_s
            chosen = trace.generate(self.for_s or GENERATED_S, self.seed, mean_rate_per_s=rate_per_s)
        places = trace.assign(chosen, trace.zipf_weights(len(gpus), self.zipf), self.seed)
        return workload.dispatched(chosen.requests, (gpus[place] for place in places)), chosen.source


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a host."""

    work: Work
    gpus: tuple[int, ...] | None = None  # None: all
    at_s: float = 0.0  # after the host was made; what has passed is now
    requests: Requests = field(default_factory=Requests)  # of serving alone

    def __post_init__(self) -> None:
        """Check all that can be without a host."""
        require_fit({"gpus": self.gpus, "at_s": self.at_s}, PLACE)
        require_fit(asdict(self.work), KEYS[self.kind])
        if self.kind != "serving" and self.requests != Requests():
            raise InputError(f"requests are of serving: they do not go with {self.kind}")

    @property
    def kind(self) -> str:
        """The name of its kind of work."""
        return next(name for name, kind in WORKS.items() if isinstance(self.work, kind))

    def table(self) -> dict[str, object]:
        """As in a file, complete."""
        gpus = None if self.gpus is None else list(self.gpus)
        requests = self.requests.table() if self.kind == "serving" else {}
        return {"kind": self.kind, "gpus": gpus, "at_s": self.at_s, **requests, **asdict(self.work)}

    def ready(self, gpu_count: int) -> Ready:
        """It, with its GPUs and all its requests, to be started on a host of so many GPUs.

        Raises:
            InputError: the host has not all its GPUs, or its requests can't be had.
        """
        gpus = of_host(self.gpus, gpu_count)
        requests, source = self.requests.dispatched(gpus) if self.kind == "serving" else ([], "")
        return Ready(self, gpus, requests, source)


@dataclass(frozen=True, slots=True)
class Ready:
    """A load that only waits for its host."""

    load: Load
    gpus: tuple[int, ...]
    requests: list[workload.Dispatched]
    source: str  # of the requests

    def start(self, plant: Host, pid: int = 0) -> None:
        """Put it on the GPUs; `pid` is the process that does it, 0: none that can be looked at.

        Raises:
            InputError: a GPU has a load already.
            DriverError: the host is not on, or has no room for so many requests.
        """
        if isinstance(self.load.work, workload.Serving):
            self.load.work.start(plant, self.requests, self.load.at_s, pid, gpus=self.gpus)
        else:
            self.load.work.start(plant, self.gpus, self.load.at_s, pid)


def read(table: Mapping[str, Any], directory: Path) -> Load:
    """A load from a file's table; `directory` is where a relative path of a trace starts, `gpus` is a tuple already.

    Raises:
        InputError: it is none.
    """
    if "kind" not in table:
        raise InputError(f"kind is missing: one of {', '.join(WORKS)}")
    require_fit({"kind": table["kind"]}, PLACE)
    kind: str = table["kind"]
    numbers, requests = KEYS[kind], REQUESTS if kind == "serving" else {}
    require_known(table, {**PLACE, **requests, **numbers})
    asked = {key: table[key] for key in requests if key in table}
    require_fit(asked, requests)
    if "trace" in asked:
        asked["trace"] = (directory / asked["trace"]).absolute()
    work = WORKS[kind](**{key: table[key] for key in numbers if key in table})
    placed = {key: table[key] for key in ("gpus", "at_s") if key in table}
    return Load(work, requests=Requests(**asked), **placed)
