"""What the warden does when the driver is loaded anew, resets or loses a GPU, or forgets what was set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eagent.errors import RefusedError
from eagent.sim._faults import Faults
from eagent.warden.journal import Journal

PRIOR_W, HELD_W, DEFAULT_W = 380.0, 250.0, 400.0
BACK_S = 2.0  # what was forgotten is in force again in this time
LOOK_S = 1.0  # so old may the last look be that found it in force

MakeRig = Callable[..., Any]


class Struck:
    """A rig whose GPU 1 is leased at HELD_W, after an owner had set PRIOR_W, and the faults of its host."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.faults = Faults(host.made.plant)
        host.plant.set_power_limit(1, PRIOR_W)
        self.lease()
        host.step(1)
        assert host.limits_w() == [400, HELD_W, 400, 400]
        self.begun = len(host.plant.limit_log())

    def lease(self, **clocks_mhz: int) -> None:
        uuid = self.host.warden.devices[1].uuid
        clocks = {uuid: clocks_mhz["mhz"]} if clocks_mhz else {}
        self.host.warden.lease({uuid: round(HELD_W * 1000)}, 60.0, self.host.now_ns, clocks)

    def inject(self, kind: str, gpu: int | None = 1) -> int:
        target, index = ("gpu", gpu) if gpu is not None else ("host", 0)
        number = self.faults.inject(kind, target, index, (), from_s=self.host.plant.time_s)
        self.host.plant.advance(self.host.plant.time_s + 0.001)
        return number

    def live(self, seconds: float) -> None:
        """Let the loop step, and the warden's Python tick as its server does."""
        for _ in range(round(seconds / 0.2)):
            self.host.step(0.2)
            self.host.warden.tick(self.host.now_ns)

    def writes(self, gpu: int) -> list[tuple[float, float, float]]:
        """When a limit was changed since the beginning, from what, and to what."""
        log = self.host.plant.limit_log()[self.begun :]
        return [(at_s, old_w, new_w) for at_s, place, old_w, new_w, _ in log if place == gpu]

    def status(self) -> Any:
        return self.host.warden.status(self.host.now_ns)

    def row(self, gpu: int) -> Any:
        return self.status()["knobs"][gpu]

    def alarms(self, *words: str) -> list[str]:
        return [alarm for alarm in self.status()["alarms"] if all(word in alarm for word in words)]

    def prior_w(self, gpu: int) -> float | None:
        """What the disk says that a limit goes back to."""
        uuid = self.host.warden.devices[gpu].uuid
        entries = {(entry.uuid, str(entry.knob)): entry for entry in Journal(self.host.state / "journal")}
        entry = entries.get((uuid, "power_limit"))
        return entry.prior / 1000 if entry else None


@pytest.fixture
def struck(rig: MakeRig) -> Iterator[Callable[..., Struck]]:
    made: list[Struck] = []

    def make(**options: Any) -> Struck:
        made.append(Struck(rig(**options)))
        return made[-1]

    yield make
    for one in made:
        one.faults.close()


def _drop_s(one: Struck, gpu: int) -> tuple[float, float]:
    """When a limit was dropped to the default, and how long until ours was back."""
    (dropped_s, old_w, new_w), (back_s, _, again_w) = one.writes(gpu)[:2]
    assert (old_w, new_w, again_w) == (HELD_W, DEFAULT_W, HELD_W)
    return dropped_s, back_s - dropped_s


@pytest.mark.parametrize(("kind", "gpu"), [("driver-reload", None), ("gpu-reset", 1), ("settings-dropped", 1)])
def test_what_the_driver_forgets_is_in_force_again_within_two_seconds(
    struck: Callable[..., Struck], kind: str, gpu: int | None
) -> None:
    one = struck()
    one.inject(kind, gpu)
    one.live(4)
    _, took_s = _drop_s(one, 1)
    assert took_s <= BACK_S
    assert one.host.limits_w() == [400, HELD_W, 400, 400]
    assert not one.alarms("changed by somebody else")
    assert one.alarms("gpu1", "the driver forgot its settings", "set again")


@pytest.mark.parametrize(("kind", "gpu"), [("driver-reload", None), ("gpu-reset", 1), ("settings-dropped", 1)])
def test_what_the_driver_forgot_is_no_longer_gone_back_to(
    struck: Callable[..., Struck], kind: str, gpu: int | None
) -> None:
    one = struck()
    assert one.prior_w(1) == PRIOR_W
    one.inject(kind, gpu)
    one.live(4)
    assert one.prior_w(1) == DEFAULT_W
    one.host.warden.release()
    one.live(1)
    assert one.host.limits_w() == [400] * 4
    assert one.prior_w(1) is None


def test_a_driver_that_forgets_again_at_once_is_no_stranger(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.inject("gpu-reset")
    while one.host.limits_w()[1] != DEFAULT_W or len(one.writes(1)) < 1:
        one.live(0.2)
    while one.host.limits_w()[1] != HELD_W:
        one.live(0.2)
    one.inject("settings-dropped")  # before persistence mode is on again, whose loss would be the evidence
    one.live(4)
    assert one.host.limits_w()[1] == HELD_W
    assert not one.alarms("changed by somebody else")


def test_a_driver_that_forgets_right_after_a_knob_was_first_held_is_no_stranger(rig: MakeRig) -> None:
    host = rig()
    faults = Faults(host.made.plant)
    faults.inject("settings-dropped", "gpu", 1, (), from_s=host.plant.time_s)  # nothing is held: the mode stays off
    host.step(5)
    host.warden.tick(host.now_ns)
    host.warden.budget_set(host.budget(1000))
    for _ in range(3):
        host.step(0.1)
        host.warden.tick(host.now_ns)
    assert host.limits_w() == [150] * 4
    faults.inject("settings-dropped", "gpu", 1, (), from_s=host.plant.time_s)
    for _ in range(20):
        host.step(0.2)
        host.warden.tick(host.now_ns)
    faults.close()
    alarms = host.warden.status(host.now_ns)["alarms"]
    assert host.limits_w() == [150] * 4
    assert not [alarm for alarm in alarms if "changed by somebody else" in alarm]


def test_what_was_written_before_it_was_let_go_is_not_taken_for_what_stands(struck: Callable[..., Struck]) -> None:
    one = struck()
    uuid = one.host.warden.devices[0].uuid
    one.host.warden.lease({uuid: round(HELD_W * 1000)}, 60.0, one.host.now_ns)
    one.live(1)
    one.host.warden.release()
    one.live(3)
    assert one.host.limits_w()[0] == DEFAULT_W, "which was its owner's, and eagent has written last"
    one.host.plant.set_power_limit(0, 300)  # its owner, while nothing is held
    one.live(3)
    one.host.warden.lease({uuid: 300_000}, 60.0, one.host.now_ns)
    one.live(1)
    one.inject("settings-dropped", 0)
    one.live(4)
    assert one.host.limits_w()[0] == 300
    assert not one.alarms("changed by somebody else")


@pytest.mark.parametrize("by", ["lease", "budget"])
def test_the_mode_whose_loss_would_show_it_is_on_before_anything_is_set(rig: MakeRig, by: str) -> None:
    host = rig()
    host.plant.set_persistence(1, 0)
    host.step(5)
    host.warden.tick(host.now_ns)
    if by == "lease":
        host.lease(300, 300, 300, 300)
    else:
        host.warden.budget_set(host.budget(1000))
    host.step(0.06)  # nobody ticks
    faults = Faults(host.made.plant)
    faults.inject("settings-dropped", "gpu", 1, (), from_s=host.plant.time_s)
    for _ in range(20):
        host.step(0.1)
        host.warden.tick(host.now_ns)
    faults.close()
    assert host.limits_w() == ([300] * 4 if by == "lease" else [150] * 4)


def test_an_entry_is_made_anew_before_the_knob_is_set_again(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.inject("driver-reload", None)
    one.host.step(4)  # nobody ticks: the journal still has the old value
    assert one.host.limits_w()[1] == DEFAULT_W
    assert one.prior_w(1) == PRIOR_W
    one.host.warden.tick(one.host.now_ns)
    assert one.prior_w(1) == DEFAULT_W
    one.host.step(0.2)
    assert one.host.limits_w()[1] == HELD_W


def test_under_a_budget_lowering_does_not_wait_for_the_journal(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.warden.budget_set(one.host.budget(1000))
    one.host.step(1)
    one.inject("driver-reload", None)
    one.host.step(BACK_S)
    assert sum(one.host.limits_w()) <= 1000


def test_a_limit_that_somebody_moves_is_not_taken_for_forgotten(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.plant.set_power_limit(1, 390.0)
    one.live(2)
    assert one.alarms("gpu1", "changed by somebody else")
    assert not one.alarms("forgot")
    assert one.prior_w(1) in (PRIOR_W, 390.0)  # as it is configured what becomes of such a value, but never the default


@pytest.mark.parametrize(("moved_w", "is_dropped"), [(DEFAULT_W, True), (390.0, False)])
def test_a_counter_that_begins_anew_tells_a_dropped_limit_from_one_that_somebody_set(
    struck: Callable[..., Struck], moved_w: float, is_dropped: bool
) -> None:
    one = struck()
    one.inject("energy-reset")
    one.host.plant.set_power_limit(1, moved_w)
    one.live(2)
    assert bool(one.alarms("gpu1", "the driver forgot")) == is_dropped
    assert bool(one.alarms("gpu1", "changed by somebody else")) != is_dropped
    assert (one.prior_w(1) == DEFAULT_W) == is_dropped


def test_a_counter_that_begins_anew_alone_moves_nothing(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.inject("energy-reset")
    one.live(3)
    assert one.writes(1) == []
    assert one.prior_w(1) == PRIOR_W
    one.host.warden.release()
    one.live(1)
    assert one.host.limits_w()[1] == PRIOR_W


@pytest.mark.parametrize("kind", ["gpu-lost", "reset-required"])
def test_a_lost_gpu_costs_the_others_nothing_and_is_held_again_when_it_is_back(
    struck: Callable[..., Struck], kind: str
) -> None:
    one = struck()
    number = one.inject(kind)
    one.live(5)
    assert one.alarms("gpu1", "there is no driver for it", f"{DEFAULT_W:g} W")
    assert one.row(1)["requested_mw"] is None
    assert [one.row(gpu)["requested_mw"] for gpu in (0, 2, 3)] == [400_000] * 3
    one.host.warden.lease({one.host.warden.devices[2].uuid: 200_000}, 60.0, one.host.now_ns)
    one.lease()  # the lease of before again: the other one is its owner's
    one.live(40)
    one.faults.clear(number)
    one.live(BACK_S)
    assert one.row(1)["requested_mw"] == round(HELD_W * 1000)
    assert not one.alarms("there is no driver")
    assert one.prior_w(1) == PRIOR_W  # it had kept what was set
    one.host.warden.release()
    one.live(1)
    assert one.host.limits_w()[1] == PRIOR_W


def test_a_gpu_that_was_reset_while_it_was_lost_is_held_again_within_two_seconds(
    struck: Callable[..., Struck],
) -> None:
    one = struck()
    one.inject("reset-required")
    one.live(10)
    one.inject("gpu-reset")
    one.live(4)
    _, took_s = _drop_s(one, 1)
    assert took_s <= BACK_S
    assert one.prior_w(1) == DEFAULT_W


def test_locked_clocks_are_written_again_after_a_reload(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.lease(mhz=1005)
    one.live(2)
    assert one.host.plant.view(1)["locked_max_mhz"] == 1005
    for kind, gpu in (("driver-reload", None), ("gpu-reset", 1)):
        one.inject(kind, gpu)
        assert one.host.plant.view(1)["locked_max_mhz"] == 0
        one.live(BACK_S)
        assert one.host.plant.view(1)["locked_max_mhz"] == 1005


def test_exposure_is_told_in_seconds_and_joules_and_never_less_than_it_was(struck: Callable[..., Struck]) -> None:
    one = struck()
    assert (one.row(1)["exposed_s"], one.row(1)["exposed_j"]) == (0, 0)
    one.inject("gpu-reset")
    one.live(4)
    _, took_s = _drop_s(one, 1)
    row = one.row(1)
    assert took_s <= row["exposed_s"] <= took_s + LOOK_S + 0.1
    assert row["exposed_j"] == pytest.approx(row["exposed_s"] * (DEFAULT_W - HELD_W), rel=0.01)
    assert not row["is_exposed"]
    assert one.alarms("gpu1", "exposure", f"{row['exposed_j']:.0f} J")
    assert [one.row(gpu)["exposed_j"] for gpu in (0, 2, 3)] == [0, 0, 0]
    one.live(10)
    assert one.row(1)["exposed_s"] == row["exposed_s"]


def test_what_can_t_be_read_is_exposed_at_the_greatest_until_it_is_back(struck: Callable[..., Struck]) -> None:
    one = struck()
    number = one.inject("gpu-lost")
    one.live(10)
    row = one.row(1)
    assert row["is_exposed"]
    assert 10 <= row["exposed_s"] <= 10 + LOOK_S + 0.1
    assert row["exposed_j"] == pytest.approx(row["exposed_s"] * (DEFAULT_W - HELD_W), rel=0.01)
    one.faults.clear(number)
    one.live(1)
    assert not one.row(1)["is_exposed"]


def test_a_lowering_of_ours_is_no_exposure(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.warden.budget_set(one.host.budget(1000))
    one.live(3)
    uuids = [device.uuid for device in one.host.warden.devices]
    for limits_mw in ([100_000, 400_000, 100_000, 100_000], [250_000] * 4, [249_000] * 4):
        one.host.warden.lease(dict(zip(uuids, limits_mw, strict=True)), 60.0, one.host.now_ns)
        one.live(3)
    assert [row["exposed_s"] for row in one.status()["knobs"]] == [0] * 4


def test_a_reload_that_no_warden_saw_is_exposed_since_the_last_one_was_there(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.warden.budget_set(one.host.budget(1000))
    one.live(2)
    one.host.die()
    one.inject("driver-reload", None)
    one.host.now_s += 5
    one.host.plant.advance(one.host.now_s)
    one.host.start()
    one.live(1)
    assert one.host.limits_w() == [150] * 4
    for row in one.status()["knobs"]:
        assert 5 <= row["exposed_s"] <= 5.2
        assert row["exposed_j"] == pytest.approx(5 * 250, rel=0.05)


def test_a_gpu_that_does_not_answer_at_the_start_costs_the_others_no_warden(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.warden.release()
    one.live(1)
    one.inject("gpu-lost", 1)
    warden = one.host.start()
    assert [device.label for device in warden.devices] == ["gpu0", "gpu2", "gpu3"]
    assert one.alarms("gpu1 is left alone", "lost")
    warden.lease({warden.devices[1].uuid: 200_000}, 60.0, one.host.now_ns)
    one.live(1)
    assert one.host.plant.view(2)["limit_requested_mw"] == 200_000


def mode(one: Struck, gpu: int) -> int:
    return int(one.host.plant.view(gpu)["persistence_mode"])


def entries(one: Struck) -> set[str]:
    return {str(entry.knob) for entry in Journal(one.host.state / "journal")}


def test_persistence_mode_is_on_while_something_is_held_and_off_again_after_that(rig: MakeRig) -> None:
    host = rig()
    host.plant.set_persistence(1, 0)
    host.step(1.2)
    one = Struck(host)
    one.live(2)
    assert mode(one, 1) == 1
    assert entries(one) == {"power_limit", "persistence_mode"}
    host.warden.release()
    one.live(3)
    assert mode(one, 1) == 0
    assert [mode(one, gpu) for gpu in (0, 2, 3)] == [1] * 3  # on before, and left alone
    assert entries(one) == set()
    assert host.limits_w()[1] == PRIOR_W
    assert not one.alarms("forgot")
    one.faults.close()


def test_a_mode_that_a_dead_warden_switched_on_is_off_again_and_under_a_budget_stays(rig: MakeRig) -> None:
    host = rig()
    for gpu in range(4):
        host.plant.set_persistence(gpu, 0)
    host.step(1.2)
    one = Struck(host)
    host.warden.budget_set(host.budget(1000))
    one.live(2)
    host.start()
    one.live(2)
    assert [mode(one, gpu) for gpu in range(4)] == [1] * 4
    host.warden.budget_clear()
    host.warden.release()
    while not host.warden.at_rest():  # as a warden that ends, which ticks once more then
        host.step(0.05)
    host.warden.tick(host.now_ns)
    assert [mode(one, gpu) for gpu in range(4)] == [0] * 4
    assert entries(one) == set()
    one.faults.close()


def test_a_mode_that_can_t_be_switched_on_is_told_while_something_is_held(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.plant.set_persistence(1, 0)
    one.inject("no-permission")
    one.live(3)
    assert one.alarms("gpu1", "persistence mode is off", "Insufficient Permissions")
    assert not one.alarms("gpu0", "persistence mode")
    assert entries(one) == {"power_limit"}


@pytest.mark.parametrize("is_held_on", [True, False])
def test_a_mode_that_could_not_be_switched_is_tried_again_later_and_for_what_is_held_next(
    struck: Callable[..., Struck], is_held_on: bool
) -> None:
    one = struck()
    one.host.plant.set_persistence(1, 0)
    number = one.inject("no-permission")
    one.live(3)
    one.faults.clear(number)
    if is_held_on:
        one.live(35)
    else:
        one.host.warden.release()
        one.live(2)
        one.lease()
        one.live(1)
    assert mode(one, 1) == 1
    assert entries(one) == {"power_limit", "persistence_mode"}
    assert not one.alarms("gpu1", "persistence mode")


@pytest.mark.parametrize(("kind", "gpu"), [("driver-reload", None), ("gpu-lost", None), ("reset-required", None)])
def test_who_ends_right_after_the_driver_was_gone_lets_go_of_everything(
    struck: Callable[..., Struck], kind: str, gpu: int | None
) -> None:
    one = struck()
    one.lease(mhz=900)
    one.live(2)
    one.inject(kind, gpu)
    one.host.step(0.5)  # nobody ticks meanwhile
    one.faults.clear()
    one.host.warden.release()
    for _ in range(50):
        one.host.step(0.1)
        if one.host.warden.ended(one.host.now_ns):
            break
    assert not one.host.warden.standing()
    assert one.host.limits_w()[1] in (PRIOR_W, DEFAULT_W)


def test_the_watts_kept_for_a_gpu_that_does_not_answer_are_told(struck: Callable[..., Struck]) -> None:
    one = struck()
    assert one.status()["reserved_mw"] == 0
    one.inject("gpu-lost", 1)
    one.host.start()
    assert one.status()["reserved_mw"] == 400_000


@pytest.mark.parametrize("looks", [0, 2])
def test_a_limit_that_a_warden_found_where_the_one_before_had_it_is_ours_whatever_the_counter_says(
    struck: Callable[..., Struck], looks: int
) -> None:
    life = struck()
    life.host.warden.budget_set(life.host.budget(1000.0))
    life.host.warden.release()
    life.live(3)
    life.host.die()
    life.host.start()
    life.live(looks)
    life.inject("energy-reset")
    life.live(2)
    life.host.warden.budget_clear()
    life.live(3)
    assert life.host.limits_w() == [400, PRIOR_W, 400, 400]


def test_a_limit_that_was_refused_at_the_start_is_where_the_one_before_had_it_whatever_the_counter_says(
    struck: Callable[..., Struck],
) -> None:
    life = struck()
    life.host.die()
    number = life.inject("no-permission")
    life.host.start()
    life.live(1)
    life.inject("energy-reset")
    life.live(2)
    assert not life.alarms("forgot")
    assert life.prior_w(1) == PRIOR_W
    life.faults.clear(number)
    life.host.start()
    life.live(3)
    assert life.host.limits_w()[1] == PRIOR_W


def test_a_gpu_that_does_not_answer_counts_at_its_greatest_wherever_limits_are_summed(
    struck: Callable[..., Struck],
) -> None:
    one = struck()
    one.host.warden.release()
    one.live(1)
    one.inject("gpu-lost", 1)
    one.host.start()
    with pytest.raises(RefusedError, match=r"450 W of safe caps .* \+ 400 W of GPUs that do not answer are 1850 W"):
        one.host.warden.budget_set(one.host.budget(849))
    one.host.settle_s = 1.0
    assert one.host.warden.budget_set(one.host.budget(1000))["in_force"]
    with pytest.raises(RefusedError, match="limits of 1001 W in sum are above the envelope of 1000 W"):
        one.host.lease(201, 200, 200)
    one.host.lease(200, 200, 200, ttl_s=60)
    one.live(1)
    assert one.host.warden.in_force()
    assert not [alarm for alarm in one.status()["alarms"] if "above the budget" in alarm]
    one.host.plant.set_power_limit(2, 201.0)  # by somebody else: a watt too much
    one.host.warden.budget_set(one.host.budget(850))  # and a lease that does not fit any more is scaled
    assert [row["ours_mw"] for row in one.status()["knobs"]] == [150_000] * 3
    assert sum(one.host.limits_w()[gpu] for gpu in (0, 2, 3)) <= 450


def test_a_budget_that_can_t_be_read_leaves_what_does_not_answer_its_greatest(struck: Callable[..., Struck]) -> None:
    one = struck()
    one.host.warden.budget_set(one.host.budget(1600))
    (one.host.state / "budget.json").write_text("torn")
    one.inject("gpu-lost", 1)
    warden = one.host.start()
    one.live(2)
    assert warden.budget is not None
    assert warden.budget.envelope_w == 700  # three at their least, and one that may be at its greatest
    assert warden.in_force()
