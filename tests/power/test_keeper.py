import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from eagent.engines.power.adapter import PowerState
from eagent.engines.power.role import Event
from eagent.errors import InputError, RefusedError
from eagent.mesh import documents
from eagent.mesh.epoch import Off, Stage
from eagent.mesh.records import Power
from eagent.power import record
from eagent.power.service import Service
from tests.api import described
from tests.power.conftest import ACT, Site, go
from tests.power.site import standing, table, told


def test_a_host_that_yields_is_switched_off_and_the_mesh_is_told(site: Site) -> None:
    async def course() -> None:
        await site.step(5)
        assert site.calls == []
        await site.put_to_sleep("n2")

    go(course())
    assert site.calls == [("n2", "off")]
    assert site.keeper.node.observed.asleep == ("n2",)


def test_observing_switches_nothing_records_nothing_and_plans_it(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(ACT, act=False))

    async def course() -> None:
        site.hear_yielded("n2")
        await site.step(3)
        await site.keeper.certify()

    go(course())
    plan = Service(site.keeper, b"").plan()
    assert (site.calls, site.keeper.durable.path.read_text(), site.looked) == ([], "", [])
    steps = {host["host"]: (host["step"], host["because"]) for host in plan["hosts"]}
    assert steps["n2"] == ("sleep", "it has yielded and is not needed")
    assert steps["n1"] == ("none", "it says that it is awake")
    assert (plan["acts"], plan["sleep_told_w"], plan["sleep_not_told"]) == (False, 250.0, 0)
    for ask in (site.keeper.wake, site.keeper.sleep):
        with pytest.raises(RefusedError, match='mode = "observe"'):
            ask("n2", "root", "why")


def test_while_it_is_halted_nothing_is_begun(site: Site) -> None:
    async def course() -> None:
        site.halted = "storm"
        site.hear_yielded("n2")
        await site.step(3)
        for ask in (site.keeper.wake, site.keeper.sleep):
            with pytest.raises(RefusedError, match="nothing is switched: storm"):
                ask("n2", "root", "why")
        assert site.calls == []
        assert Service(site.keeper, b"").status()["halted"] == "storm"
        site.halted = None
        await site.step()

    go(course())
    assert site.calls == [("n2", "off")]


def test_observing_it_looks_at_nobody_and_certifies_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(ACT, act=False))
    site.states["n3"] = PowerState.OFF
    site.bring(table(epoch=2))
    seal(site, "n1", "n2")
    del site.keeper.node.gossip.records["n3"]
    go(site.keeper.certify())
    assert (site.looked, site.certificates()) == ([], [])


def test_a_beginning_that_can_not_be_made_durable_is_not_begun(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    async def course() -> None:
        monkeypatch.setattr(record.os, "fsync", full)
        site.hear_yielded("n2")
        await site.step()
        assert site.keeper.role.untold > 0
        monkeypatch.undo()

    go(course())
    assert (site.calls, site.keeper.asleep) == ([], ())


def test_of_all_who_yield_enough_stay_awake_and_the_last_in_order_sleep_first(site: Site) -> None:
    async def course() -> None:
        for host in ("n1", "n2", "n3"):
            site.hear_yielded(host)
        await site.step(3)

    go(course())
    assert site.calls == [("n3", "off"), ("n2", "off")]


def test_no_more_are_switched_in_a_minute_than_the_rules_allow_and_nothing_waits_in_the_record(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(ACT, switches_per_minute=1))

    async def course() -> None:
        site.hear_yielded("n2")
        site.hear_yielded("n3")
        await site.step(30)
        assert site.calls == [("n3", "off")]
        assert {entry.wish.host for entry in site.keeper.role.record} == {"n3"}
        await site.step(35)

    go(course())
    assert site.calls == [("n3", "off"), ("n2", "off")]


def test_work_for_most_of_the_devices_wakes_a_sleeper_after_a_while(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n3")
        site.hear_busy("n1", "n2")
        await site.step(10)
        assert site.calls == [("n3", "off")]
        await site.step(3)

    go(course())
    assert site.calls == [("n3", "off"), ("n3", "on")]
    assert site.keeper.node.observed.asleep == ()
    assert "rack is 100% busy: 8 of 8 devices" in site.keeper.role.record[-2].wish.why


def test_while_the_power_of_the_first_is_still_read_the_next_is_not_woken_either(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2", "n3")
        answered = asyncio.Event()
        state = site.state

        async def slow(host: str) -> PowerState:
            await answered.wait()
            return await state(host)

        site.state = slow  # type: ignore[method-assign]
        site.hear_busy("n1")
        for _ in range(15):
            site.now_ns += 10**9
            site.hear_anew()
            site.keeper.step()
            await asyncio.sleep(0)
        answered.set()
        await site.keeper.role.settled()

    go(course())
    assert site.calls[2:] == [("n2", "on")]


def test_the_next_sleeper_is_woken_when_the_first_is_heard_of_or_its_time_is_over(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2", "n3")
        site.mute.add("n2")  # it will take its time to boot
        site.hear_busy("n1")
        await site.step(60)
        assert site.calls[2:] == [("n2", "on")]
        assert site.keeper.waking == ("n2",)
        site.mute.clear()
        site.hear_busy("n2")
        await site.step(15)

    go(course())
    assert site.calls[2:] == [("n2", "on"), ("n3", "on")]


def test_a_host_that_is_not_heard_of_in_its_time_holds_up_nobody(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2", "n3")
        site.mute.add("n2")
        site.hear_busy("n1")
        await site.step(605)
        assert site.calls[2:] == [("n2", "on")]
        await site.step(20)

    go(course())
    assert site.calls[2:] == [("n2", "on"), ("n3", "on")]


def test_a_sleeper_whose_bmc_is_silent_is_passed_over_for_the_next_one(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2", "n3")
        site.silent.add("n2")
        site.hear_busy("n1")
        await site.step(20)

    go(course())
    assert site.calls[2:] == [("n3", "on")]
    failed = [entry for entry in site.keeper.role.record if entry.event is Event.FAILED]
    assert [entry.wish.host for entry in failed] == ["n2"]


def test_a_host_that_says_that_it_is_awake_keeps_its_power_though_it_was_asked_to_shut_down(site: Site) -> None:
    async def course() -> None:
        site.slow = asyncio.Event()
        site.hear_yielded("n2")
        site.now_ns += 1
        site.keeper.step()
        await asyncio.sleep(0.01)
        assert site.calls == [("n2", "off")]
        site.keeper.step()  # the record that it consented with takes nothing back
        assert not any(entry.event is Event.WITHDRAWN for entry in site.keeper.role.record)
        site.now_ns += 10**9
        site.hear(told("n2", standing("n2", site.rack), now_ns=site.now_ns, age_s=0))
        site.keeper.step()
        await site.keeper.role.settled()

    go(course())
    assert site.states["n2"] is PowerState.ON
    assert (site.keeper.role.record[-1].event, site.keeper.role.record[-1].detail) == (
        Event.WITHDRAWN,
        "it says that it is awake",
    )
    assert site.keeper.asleep == ()


def test_a_host_that_goes_silent_while_it_shuts_down_is_switched_off_all_the_same(site: Site) -> None:
    async def course() -> None:
        site.slow = asyncio.Event()
        site.hear_yielded("n2")
        site.now_ns += 1
        site.keeper.step()
        for _ in range(40):
            site.now_ns += 10**9
            await asyncio.sleep(0)
            site.keeper.step()
        site.slow.set()
        await site.keeper.role.settled()

    go(course())
    assert site.keeper.asleep == ("n2",)


# Restart


def test_a_new_process_reads_the_power_of_those_whom_the_record_says_asleep(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2", "n3")
        site.keeper.durable.close()
        site.states["n3"] = PowerState.ON  # by a person, meanwhile
        site.begin()
        assert site.keeper.asleep == ()  # not by the file alone
        await site.keeper.look()
        assert site.keeper.asleep == ("n2",)
        site.now_ns += 100 * 10**9
        await site.keeper.look()

    go(course())
    assert set(site.keeper.durable.sleepers) == {"n2"}
    assert '"found on"' in site.keeper.durable.path.read_text()


def test_what_was_begun_when_the_process_died_is_found_out(site: Site) -> None:
    async def course() -> None:
        site.slow = asyncio.Event()
        site.hear_yielded("n2")
        site.now_ns += 1
        site.keeper.step()
        await asyncio.sleep(0.01)
        site.keeper.durable.close()  # and then nothing more is written, as after kill -9
        site.begin()
        await site.keeper.look()
        assert site.keeper.asleep == ()
        assert set(site.keeper.durable.sleepers) == {"n2"}  # it may still go off
        site.states["n2"] = PowerState.OFF
        await site.keeper.look()
        assert site.keeper.asleep == ("n2",)

    go(course())


def test_a_silent_bmc_makes_nobody_asleep_and_nobody_awake(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2")
        site.silent.add("n2")
        await site.keeper.look()
        assert site.keeper.asleep == ("n2",)  # as it was read last
        site.keeper.durable.close()
        site.begin()
        await site.keeper.look()

    go(course())
    assert site.keeper.asleep == ()
    assert set(site.keeper.durable.sleepers) == {"n2"}


# A person


def test_a_person_wakes_a_host_and_rule_9_makes_it_wait(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n2")
        site.bring(table(epoch=2))
        answer = site.keeper.wake("n2", "root", "maintenance")
        assert answer == "it waits: table rack 2 is not complete yet"
        await site.step(3)
        assert site.calls == [("n2", "off")]
        site.hear(told("n1", standing("n1", site.rack), now_ns=site.now_ns))
        await site.step()

    go(course())
    assert site.calls == [("n2", "off"), ("n2", "on")]
    assert site.keeper.wanted == {}


def test_a_person_puts_a_host_to_sleep_only_with_its_consent(site: Site) -> None:
    async def course() -> None:
        with pytest.raises(RefusedError, match="n2: it says that it is awake"):
            site.keeper.sleep("n2", "root", "why")
        with pytest.raises(InputError, match="n9: not a host that can be switched from here"):
            site.keeper.sleep("n9", "root", "why")
        site.hear_busy("n1")
        site.hear_busy("n3")
        site.hear_yielded("n2")
        await site.step()
        assert site.calls == []  # the others are too busy
        assert site.keeper.sleep("n2", "root", "why") == "it is being switched off"
        await site.keeper.role.settled()

    go(course())
    assert site.calls == [("n2", "off")]


# Certificates


def seal(site: Site, *hosts: str) -> None:
    for host in hosts:
        own = standing(host, site.rack, stage=Stage.SEALED)
        site.hear(told(host, own, now_ns=site.now_ns, age_s=0))


def test_a_table_that_waits_for_a_sleeper_is_certified_after_two_looks(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n3")
        await site.step(65)
        site.bring(table(epoch=2))
        seal(site, "n1")
        await site.keeper.certify()
        assert site.certificates() == []  # n2 has not sealed yet, and speaks
        seal(site, "n2")
        site.looked.clear()
        await site.keeper.certify()
        await site.keeper.certify()  # it is given once

    go(course())
    (document,) = site.certificates()
    certificate = documents.read(document, b"", site.signer.public_key)
    assert isinstance(certificate, Off)
    assert (certificate.hosts, site.looked) == (("n3",), ["n3", "n3"])


@pytest.mark.parametrize("second", [PowerState.ON, PowerState.UNKNOWN])
def test_a_host_that_is_not_off_at_the_second_look_is_not_certified(site: Site, second: PowerState) -> None:
    async def course() -> None:
        await site.put_to_sleep("n3")
        await site.step(65)
        site.bring(table(epoch=2))
        seal(site, "n1", "n2")
        answers = iter([PowerState.OFF, second])

        async def state(host: str) -> PowerState:  # noqa: ARG001
            return next(answers)

        site.state = state  # type: ignore[method-assign]
        await site.keeper.certify()

    go(course())
    assert site.certificates() == []


def test_what_others_say_after_the_look_began_does_not_count(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n3")
        await site.step(65)
        site.bring(table(epoch=2))
        seal(site, "n1", "n2")

        async def state(host: str) -> PowerState:
            own = standing("n2", site.rack, stage=Stage.SEALED, life="another")
            site.hear(told("n2", own, now_ns=site.now_ns))
            return site.states[host]

        site.state = state  # type: ignore[method-assign]
        await site.keeper.certify()
        (first,) = site.certificates()
        await site.keeper.certify()  # the roll fits no more: another look
        (second,) = site.certificates()
        assert second.number == first.number + 1

    go(course())


# Status


def test_status_tells_who_sleeps_and_what_a_domain_waits_for(site: Site) -> None:
    async def course() -> None:
        await site.put_to_sleep("n3")
        site.bring(table(epoch=2))
        seal(site, "n1")
        site.hear(told("n2", standing("n2", table()), power=Power.YIELDING, power_w=None, now_ns=site.now_ns))

    go(course())
    status = Service(site.keeper, b"\x01\x02").status()
    assert (status["name"], status["acts"], status["power_key"], status["stopped"]) == ("mgmt", True, "0102", False)
    hosts = {host["host"]: host for host in status["hosts"]}
    assert (hosts["n3"]["asleep"], hosts["n3"]["state"]) == (True, "off")
    assert (hosts["n2"]["says"], hosts["n2"]["told_w"], hosts["n2"]["asleep"]) == ("yielding", None, False)
    (domain,) = status["domains"]
    assert (domain["epoch"], domain["complete"], domain["waits_for"], domain["awake"]) == (2, False, ["n2", "n3"], 2)


def test_what_is_told_is_what_the_api_describes(site: Site) -> None:
    told = described.shut(described.POWER)
    service = Service(site.keeper, b"\x01\x02")

    def check() -> None:
        for route, answer in (("GET /v1/status", service.status()), ("GET /v1/plan", service.plan())):
            assert described.problems(told, described.answer_of(told, route), answer) == []

    check()

    async def course() -> None:
        await site.put_to_sleep("n3")
        check()
        service.wake("n3", "root", "a test")
        await site.step()

    go(course())
    check()


def test_after_failures_a_person_resumes(site: Site) -> None:
    async def course() -> None:
        site.silent.add("n3")
        for _ in range(10):
            site.hear_yielded("n3")
            await site.step()

    go(course())
    service = Service(site.keeper, b"")
    assert service.status()["stopped"]
    assert "3 switchings in a row have failed" in {h["host"]: h["because"] for h in service.plan()["hosts"]}["n3"]
    assert service.resume("root") == {"failures": 3}
    assert not service.status()["stopped"]
