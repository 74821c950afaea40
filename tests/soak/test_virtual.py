"""48 hours of virtual time without growth of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.growth import fit
from tests.soak.virtual import TwoDays

WARM_UP_S = 12 * 3600.0
# By how much the fitted line may rise in the 36 hours after it. A leak of one object a turn would be 129,600.
BOUNDS = {"objects": 2000, "blocks": 8000, "anonymous memory, kB": 1024, "descriptors": 0.5, "threads": 0.5}


@pytest.mark.soak
@pytest.mark.parametrize("hours", [48])
def test_two_days_of_virtual_time_hold_no_more_memory_at_their_end(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EAGENT_SIM_HOST", "")  # set by the course, and put back after it
    course = TwoDays(tmp_path / "s", 1)
    try:
        samples = list(course.run(hours))
        writes = course.writes
    finally:
        course.close()
    found = [
        fit(what, [(at_s, sample[what]) for at_s, sample in samples], WARM_UP_S, bound)
        for what, bound in BOUNDS.items()
    ]
    with capsys.disabled():
        print(f"\n{hours} h of virtual time, {course.turns} turns of the agent, {writes} writes of knobs (simulated)")
        print("\n".join(map(str, found)))
    assert course.turns == hours * 3600
    assert writes > 10 * hours
    assert all(each.is_bounded for each in found)
