"""What the demo plays: the busy window of a trace on eight GPUs, under a budget that lets not all run at full power."""

from __future__ import annotations

from dataclasses import dataclass

from eagent.sim.trace import Request, Trace, assign, busiest_window, zipf_weights

GPUS = 8
MODEL = "a100-sxm4-80gb"
CPU_MODEL = "xeon-platinum-8358"
SEED = 1
WINDOW_S = 60.0
DYNAMIC_SHARE = 0.70  # the budget's place between all GPUs at their least and all at their greatest limit
SAFE_CAP_W = 200.0
SKEW = 0.7  # Zipf's exponent for the popularity of the models that the GPUs serve: this makes the load uneven
OWNERS_LIMIT_W = 350.0  # somebody had set the last GPU's limit before: it must come back to this, not to the default


@dataclass(frozen=True, slots=True)
class Scenario:
    """One trace window, assigned to GPUs, under one budget. Both hosts get exactly this."""

    trace: Trace
    gpu_of: tuple[int, ...]  # per request
    budget_w: float
    fixed_w: float
    safe_cap_w: float
    prior_limits_w: tuple[float, ...]

    @property
    def envelope_w(self) -> float:
        """What the limits of the GPUs may sum to."""
        return self.budget_w - self.fixed_w

    @property
    def static_limit_w(self) -> float:
        """The equal split: what every GPU of the static host is limited to."""
        return self.envelope_w / len(self.prior_limits_w)

    def requests(self) -> list[tuple[float, int, int, int]]:
        """Per request: arrival in seconds, GPU, context tokens, generated tokens."""
        return [_row(request, gpu) for request, gpu in zip(self.trace.requests, self.gpu_of, strict=True)]


def plan(trace: Trace, seconds: float, min_limit_w: float, max_limit_w: float, fixed_w: float) -> Scenario:
    """The scenario for a trace: its busiest `seconds`, and the budget for GPUs with this range of limits.

    Args:
        trace: All requests.
        seconds: Length of the window that is played.
        min_limit_w: Of each GPU.
        max_limit_w: Likewise.
        fixed_w: Declared for all of the host but its GPUs.

    Raises:
        InputError: `seconds` is not positive.
    """
    window = busiest_window(trace, seconds)
    envelope_w = GPUS * (min_limit_w + DYNAMIC_SHARE * (max_limit_w - min_limit_w))
    return Scenario(
        trace=window,
        gpu_of=tuple(assign(window, zipf_weights(GPUS, SKEW), SEED)),
        budget_w=envelope_w + fixed_w,
        fixed_w=fixed_w,
        safe_cap_w=SAFE_CAP_W,
        prior_limits_w=(*[max_limit_w] * (GPUS - 1), OWNERS_LIMIT_W),
    )


def _row(request: Request, gpu: int) -> tuple[float, int, int, int]:
    return request.arrival_s, gpu, request.context_tokens, request.generated_tokens
