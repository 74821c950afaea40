"""A server's counter and latencies, followed over scrapes."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from eagent.errors import InputError
from eagent.progress.counter import Counted
from eagent.progress.recipes import BETWEEN_TOKENS, FIRST_TOKEN, RECIPES, Recipe
from eagent.progress.recipes import Counter as StepCounter

SECOND_NS = 1_000_000_000
TOKENS = "vllm:generation_tokens_total"


def engines(*tokens: float) -> bytes:
    return "".join(f'{TOKENS}{{engine="{place}"}} {each}\n' for place, each in enumerate(tokens)).encode()


def followed(*scrapes: bytes, recipe: str = "vllm") -> Counted:
    counted = Counted(RECIPES[recipe])
    for second, body in enumerate(scrapes):
        counted.take(body, second * SECOND_NS)
    return counted


def test_units_count_from_the_first_scrape() -> None:
    counted = followed(engines(1000.0), engines(1040.0), engines(1100.0))
    assert (counted.units, counted.unit, counted.at_ns) == (100.0, "token", 2 * SECOND_NS)


def test_a_counter_that_begins_again_goes_on() -> None:
    assert followed(engines(1000.0), engines(1040.0), engines(7.0), engines(9.0)).units == 49.0


def test_one_worker_that_begins_again_does_not_make_its_neighbours_count_twice() -> None:
    assert followed(engines(1000.0, 5000.0), engines(10.0, 5001.0)).units == 11.0


def test_a_worker_that_comes_later_counts_from_its_beginning_and_one_that_went_is_forgotten() -> None:
    assert followed(engines(100.0), engines(100.0, 30.0), engines(101.0)).units == 31.0


@given(st.lists(st.lists(st.floats(0, 1e9), min_size=1, max_size=4), min_size=1, max_size=12))
def test_units_never_fall(scrapes: list[list[float]]) -> None:
    counted, before = Counted(RECIPES["vllm"]), 0.0
    for second, tokens in enumerate(scrapes):
        counted.take(engines(*tokens), second * SECOND_NS)
        assert counted.units >= before
        before = counted.units


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e300", "many"])
def test_a_counter_that_is_no_count_is_told_and_changes_nothing(value: str) -> None:
    counted = followed(engines(10.0), engines(12.0))
    with pytest.raises(InputError):
        counted.take(f"{TOKENS} {value}\n".encode(), 9 * SECOND_NS)
    assert (counted.units, counted.at_ns) == (2.0, SECOND_NS)
    counted.take(engines(15.0), 3 * SECOND_NS)
    assert counted.units == 5.0


def test_an_endpoint_without_the_counter_is_told_what_is_missing() -> None:
    with pytest.raises(InputError, match="no sglang:realtime_tokens_total or sglang:generation_tokens_total there"):
        followed(engines(3.0), recipe="sglang")


def test_labels_choose_one_model_of_several() -> None:
    counted = Counted(RECIPES["vllm"], {"model_name": "b"})
    for tokens in (10, 25):
        body = f'{TOKENS}{{model_name="a"}} {9 * tokens}\n{TOKENS}{{engine="0",model_name="b"}} {tokens}\n'
        counted.take(body.encode(), SECOND_NS)
    assert counted.units == 15.0
    with pytest.raises(InputError, match="with these labels"):
        counted.take(f'{TOKENS}{{model_name="a"}} 9\n'.encode(), SECOND_NS)


@pytest.mark.parametrize("name", ["inter_token_latency_seconds", "time_per_output_token_seconds"])
def test_latencies_are_those_that_the_server_observed_since_the_first_scrape(name: str) -> None:
    registry = CollectorRegistry()
    tokens = Counter("vllm:generation_tokens", "-", ["engine"], registry=registry)
    first = Histogram("vllm:time_to_first_token_seconds", "-", ["engine"], buckets=(0.1, 1.0), registry=registry)
    between = Histogram(f"vllm:{name}", "-", ["engine"], buckets=(0.01, 0.05), registry=registry)

    def observe(waits_s: Sequence[float], gaps_s: Sequence[float]) -> bytes:
        for engine in ("0", "1"):
            tokens.labels(engine).inc(10)
            for wait_s in waits_s:
                first.labels(engine).observe(wait_s)
            for gap_s in gaps_s:
                between.labels(engine).observe(gap_s)
        return generate_latest(registry)

    counted = followed(observe([0.05], [0.02]), observe([0.05, 0.5, 3.0], [0.005] * 4), observe([], [0.2]))
    assert counted.units == 40.0
    told = {each.kind: (each.bounds_s, each.counts) for each in counted.latencies}
    assert told == {
        FIRST_TOKEN: ((0.1, 1.0, math.inf), (2, 2, 2)),
        BETWEEN_TOKENS: ((0.01, 0.05, math.inf), (8, 0, 2)),
    }


def test_a_histogram_that_begins_again_goes_on() -> None:
    def body(low: int, all_of_them: int) -> bytes:
        rows = f'nv_inference_first_response_histogram_ms_bucket{{le="100"}} {low}\n'
        rows += f'nv_inference_first_response_histogram_ms_bucket{{le="+Inf"}} {all_of_them}\n'
        return f"nv_inference_count 1\n{rows}".encode()

    told = followed(body(10, 20), body(11, 22), body(1, 3), recipe="triton").latencies
    assert [(each.bounds_s, each.counts) for each in told] == [((0.1, math.inf), (2, 3))]


@pytest.mark.parametrize("bound", ["-5", "-Inf", "NaN", "x"])
def test_a_bucket_that_no_latency_can_be_in_is_told_and_changes_nothing(bound: str) -> None:
    rows = f'nv_inference_first_response_histogram_ms_bucket{{le="{bound}"}} 1\n'
    counted = Counted(RECIPES["triton"])
    with pytest.raises(InputError, match="has a bucket"):
        counted.take(f"nv_inference_count 1\n{rows}".encode(), SECOND_NS)
    assert (counted.at_ns, counted.latencies) == (None, ())


def test_the_counter_that_was_chosen_stays_the_one() -> None:
    older = b"sglang:generation_tokens_total 5\n"
    counted = followed(older, older + b'sglang:realtime_tokens_total{mode="decode"} 900\n', recipe="sglang")
    assert counted.units == 0.0
    both = b'sglang:generation_tokens_total 5\nsglang:realtime_tokens_total{mode="prefill_compute"} 70\n'
    assert followed(both, both.replace(b" 5", b" 6"), recipe="sglang").units == 1.0


@given(st.binary(max_size=300))
def test_an_endpoint_may_answer_anything(body: bytes) -> None:
    counted, problems = Counted(RECIPES["vllm"]), []
    for second, each in enumerate((body.replace(b"#", TOKENS.encode()), engines(1.0), engines(4.0))):
        try:
            counted.take(each, second * SECOND_NS)
        except InputError as problem:
            problems.append(str(problem))
    assert counted.units >= 3.0
    assert all(problem.isprintable() for problem in problems)


STEPS = Recipe((StepCounter("steps_total"),), "step")


def test_a_step_was_done_between_the_scrape_that_shows_it_and_the_one_before() -> None:
    counted, told = Counted(STEPS), []
    for quarter in range(24):  # a step each second, a tenth of a second past it
        at_s = quarter / 4
        counted.take(f"steps_total {int(at_s + 0.9)}\n".encode(), int(at_s * SECOND_NS))
        told.append((counted.units, counted.at_ns, counted.told_ns))
    assert told[-1][2] == 23 * SECOND_NS // 4
    seen = {units: (at_ns or 0) / SECOND_NS for units, at_ns, _ in told}
    assert all(abs(seen[units] - (units - 0.9)) <= 0.125 for units in seen if units > 1)


def test_latencies_of_a_server_that_nobody_asks_are_as_of_now() -> None:
    buckets = 'vllm:inter_token_latency_seconds_bucket{le="+Inf"} 3\n'
    counted = followed(*[f"{TOKENS} 10\n{buckets}".encode()] * 3)
    assert counted.at_ns == 2 * SECOND_NS
