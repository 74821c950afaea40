from __future__ import annotations

from eagent.agent.frequency import Frequencies
from eagent.model import Status

SECOND_NS = 1_000_000_000


def test_it_looks_once_a_second_and_tells_how_old_the_look_is() -> None:
    told = {"CPU-0": 1000.0}
    looks = []

    def read() -> dict[str, float]:
        looks.append(1)
        return dict(told)

    frequencies = Frequencies(read)
    first = frequencies.look(SECOND_NS)["CPU-0"]
    told["CPU-0"] = 2000.0
    second = frequencies.look(SECOND_NS + SECOND_NS // 2)["CPU-0"]
    third = frequencies.look(2 * SECOND_NS)["CPU-0"]
    assert [each.value for each in (first, second, third)] == [1000.0, 1000.0, 2000.0]
    assert [each.age_s for each in (first, second, third)] == [0.0, 0.5, 0.0]
    assert (first.status, first.sensor) == (Status.OK, "kernel cpufreq")
    assert len(looks) == 2


def test_a_package_that_does_not_tell_any_more_is_absent() -> None:
    told = {"CPU-0": 1000.0, "CPU-1": 1000.0}
    frequencies = Frequencies(lambda: dict(told))
    frequencies.look(0)
    del told["CPU-1"]
    assert set(frequencies.look(SECOND_NS)) == {"CPU-0"}
