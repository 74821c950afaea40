"""A package's energy counter wraps, and now and then begins anew: what is told only grows, and by what was drawn."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STEP_NS = 100_000_000
MOST_UJ = 1_000_000_000  # in a step: 10 kW


@pytest.fixture(scope="session")
def zone(compiled: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    c = ctypes.CDLL(str(compiled("zone_player.c", "zone", "attribute")))
    c.begin.argtypes = (ctypes.c_char_p, ctypes.c_uint64)
    c.read_at.argtypes = (ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
    path = tmp_path_factory.mktemp("zone") / "energy_uj"

    class Zone:
        def begin(self, range_uj: int) -> None:
            c.begin(os.fsencode(path), range_uj)
            self.now_ns = 1_000_000_000

        def read(self, counter_uj: int) -> tuple[int, int]:
            """Energy in mJ and mean power in mW."""
            path.write_text(f"{counter_uj}\n")
            energy_mj, mean_mw = ctypes.c_uint64(), ctypes.c_uint64()
            self.now_ns += STEP_NS
            assert c.read_at(self.now_ns, ctypes.byref(energy_mj), ctypes.byref(mean_mw)) == 0
            return energy_mj.value, mean_mw.value

    return Zone()


steps = st.lists(st.integers(0, MOST_UJ // 10), min_size=1, max_size=60)
ranges = st.integers(2 * MOST_UJ, 2**63)
by_hypothesis = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@by_hypothesis
@given(steps, ranges, st.floats(0, 1))
def test_however_often_it_wraps_no_joule_is_lost(zone: Any, drawn_uj: list[int], range_uj: int, where: float) -> None:
    zone.begin(range_uj)
    total_uj = first_uj = int(range_uj * where)
    told = [zone.read(first_uj)]
    for step_uj in drawn_uj:
        total_uj += step_uj
        told.append(zone.read(total_uj % range_uj))
    assert told[-1][0] - told[0][0] == pytest.approx((total_uj - first_uj) / 1000, abs=1)
    for (before, _), (after, mean_mw), step_uj in zip(told, told[1:], drawn_uj, strict=False):
        assert after >= before
        assert mean_mw == step_uj // 100


@by_hypothesis
@given(steps, st.integers(2**40, 2**63), st.data())
def test_one_that_begins_anew_adds_nothing_and_counts_on(
    zone: Any, drawn_uj: list[int], range_uj: int, data: st.DataObject
) -> None:
    zone.begin(range_uj)
    first_uj = data.draw(st.integers(MOST_UJ, range_uj - 100 * MOST_UJ))  # so far from its end that it is no wrap
    resets = data.draw(st.sets(st.integers(0, len(drawn_uj) - 1)))
    counter_uj, told, lost_uj = first_uj, [zone.read(first_uj)[0]], 0
    for number, step_uj in enumerate(drawn_uj):
        before_uj = counter_uj
        counter_uj = step_uj if number in resets else counter_uj + step_uj
        if counter_uj < before_uj:
            lost_uj += step_uj
        elif number in resets:  # it stands higher than before: nobody can tell that it is another count
            lost_uj -= counter_uj - before_uj - step_uj
        told.append(zone.read(counter_uj)[0])
    assert all(after >= before for before, after in pairwise(told))
    assert told[-1] - told[0] == pytest.approx((sum(drawn_uj) - lost_uj) / 1000, abs=1)


@by_hypothesis
@given(st.integers(0, 2**40), st.integers(MOST_UJ + 1, 2**44))
def test_a_counter_that_jumps_up_by_more_than_any_package_draws_adds_nothing_and_counts_on(
    zone: Any, first_uj: int, jump_uj: int
) -> None:
    zone.begin(2**63)
    first_mj, _ = zone.read(first_uj)
    assert zone.read(first_uj + jump_uj) == (first_mj, 0)
    after_mj, mean_mw = zone.read(first_uj + jump_uj + 5_000_000)
    assert after_mj - first_mj == pytest.approx(5_000, abs=1)
    assert mean_mw == 50_000
