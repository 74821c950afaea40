"""The front door of simulated hosts, whose clock stands still unless a test lets it go on."""

from __future__ import annotations

import pytest

from eagent.demo.door import ROOM, Door
from eagent.demo.rack import BOOT_S, GPUS, RackHost
from eagent.errors import DriverError
from eagent.sim.trace import Request
from tests.demo.conftest import RackMaker

FULL = ROOM * GPUS


def requests(count: int, every_s: float = 0.0, tokens: int = 20) -> tuple[Request, ...]:
    return tuple(Request(every_s * number, 100, tokens) for number in range(count))


def door_of(hosts: dict[str, RackHost], given: tuple[Request, ...]) -> Door:
    for host in hosts.values():
        host.start_engines()
    return Door(hosts, given, {name: host.plant.time_s for name, host in hosts.items()})


def go_on(hosts: dict[str, RackHost], to_s: float) -> None:
    for host in hosts.values():
        host.plant.advance(to_s)


def sent(hosts: dict[str, RackHost]) -> list[int]:
    return [len(host.plant.served()) for host in hosts.values()]


def test_a_second_host_comes_in_when_the_first_is_full(rack: RackMaker) -> None:
    hosts = rack(2)
    door_of(hosts, requests(FULL + 3)).open(0.0)
    assert sent(hosts) == [FULL, 3]


def test_when_all_are_full_the_one_with_the_least_to_do_gets_the_next(rack: RackMaker) -> None:
    hosts = rack(2)
    door_of(hosts, requests(2 * FULL + 4)).open(0.0)
    assert sent(hosts) == [FULL + 2, FULL + 2]


def test_the_gpus_of_a_host_get_the_same(rack: RackMaker) -> None:
    hosts = rack(1)
    door_of(hosts, requests(2 * GPUS, tokens=400)).open(0.0)
    go_on(hosts, 1.0)
    assert [hosts["n1"].plant.view(gpu)["gpu_utilisation_pct"] > 0 for gpu in range(GPUS)] == [True] * GPUS


def test_a_request_is_sent_when_its_time_has_come_and_once(rack: RackMaker) -> None:
    hosts = rack(1)
    door = door_of(hosts, requests(3, every_s=1.0))
    counts = []
    for elapsed_s in (0.0, 0.9, 1.0, 5.0, 5.0):
        door.open(elapsed_s)
        counts.append(sum(sent(hosts)))
    assert counts == [1, 1, 2, 3, 3]


def test_the_time_that_a_request_waits_at_the_door_is_part_of_its_latency(rack: RackMaker) -> None:
    hosts = rack(1)
    go_on(hosts, 10.0)  # the trace begins then
    door = door_of(hosts, requests(1, tokens=1))
    go_on(hosts, 17.0)
    door.open(7.0)
    go_on(hosts, 27.0)
    door.open(17.0)
    assert door.is_done
    ((arrival_s, first_token_s, done_s),) = door.served()
    assert arrival_s == 0.0
    assert first_token_s is not None
    assert done_s is not None
    assert 7.0 < first_token_s <= done_s < 8.0


def test_what_is_not_answered_has_no_time(rack: RackMaker) -> None:
    hosts = rack(1)
    door = door_of(hosts, (Request(0.5, 100, 20),))
    door.open(0.5)
    assert not door.is_done
    assert door.served() == [(0.5, None, None)]


def test_a_host_that_is_off_gets_nothing_and_requests_wait_for_one_that_serves(rack: RackMaker) -> None:
    hosts = rack(1)
    door = door_of(hosts, requests(2))
    hosts["n1"].bmc.switch_off()
    door.open(1.0)
    assert (sent(hosts), door.is_done) == ([0], False)
    hosts["n1"].bmc.switch_on()
    go_on(hosts, BOOT_S + 1.0)
    door.open(BOOT_S + 1.0)
    assert sent(hosts) == [0]  # it is on, and no engine runs
    hosts["n1"].start_engines()
    door.open(BOOT_S + 1.0)
    go_on(hosts, BOOT_S + 9.0)
    door.open(BOOT_S + 9.0)
    assert (sent(hosts), door.answered, door.is_done) == ([2], 2, True)


def test_requests_that_a_host_did_not_take_because_it_went_off_just_then_go_to_another(
    rack: RackMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = rack(2)
    door = door_of(hosts, requests(FULL + 1))
    cut = hosts["n1"].bmc.switch_off
    with monkeypatch.context() as patched:
        patched.setattr(RackHost, "serves", property(lambda host: (cut(), True)[1] if host.name == "n1" else True))
        door.open(0.0)
    assert sent(hosts) == [0, 1]
    door.open(0.1)
    go_on(hosts, 30.0)
    door.open(30.0)
    assert (sent(hosts), door.answered, door.lost, door.is_done) == ([0, FULL + 1], FULL + 1, 0, True)


def test_what_a_host_loses_is_not_called_answered(rack: RackMaker) -> None:
    hosts = rack(1)
    door = door_of(hosts, requests(3))
    door.open(0.0)
    hosts["n1"].bmc.switch_off()
    door.open(0.1)
    assert (door.answered, door.lost, door.is_done) == (0, 3, True)
    assert [done_s for _, _, done_s in door.served()] == [None] * 3


def test_the_plant_refuses_what_is_sent_to_a_host_that_is_off(rack: RackMaker) -> None:
    (host,) = rack(1).values()
    host.start_engines()
    host.bmc.switch_off()
    with pytest.raises(DriverError):
        host.plant.add_requests(0.0, [(0.0, 0, 1, 1)])
