import itertools
import math
import os
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim import trace as traces
from eagent.sim.trace import HEADER, Request, Trace, read_azure_csv

# --- What was published: measured once on AzureLLMInferenceTrace_conv_2023.csv, nearest-rank quantiles ---
PUBLISHED_CONTEXT = {0.5: 1020, 0.9: 2735, 0.95: 4083, 0.99: 4142}
PUBLISHED_GENERATED = {0.1: 54, 0.25: 85, 0.5: 129, 0.75: 395, 0.9: 424, 0.99: 601}
PUBLISHED_S = 3502.0


def read_bytes(directory: Path, content: bytes) -> Trace:
    path = directory / "trace.csv"
    path.write_bytes(content)
    return read_azure_csv(path)


def refusal_of(directory: Path, content: bytes) -> str | None:
    """What is said against the content, or None where it is accepted; no other exception passes."""
    try:
        read_bytes(directory, content)
    except InputError as error:
        return str(error)
    return None


def lines_of(requests: Sequence[tuple[int, int, int]]) -> list[str]:
    """Write (tenths of microseconds since the first, context, generated) as the public file does, without a header."""
    began = datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)
    lines = []
    for ticks, context, generated in requests:
        moment = began + timedelta(seconds=ticks // 10**7)
        lines.append(f"{moment:%Y-%m-%d %H:%M:%S}.{ticks % 10**7:07d},{context},{generated}")
    return lines


token_counts = st.integers(1, traces.MAX_TOKENS)
rows = st.lists(st.tuples(st.integers(0, 10**11), token_counts, token_counts), min_size=1, max_size=20).map(sorted)
requests = st.builds(Request, st.floats(0, 1000), st.integers(1, 5000), st.integers(1, 1000))
any_trace = st.lists(requests, max_size=30).map(
    lambda found: Trace(tuple(sorted(found, key=lambda request: request.arrival_s)), 1000.0, "test")
)


def nearest_rank(values: Sequence[int], probability: float) -> int:
    return sorted(values)[math.ceil(probability * len(values)) - 1]


def per_window(trace: Trace, window_s: float) -> list[int]:
    counts = [0] * int(trace.duration_s // window_s)
    for request in trace.requests:
        if request.arrival_s < len(counts) * window_s:
            counts[int(request.arrival_s // window_s)] += 1
    return counts


def dispersion(counts: Sequence[int]) -> float:
    return statistics.pvariance(counts) / statistics.mean(counts)


# --- Reading ---


@given(rows=rows, end=st.sampled_from(["", "\n", "\r\n", "\n\n"]), bom=st.sampled_from(["", "\ufeff"]))
def test_what_was_written_is_read_back(
    rows: list[tuple[int, int, int]], end: str, bom: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    newline = "\r\n" if end == "\r\n" else "\n"
    content = bom + newline.join([HEADER, *lines_of(rows)]) + end
    trace = read_bytes(tmp_path_factory.mktemp("trace"), content.encode())
    first = rows[0][0]
    assert [(round(r.arrival_s * 1e7), r.context_tokens, r.generated_tokens) for r in trace.requests] == [
        (ticks - first, context, generated) for ticks, context, generated in rows
    ]
    assert trace.duration_s == trace.requests[-1].arrival_s


def test_the_utc_offset_of_the_2024_traces_is_understood(tmp_path: Path) -> None:
    content = f"{HEADER}\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01+00:00,2399,6\n"
    assert read_bytes(tmp_path, content.encode()).requests == (Request(0.0, 2162, 5), Request(0.99007, 2399, 6))


GOOD = b"2023-11-16 18:15:46.6805900,374,44"


@pytest.mark.parametrize(
    ("content", "line", "wrong", "right"),
    [
        (b"", 1, "empty", HEADER),
        (HEADER.encode(), 2, "no requests", "374,44"),
        (GOOD + b"\n" + GOOD, 1, "the first line is '2023-11-16", f"the header {HEADER}"),
        (b"timestamp;context;generated\n", 1, "'timestamp;context;generated'", f"the header {HEADER}"),
        (b"%H\n2023-11-16 18:15:46,374", 2, "2 columns", "expected 3"),
        (b"%H\n2023-11-16 18:15:46,374,44,1", 2, "4 columns", "expected 3"),
        (b"%H\n%G\n2023-11-16 18:15:47,many,44", 3, "ContextTokens is 'many'", "whole number"),
        (b"%H\n%G\n2023-11-16 18:15:47,374,4.5", 3, "GeneratedTokens is '4.5'", "whole number"),
        (b"%H\n%G\n2023-11-16 18:15:47,374,", 3, "GeneratedTokens is ''", "whole number"),
        (b"%H\n2023-11-16 18:15:47,-1,44", 2, "ContextTokens is '-1'", "from 1"),
        (b"%H\n2023-11-16 18:15:47,374,0", 2, "GeneratedTokens is 0", "1 to 10000000"),
        (b"%H\n2023-11-16 18:15:47,10000001,44", 2, "ContextTokens is 10000001", "1 to 10000000"),
        (b"%H\n2023-02-30 18:15:47,374,44", 2, "'2023-02-30 18:15:47'", "2023-11-16"),
        (b"%H\nyesterday,374,44", 2, "TIMESTAMP is 'yesterday'", "YYYY-MM-DD"),
        (b"%H\n2023-11-16 18:15:47+02:00,374,44", 2, "TIMESTAMP is '2023-11-16 18:15:47+02:00'", "in UTC"),
        (b"%H\n%G\n\n2023-11-16 18:15:46.6805899,374,44", 4, "time goes back by 1e-07 s", "in order"),
        (b"%H\n%G\n2023-11-16 18:15:49,9,9\n2023-11-16 18:15:48,9,9", 4, "time goes back by 1 s", "in order"),
        (b"%H\n\x7fELF\x02\x01\x00", 2, "not a line of a text file", "374,44"),
        (b"\x1f\x8b\x08\x00\xff", 1, r"'\x1f\ufffd\x08", HEADER),
        (b"%H\n" + b"9" * 100_000, 2, "not a line of a text file", "374,44"),
    ],
)
def test_a_bad_file_is_refused_with_the_line_the_fault_and_the_remedy(
    content: bytes, line: int, wrong: str, right: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path, content.replace(b"%H", HEADER.encode()).replace(b"%G", GOOD))
    message = str(caught.value)
    assert message.startswith(f"trace {tmp_path / 'trace.csv'}, line {line}: ")
    assert wrong in message
    assert right in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "why"), [("absent.csv", "No such file"), ("", "Is a directory"), ("a\0b", "null byte")]
)
def test_a_file_that_cannot_be_opened_is_named(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot be read: .*{why}"):
        read_azure_csv(tmp_path / name)


@given(content=st.binary(max_size=300), with_header=st.booleans())
def test_garbage_is_read_or_refused_and_nothing_else(
    content: bytes, with_header: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("trace")
    refusal = refusal_of(directory, HEADER.encode() + b"\n" + content if with_header else content)
    if refusal is not None:
        assert refusal.startswith(f"trace {directory / 'trace.csv'}, line ")
        assert refusal.isprintable()


@given(rows=rows, data=st.data())
def test_a_mutated_line_is_accepted_or_named_by_its_number(
    rows: list[tuple[int, int, int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [line.encode() for line in lines_of(rows)]
    index = data.draw(st.integers(0, len(lines) - 1))
    old = lines[index]
    start = data.draw(st.integers(0, len(old)))
    end = data.draw(st.integers(start, len(old)))
    new = data.draw(st.binary(max_size=3).filter(lambda inserted: b"\n" not in inserted))
    lines[index] = old[:start] + new + old[end:]
    refusal = refusal_of(tmp_path_factory.mktemp("trace"), b"\n".join([HEADER.encode(), *lines]))
    if refusal is not None:
        # A mutated timestamp can lie after the next line's, whose time then goes back.
        named = {index + 2, index + 3} if "time goes back" in refusal or "no requests" in refusal else {index + 2}
        assert any(f", line {number}: " in refusal for number in named), refusal


# --- Generating ---


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    assert traces.generate(120, 7) == traces.generate(120, 7)
    assert traces.generate(120, 7).requests != traces.generate(120, 8).requests


@given(seconds=st.floats(0.01, 300), seed=st.integers(0, 1000))
def test_a_generated_trace_is_in_order_and_within_its_time(seconds: float, seed: int) -> None:
    trace = traces.generate(seconds, seed)
    arrivals_s = [request.arrival_s for request in trace.requests]
    assert arrivals_s == sorted(arrivals_s)
    assert all(0 <= arrival_s <= seconds for arrival_s in arrivals_s)
    assert trace.duration_s == seconds


def test_generated_lengths_follow_the_published_distributions() -> None:
    found = traces.generate(4 * PUBLISHED_S, 1).requests
    context = [request.context_tokens for request in found]
    generated = [request.generated_tokens for request in found]
    assert statistics.mean(context) == pytest.approx(1155, rel=0.03)
    assert statistics.mean(generated) == pytest.approx(211, rel=0.03)
    for probability, tokens in PUBLISHED_CONTEXT.items():
        assert nearest_rank(context, probability) == pytest.approx(tokens, rel=0.05), probability
    for probability, tokens in PUBLISHED_GENERATED.items():
        assert nearest_rank(generated, probability) == pytest.approx(tokens, rel=0.08), probability
    assert max(context) <= 14050
    assert max(generated) <= 1000


def test_answers_depend_on_their_context_as_published_though_hardly_correlated() -> None:
    found = traces.generate(PUBLISHED_S, 2).requests
    medians = [
        nearest_rank([request.generated_tokens for request in found if low < request.context_tokens <= high], 0.5)
        for low, high in ((0, 300), (300, 925), (925, 1250), (1250, 99999))
    ]
    assert medians == pytest.approx([152, 93, 404, 84], rel=0.06)
    correlation = statistics.correlation([r.context_tokens for r in found], [r.generated_tokens for r in found])
    assert correlation == pytest.approx(-0.11, abs=0.1)


def test_generated_arrivals_swing_as_published() -> None:
    # One hour holds few swings of a rate that remembers ten minutes, so the median of many hours is compared.
    hours = [traces.generate(PUBLISHED_S, seed) for seed in range(15)]
    assert all(len(hour.requests) == pytest.approx(5.53 * PUBLISHED_S, rel=0.03) for hour in hours)
    minutes = [per_window(hour, 60) for hour in hours]
    assert statistics.median(min(minute) for minute in minutes) == pytest.approx(191, rel=0.2)
    assert statistics.median(max(minute) for minute in minutes) == pytest.approx(507, rel=0.2)
    assert statistics.median(dispersion(per_window(hour, 1)) for hour in hours) == pytest.approx(1.39, abs=0.2)


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0, 1), (-1, 1), (math.nan, 1), (math.inf, 1), (1, 0), (1e6, 1), (1e9, 1e-9)]
)
def test_a_trace_that_cannot_be_generated_is_refused(seconds: float, rate: float) -> None:
    with pytest.raises(InputError, match=r"expected (a positive number|at most)"):
        traces.generate(seconds, 1, mean_rate_per_s=rate)


def test_the_real_trace_has_the_published_statistics() -> None:
    path = os.environ.get("EAGENT_AZURE_CSV")
    if not path:
        pytest.skip("set EAGENT_AZURE_CSV to AzureLLMInferenceTrace_conv_2023.csv of Azure/AzurePublicDataset")
    trace = read_azure_csv(path)
    context = [request.context_tokens for request in trace.requests]
    generated = [request.generated_tokens for request in trace.requests]
    assert len(trace.requests) == 19366
    assert len(trace.requests) / trace.duration_s == pytest.approx(traces.MEAN_RATE_PER_S, abs=0.005)
    assert statistics.mean(context) == pytest.approx(1154.7, abs=0.05)
    assert statistics.mean(generated) == pytest.approx(211.1, abs=0.05)
    assert {p: nearest_rank(context, p) for p in PUBLISHED_CONTEXT} == PUBLISHED_CONTEXT
    assert {p: nearest_rank(generated, p) for p in PUBLISHED_GENERATED} == PUBLISHED_GENERATED
    assert {p: nearest_rank(context, p) for p, _ in traces.CONTEXT_TOKENS[1:]} == dict(traces.CONTEXT_TOKENS[1:])
    assert (min(per_window(trace, 60)), max(per_window(trace, 60))) == (191, 507)
    assert dispersion(per_window(trace, 1)) == pytest.approx(1.39, abs=0.01)


# --- Windows, rates, GPUs ---


def work_within(trace: Trace, start_s: float, seconds: float) -> float:
    return sum(request.work for request in trace.requests if start_s <= request.arrival_s <= start_s + seconds)


@given(trace=any_trace, seconds=st.floats(1, 900), start_s=st.floats(0, 1000))
def test_no_window_holds_more_work_than_the_busiest(trace: Trace, seconds: float, start_s: float) -> None:
    busiest = traces.busiest_window(trace, seconds)
    assert sum(request.work for request in busiest.requests) >= work_within(trace, start_s, seconds)
    assert all(0 <= request.arrival_s <= busiest.duration_s for request in busiest.requests)


def test_the_busiest_window_counts_work_and_not_requests() -> None:
    chatty = [Request(float(second), 10, 1) for second in range(10)]
    heavy = [Request(60.0, 100, 500), Request(62.0, 7, 3)]
    busiest = traces.busiest_window(Trace((*chatty, *heavy), 100.0, "test"), 10.0)
    assert busiest.requests == (Request(0.0, 100, 500), Request(2.0, 7, 3))
    assert busiest.duration_s == 10.0


def test_the_last_request_of_a_trace_is_in_the_window_that_ends_with_it() -> None:
    # The rounding of binary fractions: the end of the window must not be computed back from the start.
    end_s, seconds = 0.9, 0.2
    assert end_s - seconds + seconds < end_s
    trace = Trace((Request(0.0, 1, 1), Request(end_s, 9, 9)), end_s, "test")
    assert traces.busiest_window(trace, seconds).requests == (Request(seconds, 9, 9),)


def test_a_window_longer_than_the_trace_is_the_whole_trace() -> None:
    trace = Trace((Request(1.0, 10, 1), Request(2.0, 10, 1)), 2.0, "test")
    assert traces.busiest_window(trace, 10.0) == trace


@given(trace=any_trace, factor=st.floats(0.1, 4), seed=st.integers(0, 99))
def test_scaling_keeps_order_duration_and_the_kinds_of_requests(trace: Trace, factor: float, seed: int) -> None:
    scaled = traces.scale_rate(trace, factor, seed)
    arrivals_s = [request.arrival_s for request in scaled.requests]
    assert arrivals_s == sorted(arrivals_s)
    assert all(0 <= arrival_s <= trace.duration_s for arrival_s in arrivals_s)
    assert {(r.context_tokens, r.generated_tokens) for r in scaled.requests} <= {
        (r.context_tokens, r.generated_tokens) for r in trace.requests
    }
    assert math.floor(factor) * len(trace.requests) <= len(scaled.requests) <= math.ceil(factor) * len(trace.requests)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 2.5])
def test_scaling_multiplies_the_rate_and_brings_no_simultaneous_copies(factor: float) -> None:
    trace = traces.generate(600, 3)
    scaled = traces.scale_rate(trace, factor, 1)
    assert len(scaled.requests) == pytest.approx(factor * len(trace.requests), rel=0.05)
    assert all(a.arrival_s < b.arrival_s for a, b in itertools.pairwise(scaled.requests))


def test_assignment_follows_the_weights_and_the_seed() -> None:
    trace = traces.generate(900, 4)
    weights = traces.zipf_weights(4, 1.0)
    chosen = traces.assign(trace, weights, 1)
    assert chosen == traces.assign(trace, weights, 1)
    assert chosen != traces.assign(trace, weights, 2)
    shares = [chosen.count(gpu) / len(chosen) for gpu in range(4)]
    assert shares == pytest.approx(weights, abs=0.03)
    assert set(traces.assign(trace, [0, 1, 0], 1)) == {1}


@given(n=st.integers(1, 64), s=st.floats(0, 5))
def test_zipf_weights_sum_to_one_and_fall_with_the_rank(n: int, s: float) -> None:
    weights = traces.zipf_weights(n, s)
    assert len(weights) == n
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)
    assert weights[0] / weights[-1] == pytest.approx(n**s)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [math.nan], [math.inf], [1e308, 1e308]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="expected numbers of 0 or more"):
        traces.assign(traces.generate(1, 1), weights, 1)


@pytest.mark.parametrize(("n", "s"), [(0, 1.0), (3, -1.0), (3, math.nan)])
def test_zipf_weights_for_nothing_are_refused(n: int, s: float) -> None:
    with pytest.raises(InputError, match="expected n of 1 or more"):
        traces.zipf_weights(n, s)


def test_more_requests_than_the_bound_are_refused_before_they_are_made() -> None:
    with pytest.raises(InputError, match=f"at most {traces.MAX_REQUESTS}"):
        traces.scale_rate(Trace((Request(0.0, 1, 1),), 1.0, "test"), 2.0 * traces.MAX_REQUESTS, 1)
