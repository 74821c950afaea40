"""What jobs say of themselves, and what becomes of lies and floods."""

import math
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.beating import encode
from eagent.progress.beats import MESSAGE_MAX, NAME_MAX, SENDERS_OF_ONE_USER, TOTAL_MAX, Beat, Beats, cleaned, decode
from eagent.progress.jobs import Key

S = 1_000_000_000
MINE, OTHER = (1000, 50, 5), (2000, 60, 6)


class World:
    def __init__(self) -> None:
        self.jobs: dict[int, Collection[Key]] = {70: [MINE], 71: [MINE], 80: [OTHER]}
        self.looks = 0
        self.beats = Beats(self.place)

    def place(self, pid: int, uid: int, now_ns: int) -> Collection[Key]:  # noqa: ARG002
        self.looks += 1
        return self.jobs.get(pid, ())

    def say(self, total: float, at_s: float, pid: int = 70, uid: int = 1000, **more: str) -> bool:
        return self.beats.take(Beat(total, int(at_s * S), **more), pid, uid, int(at_s * S))

    def units(self, key: Key = MINE) -> float:
        said = self.beats.said().get(key)
        return said.units if said else 0.0


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_grows_by_what_its_processes_say_they_have_done_since(world: World) -> None:
    world.say(100, 1)  # it began before we listened
    world.say(130, 2)
    world.say(20, 2, pid=71)
    world.say(25, 3, pid=71)
    assert world.units() == 35
    assert world.beats.said()[MINE].at_ns == 3 * S


def test_a_message_that_was_lost_costs_nothing(world: World) -> None:
    for total in (0, 10, 40):
        world.say(total, total + 1)
    assert world.units() == 40


def test_a_new_program_in_the_same_process_begins_again(world: World) -> None:
    for at_s, total in enumerate((0, 50, 3, 4)):
        world.say(total, at_s)
    assert world.units() == 54


def test_a_stranger_counts_for_nothing(world: World) -> None:
    assert not world.say(5, 1, pid=99)
    assert not world.beats.add(5, "step", "", 99, 1000, S)
    assert world.beats.said() == {}


def test_beats_of_a_shell_are_added_one_by_one(world: World) -> None:
    assert world.beats.add(2, "image", "resnet", 70, 1000, S)
    assert world.beats.add(3, "image", "resnet", 70, 1000, 2 * S)
    said = world.beats.said()[MINE]
    assert (said.units, said.unit, said.name) == (5, "image", "resnet")


def test_a_message_that_waited_counts_as_of_when_it_was_said_and_one_of_another_clock_as_of_when_it_came(
    world: World,
) -> None:
    world.say(0, 1)
    world.beats.take(Beat(5, 9 * S), 70, 1000, 10 * S)
    assert world.beats.said()[MINE].at_ns == 9 * S
    world.beats.take(Beat(6, 500 * S), 70, 1000, 11 * S)
    assert world.beats.said()[MINE].at_ns == 11 * S


@given(st.lists(st.tuples(st.sampled_from([70, 71, 80, 99]), st.floats(0, TOTAL_MAX)), max_size=60))
def test_units_are_finite_and_never_fall_and_lies_touch_no_other_job(said: list[tuple[int, float]]) -> None:
    world, before, place = World(), 0.0, 0.0
    world.say(0, 0, pid=80, uid=2000)
    for second, (pid, total) in enumerate(said):
        if pid == 80:
            place = max(place, total) if total >= place else place + total
            continue
        world.say(total, second, pid=pid)
        assert math.isfinite(world.units())
        assert world.units() >= before
        before = world.units()
    assert world.units(OTHER) == 0.0


def test_thousands_of_senders_and_a_flood_cost_a_bounded_number_of_looks_and_entries(world: World) -> None:
    world.jobs |= {key: [MINE] for key in range(1000, 9000)}
    for second in range(3):
        for pid in range(1000, 9000):
            world.say(1, second, pid=pid)
        for total in range(5000):
            world.say(total, second, pid=99)
    assert world.looks < 200
    assert len(world.beats._users[1000].senders) <= SENDERS_OF_ONE_USER


def test_a_flood_of_one_user_does_not_keep_another_user_out(world: World) -> None:
    for pid in range(1000, 3000):
        world.say(1, 1, pid=pid)
    assert world.say(1, 1, pid=80, uid=2000)


def test_jobs_that_are_gone_are_forgotten(world: World) -> None:
    world.say(1, 1)
    world.beats.keep({OTHER})
    assert world.beats.said() == {}


@given(
    st.floats(0, TOTAL_MAX),
    st.integers(0, 2**62),
    st.text(st.characters(whitelist_categories=("L", "N")), max_size=20),
    st.text(max_size=90),
)
def test_what_a_job_sends_is_read_as_it_was_meant(total: float, at_ns: int, unit: str, name: str) -> None:
    message = encode(total, at_ns, unit, name)
    beat = decode(message)
    if len(message) > MESSAGE_MAX:
        assert beat is None
        return
    assert beat is not None
    assert (beat.total, beat.at_ns, beat.name) == (total, at_ns, cleaned(name[:NAME_MAX]))


@given(st.binary(max_size=MESSAGE_MAX + 50))
def test_bytes_of_any_kind_are_a_message_or_none(message: bytes) -> None:
    for each in (message, b"1 " + message, b"1 5 " + message):
        beat = decode(each)
        assert beat is None or (0 <= beat.total <= TOTAL_MAX and beat.name.isprintable() and beat.unit)


@pytest.mark.parametrize("total", ["nan", "-1", "inf", "1e300", "", "x"])
def test_a_total_that_is_no_count_is_no_message(total: str) -> None:
    assert decode(f"1 5 {total} step a".encode()) is None
