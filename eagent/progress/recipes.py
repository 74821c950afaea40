"""Which metrics tell how far a server has come, and how long its users wait: by the server's name.

Each from its own documentation and code; where a name has changed, the newer comes first. What they mean is not the
same everywhere: TGI counts a request's tokens when it ends, SGLang's realtime counter each time it logs, and Triton's
first response is a chunk, not a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_TOKEN = "first token"
BETWEEN_TOKENS = "between tokens"


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter: the sum of its samples that have these labels."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of latencies, by its name without `_bucket`."""

    kind: str
    name: str
    unit_s: float = 1.0  # what one of its bounds is in seconds


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to look for. Of several, the first that is there."""

    counters: tuple[Counter, ...]
    unit: str
    histograms: tuple[Histogram, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of the samples that it needs."""
        buckets = {f"{each.name}_bucket" for each in self.histograms}
        return frozenset({each.name for each in self.counters} | buckets)


RECIPES: Mapping[str, Recipe] = {
    "vllm": Recipe(
        (Counter("vllm:generation_tokens_total"),),
        "token",
        (
            Histogram(FIRST_TOKEN, "vllm:time_to_first_token_seconds"),
            Histogram(BETWEEN_TOKENS, "vllm:inter_token_latency_seconds"),
            Histogram(BETWEEN_TOKENS, "vllm:time_per_output_token_seconds"),
        ),
    ),
    "sglang": Recipe(
        (Counter("sglang:realtime_tokens_total", {"mode": "decode"}), Counter("sglang:generation_tokens_total")),
        "token",
        (
            Histogram(FIRST_TOKEN, "sglang:time_to_first_token_seconds"),
            Histogram(BETWEEN_TOKENS, "sglang:inter_token_latency_seconds"),
            Histogram(BETWEEN_TOKENS, "sglang:time_per_output_token_seconds"),
        ),
    ),
    "triton": Recipe(
        (Counter("nv_inference_count"),),
        "inference",
        (Histogram(FIRST_TOKEN, "nv_inference_first_response_histogram_ms", 1e-3),),
    ),
    "tgi": Recipe(
        (Counter("tgi_request_generated_tokens_sum"),),
        "token",
        (Histogram(BETWEEN_TOKENS, "tgi_request_mean_time_per_token_duration"),),
    ),
}
