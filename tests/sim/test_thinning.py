from __future__ import annotations

import pytest

from eagent.sim.thinning import BUSY_SLACK, thinned
from eagent.sim.trace import Request, Trace, generate

TRACE = generate(120.0, seed=1)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_the_gpus_are_as_busy_as_was_asked(share: float) -> None:
    found = thinned(TRACE, share, gpus=4, skew=0.7, seed=1)
    assert found.busy_share == pytest.approx(share, abs=BUSY_SLACK)
    assert len(found.gpu_of) == len(found.trace.requests)
    assert found.trace.duration_s == TRACE.duration_s


def test_it_is_the_same_every_time() -> None:
    assert thinned(TRACE, 0.3, gpus=4, skew=0.7, seed=1) == thinned(TRACE, 0.3, gpus=4, skew=0.7, seed=1)


def test_a_trace_that_can_not_keep_them_so_busy_gives_what_it_can() -> None:
    found = thinned(Trace((Request(0.0, 100, 10),), 10.0, "one"), 0.5, gpus=2, skew=0.0, seed=1)
    assert 0 < found.busy_share < 0.5


def test_to_be_hardly_busy_nothing_is_left() -> None:
    found = thinned(TRACE, 1e-6, gpus=4, skew=0.7, seed=1)
    assert (found.trace.requests, found.gpu_of, found.busy_share) == ((), (), 0.0)
