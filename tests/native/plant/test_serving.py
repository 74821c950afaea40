"""What an engine's iterations wait for: the processor first, then the GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eagent.errors import InputError
from eagent.sim.workload import Serving

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

FULL_KHZ = 3_400_000
EVEN = Serving(  # every token takes the same
    prefill_s_per_token=1e-3, decode_s=16e-3, decode_s_per_sequence=0, decode_s_per_context_token=0, host_s=1e-3
)
COLD = {"leak_w_per_k": 0.0}
TOKENS = 600
ONE = [(1.0, 0, 10, TOKENS)]  # one request: 10 ms of prefill, then a decode for each further token


def set_all(host: Host, khz: int) -> None:
    for cpu in range(64):
        host.set_cpu_max_khz(cpu, khz)


def spans(host: Host) -> tuple[float, float]:
    """Seconds of the only request's prefill and of its decodes."""
    ((arrival, first, done),) = host.served()
    assert first is not None
    assert done is not None
    return first - arrival, done - first


@pytest.mark.parametrize("khz", [850_000, 1_700_000, FULL_KHZ])
@pytest.mark.parametrize("mhz", [1410, 1005])
def test_the_processors_part_goes_with_its_clock_and_the_rest_with_the_gpus(lab: Lab, khz: int, mhz: int) -> None:
    host = lab(cpu={})
    host.lock_clocks(0, 210, mhz)
    set_all(host, khz)
    EVEN.start(host, ONE)
    host.advance(30.0)
    host_s = 1e-3 * FULL_KHZ / khz
    prefill_s = host_s + 9e-3 * (1 + 0.96 * (1410 / mhz - 1))
    decode_s = host_s + 15e-3 * (1 + 0.05 * (1410 / mhz - 1))
    assert spans(host) == pytest.approx((prefill_s, (TOKENS - 1) * decode_s), abs=1e-7)


@pytest.mark.parametrize("host_s", [0.0, 1e-5, 1e-3, 10e-3])
def test_at_full_clocks_it_is_within_the_times_that_are_given(lab: Lab, host_s: float) -> None:
    host = lab(cpu={})
    replace(EVEN, host_s=host_s).start(host, ONE)
    host.advance(30.0)
    assert spans(host) == pytest.approx((10e-3, (TOKENS - 1) * 16e-3), abs=1e-7)


def test_no_iteration_is_shorter_than_the_processors_part_of_it(lab: Lab) -> None:
    host = lab(cpu={})
    replace(EVEN, host_s=20e-3).start(host, ONE)
    host.advance(30.0)
    assert spans(host) == pytest.approx((20e-3, (TOKENS - 1) * 20e-3), abs=1e-7)
    assert host.energy_true_j(0) < 52 * 30 + 60 * 20  # nothing ever ran


def test_at_full_cpu_clock_it_is_as_without_processors(lab: Lab) -> None:
    requests = [(0.5 * number, 0, 300, 60) for number in range(20)]
    bare, furnished = lab(), lab(cpu={})
    for host in (bare, furnished):
        Serving().start(host, requests)
        host.advance(20.0)
    assert bare.served() == furnished.served()
    assert bare.power_log() == furnished.power_log()


@pytest.mark.parametrize(("khz", "pct"), [(FULL_KHZ, 94), (1_700_000, 88), (850_000, 79)])
def test_utilisation_shows_the_gaps(lab: Lab, khz: int, pct: int) -> None:
    host = lab(cpu={})
    set_all(host, khz)
    EVEN.start(host, ONE)
    for tenth in range(40, 80):
        host.advance(tenth / 10)
        assert host.view(0)["gpu_utilisation_pct"] == pytest.approx(pct, abs=1)  # 15 of 16, 17 or 19 ms
        assert host.view(0)["memory_utilisation_pct"] == pytest.approx(pct, abs=1)


@pytest.mark.parametrize("khz", [FULL_KHZ, 850_000])
def test_while_it_awaits_the_processor_a_gpu_draws_what_a_quiet_process_costs(lab: Lab, khz: int) -> None:
    host = lab(cpu={}, power=COLD)
    set_all(host, khz)
    EVEN.start(host, ONE)
    host.advance(1.5)
    before_j = host.energy_true_j(0)
    iteration_s = 15e-3 + 1e-3 * FULL_KHZ / khz
    host.advance(1.5 + 400 * iteration_s)
    mean_w = (host.energy_true_j(0) - before_j) / (400 * iteration_s)
    assert mean_w == pytest.approx(60 + (48 + 0.4 * 336) * 15e-3 / iteration_s, rel=1e-3)


def test_the_same_tokens_cost_the_same_above_a_quiet_process_at_any_cpu_clock(lab: Lab) -> None:
    joules = []
    for khz in (FULL_KHZ, 1_700_000, 850_000):
        host = lab(cpu={}, power=COLD)
        set_all(host, khz)
        EVEN.start(host, ONE)
        host.advance(30.0)
        joules.append(host.energy_true_j(0) - 60 * 29)
    assert joules == pytest.approx([joules[0]] * 3, rel=1e-6)


def test_a_new_cpu_clock_acts_in_the_middle_of_the_wait(lab: Lab) -> None:
    host = lab(cpu={}, limits={"max_w": 1000.0, "default_w": 1000.0})
    replace(EVEN, prefill_s_per_token=0.3, host_s=1.0).start(host, [(1.0, 0, 10, 1)])
    host.advance(1.4)
    set_all(host, 1_700_000)  # 0.6 s are left, at half the pace
    host.advance(2.0)
    set_all(host, 850_000)  # 0.3 s are left
    host.advance(10.0)
    assert spans(host)[0] == pytest.approx(0.4 + 0.6 + 0.3 * 4 + 2.0, abs=1e-7)


def test_a_new_gpu_clock_does_not_change_the_wait(lab: Lab) -> None:
    host = lab(cpu={}, clocks={"delay_s": [0.0, 0.0]})
    replace(EVEN, prefill_s_per_token=0.3, host_s=1.0).start(host, [(1.0, 0, 10, 1)])
    host.advance(1.4)
    host.lock_clocks(0, 210, 1005)
    host.advance(10.0)
    assert spans(host)[0] == pytest.approx(1.0 + 2.0 * (1 + 0.96 * (1410 / 1005 - 1)), abs=1e-7)


@pytest.mark.parametrize("cap_w", [125, 150, 175])
def test_a_cap_is_held_over_the_gaps(lab: Lab, cap_w: int) -> None:
    host = lab(cpu={})
    host.set_power_limit(0, cap_w)
    EVEN.start(host, ONE)
    host.advance(9.0)
    watts = [row[0] for row in host.power_log()[40:90]]
    assert 0.978 <= sum(watts) / len(watts) / cap_w <= 0.990


def test_requests_that_are_added_are_served_as_those_that_were_there_from_the_start(lab: Lab) -> None:
    requests = [(0.5 * n, n % 2, 100 + n, 20) for n in range(10)]
    at_once, bit_by_bit = lab(gpus=2), lab(gpus=2)
    Serving().start(at_once, requests)
    Serving().start(bit_by_bit, [], gpus=(0, 1))
    for arrival_s, *request in requests:
        bit_by_bit.advance(max(0.0, arrival_s - 0.1))
        bit_by_bit.add_requests(arrival_s, [(0.0, *request)])
    for host in (at_once, bit_by_bit):
        host.advance(20.0)
    assert [done for _, _, done in bit_by_bit.served()] == [done for _, _, done in at_once.served()]


def test_requests_for_a_gpu_without_an_engine_are_refused(lab: Lab) -> None:
    host = lab(gpus=2)
    Serving().start(host, [], gpus=(0,))
    with pytest.raises(InputError, match="a GPU serves nothing"):
        host.add_requests(0.0, [(0.0, 1, 10, 10)])
    with pytest.raises(InputError, match="at least one gpu"):
        Serving().start(host, [])
    assert host.served() == []


def test_an_engine_tells_its_latencies_as_its_users_have_them(lab: Lab) -> None:
    host = lab()
    requests = [(1.0, 0, 600, 3), (1.2, 0, 1200, 2), (9.0, 0, 100, 1), (30.0, 0, 10, 1)]
    EVEN.start(host, requests)
    host.advance(20.0)
    told, served = host.engine(0), host.served()[:3]
    spans_s = {"first token": [first - came for came, first, _ in served if first is not None]}
    spans_s["whole request"] = [done - came for came, _, done in served if done is not None]
    for kind, spans in spans_s.items():
        bounds_s, counts, sum_s = told["latencies"][kind]
        assert len(bounds_s) + 1 == len(counts)
        assert sum_s == pytest.approx(sum(spans))
        for place, bound_s in enumerate(bounds_s):
            assert sum(counts[: place + 1]) == sum(span <= bound_s for span in spans)
    assert (told["running"], told["waiting"]) == (0, 0)  # the last request has not come yet
    assert (told["tokens"], told["prompt_tokens"], told["requests_done"]) == (6, 1900, 3)


def test_a_token_waits_for_the_prefill_that_comes_between(lab: Lab) -> None:
    host = lab()
    EVEN.start(host, [(1.0, 0, 10, 30), (1.1, 0, 700, 5), (1.1, 0, 400, 5)])
    host.advance(1.3)
    assert (host.engine(0)["running"], host.engine(0)["waiting"]) == (2, 1)
    host.advance(5.0)
    bounds_s, counts, _ = host.engine(0)["latencies"]["between tokens"]
    over = [sum(counts[bounds_s.index(bound_s) + 1 :]) for bound_s in (0.01, 0.025, 0.3, 0.75, 1.0, 2.5)]
    # 29 + 4 + 4 gaps of a decode each; one of the first request's holds both prefills, one of the second's the later.
    assert over == [37, 2, 2, 1, 1, 0]
    assert sum(counts) == 37


def test_a_gpu_without_an_engine_has_no_latencies(lab: Lab) -> None:
    host = lab(gpus=2)
    Serving().start(host, [], gpus=(0,))
    assert host.engine(0)["tokens"] == 0
    with pytest.raises(InputError, match="a GPU serves nothing"):
        host.engine(1)
