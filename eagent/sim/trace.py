"""LLM request traces: read from the public Azure CSV, or generated with that trace's statistics.

A trace says when requests came and how long they were; it knows nothing of GPUs. `assign` says which GPU serves each.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from eagent.errors import InputError

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
MAX_REQUESTS = 1_000_000
MAX_TOKENS = 10_000_000  # ten times the longest context window on offer in 2025
MAX_LINE_BYTES = 200

# What a generated token counts for beside one of context, where work is compared. Decoding is the slower half: public
# price lists of hosted models ask three to five times as much for it.
GENERATED_TOKEN_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a language model, `arrival_s` seconds after the trace began."""

    arrival_s: float
    context_tokens: int
    generated_tokens: int

    @property
    def work(self) -> float:
        """A size to compare requests by, in context tokens: context + `GENERATED_TOKEN_WEIGHT` x generated."""
        return self.context_tokens + GENERATED_TOKEN_WEIGHT * self.generated_tokens


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival, all within [0, `duration_s`]; `source` tells a reader where they come from."""

    requests: tuple[Request, ...]
    duration_s: float
    source: str


# --- The public CSV -------------------------------------------------------------------------------------------------
# https://github.com/Azure/AzurePublicDataset: AzureLLMInferenceTrace_{code,conv}_2023.csv have seven fractional digits;
# the 2024 traces add a UTC offset, which is always +00:00.

LINE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:\+00:00|Z)?"
    r",([0-9]{1,12}),([0-9]{1,12})"
)
EXAMPLE = "2023-11-16 18:15:46.6805900,374,44"


def read_azure_csv(path: Path | str) -> Trace:
    """Read a trace in the form of the public Azure LLM inference traces.

    The first request arrives at 0 s and the trace ends with the last one. Empty lines are passed over.

    Raises:
        InputError: one line that names the file, the line, what is wrong with it and what would be right.
    """
    name = str(path) if str(path).isprintable() else _quote(str(path))
    try:
        with Path(path).open("rb") as file:
            requests = _read(file, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"trace {name}: cannot be read: {reason}") from error
    return Trace(requests, requests[-1].arrival_s, name)


def _read(file: BinaryIO, path: str) -> tuple[Request, ...]:
    requests: list[Request] = []
    number, first_ns, previous_ns = 0, 0, 0
    try:
        for number, line in _lines(file):
            if number == 1:
                if line.removeprefix("\ufeff") != HEADER:
                    raise InputError(f"the first line is {_quote(line)}: expected the header {HEADER}")
                continue
            if not line:
                continue
            time_ns, context, generated = _parse(line)
            if not requests:
                first_ns = previous_ns = time_ns
            if time_ns < previous_ns:
                back_s = (previous_ns - time_ns) / 1e9
                raise InputError(f"time goes back by {back_s:g} s: expected lines in order of TIMESTAMP")
            if len(requests) == MAX_REQUESTS:
                raise InputError(f"more than {MAX_REQUESTS} requests: expected a shorter trace, cut the file")
            previous_ns = time_ns
            requests.append(Request((time_ns - first_ns) / 1e9, context, generated))
    except InputError as error:
        raise InputError(f"trace {path}, line {max(number, 1)}: {error}") from None
    if number == 0:
        raise InputError(f"trace {path}, line 1: the file is empty: expected the header {HEADER}")
    if not requests:
        raise InputError(f"trace {path}, line {number + 1}: no requests: expected lines like {EXAMPLE}")
    return tuple(requests)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends. What cannot be decoded is kept as U+FFFD, for `_parse` to refuse."""
    for number in itertools.count(1):
        raw = file.readline(MAX_LINE_BYTES + 1)
        if not raw:
            return
        yield number, raw.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")


def _parse(line: str) -> tuple[int, int, int]:
    """Give (nanoseconds since 1970, context tokens, generated tokens) or say in an InputError what is wrong."""
    match = LINE.fullmatch(line)
    if match is None:
        raise InputError(_what_is_wrong(line))
    date, clock, fraction, context, generated = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"TIMESTAMP {_quote(f'{date} {clock}')}: {error}: expected one like {EXAMPLE}") from None
    for name, tokens in (("ContextTokens", int(context)), ("GeneratedTokens", int(generated))):
        if not 1 <= tokens <= MAX_TOKENS:
            raise InputError(f"{name} is {tokens}: expected 1 to {MAX_TOKENS}")
    return int(moment.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0")), int(context), int(generated)


def _what_is_wrong(line: str) -> str:
    """Name the first fault of a line that `LINE` does not match."""
    if "\ufffd" in line or not line.replace("\t", " ").isprintable() or len(line) > MAX_LINE_BYTES:
        return f"{_quote(line)} is not a line of a text file: expected one like {EXAMPLE}"
    fields = line.split(",")
    if len(fields) != 3:
        return f"{len(fields)} columns in {_quote(line)}: expected 3, {HEADER}"
    for name, field in zip(HEADER.split(",")[1:], fields[1:], strict=True):
        if not re.fullmatch(r"[0-9]{1,12}", field):
            return f"{name} is {_quote(field)}: expected a whole number from 1 to {MAX_TOKENS}"
    return f"TIMESTAMP is {_quote(fields[0])}: expected YYYY-MM-DD hh:mm:ss.fffffff in UTC, as in {EXAMPLE}"


def _quote(text: str) -> str:
    """Quote foreign text so that it stays on one short line of plain characters."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


# --- The generator --------------------------------------------------------------------------------------------------
# Measured on AzureLLMInferenceTrace_conv_2023.csv (19,366 requests in 3,502 s; Azure/AzurePublicDataset, CC-BY-4.0;
# described by Patel et al., "Splitwise", ISCA 2024). A quantile function is a row of (probability, tokens) knots,
# straight lines between them.

MEAN_RATE_PER_S = 5.53
RATE_SPREAD = 0.30  # standard deviation of the logarithm of the rate
RATE_MEMORY_S = 600.0  # the rate's autocorrelation falls to 1/e in this time
RATE_STEP_S = 60.0  # the rate is constant in each minute
MAX_GENERATED_S = 366 * 86400.0

Knots = tuple[tuple[float, float], ...]

# fmt: off
CONTEXT_TOKENS: Knots = (
    (0, 2), (0.01, 29), (0.05, 181), (0.1, 207), (0.2, 387), (0.35, 414), (0.38, 433), (0.4, 703), (0.45, 984),
    (0.5, 1020), (0.6, 1071), (0.7, 1130), (0.75, 1189), (0.8, 1315), (0.85, 1877), (0.9, 2735), (0.95, 4083),
    (0.99, 4142), (0.999, 6212), (1, 14050),
)
# The length of an answer hangs on the length of its context, but not monotonically: prompts of about a thousand tokens
# get some 400, shorter and longer ones about 100. The correlation coefficient hides it (Pearson -0.11, Spearman 0.07),
# so the generator draws answers from one distribution per band of context: (longest context of the band, knots).
GENERATED_TOKENS: tuple[tuple[float, Knots], ...] = (
    (300, (
        (0, 11), (0.05, 14), (0.1, 49), (0.25, 94), (0.5, 152), (0.75, 183), (0.9, 217), (0.99, 274), (1, 1000),
    )),
    (925, (
        (0, 7), (0.05, 49), (0.1, 61), (0.25, 81), (0.5, 93), (0.75, 108), (0.9, 134), (0.95, 154), (0.99, 413),
        (1, 739),
    )),
    (1250, (
        (0, 27), (0.05, 91), (0.1, 373), (0.25, 392), (0.5, 404), (0.75, 427), (0.9, 482), (0.95, 552), (0.99, 656),
        (1, 1000),
    )),
    (math.inf, (
        (0, 15), (0.05, 35), (0.25, 53), (0.5, 84), (0.75, 137), (0.9, 196), (0.95, 243), (0.99, 441), (1, 918),
    )),
)
# fmt: on


def generate(seconds: float, seed: int, *, mean_rate_per_s: float = MEAN_RATE_PER_S) -> Trace:
    """Make a trace with the statistics of the public Azure conversation trace of 2023.

    Arrivals are a Poisson process whose rate changes from minute to minute: log-normal, first-order autoregressive.
    The rate is scaled to average `mean_rate_per_s` over the whole trace, so two seeds differ in shape and not in load.
    The same arguments give the same trace.

    Raises:
        InputError: `seconds` or the rate is not positive, or they ask for a year or `MAX_REQUESTS` requests and more.
    """
    _require_positive("seconds", seconds)
    _require_positive("mean rate", mean_rate_per_s)
    asked = f"{seconds:g} s at {mean_rate_per_s:g} requests/s"
    if seconds > MAX_GENERATED_S:
        raise InputError(f"{asked}: expected at most {MAX_GENERATED_S:g} s")
    if seconds * mean_rate_per_s > MAX_REQUESTS / 2:  # the rest is room for chance
        raise InputError(f"{asked}: expected at most {MAX_REQUESTS // 2} requests in all")
    rng = random.Random(seed)
    steps = math.ceil(seconds / RATE_STEP_S)
    lengths_s = [min(RATE_STEP_S, seconds - RATE_STEP_S * step) for step in range(steps)]
    shape = list(itertools.islice(_slow_rate(rng), steps))
    scale = mean_rate_per_s * seconds / sum(rate * length_s for rate, length_s in zip(shape, lengths_s, strict=True))
    requests = []
    for step, (relative_rate, length_s) in enumerate(zip(shape, lengths_s, strict=True)):
        into_s = rng.expovariate(relative_rate * scale)
        while into_s < length_s:
            context = round(_at(CONTEXT_TOKENS, rng.random()))
            knots = next(knots for longest, knots in GENERATED_TOKENS if context <= longest)
            requests.append(Request(RATE_STEP_S * step + into_s, context, round(_at(knots, rng.random()))))
            into_s += rng.expovariate(relative_rate * scale)
    return Trace(tuple(requests), seconds, f"generated like Azure conv 2023, seed {seed}")


def _slow_rate(rng: random.Random) -> Iterator[float]:
    """Yield the relative rate of one step after another."""
    kept = math.exp(-RATE_STEP_S / RATE_MEMORY_S)
    level = rng.gauss(0, 1)
    while True:
        yield math.exp(RATE_SPREAD * level)
        level = kept * level + math.sqrt(1 - kept * kept) * rng.gauss(0, 1)


def _at(knots: Knots, probability: float) -> float:
    """Evaluate a piecewise linear quantile function at a probability in [0, 1)."""
    right = bisect_right(knots, (probability, math.inf))
    (p0, value0), (p1, value1) = knots[right - 1], knots[right]
    return value0 + (value1 - value0) * (probability - p0) / (p1 - p0)


# --- What is done with a trace --------------------------------------------------------------------------------------


def busiest_window(trace: Trace, seconds: float) -> Trace:
    """Cut out the `seconds` in which most work (`Request.work`) arrives, with times counted from the window's start.

    The first of equals is taken. A trace that is no longer than `seconds` is returned as it is.

    Raises:
        InputError: `seconds` is not positive.
    """
    _require_positive("window", seconds)
    if seconds >= trace.duration_s or not trace.requests:
        return trace
    arrivals_s = [request.arrival_s for request in trace.requests]
    work_before = [0.0, *itertools.accumulate(request.work for request in trace.requests)]
    # Some best window starts with an arrival, or ends with the trace: sliding one later, up to there, loses nothing.
    last_start_s = trace.duration_s - seconds
    starts_s = [*itertools.takewhile(lambda arrival_s: arrival_s < last_start_s, arrivals_s), last_start_s]

    def bounds(start_s: float) -> tuple[int, int]:
        end = len(arrivals_s) if start_s == last_start_s else bisect_right(arrivals_s, start_s + seconds)
        return bisect_left(arrivals_s, start_s), end

    def work_from(start_s: float) -> float:
        first, end = bounds(start_s)
        return work_before[end] - work_before[first]

    best_start_s = max(starts_s, key=work_from)
    first, end = bounds(best_start_s)
    requests = tuple(
        _moved(request, min(request.arrival_s - best_start_s, seconds)) for request in trace.requests[first:end]
    )
    return Trace(requests, seconds, f"{trace.source}, busiest {seconds:g} s (from {best_start_s:g} s)")


SCALE_JITTER_S = 5.0


def scale_rate(trace: Trace, factor: float, seed: int) -> Trace:
    """Multiply the rate of arrivals, keeping the duration, the slow swings and each request's tokens.

    Below 1 each request is kept with probability `factor`. Above, each comes `floor(factor)` times and once more with
    the rest as probability; copies arrive within `SCALE_JITTER_S` of their original, lest bursts grow with the factor.

    Raises:
        InputError: `factor` is not positive, or the result would be longer than `MAX_REQUESTS`.
    """
    _require_positive("factor", factor)
    if factor * len(trace.requests) > MAX_REQUESTS:
        raise InputError(f"factor {factor:g} on {len(trace.requests)} requests: expected at most {MAX_REQUESTS} in all")
    rng = random.Random(seed)
    whole, rest = divmod(factor, 1.0)
    requests = []
    for request in trace.requests:
        for copy in range(int(whole) + (rng.random() < rest)):
            jitter_s = rng.uniform(-SCALE_JITTER_S, SCALE_JITTER_S) if copy else 0.0
            arrival_s = request.arrival_s + jitter_s
            if not 0 <= arrival_s <= trace.duration_s:
                arrival_s = request.arrival_s - jitter_s
            requests.append(_moved(request, min(max(arrival_s, 0.0), trace.duration_s)))
    requests.sort(key=lambda request: request.arrival_s)
    return Trace(tuple(requests), trace.duration_s, f"{trace.source}, rate x {factor:g}")


def assign(trace: Trace, weights: Sequence[float], seed: int) -> list[int]:
    """Choose a GPU (an index into `weights`) for each request, independently, in proportion to the weights.

    It stands for a router that keeps a model's or a session's requests together: the share of a GPU is then how popular
    its models are, whatever its neighbours do, which is why load is uneven.

    Raises:
        InputError: no weights, or they are negative, not finite or all zero.
    """
    if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < math.inf:
        raise InputError(f"weights {_quote(str(list(weights)))}: expected numbers of 0 or more that are not all 0")
    return random.Random(seed).choices(range(len(weights)), weights, k=len(trace.requests))


def zipf_weights(n: int, s: float) -> list[float]:
    """Give n weights that sum to 1 and fall as 1 / rank**s: s = 0 is even, s = 1 is Zipf's law.

    Raises:
        InputError: `n` is below 1, or `s` is negative or not finite.
    """
    if n < 1 or not (math.isfinite(s) and s >= 0):
        raise InputError(f"Zipf weights for n = {n}, s = {s:g}: expected n of 1 or more and s of 0 or more")
    raw = [float(rank) ** -s for rank in range(1, n + 1)]
    return [weight / sum(raw) for weight in raw]


def _moved(request: Request, arrival_s: float) -> Request:
    return Request(arrival_s, request.context_tokens, request.generated_tokens)


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value:g}: expected a positive number")
