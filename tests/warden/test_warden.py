"""The promises, one by one, in virtual time: the real loop on the real simulated library."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.errors import RefusedError
from eagent.model import Budget
from eagent.warden import durable

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]


def test_taking_over_changes_nothing_and_leaves_no_entry(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.warden.tick(host.now_ns)
    assert host.limits_w() == [400.0] * 4
    assert journalled(host.state) == 0
    assert all(device.power_limit.writable for device in host.warden.devices)


def test_a_lease_is_applied_and_ends_at_the_prior_value(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.plant.set_power_limit(3, 350.0)  # somebody's policy, before us
    host.step(1.1)
    host.lease(250, 260, 270, 280)
    assert journalled(host.state) == 4  # on the disk before the loop writes
    host.step()
    assert host.limits_w() == [250, 260, 270, 280]
    host.step(2.8)
    assert host.limits_w() == [250, 260, 270, 280]
    host.step(0.3)
    assert host.limits_w() == [400, 400, 400, 350]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_there_is_something_to_wake_up_for_from_the_first_entry_until_the_last_is_retired(rig: MakeRig) -> None:
    host = rig()
    assert not host.warden.entered
    host.lease(250, 260, 270, 280)
    assert host.warden.entered
    host.step(3.2)
    assert host.warden.entered  # the knobs are back, and nobody has looked
    host.warden.tick(host.now_ns)
    assert not host.warden.entered


def test_under_a_budget_who_is_not_in_a_lease_that_runs_goes_to_its_safe_cap(rig: MakeRig) -> None:
    host = rig()
    host.warden.lease({host.warden.devices[0].uuid: 250_000}, 3, host.now_ns)
    host.step()
    assert host.warden.budget_set(host.budget(800))["in_force"]
    assert host.limits_w() == [250, 150, 150, 150]
    knobs = host.warden.status(host.now_ns)["knobs"]
    assert [(knob["state"], knob["ours_mw"]) for knob in knobs] == [("leased", 250_000), *[("safe", 150_000)] * 3]
    host.step(3)
    assert host.limits_w() == [150] * 4


def test_a_device_on_its_way_back_goes_to_its_safe_cap_when_a_budget_comes(rig: MakeRig) -> None:
    host = rig()
    first, second = (device.uuid for device in host.warden.devices[:2])
    host.warden.lease({first: 250_000, second: 250_000}, 3, host.now_ns)
    host.step()
    host.warden.lease({first: 250_000}, 3, host.now_ns)
    host.step()
    assert host.limits_w() == [250, 400, 400, 400]
    assert host.warden.budget_set(host.budget(1000))["in_force"]
    assert host.limits_w() == [250, 150, 150, 150]


def test_what_a_lease_leaves_out_is_its_owners_once_it_is_back(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    first, second = (device.uuid for device in host.warden.devices[:2])
    host.warden.lease({first: 250_000, second: 250_000}, 3, host.now_ns, {first: 1200, second: 1200})
    host.step(1.1)
    host.warden.lease({first: 250_000}, 3, host.now_ns, {first: 1200})
    host.step(1.1)
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 2
    host.warden.lease({first: 250_000}, 9, host.now_ns, {first: 1200})
    host.plant.set_power_limit(1, 300.0)
    host.step(2.2)
    assert host.limits_w() == [250, 300, 400, 400]


def test_a_released_lease_ends_at_once(rig: MakeRig) -> None:
    host = rig()
    host.lease(250, 250, 250, 250)
    host.step()
    host.warden.release()
    host.step()
    assert host.limits_w() == [400] * 4


def test_a_warden_that_was_killed_is_undone_by_the_next(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.plant.set_power_limit(0, 380.0)
    host.step(1.1)
    host.lease(250, 250, 250, 250)
    host.step()
    host.start()
    assert host.limits_w() == [380, 400, 400, 400]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_the_first_prior_value_survives_any_number_of_deaths(rig: MakeRig) -> None:
    host = rig()
    for limit_w in (300, 250, 200):
        host.lease(*[limit_w] * 4)
        host.step()
        host.start()
        host.lease(*[limit_w - 20] * 4)
        host.step()
    host.warden.release()
    host.step()
    assert host.limits_w() == [400] * 4


def test_an_entry_of_another_boot_is_void(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.lease(250, 250, 250, 250)
    host.step()
    host.die()
    for gpu in range(4):
        host.plant.set_power_limit(gpu, 390.0)  # what the boot and the site's own scripts made of it
    host.boot_id = "boot-2"
    host.start()
    host.step(1)
    host.warden.tick(host.now_ns)
    assert host.limits_w() == [390] * 4
    assert journalled(host.state) == 0


def test_what_the_loop_has_not_applied_yet_is_not_taken_for_put_back(rig: MakeRig, journalled: Journalled) -> None:
    """A lease and its end, both before the loop's next turn: what was read last is from before them."""
    host = rig()
    host.lease(250, 250, 250, 250)
    host.warden.release()
    host.warden.tick(host.now_ns)
    assert not host.warden.at_rest()
    assert journalled(host.state) == 4
    host.step()
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0


def test_a_lease_that_ended_by_its_time_is_not_over_before_a_turn_after_it(
    rig: MakeRig, journalled: Journalled
) -> None:
    host = rig()
    host.lease(250, 250, 250, 250, ttl_s=1.0)
    host.step(0.5)
    host.now_s += 1.0  # the loop hangs in a driver call
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 4


def test_an_owners_limit_set_in_this_moment_is_what_is_gone_back_to(rig: MakeRig) -> None:
    host = rig()
    host.plant.set_power_limit(2, 333.0)  # after the last look
    host.lease(250, 250, 250, 250)
    host.step()
    host.warden.release()
    host.step()
    assert host.limits_w() == [400, 400, 333, 400]


def test_a_pin_on_one_device_leaves_the_others_to_their_owners(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.warden.lease({host.warden.devices[0].uuid: 250_000}, 3, host.now_ns)
    assert journalled(host.state) == 1
    host.plant.set_power_limit(1, 350.0)
    host.step(1.5)
    assert host.limits_w() == [250, 350, 400, 400]


def test_a_device_that_cannot_be_capped_counts_at_its_greatest(rig: MakeRig) -> None:
    host = rig(gpus=2)
    host.lease(222, 222)
    host.step()
    host.die()
    (host.state / "journal" / f"{host.warden.devices[1].uuid}.power_limit.json").write_text("torn")
    host.start()
    with pytest.raises(RefusedError, match="400 W of devices that can't be capped"):
        host.warden.budget_set(host.budget(500))
    assert host.warden.budget_set(host.budget(700)) == {"in_force": True}
    host.warden.lease({host.warden.devices[0].uuid: 300_000}, 3, host.now_ns)
    host.step(1.5)
    assert host.limits_w() == [300, 222]
    with pytest.raises(RefusedError, match="above the envelope"):
        host.warden.lease({host.warden.devices[0].uuid: 301_000}, 3, host.now_ns)


@pytest.mark.parametrize(("budget_w", "fixed_w"), [(2e16, 0), (1000, -1e6), (-5, -1e6), (0, 0), (1000, 1e7)])
def test_a_budget_of_absurd_numbers_is_refused_and_not_stored(rig: MakeRig, budget_w: float, fixed_w: float) -> None:
    host = rig()
    caps_w = {device.uuid: 150.0 for device in host.warden.devices}
    with pytest.raises(RefusedError, match="must be above 0"):
        host.warden.budget_set(Budget(budget_w, fixed_w, caps_w))
    assert not (host.state / "budget.json").exists()


def test_safe_caps_for_strangers_are_refused(rig: MakeRig) -> None:
    host = rig()
    with pytest.raises(RefusedError, match="devices that are not here, such as 'GPU-stranger'"):
        host.warden.budget_set(Budget(5000, 0, {"GPU-stranger": 100.0}))


def test_an_empty_budget_file_is_damage_and_not_no_budget(rig: MakeRig) -> None:
    host = rig()
    durable.store(host.state / "budget.json", {})
    host.start()
    assert host.limits_w() == [100] * 4


def test_a_budget_is_in_force_when_set_returns(rig: MakeRig) -> None:
    host = rig()
    reply = host.warden.budget_set(host.budget(1000))
    assert reply == {"in_force": True}
    assert host.limits_w() == [150] * 4


def test_limits_never_sum_above_the_envelope_while_leases_come_and_go(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    begun = len(host.sums_w())
    for limits_w in ((400, 200, 200, 200), (200, 400, 200, 200), (100, 100, 400, 400), (250, 250, 250, 250)):
        host.lease(*limits_w)
        host.step(1.5)
        assert host.limits_w() == list(limits_w)
    host.step(4)
    assert host.limits_w() == [150] * 4
    assert max(host.sums_w()[begun:]) <= 1000


def test_lowering_comes_before_raising_in_the_drivers_own_log(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    host.lease(400, 200, 200, 200)
    host.step(1.5)
    before = len(host.plant.limit_log())
    host.lease(200, 200, 200, 400)
    host.step(1.5)
    assert [(gpu, new_w) for _, gpu, _, new_w, _ in host.plant.limit_log()[before:]] == [(0, 200.0), (3, 400.0)]


def test_raises_are_paced_and_small_ones_wait(rig: MakeRig) -> None:
    host = rig(gpus=1)
    host.lease(200)
    host.step()
    for limit_w, expected_w in ((300, 300), (350, 300)):  # the second within a second of the first
        host.lease(limit_w)
        host.step()
        assert host.limits_w() == [expected_w]
    host.step(1.0)
    assert host.limits_w() == [350]
    host.lease(358, ttl_s=9)
    host.step(1.5)
    assert host.limits_w() == [350]  # less than 3 %
    host.step(4)
    assert host.limits_w() == [358]  # but wanted for five seconds
    host.lease(340)
    host.step()
    assert host.limits_w() == [340]  # lowering never waits


def test_a_budget_survives_the_wardens_death_and_its_own_restart(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    host.lease(400, 200, 200, 200)
    host.step(1.5)
    host.die()
    begun = len(host.sums_w())
    host.start()
    assert host.limits_w() == [150] * 4
    assert host.warden.budget == host.budget(1000)
    assert max(host.sums_w()[begun:], default=0) <= 1000


def test_clearing_a_budget_goes_back_to_the_prior_values(rig: MakeRig, journalled: Journalled) -> None:
    host = rig()
    host.plant.set_power_limit(1, 300.0)
    host.step(1.1)
    host.warden.budget_set(host.budget(1000))
    host.start()
    host.warden.budget_clear()
    host.step()
    assert host.limits_w() == [400, 300, 400, 400]
    host.warden.tick(host.now_ns)
    assert journalled(host.state) == 0
    host.start()
    assert host.warden.budget is None


def test_a_smaller_budget_scales_a_lease_that_does_not_fit_it(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    host.lease(400, 240, 210, 150)
    host.step(1.5)
    assert host.warden.budget_set(host.budget(800))["in_force"]
    assert host.limits_w() == [275, 195, 180, 150]
    knobs = host.warden.status(host.now_ns)["knobs"]
    assert [(knob["state"], knob["ours_mw"]) for knob in knobs] == [
        ("leased", round(limit_w * 1000)) for limit_w in host.limits_w()
    ]
    host.step(3)
    assert host.limits_w() == [150] * 4


def test_limits_rise_by_the_ramp_under_a_lease_at_its_end_and_when_they_are_put_back(rig: MakeRig) -> None:
    host = rig(gpus=2, ramp_w_per_s=100)
    host.warden.budget_set(Budget(800, 0, {device.uuid: 200.0 for device in host.warden.devices}))
    host.step()
    assert host.limits_w() == [200] * 2  # down at once
    host.lease(350, 100)
    host.step(2.5)
    assert host.limits_w() == [350, 100]
    host.step(3.0)
    assert host.limits_w() == [200] * 2
    host.warden.budget_clear()
    host.step(5.0)
    assert host.limits_w() == [400] * 2
    rises, limits_w = [], [400.0] * 2
    for at_s, gpu, _, new_w, _ in host.plant.limit_log():
        rises.append((at_s, max(new_w - limits_w[gpu], 0.0)))
        limits_w[gpu] = new_w
    assert max(sum(w for at_s, w in rises if begin_s <= at_s < begin_s + 0.99) for begin_s, _ in rises) == 100


def test_a_greater_budget_leaves_a_lease_alone(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    host.lease(400, 200, 200, 200)
    host.step(1.5)
    host.warden.budget_set(host.budget(1200))
    assert host.limits_w() == [400, 200, 200, 200]


@pytest.mark.parametrize(
    ("envelope_w", "safe_w", "line"),
    [
        (599, 150, "1599 W can't be kept: 600 W of safe caps + 1000 W fixed draw are 1600 W; set at least that"),
        (401.9, 100.5, "402 W of safe caps + 1000 W fixed draw are 1402 W"),
        (1000, 90, "a safe cap of 90 W is outside of its range, 100 to 400 W"),
        (2000, 401, "a safe cap of 401 W is outside of its range, 100 to 400 W"),
    ],
)
def test_a_budget_that_could_not_be_kept_is_refused_and_nothing_changes(
    rig: MakeRig, journalled: Journalled, envelope_w: float, safe_w: float, line: str
) -> None:
    host = rig()
    with pytest.raises(RefusedError, match=re.escape(line)):
        host.warden.budget_set(host.budget(envelope_w, safe_w))
    assert host.limits_w() == [400] * 4
    assert host.warden.budget is None
    assert journalled(host.state) == 0


@pytest.mark.parametrize(
    ("limits_w", "ttl_s", "line"),
    [
        ((250, 250, 250), 3, "names each of the 4 writable devices"),
        ((250, 250, 250, 99), 3, "a limit of 99 W is outside of its range"),
        ((250, 250, 250, 401), 3, "a limit of 401 W is outside of its range"),
        ((251, 250, 250, 250), 3, "limits of 1001 W in sum are above the envelope of 1000 W"),
        ((250, 250, 250, 250), 0, "a lease of 0 s"),
        ((250, 250, 250, 250), 61, "at most 60 s"),
        ((250, 250, 250, 250), float("nan"), "a lease of nan s"),
    ],
)
def test_a_lease_that_breaks_a_promise_is_refused_whole(
    rig: MakeRig, limits_w: tuple[float, ...], ttl_s: float, line: str
) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    named = {device.uuid: round(w * 1000) for device, w in zip(host.warden.devices, limits_w, strict=False)}
    with pytest.raises(RefusedError, match=line):
        host.warden.lease(named, ttl_s, host.now_ns)
    host.step(1.5)
    assert host.limits_w() == [150] * 4


def test_without_permission_nothing_is_written_and_everything_says_so(rig: MakeRig, journalled: Journalled) -> None:
    host = rig(permission="nobody")
    (knob, *_) = host.warden.status(host.now_ns)["knobs"]
    assert (knob["state"], knob["writable"]) == ("unwritable", False)
    assert "Insufficient Permissions" in knob["why"]
    with pytest.raises(RefusedError, match=r"no power limit can be set .*gpu0 power limit: the driver refuses"):
        host.warden.budget_set(host.budget(1000))
    with pytest.raises(RefusedError, match="whose power limit can't be set"):
        host.lease(250, 250, 250, 250)
    assert host.plant.limit_log() == []
    assert journalled(host.state) == 0


def test_a_journal_that_cannot_be_written_means_that_no_knob_is(rig: MakeRig) -> None:
    host = rig()
    directory = host.state / "journal"
    directory.rmdir()
    directory.write_text("a file is in the way")
    with pytest.raises(RefusedError, match="the journal can't be written"):
        host.lease(250, 250, 250, 250)
    host.step(1)
    assert host.limits_w() == [400] * 4


def test_a_damaged_entry_costs_its_own_knob(rig: MakeRig) -> None:
    host = rig()
    host.lease(250, 250, 250, 250)
    host.step()
    host.die()
    (host.state / "journal" / f"{host.warden.devices[2].uuid}.power_limit.json").write_text("torn")
    host.start()
    assert host.limits_w() == [400, 400, 250, 400]
    assert "damaged" in host.warden.devices[2].power_limit.why


@pytest.mark.parametrize("put", [lambda path: path.write_text("torn"), os.mkfifo, lambda path: path.symlink_to("x")])
def test_a_damaged_budget_holds_all_limits_at_their_least_and_says_so(
    rig: MakeRig, put: Callable[[Path], object]
) -> None:
    host = rig()
    host.warden.budget_set(host.budget(1000))
    (host.state / "budget.json").unlink()
    put(host.state / "budget.json")
    host.start()
    assert host.limits_w() == [100] * 4
    assert any("the budget can't be read" in alarm for alarm in host.warden.status(host.now_ns)["alarms"])


def test_who_lets_go_does_not_go_by_a_look_of_before_somebody_raised_a_limit(rig: MakeRig) -> None:
    host = rig()
    host.warden.budget_set(host.budget(600.0))
    host.step(0.5)
    assert host.warden.at_rest()
    host.plant.set_power_limit(1, 400.0)
    host.warden.release()
    host.step()
    assert not host.warden.at_rest()  # the loop has not looked again: who ends now would leave it so
    host.step(1.1)
    assert host.warden.at_rest()
    assert host.limits_w() == [150.0] * 4


def test_a_tick_that_comes_before_the_loop_has_heard_what_it_was_told_says_that_it_could_not_look(rig: MakeRig) -> None:
    host = rig()
    host.lease(250, 260, 270, 280)
    assert not host.warden.tick(host.now_ns)
    host.step()
    assert host.warden.tick(host.now_ns)


def test_a_foreign_raise_under_a_budget_is_overruled_within_a_second_and_told(rig: MakeRig) -> None:
    host = rig(foreign="overrule")
    host.warden.budget_set(host.budget(1000))
    host.step(1)
    host.plant.set_power_limit(1, 400.0)
    host.step(1.1)
    assert host.limits_w() == [150] * 4
    assert any(
        "gpu1: power limit: changed by somebody else" in alarm for alarm in host.warden.status(host.now_ns)["alarms"]
    )


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_course_of_leases_deaths_and_budgets_keeps_every_promise(rig: MakeRig, data: st.DataObject) -> None:
    host = rig(gpus=3)
    envelope_w: float | None = None
    begun = 0
    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.sampled_from(["lease", "release", "budget", "clear", "die", "wait"]))
        if act == "lease":
            limits_w = data.draw(st.lists(st.integers(100, 400), min_size=3, max_size=3))
            if envelope_w is None or sum(limits_w) <= envelope_w:
                host.lease(*limits_w, ttl_s=data.draw(st.sampled_from([0.2, 1.0, 3.0])))
            else:
                with pytest.raises(RefusedError):
                    host.lease(*limits_w)
        elif act == "release":
            host.warden.release()
        elif act == "budget":
            envelope_w = data.draw(st.integers(450, 1200))
            assert host.warden.budget_set(host.budget(envelope_w))["in_force"]
            begun = len(host.sums_w()) - 1
        elif act == "clear":
            host.warden.budget_clear()
            envelope_w = None
        elif act == "die":
            host.start()
        host.step(data.draw(st.sampled_from([0.05, 0.5, 2.0])))
        host.warden.tick(host.now_ns)
        if envelope_w is not None:
            assert max(host.sums_w()[begun:]) <= envelope_w
    host.warden.release()
    host.step(0.1)
    expected_w = 400.0 if envelope_w is None else 150.0
    assert host.limits_w() == [expected_w] * 3
    host.die()


def test_a_budget_is_not_told_in_force_while_a_limit_is_one_that_nobody_has_looked_at_yet(rig: MakeRig) -> None:
    host = rig()
    for gpu in range(4):
        host.plant.set_power_limit(gpu, 250)
    host.lease(250, 250, 250, 250)
    host.step(1.5)
    host.plant.set_power_limit(1, 400)  # by somebody else, right after our look
    in_force = host.warden.budget_set(host.budget(1000))["in_force"]
    assert in_force == (sum(host.limits_w()) <= 1000)
    host.step(0.1)
    assert sum(host.limits_w()) <= 1000
