"""Three agents of one rack in three network namespaces: real processes, sockets and time; the truth is the plants'.

The budget is less than two working hosts need, so watts must move; and it holds whatever is cut, killed or lost.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eagent.demo.site import Site
from tests.integration.netns import Host as Namespace
from tests.integration.rack import GPUS, LOT_W, NAMEPLATE_W, RESERVE_W, Member, Rack, until

PORT = 7433
NAMES = ("n1", "n2", "n3")
GRANT_W = 1000.0
BUDGET_W = 3 * GRANT_W  # one host at work needs 1300 W, one at rest 700
OPEN_S = 30.0  # two waves of gossip, lowering and raising, on a machine that runs other tests
MOVED_S = 40.0
ALL_W = NAMEPLATE_W - LOT_W  # more than that is all: what is short by less than a lot is not asked for


@pytest.fixture
def rack(netns: Callable[[int], list[Namespace]], sim_host: Callable[..., Any], tmp_path: Path) -> Iterator[Rack]:
    pytest.importorskip("cryptography")
    spaces = dict(zip(NAMES, netns(3), strict=True))
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", {name: f"{space.address}:{PORT}" for name, space in spaces.items()})
    with ExitStack() as stack:
        members = {}
        for name, space in spaces.items():
            members[name] = Member(name, sim_host(gpus=GPUS), site, space.popen)
            stack.callback(members[name].clean_up)
        for member in members.values():
            member.up()
        made = Rack(members, site, spaces)
        assert until(lambda: all(made.lives().values()), OPEN_S), "a host did not begin a life"
        made.sign(1, BUDGET_W, dict.fromkeys(NAMES, GRANT_W), "n1")
        assert until(lambda: stages(made) == ["open"] * 3, OPEN_S), made.told()
        yield made


def stages(rack: Rack) -> list[str]:
    return [member.domain().get("stage", "") for member in rack.members.values()]


def margin_w(rack: Rack, since_s: float) -> float:
    """How far the rack's permission in force stayed below its budget, at the least."""
    return BUDGET_W - max(sum_w for _, sum_w in rack.sums_w(since_s))


def test_watts_go_to_where_the_work_is_and_the_budget_holds_through_cuts_and_deaths(rack: Rack) -> None:
    n1, n2, n3 = rack.members.values()
    began_s = time.monotonic()
    assert rack.sums_w(began_s)[0][1] <= BUDGET_W
    n1.work()
    assert until(lambda: n1.rights_w() > ALL_W, MOVED_S), rack.told()
    print(f"n1 has all that it can use {time.monotonic() - began_s:.1f} s after its work began")

    # n1 is cut off. Watts move between the others; n1's stay with it, though it has no more use for them.
    for name in ("n2", "n3"):
        rack.spaces["n1"].cut(rack.spaces[name])
    cut_w = n1.rights_w()
    n1.rest()
    n2.work()
    assert until(lambda: n3.rights_w() <= RESERVE_W + 60, MOVED_S), rack.told()
    time.sleep(5)
    assert n1.rights_w() >= cut_w > ALL_W
    held_w = n2.rights_w()
    assert held_w < ALL_W

    healed_s = time.monotonic()
    rack.spaces["n1"].heal(rack.spaces["n2"], rack.spaces["n3"])
    assert until(lambda: n2.rights_w() > ALL_W, MOVED_S), rack.told()
    print(f"n2 has all that it can use {time.monotonic() - healed_s:.1f} s after the heal, before {held_w:g} W")
    assert n1.rights_w() < ALL_W
    assert margin_w(rack, began_s) >= 0, rack.sums_w(began_s)

    # An agent dies, a warden dies, and a host loses what it stored: a new life, with its reserve only.
    life = n2.domain()["life"]
    os.kill(n1.pids()["agent"], signal.SIGKILL)
    os.kill(n3.pids()["warden"], signal.SIGKILL)
    os.kill(n2.pids()["agent"], signal.SIGKILL)
    shutil.rmtree(n2.made.dir / "run" / "mesh")
    assert until(lambda: n2.domain().get("life") not in (None, life), OPEN_S)
    assert until(lambda: "" not in stages(rack), OPEN_S)
    assert sum(member.rights_w() for member in rack.members.values()) <= BUDGET_W - (ALL_W - RESERVE_W)
    assert n1.rights_w() > RESERVE_W  # it died, too, but remembers

    # A new table gives the lost life's watts out again.
    rack.sign(2, BUDGET_W, dict.fromkeys(NAMES, GRANT_W), "n3")
    assert until(lambda: [each.domain().get("epoch") for each in rack.members.values()] == [2] * 3, OPEN_S)
    assert until(lambda: n2.rights_w() > GRANT_W, MOVED_S), rack.told()
    assert margin_w(rack, began_s) >= 0, rack.sums_w(began_s)
    assert rack.sums_w(began_s)[-1][1] > 3 * RESERVE_W


# Knows the site's public keys and where everybody is, but its own key is in nobody's roster. Says all it can think of.
STRANGER = """
import asyncio, json, sys, time
from eagent.mesh import codec, keys
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.messages import Ask, Delta, Digest, Gift
from eagent.mesh.records import Payload, Record
from eagent.mesh.roster import Peer, Roster, parse
from eagent.mesh.transport import Transport

roster_file, lives, watts_mw = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
real = parse(open(roster_file).read(), "roster")
pair = keys.make()
name = "n3"  # a name that they know
forged = Roster(99, {**real.hosts, name: Peer("10.77.0.3:7999", pair.public)})
learnt = []

async def main():
    transport = Transport(name, pair.secret, forged)
    await transport.start()
    async def listen():
        while True:
            learnt.append((await transport.receive())[0])
    listening = asyncio.ensure_future(listen())
    standing = Standing("rack", lives[name], 1, Stage.OPEN, "", rights_mw=watts_mw)
    record = Record(name, 2**62, Payload(power_w=12345.0, standings=(standing,)))
    for _ in range(40):
        for peer in lives:
            for message in (
                Digest({}), Digest({name: 2**62}), Delta(((record, 0),), (), tuple(lives)),
                Gift("rack", 1, lives[name], lives.get(peer, ""), watts_mw), Ask("rack", 1, lives[name], watts_mw),
            ):
                transport.send(peer, codec.encode(message))
        await asyncio.sleep(0.1)
    print(json.dumps({"learnt": learnt, "sent": transport.counters.sent}))

asyncio.run(main())
"""


def test_a_peer_with_an_unknown_key_learns_and_changes_nothing(rack: Rack) -> None:
    before = {name: member.domain() for name, member in rack.members.items()}
    roster = rack.site.home("n1") / "roster.toml"
    told = rack.spaces["n3"].python(STRANGER, str(roster), json.dumps(rack.lives()), str(10**6))
    assert told == {"learnt": [], "sent": 0}
    for name, member in rack.members.items():
        after = member.domain()
        assert {key: after[key] for key in ("epoch", "stage", "life", "rights_w")} == {
            key: before[name][key] for key in ("epoch", "stage", "life", "rights_w")
        }
    peers = json.loads(rack["n1"].eagent("mesh", "peers", "--json").stdout)["peers"]
    assert all(peer["power_w"] != 12345.0 for peer in peers)
    assert sum(member.mesh()["transport"]["refused"] for member in rack.members.values()) > 0
