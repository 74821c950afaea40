"""Three hosts of a mesh in three network namespaces: cut, unplugged, killed, and back. Real processes, TCP and time."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from eagent.mesh import keys
from eagent.mesh.bounds import Bounds
from tests.integration.netns import Host

PORT = 7433
PERIOD_S = 0.05
START_S = 30.0  # three interpreters, on a machine that runs other tests
BACK_S = 8.0  # to hear each other again: at worst one attempt to connect (2 s) and one pause (2 s), and that machine
BOUNDS = Bounds()
SLACK_S = 1.0

# Tells everybody the time, twenty times a second, and writes down when it has heard whom tell which time.
PROGRAM = """
import asyncio, json, sys, time
from eagent.mesh.roster import Peer, Roster
from eagent.mesh.transport import Transport

name, period_s, log = sys.argv[1], float(sys.argv[2]), open(sys.argv[3], "a", buffering=1)
site = json.load(sys.stdin)
roster = Roster(1, {host: Peer(address, key) for host, (address, key) in site["hosts"].items()})

async def main():
    transport = Transport(name, site["secret"], roster)
    await transport.start()
    async def tell():
        while True:
            for peer in roster.hosts:
                transport.send(peer, repr(time.monotonic()).encode())
            await asyncio.sleep(period_s)
    telling = asyncio.ensure_future(tell())
    while True:
        peer, payload = await transport.receive()
        log.write(f"{time.monotonic()} {peer} {payload.decode()}\\n")

asyncio.run(main())
"""

Pair = tuple[str, str]  # speaker, hearer


class Mesh:
    """The hosts and what each has heard. Times are of the kernel's monotonic clock, which all processes share."""

    def __init__(self, hosts: list[Host], directory: Path) -> None:
        self.hosts = {f"n{number}": host for number, host in enumerate(hosts, 1)}
        self.pairs: set[Pair] = set(itertools.permutations(self.hosts, 2))
        self.keys = {name: keys.make() for name in self.hosts}
        self.logs = {name: directory / f"{name}.log" for name in self.hosts}
        self.processes = {name: self.start(name) for name in self.hosts}
        self.await_heard(self.pairs, time.monotonic(), START_S)

    def start(self, name: str) -> subprocess.Popen[str]:
        self.logs[name].touch()
        roster = {other: (f"{host.address}:{PORT}", self.keys[other].public) for other, host in self.hosts.items()}
        command = [sys.executable, "-c", PROGRAM, name, str(PERIOD_S), str(self.logs[name])]
        process = self.hosts[name].popen(*command, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        with process.stdin as site:
            json.dump({"hosts": roster, "secret": self.keys[name].secret}, site)
        return process

    def kill(self, name: str) -> None:
        """`kill -9`."""
        self.processes[name].kill()
        self.processes[name].wait()

    def heard(self) -> list[tuple[Pair, float, float]]:
        """Who was heard by whom, when, and when that had been said."""
        lines = [(line.split(), hearer) for hearer, log in self.logs.items() for line in log.read_text().splitlines()]
        return [((words[1], hearer), float(words[0]), float(words[2])) for words, hearer in lines if len(words) == 3]

    def said_and_heard(self, since_s: float) -> dict[Pair, float]:
        """For each pair, when the first of what was said since then was heard."""
        first: dict[Pair, float] = {}
        for pair, at_s, said_s in self.heard():
            if said_s >= since_s:
                first[pair] = min(at_s, first.get(pair, at_s))
        return first

    def await_heard(self, pairs: set[Pair], since_s: float, timeout_s: float) -> float:
        """Wait until each of the pairs has been heard to say something new; how long it took all of them."""
        deadline_s = time.monotonic() + timeout_s
        while not pairs <= (first := self.said_and_heard(since_s)).keys():
            assert time.monotonic() < deadline_s, f"{pairs - first.keys()} not heard within {timeout_s} s"
            time.sleep(0.05)
        return max(first[pair] for pair in pairs) - since_s

    def silent(self, pairs: set[Pair], for_s: float, others: set[Pair]) -> None:
        """Let some time pass; in its second half nothing is heard of these pairs, and the others all the time."""
        began_s = time.monotonic()
        time.sleep(for_s)
        heard = {pair for pair, at_s, _ in self.heard() if at_s >= began_s + for_s / 2}
        assert heard == others
        assert not heard & pairs


@pytest.fixture
def mesh(netns: Callable[[int], list[Host]], tmp_path: Path) -> Mesh:
    return Mesh(netns(3), tmp_path)


def with_host(pairs: set[Pair], name: str) -> set[Pair]:
    return {pair for pair in pairs if name in pair}


# The shorter cut is got over by TCP, the longer one by new connections: the old ones are given up.
@pytest.mark.parametrize("cut_s", [2.0, BOUNDS.silent_s + 4.0], ids=["short", "long"])
def test_hosts_that_were_cut_off_from_each_other_talk_again_after_the_heal(mesh: Mesh, cut_s: float) -> None:
    n1, n2, _ = mesh.hosts.values()
    cut = {("n1", "n2"), ("n2", "n1")}
    n1.cut(n2)
    mesh.silent(cut, cut_s, others=mesh.pairs - cut)
    healed_s = time.monotonic()
    n1.heal(n2)
    back_s = mesh.await_heard(mesh.pairs, healed_s, BACK_S)
    print(f"cut for {cut_s} s, back after {back_s:.2f} s")
    # What was said meanwhile is lost unless it is fresh: nothing comes that a peer might take for news.
    ages_s = [at_s - said_s for _, at_s, said_s in mesh.heard()]
    assert max(ages_s) < BOUNDS.queue_s + BOUNDS.silent_s + SLACK_S


def test_a_host_whose_cable_was_pulled_talks_again_when_it_is_back(mesh: Mesh) -> None:
    n3 = mesh.hosts["n3"]
    cut = with_host(mesh.pairs, "n3")
    n3.unplug()
    mesh.silent(cut, 3.0, others=mesh.pairs - cut)
    healed_s = time.monotonic()
    n3.heal()
    print(f"back after {mesh.await_heard(mesh.pairs, healed_s, BACK_S):.2f} s")


def test_a_host_that_was_killed_talks_again_when_it_is_started(mesh: Mesh) -> None:
    for name in ("n2", "n3"):
        mesh.kill(name)
        mesh.silent(with_host(mesh.pairs, name), 2.0, others=mesh.pairs - with_host(mesh.pairs, name))
        mesh.processes[name] = mesh.start(name)
        print(f"back after {mesh.await_heard(mesh.pairs, time.monotonic(), START_S):.2f} s")


def test_a_cut_one_way_stops_both_for_nothing_is_acknowledged(mesh: Mesh) -> None:
    n1, n2, _ = mesh.hosts.values()
    cut = {("n1", "n2"), ("n2", "n1")}
    n1.cut(n2, one_way=True)
    mesh.silent(cut, 4.0, others=mesh.pairs - cut)
    healed_s = time.monotonic()
    n1.heal()
    mesh.await_heard(mesh.pairs, healed_s, BACK_S)


def test_a_network_of_namespaces_is_gone_with_all_that_ran_in_it(mesh: Mesh) -> None:
    host = mesh.hosts["n1"]
    assert host.python("import json, socket; print(json.dumps(sorted(name for _, name in socket.if_nameindex())))") == [
        "eth0",
        "lo",
    ]
    host.clean_up()
    assert mesh.processes["n1"].poll() is not None
