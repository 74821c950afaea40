from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.agent.desk import Desk
from eagent.agent.hints import GONE_NS, Hints
from eagent.errors import InputError, RefusedError
from eagent.model import Device, DeviceKind, Knob
from eagent.wish import Wish

SECOND_NS = 1_000_000_000
GPU = Device("GPU-0", 0, "x", "0:0", 100, 400, 400, 0.1, 0.1, Knob(True))
CPU = Device("CPU-0", 0, "x", "", 100, 400, 400, 0.1, 0.1, Knob(True), kind=DeviceKind.CPU)
ALICE, BOB = 1000, 1001


class World:
    def __init__(self, *, trusted: bool = True) -> None:
        self.now_ns = 0
        self.holders: frozenset[int] | None = frozenset({ALICE})
        self.hints = Hints(self, lambda: (GPU, CPU), lambda: self.now_ns, acts=True, is_trusted=lambda *_: trusted)

    def users(self, uuid: str, now_ns: int) -> frozenset[int] | None:
        assert now_ns == self.now_ns
        return self.holders if uuid == GPU.uuid else frozenset()

    def ask(
        self,
        uid: int,
        limit_w: float | None = None,
        clock_mhz: float | None = None,
        for_s: float = 60.0,
        slowdown: float | None = None,
    ) -> Any:
        return self.hints.set(7, uid, "gpu0", Wish(limit_w, clock_mhz, slowdown), for_s)

    def bounds(self) -> list[tuple[float | None, float | None]]:
        return [(hint.wish.limit_w, hint.wish.clock_mhz) for hint in self.hints.standing(self.now_ns)]


def test_a_user_asks_for_what_its_processes_hold() -> None:
    world = World()
    told = world.ask(ALICE, 250.0)
    assert (told["device"], told["limit_w"], told["acts"], told["waits_for"]) == ("gpu0", 250.0, True, 0)
    assert world.bounds() == [(250.0, None)]
    world.ask(ALICE, None, 1200.0)
    assert world.bounds() == [(None, 1200.0)], "the newer wish takes the older one's place"
    world.hints.clear(ALICE, "gpu0")
    assert world.bounds() == []


def test_who_holds_nothing_or_is_not_known_to_asks_for_nothing() -> None:
    world = World()
    with pytest.raises(RefusedError, match="no process of user 1001 holds gpu0"):
        world.ask(BOB, 250.0)
    world.holders = None
    with pytest.raises(RefusedError, match="is not told here"):
        world.ask(ALICE, 250.0)
    with pytest.raises(RefusedError, match="everybody's"):
        world.hints.set(7, ALICE, "cpu0", Wish(100.0), 1.0)
    assert world.bounds() == []


def test_root_of_a_container_is_no_job_owner() -> None:
    world = World(trusted=False)
    world.holders = frozenset({0})
    with pytest.raises(RefusedError, match="root of a container"):
        world.ask(0, 250.0)


@pytest.mark.parametrize(("limit_w", "for_s"), [(None, 1.0), (250.0, 0.0), (250.0, float("nan")), (250.0, 1e9)])
def test_what_is_no_hint_is_refused(limit_w: float | None, for_s: float) -> None:
    with pytest.raises(InputError):
        World().ask(ALICE, limit_w, None, for_s)


def test_a_hint_ends_with_its_time() -> None:
    world = World()
    world.ask(ALICE, 250.0, for_s=3.0)
    world.now_ns = 3 * SECOND_NS
    assert world.bounds() == []


def test_a_hint_ends_with_the_job_and_not_with_a_missed_look() -> None:
    world = World()
    world.ask(ALICE, 250.0)
    for holders in (frozenset(), None):
        world.holders, world.now_ns = holders, world.now_ns + SECOND_NS
        assert world.bounds() == [], "while nobody is known to hold it nobody has agreed"
    world.holders = frozenset({ALICE})
    assert world.bounds() == [(250.0, None)]
    world.holders = frozenset()
    world.now_ns += GONE_NS + 1
    assert world.bounds() == []
    world.holders = frozenset({ALICE})
    assert world.bounds() == [], "the next job has not asked"


@given(
    st.dictionaries(st.integers(1, 4), st.floats(100, 400) | st.none(), max_size=4), st.frozensets(st.integers(1, 4))
)
def test_a_shared_device_is_lowered_only_as_far_as_all_its_users_ask(
    asked: dict[int, float | None], later: frozenset[int]
) -> None:
    world = World()
    world.holders = frozenset(asked)
    for uid, limit_w in asked.items():
        if limit_w is not None:
            world.ask(uid, limit_w)
    world.holders = later
    bounds = [limit_w for limit_w, _ in world.bounds()]
    agree = [asked.get(uid) for uid in later]
    assert bounds == ([] if not agree or None in agree else [max(each for each in agree if each is not None)])


def test_who_asks_is_told_how_the_knobs_stand_and_not_what_others_want() -> None:
    stands: dict[str, Any] = {"knob": "power_limit", "unit": "W", "value": 250, "ours": 250, "baseline": 400}
    stands["decided"] = 250
    winner = {"policy": "pin", "priority": "pin", "reason": "pinned by an operator", "until_s": None}
    loser = {"policy": "hint", "reason": "its job asks for no more", "fate": "lost"}
    explained = {"device": "gpu0", "knobs": [{**stands, "note": "", "winner": winner, "losers": [loser]}]}
    asked: list[str] = []

    def explain(uuid: str) -> dict[str, Any]:
        asked.append(uuid)
        return explained

    told = Desk(None, World().hints, explain).set_hint(7, ALICE, "gpu0", Wish(200.0), 60.0)  # type: ignore[arg-type]
    assert (told["limit_w"], asked) == (200.0, ["GPU-0"])
    short = {"policy": "pin", "reason": "pinned by an operator"}
    assert told["knobs"] == [{**stands, "ceiling": None, "winner": short}]


def test_the_work_of_nobody_on_a_board_takes_longer_than_it_says_it_may() -> None:
    world = World()
    assert world.ask(ALICE, slowdown=0.2)["slowdown"] == 0.2
    assert [hint.wish.slowdown for hint in world.hints.standing(0)] == [0.2]
    world.holders = frozenset({ALICE, BOB})
    assert world.hints.standing(0) == ()
    world.ask(BOB, slowdown=0.1)
    assert [hint.wish.slowdown for hint in world.hints.standing(0)] == [0.1]
    world.ask(BOB, limit_w=250.0)
    assert [(hint.wish.slowdown, hint.wish.limit_w) for hint in world.hints.standing(0)] == [(None, None)]
    world.ask(ALICE, slowdown=0.3)
    with pytest.raises(RefusedError, match="no process of user 1002"):
        world.ask(1002, slowdown=0.5)
