"""What a warden knows of the one before it, which was killed: whose a value is that it finds. In virtual time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import ProtocolError
from eagent.sim._faults import Faults
from eagent.warden import written
from eagent.warden.written import SIZE, SLOTS, Written, pack, unpack

MakeRig = Callable[..., Any]

BOOT = "6f0c1d5e-8a4b-4c2e-9d3f-1a2b3c4d5e6f"

uuids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=47)
values = st.integers(0, 0xFFFFFFFF)
known = st.dictionaries(uuids, st.builds(Written, values, values), max_size=SLOTS)


def look(host: Any, seconds: float = 1.2) -> None:
    for _ in range(round(seconds / 0.2)):
        host.step(0.2)
        host.warden.tick(host.now_ns)


def row(host: Any, gpu: int = 0) -> dict[str, Any]:
    return dict(host.warden.status(host.now_ns)["knobs"][gpu])


def killed(rig: MakeRig, *limits_w: float, **options: Any) -> Any:
    """A host whose warden was killed while it held these limits."""
    host = rig(gpus=len(limits_w), **options)
    host.lease(*limits_w)
    look(host)
    host.die()
    return host


# ---- the form --------------------------------------------------------------------------------------------------------


@given(known)
def test_what_was_written_is_read_again(slots: dict[str, Written]) -> None:
    assert unpack(pack(slots, BOOT), BOOT) == slots


@given(st.dictionaries(uuids, st.builds(Written, values, values), min_size=1, max_size=4), st.data())
def test_no_truncation_and_no_corruption_is_taken_for_another_value(slots: dict[str, Written], data: Any) -> None:
    whole = pack(slots, BOOT)
    cut = data.draw(st.integers(0, SIZE - 1))
    with pytest.raises(ProtocolError):
        unpack(whole[:cut], BOOT)
    damaged = bytearray(whole)
    begin = data.draw(st.integers(0, 64 + 64 * len(slots) - 1))
    for place, byte in enumerate(data.draw(st.binary(min_size=1, max_size=80)), begin):
        damaged[place] = byte
    try:
        found = unpack(bytes(damaged), BOOT)
    except ProtocolError:
        return
    assert found.items() <= slots.items()


def test_a_file_of_another_boot_tells_nothing() -> None:
    with pytest.raises(ProtocolError, match="of another boot"):
        unpack(pack({"GPU-1": Written(1, 2)}, BOOT), "another")


def test_what_is_not_known_stays_so() -> None:
    assert unpack(pack({"GPU-1": None, "GPU-2": Written()}, BOOT), BOOT) == {"GPU-2": Written()}


# ---- what is found at a start ----------------------------------------------------------------------------------------


def test_what_the_dead_warden_wrote_is_put_back(rig: MakeRig) -> None:
    host = killed(rig, 250, 300)
    assert host.limits_w() == [250, 300]
    host.start()
    look(host)
    assert host.limits_w() == [400, 400]
    assert host.memory.problems == []
    assert row(host)["foreign"] is None


def test_what_somebody_else_set_after_the_death_stands_and_is_where_the_limit_goes_back_to(rig: MakeRig) -> None:
    host = killed(rig, 250, 300)
    host.plant.set_power_limit(0, 310.0)
    host.start()
    look(host)
    assert host.limits_w() == [310, 400]
    told = row(host)
    assert (told["state"], told["baseline_mw"]) == ("foreign", 310_000)
    assert {name: told["foreign"][name] for name in ("count", "value", "before", "fate")} == {
        "count": 1,
        "value": 310_000,
        "before": 250_000,
        "fate": "stands",
    }
    host.warden.yield_clear()
    look(host)
    assert host.limits_w() == [310, 400]
    assert host.warden.standing() == ()


@pytest.mark.parametrize(("policy", "ends_w"), [("overrule", 400), ("report", 310)])
def test_the_next_warden_does_with_it_what_the_operator_wants(rig: MakeRig, policy: str, ends_w: float) -> None:
    host = killed(rig, 250, foreign=policy)
    host.plant.set_power_limit(0, 310.0)
    host.start()
    look(host)
    assert host.limits_w() == [ends_w]
    assert row(host)["foreign"]["count"] == 1


def test_through_any_number_of_deaths_the_last_foreign_value_is_the_one_that_stands(rig: MakeRig) -> None:
    host = killed(rig, 250)
    for theirs_w in (310.0, 320.0, 330.0):
        host.plant.set_power_limit(0, theirs_w)
        host.start()
        look(host)
        assert host.limits_w() == [theirs_w]
        host.die()
    host.start()
    host.warden.yield_clear()
    look(host)
    assert host.limits_w() == [330]
    host.lease(260)
    look(host)
    host.die()
    host.start()
    look(host)
    assert host.limits_w() == [330]  # the last death left our own


def test_under_a_budget_a_raise_between_two_wardens_stands_where_there_is_room_and_is_overruled_elsewhere(
    rig: MakeRig,
) -> None:
    for theirs_w, stands in ((380.0, True), (399.0, False)):
        host = rig(gpus=4)
        host.warden.budget_set(host.budget(830, safe_w=150))
        look(host)
        host.die()
        host.plant.set_power_limit(0, theirs_w)
        if not stands:
            host.plant.set_power_limit(1, 390.0)
        host.start()
        look(host)
        assert sum(host.limits_w()) <= 830
        assert (host.limits_w()[0] == theirs_w) == stands
        assert row(host)["foreign"]["count"] == 1


def test_a_limit_that_the_driver_dropped_meanwhile_is_not_somebody_elses(rig: MakeRig) -> None:
    host = killed(rig, 250)
    host.plant.set_persistence(0, 0)
    host.plant.set_power_limit(0, 400.0)
    host.start()
    look(host)
    assert host.limits_w() == [400]
    assert row(host)["foreign"] is None


def test_a_limit_at_rest_is_nobodys_business(rig: MakeRig) -> None:
    host = killed(rig, 250)
    host.start()
    look(host)
    assert host.warden.standing() == ()
    host.die()
    host.plant.set_power_limit(0, 310.0)
    host.start()
    look(host)
    assert row(host)["foreign"] is None
    host.lease(250)
    look(host)
    host.die()
    host.start()
    look(host)
    assert host.limits_w() == [310]
    assert row(host)["foreign"] is None


def test_a_limit_that_was_entered_and_never_written_is_somebody_elses_where_it_has_moved(rig: MakeRig) -> None:
    host = rig(gpus=1)
    host.lease(250)  # and dies before the loop's turn
    host.die()
    host.plant.set_power_limit(0, 310.0)
    host.start()
    look(host)
    assert (host.limits_w(), row(host)["foreign"]["before"]) == ([310], 400_000)


def test_who_dies_between_a_write_and_its_reading_back_is_followed_by_one_who_knows_it(rig: MakeRig) -> None:
    host = killed(rig, 250)
    uuid = host.warden.devices[0].uuid
    path = host.state / "written"
    path.write_bytes(pack({uuid: Written(wish_mw=300_400, done_mw=250_000)}, host.boot_id))
    host.plant.set_power_limit(0, 300.0)  # as a driver may round it
    host.start()
    look(host)
    assert (host.limits_w(), row(host)["foreign"]) == ([400], None)


@pytest.mark.parametrize("accident", ["missing", "torn", "cut", "a link", "somebody else's"])
def test_without_a_whole_file_a_value_is_taken_for_ours_and_that_is_said(rig: MakeRig, accident: str) -> None:
    host = killed(rig, 250)
    path = host.state / "written"
    if accident == "torn":
        file = bytearray(path.read_bytes())
        file[written.at(0) + written.VALUES_AT] ^= 1
        path.write_bytes(file)
    elif accident == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif accident == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(path, 12345, -1)
    else:
        path.unlink()
        if accident == "a link":
            path.symlink_to("/etc/hostname")
    host.plant.set_power_limit(0, 310.0)
    host.start()
    assert [line for line in host.memory.problems if "what eagent wrote last to its power limit is not known" in line]
    look(host)
    assert (host.limits_w(), row(host)["foreign"]) == ([400], None)


def test_a_full_run_directory_leaves_no_old_file_that_would_be_believed(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = killed(rig, 250)

    def full(*_: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(written, "_make", full)
        host.start()
        assert any("can't be made: No space left on device" in line for line in host.memory.problems)
        look(host)
        assert host.limits_w() == [400]  # what was known when it began is used all the same
        host.lease(300)
        look(host)
        host.die()
    assert not (host.state / "written").exists()
    host.start()
    look(host)
    assert host.limits_w() == [400]


def test_each_write_of_a_ramp_is_known(rig: MakeRig) -> None:
    host = rig(gpus=1, ramp_w_per_s=20)
    host.lease(250)
    look(host)
    host.warden.release()
    for _ in range(4):
        look(host, 0.4)
        host.die()
        host.start()
    assert row(host)["foreign"] is None
    look(host, 20)
    assert host.limits_w() == [400]
    assert host.warden.standing() == ()


def test_who_dies_right_after_overruling_somebody_leaves_a_value_of_ours(rig: MakeRig) -> None:
    """And what they had set is still where the limit goes back to."""
    host = rig(gpus=4)
    host.warden.budget_set(host.budget(1000, safe_w=150))
    look(host)
    host.plant.set_power_limit(1, 350.0)
    look(host)
    assert row(host, 1)["state"] == "foreign"
    host.warden.budget_set(host.budget(700, safe_w=150))
    assert host.limits_w()[1] == 150
    host.die()
    host.start()
    look(host)
    assert row(host, 1)["state"] == "safe"
    host.warden.budget_clear()
    look(host)
    assert host.limits_w() == [400, 350, 400, 400]
    assert host.warden.standing() == ()


def test_a_detached_gpu_that_nobody_reset_goes_back_to_what_it_was_also_after_a_death(rig: MakeRig) -> None:
    """Under a budget it was given up at its safe cap, which is no value of the driver's own."""
    host = rig(gpus=4)
    host.settle_s = 3.0
    host.plant.set_power_limit(1, 380.0)
    host.step(1)
    host.warden.budget_set(host.budget(1000, safe_w=150))
    uuid = host.warden.devices[1].uuid
    host.warden.detach(uuid, "somebody", "a reset", host.now_ns, 0.0)
    host.die()
    host.start()
    host.warden.attach(uuid, host.now_ns)
    look(host)
    host.warden.budget_clear()
    look(host)
    assert host.limits_w() == [400, 380, 400, 400]
    assert host.warden.standing() == ()


@pytest.mark.parametrize("has_budget", [True, False])
def test_what_a_warden_wrote_right_after_a_reload_and_before_it_was_killed_is_not_its_owners(
    rig: MakeRig, has_budget: bool
) -> None:
    # Lowering for a budget does not wait for the journal: the entry is of the driver's life before, and void.
    host = rig(gpus=2)
    host.driver = "7"
    host.plant.set_power_limit(0, 380.0)
    host.start()
    host.warden.budget_set(host.budget(400))
    look(host)
    faults = Faults(host.made.plant)
    faults.inject("driver-reload", "host", 0, (), from_s=host.plant.time_s)
    host.driver = "8"
    host.step(2.0)
    faults.close()
    assert host.limits_w() == [150, 150]
    host.die()
    if not has_budget:
        (host.state / "budget.json").unlink()
    host.start()
    look(host)
    if has_budget:
        assert host.limits_w() == [150, 150]
        host.die()
        host.start()
        host.warden.budget_clear()
    look(host)
    assert host.limits_w() == [400, 400], "the driver's own, since it was loaded"
    assert host.warden.standing() == ()
    assert not [alarm for alarm in host.warden.status(host.now_ns)["alarms"] if "somebody else" in alarm]
