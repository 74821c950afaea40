"""What runs on simulated GPUs: a square wave, a synchronous job, LLM serving. Defaults, and where each is from.

R, C and S as in the model files: read, computed, assumed. Activities (u for compute, m for memory, 0 to 1) multiply the
GPU model's watts; a compute fraction beta says how work slows with the clock: T = T0 (1 + beta (fmax/f - 1)).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from eagent.sim._plant import Host
from eagent.sim.trace import Request

Dispatched = tuple[float, int, int, int]  # arrival after the start in seconds, GPU, context tokens, tokens to generate


@dataclass(frozen=True, slots=True)
class Square:
    """Busy for `duty` of each period, then quiet: the probe with which power sensors are measured."""

    period_s: float = 1.0
    duty: float = 0.5
    compute: float = 1.0  # a GEMM, by the model's definition of u
    memory: float = 0.3  # S
    compute_fraction: float = 0.96  # C  a compute-bound kernel on an A100

    def start(self, host: Host, gpus: Sequence[int], at_s: float = 0.0, pid: int = 0) -> None:
        """Put it on `gpus` at `at_s` (or now, if that has passed).

        Raises:
            InputError: a GPU is unknown or has a load already, or a number is impossible.
        """
        host.start_square(gpus, at_s, **asdict(self), pid=pid)


@dataclass(frozen=True, slots=True)
class Gang:
    """A synchronous job, as data-parallel training is: the slowest GPU sets the pace, the others spin."""

    step_s: float = 0.5  # S  compute time of a step at full clock
    compute: float = 1.0  # a GEMM
    memory: float = 0.3  # S
    compute_fraction: float = 0.85  # S  between a mixed kernel's 0.65 and a GEMM's 0.96 (C)
    imbalance: float = 0.03  # S  each GPU's share of a step lies within +- this of the mean; drawn once, from the seed
    spin_compute: float = 0.2  # S  waiting in a collective keeps a few SMs polling ...
    spin_memory: float = 0.05  # S  ... and hardly any memory
    host_s: float = 0.0  # processor work for each GPU and step, at full CPU clock; more than a step takes: CPU-bound

    def start(self, host: Host, gpus: Sequence[int], at_s: float = 0.0, pid: int = 0) -> None:
        """Put it on `gpus` at `at_s` (or now, if that has passed).

        Raises:
            InputError: a GPU is unknown or has a load already, or a number is impossible.
        """
        host.start_gang(gpus, at_s, **asdict(self), pid=pid)


@dataclass(frozen=True, slots=True)
class Serving:
    """One engine per GPU with continuous batching, serving a dense model of 13e9 parameters in bf16 on an 80 GB A100.

    Times are at full clock and assumed (S), derived from the model's size and the card's data sheet:

    - prefill: 2 FLOP per parameter and token at 55 % of 312 TFLOP/s: 26e9 / 172e12 = 0.15 ms a token
    - decode: every iteration reads all weights, 26 GB at about 1.6 of 2.0 TB/s: 16 ms; besides, per context token the
      keys and values of 40 layers of 5120 in bf16, 0.82 MB: 0.5 us; and some 20 us a sequence for sampling
    - batch: 54 GB are left for keys and values: 64 sequences of about 1000 tokens
    - host: for 1 ms at the beginning of each iteration nothing runs on the GPU: it awaits scheduling, launches and
      sampling. At full CPU clock that is within the times above (an iteration that needs less takes as long); at lower
      ones it takes longer, whatever the GPU's clock. So a GPU that serves all the time is busy for some 94 % of it
    """

    prefill_s_per_token: float = 0.15e-3
    prefill_compute: float = 1.0
    prefill_memory: float = 0.3
    prefill_compute_fraction: float = 0.96  # C  compute-bound
    decode_s: float = 16e-3
    decode_s_per_sequence: float = 20e-6
    decode_s_per_context_token: float = 0.5e-6
    decode_compute: float = 0.4  # S  a stream-like kernel draws about half of a GEMM's core power (C, PCIe board)
    decode_memory: float = 1.0
    decode_compute_fraction: float = 0.05  # S  memory-bound; a pure stream has 0 (C)
    batch_max: int = 64
    host_s: float = 1e-3

    def start(
        self, host: Host, requests: Sequence[Dispatched], at_s: float = 0.0, pid: int = 0, gpus: Sequence[int] = ()
    ) -> None:
        """Serve `requests`, which must be sorted by arrival; each GPU that they name, or `gpus`, gets an engine.

        More can be added later: `Host.add_requests`.

        Raises:
            InputError: a request is out of order or impossible, or a GPU has a load already.
            DriverError: the host's file has no room for so many requests.
        """
        host.start_serving(at_s, requests, gpus=gpus, **asdict(self), pid=pid)


def dispatched(requests: Iterable[Request], gpus: Iterable[int]) -> list[Dispatched]:
    """Pair a trace's requests with the GPUs that `trace.assign` chose for them, as `Serving.start` takes them."""
    pairs = zip(requests, gpus, strict=True)
    return [(request.arrival_s, gpu, request.context_tokens, request.generated_tokens) for request, gpu in pairs]
