"""What gets done: square waves, synchronous jobs, LLM serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim.workload import Gang, Serving, Square

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from tests.native.plant.conftest import Lab

PLAIN = Serving(prefill_s_per_token=1e-3, decode_s=10e-3, decode_s_per_sequence=1e-3, decode_s_per_context_token=1e-6)


def serve(
    host: Host, requests: list[tuple[float, int, int, int]], until_s: float, serving: Serving = PLAIN
) -> list[tuple[float, float, float]]:
    """Serve them all; (arrival, first token, done) of each."""
    serving.start(host, requests)
    host.advance(until_s)
    answers = [
        (arrival, first, done) for arrival, first, done in host.served() if first is not None and done is not None
    ]
    assert len(answers) == len(requests)
    return answers


# ---- square waves ----------------------------------------------------------------------------------------------------


def test_a_square_wave_does_the_work_of_its_busy_time(lab: Lab) -> None:
    host = lab(gpus=3)
    Square(period_s=0.37, duty=0.25, compute=0.5).start(host, [0, 2], at_s=1.0, pid=5)
    host.advance(1.0 + 37.0)
    (progress,) = host.progress()
    assert list(progress["units"]) == pytest.approx([9.25, 9.25])
    assert (progress["kind"], progress["gpus"], progress["pid"], progress["start_s"]) == ("square", (0, 2), 5, 1.0)


def test_loads_share_a_host_but_not_a_gpu(lab: Lab) -> None:
    host = lab(gpus=4)
    Square().start(host, [0])
    Gang().start(host, [1, 2], at_s=5.0)
    with pytest.raises(InputError, match="a GPU has a load already"):
        Square().start(host, [2, 3])
    Serving().start(host, [(0.0, 3, 10, 10)])
    host.advance(20.0)
    assert [progress["kind"] for progress in host.progress()] == ["square", "gang", "serving"]
    host.stop_load()
    assert not any(progress["running"] for progress in host.progress())
    Square().start(host, [0, 1, 2, 3])


@pytest.mark.parametrize("gpus", [[], [4], [-1], [0, 99]])
def test_a_gpu_that_is_not_there_takes_no_load(lab: Lab, gpus: list[int]) -> None:
    with pytest.raises(InputError, match="gpu"):
        Square().start(lab(gpus=4), gpus)


@pytest.mark.parametrize(
    "load",
    [Square(duty=1.1), Square(period_s=0.0), Gang(step_s=0.0), Gang(imbalance=0.6), Square(compute=float("nan"))],
)
def test_impossible_loads_are_refused(lab: Lab, load: Square | Gang) -> None:
    with pytest.raises(InputError, match="impossible numbers"):
        load.start(lab(), [0])


# ---- gangs -----------------------------------------------------------------------------------------------------------


def test_the_slowest_gpu_sets_the_pace_of_its_gang_and_the_others_spin(lab: Lab) -> None:
    host = lab(gpus=4)
    host.lock_clocks(2, 210, 900)
    Gang(step_s=0.2, imbalance=0.0, compute=0.6, compute_fraction=0.8).start(host, range(4), at_s=1.0)
    host.advance(2.0)
    before, energy = host.progress()[0]["steps"], [host.energy_true_j(gpu) for gpu in range(4)]
    host.advance(302.0)
    step_s = 0.2 * (1 + 0.8 * (1410 / 900 - 1))
    assert host.progress()[0]["steps"] - before == pytest.approx(300 / step_s, abs=1)
    assert all(host.view(gpu)["gpu_utilisation_pct"] == 100 for gpu in range(4))
    working_w = [(host.energy_true_j(gpu) - energy[gpu]) / 300 for gpu in range(4)]
    assert working_w[0] == pytest.approx(working_w[3])
    assert 60 + 336 * 0.2 < working_w[0] < 60 + 336 * 0.6


def test_an_uneven_gang_goes_as_its_greatest_share(lab: Lab) -> None:
    host = lab(gpus=8)
    Gang(step_s=0.1, imbalance=0.1, compute=0.3).start(host, range(8))
    host.advance(200.0)
    pace_s = 200 / host.progress()[0]["steps"]
    assert 0.1 < pace_s < 0.1105
    energies = {round(host.energy_true_j(gpu)) for gpu in range(8)}
    assert len(energies) == 8  # whoever has less to do waits more


# ---- serving ---------------------------------------------------------------------------------------------------------


def test_one_request_takes_exactly_its_prefill_and_its_decodes(lab: Lab) -> None:
    host = lab()
    host.advance(2.0)
    ((arrival, first, done),) = serve(host, [(0.0033, 0, 7, 4)], 3.0)
    assert arrival == 2.0033
    assert first - arrival == pytest.approx(7e-3, abs=1e-8)
    assert done - first == pytest.approx(3 * 11e-3 + (8 + 9 + 10) * 1e-6, abs=1e-8)


def test_a_batch_decodes_together_and_a_newcomer_is_prefilled_first(lab: Lab) -> None:
    host = lab()
    requests = [(1.0, 0, 10, 3), (1.005, 0, 20, 2), (1.006, 0, 5, 1)]
    answers = serve(host, requests, 2.0)
    firsts = [first - 1.0 for _, first, _ in answers]
    dones = [done - 1.0 for _, _, done in answers]
    both = 10e-3 + 2 * 1e-3 + (11 + 21) * 1e-6
    alone = 10e-3 + 1e-3 + 12e-6
    assert firsts == pytest.approx([0.010, 0.030, 0.035], abs=1e-8)
    assert dones == pytest.approx([0.035 + both + alone, 0.035 + both, 0.035], abs=1e-8)


def test_a_full_batch_makes_the_rest_wait_in_order_of_arrival(lab: Lab) -> None:
    host = lab()
    serving = Serving(
        prefill_s_per_token=1e-3, decode_s=10e-3, decode_s_per_sequence=0, decode_s_per_context_token=0, batch_max=1
    )
    answers = serve(host, [(0.5, 0, 10, 3)] * 4, 5.0, serving)
    assert [first - 0.5 for _, first, _ in answers] == pytest.approx([0.01, 0.04, 0.07, 0.10], abs=1e-8)
    assert [done - 0.5 for _, _, done in answers] == pytest.approx([0.03, 0.06, 0.09, 0.12], abs=1e-8)


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 20_000_000).map(lambda us: us * 1e-6), st.integers(0, 2), st.integers(1, 300), st.integers(1, 60)
    ),
    min_size=1,
    max_size=60,
).map(sorted)


@settings(max_examples=40, deadline=None)
@given(REQUESTS, st.integers(1, 8), st.sampled_from([100.0, 150.0, 400.0]))
def test_every_request_is_served_once_and_none_overtakes(
    lab: Lab, requests: list[tuple[float, int, int, int]], batch_max: int, cap_w: float
) -> None:
    host = lab(gpus=3)
    host.set_power_limit(1, cap_w)
    answers = serve(host, requests, 400.0, Serving(batch_max=batch_max))
    (progress,) = host.progress()
    assert progress["requests_done"] == len(requests)
    assert progress["tokens"] == sum(generated for *_, generated in requests)
    for gpu in range(3):
        mine = [answer for answer, request in zip(answers, requests, strict=True) if request[1] == gpu]
        firsts = [first for _, first, _ in mine]
        assert firsts == sorted(set(firsts))
        assert all(arrival < first <= done for arrival, first, done in mine)


def test_an_answer_of_the_future_is_not_told(lab: Lab) -> None:
    host = lab()
    PLAIN.start(host, [(1.0, 0, 10, 3), (9.0, 0, 10, 3)])
    host.advance(1.015)
    assert [(first is None, done is None) for _, first, done in host.served()] == [(False, True), (True, True)]


def test_a_capped_gpu_serves_slower(lab: Lab) -> None:
    latency = {}
    for cap_w in (400.0, 200.0, 150.0):
        host = lab()
        host.set_power_limit(0, cap_w)
        answers = serve(host, [(0.5 * number, 0, 1500, 40) for number in range(100)], 60.0, Serving())
        latency[cap_w] = sum(done - arrival for arrival, _, done in answers)
    assert latency[400.0] * 1.02 < latency[200.0]
    assert latency[200.0] * 1.1 < latency[150.0]


def test_decoding_hardly_minds_the_clock_and_prefill_does(lab: Lab) -> None:
    spans = {}
    for mhz in (1410, 1005):
        host = lab(limits={"max_w": 1000.0, "default_w": 1000.0})
        host.lock_clocks(0, 210, mhz)
        (answer,) = serve(host, [(1.0, 0, 4000, 200)], 30.0, Serving(host_s=0.0))
        spans[mhz] = (answer[1] - answer[0], answer[2] - answer[1])
    assert spans[1005][0] / spans[1410][0] == pytest.approx(1 + 0.96 * (1410 / 1005 - 1), rel=1e-3)
    assert spans[1005][1] / spans[1410][1] == pytest.approx(1 + 0.05 * (1410 / 1005 - 1), rel=1e-3)


@pytest.mark.parametrize(
    ("requests", "complaint"),
    [
        ([(1.0, 0, 1, 1), (0.5, 0, 1, 1)], "request 1: arrives at 0.5 s, before the one before it"),
        ([(0.0, 3, 1, 1)], "request 0: no gpu 3"),
        ([(0.0, 0, 0, 1)], "request 0: 0 and 1 tokens"),
        ([(-1.0, 0, 1, 1)], "request 0: arrives at -1.0 s"),
        ([], "at least one gpu"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    lab: Lab, requests: list[tuple[float, int, int, int]], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        Serving().start(lab(gpus=2), requests)
