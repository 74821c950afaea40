"""What the warden does about knobs that somebody else writes, in virtual time. The plant's own log is the truth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent.sim._faults import Faults
from eagent.warden import durable
from eagent.warden.server import dispatch
from eagent.wire import encode

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]

NOTICED_S = 2.0
SOMEBODY = 4711
CPU0 = "CPU-0"
TOP_KHZ, CPUS = 3_400_000, 64


def look(host: Any, seconds: float = NOTICED_S) -> None:
    """Let the time pass as a warden's server does: with ticks."""
    for _ in range(round(seconds / 0.2)):
        host.step(0.2)
        host.warden.tick(host.now_ns)


def row(host: Any, gpu: int) -> dict[str, Any]:
    return dict(host.warden.status(host.now_ns)["knobs"][gpu])


def alarms(host: Any) -> list[str]:
    return list(host.warden.status(host.now_ns)["alarms"])


def prior(host: Any, uuid: str, knob: str = "power_limit") -> dict[str, Any]:
    return dict(durable.load(host.state / "journal" / f"{uuid}.{knob}.json") or {})


def held(rig: MakeRig, *limits_w: float, ttl_s: float = 60, **options: Any) -> Any:
    host = rig(gpus=len(limits_w), **options)
    host.lease(*limits_w, ttl_s=ttl_s)
    look(host, 1)
    return host


# ---- power limits of GPUs --------------------------------------------------------------------------------------------


def test_a_foreign_limit_is_noticed_told_and_left_alone(rig: MakeRig) -> None:
    host = held(rig, 250, 250)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    told = row(host, 0)
    assert (told["state"], told["requested_mw"], told["ours_mw"], told["baseline_mw"]) == (
        "foreign",
        300_000,
        250_000,
        300_000,
    )
    assert (told["foreign"]["count"], told["foreign"]["value"], told["foreign"]["before"], told["foreign"]["fate"]) == (
        *(1, 300_000, 250_000),
        "stands",
    )
    assert host.now_ns - NOTICED_S * 1e9 <= told["foreign"]["at_ns"] <= host.now_ns
    (line,) = [each for each in alarms(host) if "by somebody else" in each]
    assert line.startswith("gpu0: power limit: changed by somebody else ")
    assert line.endswith(
        " s ago, to 300 W, ours would be 250 W: respected; `eagent restore`, a pin or a new budget takes it back"
    )
    host.lease(200, 200)
    look(host, 5)
    assert host.limits_w() == [300, 400]  # that lease has ended, too
    assert row(host, 1)["foreign"] is None
    look(host, 60)
    assert not any("by somebody else" in each for each in alarms(host))
    assert row(host, 0)["state"] == "foreign"


def test_what_the_owner_set_right_before_a_lease_is_what_it_goes_back_to_and_keeps_nobody_from_it(rig: MakeRig) -> None:
    host = rig(gpus=1)
    look(host, 3)
    host.plant.set_power_limit(0, 220.0)  # after the loop's last look, which found it at 400 W
    host.lease(400, ttl_s=2)
    look(host, 1)
    assert host.limits_w() == [400]
    assert not [each for each in alarms(host) if "by somebody else" in each]
    look(host, 2)
    assert host.limits_w() == [220]


def test_what_was_respected_is_what_the_limit_goes_back_to(rig: MakeRig, journalled: Journalled) -> None:
    host = held(rig, 250)
    uuid = host.warden.devices[0].uuid
    host.plant.set_power_limit(0, 300.0)
    look(host)
    assert (prior(host, uuid)["prior"], prior(host, uuid)["owner"]) == (300_000, "foreign")
    host.warden.release()
    look(host)
    assert (host.limits_w(), journalled(host.state)) == ([300], 0)  # nothing is to be put back ...
    host.lease(250)
    look(host)
    assert (host.limits_w(), row(host, 0)["state"], prior(host, uuid)["owner"]) == ([300], "foreign", "foreign")
    host.warden.yield_clear()  # ... but it is left alone until this
    look(host, 0.4)
    assert (host.limits_w(), prior(host, uuid)["prior"]) == ([250], 300_000)


def test_it_is_ours_again_when_it_is_moved_back(rig: MakeRig, journalled: Journalled) -> None:
    host = held(rig, 250)
    for limit_w in (300.0, 310.0, 250.0):
        host.plant.set_power_limit(0, limit_w)
        look(host)
    told = row(host, 0)
    assert (told["state"], told["foreign"]["fate"], told["foreign"]["count"]) == ("leased", "moved back", 2)
    assert told["baseline_mw"] == 400_000  # an undone write is none
    host.warden.release()
    look(host)
    assert (host.limits_w(), journalled(host.state)) == ([400], 0)


def test_it_is_ours_again_when_it_is_taken_back(rig: MakeRig) -> None:
    host = held(rig, 250, 250)
    first = host.warden.devices[0].uuid
    for gpu in (0, 1):
        host.plant.set_power_limit(gpu, 300.0)
    look(host)
    packet = encode({"op": "yield_clear", "uuids": [first]})
    assert dispatch(host.warden, packet, host.now_ns) == {"ok": True}
    look(host, 0.4)
    assert host.limits_w() == [250, 300]
    assert prior(host, first)["owner"] == "lease"
    assert dispatch(host.warden, encode({"op": "yield_clear"}), host.now_ns) == {"ok": True}
    look(host, 0.4)
    assert host.limits_w() == [250, 250]
    host.warden.release()
    look(host)
    assert host.limits_w() == [300, 300]


@pytest.mark.parametrize("uuids", [[3], [None], "all", {"a": 1}])
def test_a_request_to_take_back_that_makes_no_sense_is_refused(rig: MakeRig, uuids: Any) -> None:
    host = held(rig, 250)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    answer = dispatch(host.warden, encode({"op": "yield_clear", "uuids": uuids}), host.now_ns)
    assert (answer["ok"], host.limits_w()) == (False, [300])


def test_a_respected_limit_outlives_kill_9(rig: MakeRig) -> None:
    host = held(rig, 250, 250)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    host.start()
    look(host)
    assert (host.limits_w(), row(host, 0)["state"]) == ([300, 400], "foreign")
    host.lease(250, 250)
    look(host)
    assert host.limits_w() == [300, 250]
    host.die()
    host.plant.set_power_limit(0, 310.0)  # while nobody looks
    host.start()
    host.lease(250, 250)
    look(host)
    assert (host.limits_w(), row(host, 0)["baseline_mw"]) == ([310, 250], 310_000)


def test_with_overrule_it_is_written_again_and_where_it_goes_back_to_stays(rig: MakeRig) -> None:
    host = held(rig, 250, foreign="overrule")
    host.plant.set_power_limit(0, 300.0)
    look(host)
    told = row(host, 0)
    assert (host.limits_w(), told["state"], told["baseline_mw"]) == ([250], "leased", 400_000)
    assert (told["foreign"]["count"], told["foreign"]["fate"]) == (1, "overruled")
    assert alarms(host)[0].endswith(" s ago, to 300 W, and overruled")


def test_with_report_it_stands_until_the_next_change_of_ours(rig: MakeRig) -> None:
    host = held(rig, 250, foreign="report")
    host.plant.set_power_limit(0, 300.0)
    look(host)
    told = row(host, 0)
    assert (host.limits_w(), told["state"], told["baseline_mw"]) == ([300], "foreign", 400_000)
    assert alarms(host)[0].endswith("to 300 W, ours would be 250 W: that stands until eagent's own wish changes")
    host.lease(240, ttl_s=1)
    look(host, 0.4)
    assert host.limits_w() == [240]
    look(host)
    assert host.limits_w() == [400]


def test_a_journal_that_can_t_be_written_costs_the_foreign_limit_nothing(rig: MakeRig) -> None:
    host = held(rig, 250)
    journal, away = host.state / "journal", host.state / "away"
    journal.rename(away)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    assert (host.limits_w(), row(host, 0)["baseline_mw"]) == ([300], 400_000)
    assert any("what somebody else has set can't be journalled: No such file" in line for line in alarms(host))
    away.rename(journal)
    look(host, 0.4)
    assert row(host, 0)["baseline_mw"] == 300_000
    assert not any("journalled" in line for line in alarms(host))


def test_a_limit_that_is_in_no_lease_is_its_owners_and_nothing_to_tell(rig: MakeRig) -> None:
    host = rig(gpus=1)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    assert (row(host, 0)["state"], row(host, 0)["foreign"], alarms(host)) == ("baseline", None, [])


@pytest.mark.parametrize("kind", ["gpu-reset", "settings-dropped"])
def test_what_the_driver_forgets_is_nobodys_any_more(rig: MakeRig, journalled: Journalled, kind: str) -> None:
    host = held(rig, 250, 250)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    with closing(Faults(host.made.plant)) as faults:
        faults.inject(kind, "gpu", 0, (), from_s=host.plant.time_s)
    look(host, 3)
    assert (host.limits_w(), row(host, 0)["foreign"]["fate"]) == ([250, 250], "forgotten by the driver")
    assert prior(host, host.warden.devices[0].uuid)["owner"] == "lease"
    host.warden.release()
    look(host, 3)
    assert (host.limits_w(), journalled(host.state)) == ([400, 400], 0)


# ---- under a budget --------------------------------------------------------------------------------------------------


def budgeted(rig: MakeRig, envelope_w: float, *limits_w: float, **options: Any) -> Any:
    host = rig(gpus=len(limits_w), **options)
    assert host.warden.budget_set(host.budget(envelope_w))["in_force"]
    host.lease(*limits_w, ttl_s=60)
    look(host, 2)
    assert host.limits_w() == list(limits_w)
    return host


def test_what_a_foreign_lowering_frees_may_be_leased_to_others(rig: MakeRig) -> None:
    host = budgeted(rig, 600, 300, 300)
    host.plant.set_power_limit(0, 200.0)
    look(host)
    host.lease(200, 400, ttl_s=60)
    look(host)
    assert (host.limits_w(), row(host, 0)["state"]) == ([200, 400], "foreign")


def test_a_foreign_raise_lowers_the_others_and_stands(rig: MakeRig) -> None:
    host = budgeted(rig, 800, 200, 300, 300)
    written = len(host.plant.limit_log())
    host.plant.set_power_limit(0, 300.0)
    look(host)
    assert host.limits_w() == [300, 250, 250]
    assert [gpu for _, gpu, *_ in host.plant.limit_log()[written:]] == [0, 1, 2]  # theirs, then ours
    told = [row(host, gpu) for gpu in range(3)]
    assert [each["ours_mw"] for each in told] == [200_000, 250_000, 250_000]
    assert not any("above the budget" in line for line in alarms(host))


def test_a_foreign_raise_that_there_is_no_room_for_is_overruled_and_told(rig: MakeRig) -> None:
    host = budgeted(rig, 500, 150, 200, 150)
    host.plant.set_power_limit(0, 201.0)
    look(host)
    assert host.limits_w() == [150, 200, 150]
    assert (row(host, 0)["state"], row(host, 0)["foreign"]["fate"]) == ("leased", "overruled")
    assert alarms(host)[0].endswith(
        "to 201 W, and overruled: the budget has no room for it, and was exceeded until then"
    )
    assert row(host, 0)["baseline_mw"] == 400_000


def test_a_budget_outlives_the_warden_that_respected_a_raise_under_it(rig: MakeRig) -> None:
    host = budgeted(rig, 800, 200, 300, 300)
    host.plant.set_power_limit(0, 300.0)
    look(host)
    host.start()
    look(host)
    assert (host.limits_w(), row(host, 0)["state"]) == ([300, 150, 150], "foreign")
    assert host.warden.budget_set(host.budget(599))["in_force"]
    look(host, 0.4)
    assert (host.limits_w(), row(host, 0)["foreign"]["fate"]) == ([150, 150, 150], "overruled")


# ---- CPUs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cpus(rig: MakeRig) -> Any:
    host = rig(gpus=1, sysfs=True)
    host.warden.lease({}, 60, host.now_ns, {CPU0: 1500}, {CPU0: "balance_power"})
    look(host, 1)
    return host


def clock_row(host: Any) -> dict[str, Any]:
    return next(dict(each) for each in host.warden.status(host.now_ns)["clocks"] if each["uuid"] == CPU0)


@pytest.mark.parametrize("khz", [2_500_000, 1_200_000])
def test_a_foreign_ceiling_is_left_alone_and_what_its_core_goes_back_to(
    cpus: Any, journalled: Journalled, khz: int
) -> None:
    host = cpus
    host.plant.set_cpu_max_khz(3, khz)
    look(host, 2.4)
    assert host.plant.cpu_view(3)["max_khz"] == khz
    told = clock_row(host)
    assert (told["state"], told["foreign"]["count"], told["foreign"]["value"], told["foreign"]["fate"]) == (
        *("foreign", 1, khz // 1000),
        "stands",
    )
    assert any("cpu0: frequency ceiling: changed by somebody else" in a and "respected" in a for a in alarms(host))
    host.warden.lease({}, 60, host.now_ns, {CPU0: 1000}, {CPU0: "balance_power"})
    look(host)
    assert [host.plant.cpu_view(cpu)["max_khz"] for cpu in (2, 3, 4)] == [1_000_000, khz, 1_000_000]
    host.warden.release()
    look(host)
    assert [host.plant.cpu_view(cpu)["max_khz"] for cpu in (2, 3, 4)] == [TOP_KHZ, khz, TOP_KHZ]
    host.warden.yield_clear()
    look(host)
    assert (host.plant.cpu_view(3)["max_khz"], journalled(host.state)) == (khz, 0)


def test_a_ceiling_that_is_moved_back_is_ours_again(cpus: Any, journalled: Journalled) -> None:
    host = cpus
    for khz in (2_500_000, 1_500_000):
        host.plant.set_cpu_max_khz(3, khz)
        look(host)
    assert (clock_row(host)["state"], clock_row(host)["foreign"]["fate"]) == ("leased", "moved back")
    host.warden.release()
    look(host)
    assert (host.plant.cpu_view(3)["max_khz"], journalled(host.state)) == (TOP_KHZ, 0)


def test_a_foreign_preference_is_left_alone_until_it_is_taken_back(cpus: Any) -> None:
    host = cpus
    before = host.plant.cpu_view(3)["epp"]
    path = next(Path(host.sysfs).glob("devices/system/cpu/cpufreq/policy3/energy_performance_preference"))
    path.write_text("performance")
    look(host)
    other = host.plant.cpu_view(3)["epp"]
    told = host.warden.status(host.now_ns)["preferences"][0]
    assert (told["state"], told["foreign"]["value"], other != before) == ("foreign", "performance", True)
    look(host, 3)
    assert host.plant.cpu_view(3)["epp"] == other
    host.warden.yield_clear()
    look(host)
    assert host.plant.cpu_view(3)["epp"] == before
    host.warden.release()
    look(host)
    assert path.read_text().strip() == "performance"


def test_a_respected_ceiling_outlives_kill_9_and_the_other_cores_go_back(cpus: Any) -> None:
    host = cpus
    host.plant.set_cpu_max_khz(3, 2_500_000)
    look(host)
    host.start()
    look(host, 3)
    assert [host.plant.cpu_view(cpu)["max_khz"] for cpu in (2, 3, 4)] == [TOP_KHZ, 2_500_000, TOP_KHZ]
    assert clock_row(host)["state"] == "foreign"


def test_a_foreign_limit_of_a_package_is_left_alone_in_both_its_terms(rig: MakeRig) -> None:
    host = rig(gpus=1, sysfs=True)
    host.warden.lease({CPU0: 200_000}, 60, host.now_ns)
    look(host, 1)
    host.plant.set_rapl_limit_uw(0, 0, 150_000_000)
    look(host)
    assert list(host.plant.rapl_view(0)["limit_uw"]) == [150_000_000, 200_000_000]
    assert sorted(prior(host, CPU0)["texts"].values()) == ["150000000", "200000000"]
    host.warden.release()
    look(host)
    assert list(host.plant.rapl_view(0)["limit_uw"]) == [150_000_000, 200_000_000]


# ---- any course ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_course_ends_at_the_last_respected_value_or_the_prior_one(rig: MakeRig, data: st.DataObject) -> None:
    host = rig(gpus=2)
    expected_w = [400.0, 400.0]
    for _ in range(data.draw(st.integers(1, 8))):
        act = data.draw(st.sampled_from(["lease", "release", "intrude", "die", "take back"]))
        if act == "lease":
            host.lease(*data.draw(st.lists(st.integers(100, 399), min_size=2, max_size=2)), ttl_s=30)
        elif act == "release":
            host.warden.release()
        elif act == "intrude":
            gpu, limit_w = data.draw(st.integers(0, 1)), data.draw(st.sampled_from([120.5, 333.5]))
            host.plant.set_power_limit(gpu, limit_w)
            expected_w[gpu] = limit_w
        elif act == "die":
            host.start()
        else:
            host.warden.yield_clear()
        look(host, 2.4)
    host.warden.release()
    host.warden.yield_clear()
    look(host, 2.4)
    assert host.limits_w() == expected_w
    assert not list((host.state / "journal").glob("*.json"))
