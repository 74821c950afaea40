"""The power role's real process, in a mesh on loopback with hosts whose power is a word in a file."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagent.mesh import keys, membership, signer
from eagent.mesh.epoch import Stage, Standing
from eagent.mesh.gossip import Gossip
from eagent.mesh.messages import Delta, Digest
from eagent.mesh.node import Node, Observation
from eagent.mesh.records import Payload, Power
from eagent.mesh.roster import Peer, Roster
from eagent.mesh.state import Host
from eagent.mesh.station import Station
from eagent.mesh.table import Table
from eagent.mesh.trade import Terms
from eagent.mesh.transport import Transport, clock_ns

pytest.importorskip("cryptography")

WAIT_S = 60.0  # what should happen has happened by then, on a machine that runs other tests
QUIET_S = 4.0  # what should not happen would have
HOSTS = ("n1", "n2", "n3")
RESERVE_MW = 900_000

SWITCH = """\
case $1 in
on) echo "on $2" >> "$0.told"; echo on > "$0.$2" ;;
off) echo "off $2" >> "$0.told"; sleep {off_s}; echo off > "$0.$2" ;;
state) cat "$0.$2" ;;
esac
"""


class Teller(Gossip):
    """A host that tells what the test has it tell, true or not."""

    payload = Payload()

    def on_tick(self, now_ns: int) -> Any:
        self.publish(now_ns, self.payload)
        return super().on_tick(now_ns)

    def on_message(self, now_ns: int, sender: str, message: Any) -> Any:
        return super().on_message(now_ns, sender, message) if isinstance(message, Digest | Delta) else []


class Site:
    """The site's files, its hosts, and the role's process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.site, self.power = signer.make(path / "site.key"), signer.make(path / "power.key")
        self.pairs = {name: keys.make() for name in (*HOSTS, "mgmt")}
        keys.store(self.pairs["mgmt"], path / "mgmt.key")
        peers = {name: Peer(f"127.0.0.1:{free_port()}", pair.public) for name, pair in self.pairs.items()}
        self.roster = Roster(1, peers)
        lines = [f"[hosts.{name}]\naddress = \"{peer.address}\"\nkey = '{peer.key}'\n" for name, peer in peers.items()]
        self.sign("roster.toml", "serial = 1\n" + "".join(lines))
        (path / "tables").mkdir()
        self.table = self.bring_table(1)
        self.nodes: dict[str, Any] = {}
        self.running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.configure()

    def sign(self, name: str, text: str) -> None:
        (self.path / f"{name}.sig").write_bytes(self.site.sign(text.encode()))
        (self.path / name).write_text(text)

    def bring_table(self, epoch: int, grant_mw: int = RESERVE_MW) -> Table:
        text = f'domain = "rack"\nepoch = {epoch}\nbudget_mw = {3 * grant_mw + 1}\nothers_mw = 1\n' + "".join(
            f'[members.{host}]\nreserve_mw = {RESERVE_MW}\ngrant_mw = {grant_mw}\nlife = "{host}life"\n'
            for host in HOSTS
        )
        self.sign("tables/rack.toml", text)
        ((document,), problems) = membership.load_tables(self.path / "tables", self.site.public_key)
        assert problems == []
        self.document = document
        found = membership.documents.read(document, self.site.public_key, b"")
        assert isinstance(found, Table)
        return found

    def configure(self, mode: str = "act", off_s: float = 0.0) -> None:
        script = self.path / "switch"
        script.write_text(SWITCH.format(off_s=off_s))
        for host in HOSTS:
            (self.path / f"switch.{host}").write_text("on\n")
        config = self.path / "power.toml"
        config.touch(0o600)
        config.write_text(
            textwrap.dedent(f"""
                [power]
                mode = "{mode}"
                least_on_s = 0
                least_off_s = 0
                [watch]
                wake_after_s = 1
                [mesh]
                name = "mgmt"
                roster = "{self.path}/roster.toml"
                key_file = "{self.path}/mgmt.key"
                site_key = "{self.site.public_key.hex()}"
                power_key_file = "{self.path}/power.key"
                tables = "{self.path}/tables"
                [command]
                on = ["/bin/sh", "{script}", "on", "{{host}}"]
                off = ["/bin/sh", "{script}", "off", "{{host}}"]
                state = ["/bin/sh", "{script}", "state", "{{host}}"]
                timeout_s = 20
                confirm_s = 5
            """)
            + "".join(f'[hosts.{host}]\nby = "command"\n' for host in HOSTS)
        )

    @property
    def told(self) -> list[str]:
        """What the hosts' power was told."""
        path = self.path / "switch.told"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def recorded(self) -> list[tuple[str, str]]:
        lines = (self.path / "state" / "power.jsonl").read_text().splitlines()
        return [(line["event"], line["host"]) for line in map(json.loads, lines)]

    def power_of(self, host: str) -> str:
        return (self.path / f"switch.{host}").read_text().strip()

    def environment(self) -> dict[str, str]:
        return {**os.environ, "EAGENT_RUN_DIR": f"{self.path}/run", "EAGENT_STATE_DIR": f"{self.path}/state"}

    def start_role(self) -> None:
        command = [sys.executable, "-m", "eagent", "power", "run", "--config", f"{self.path}/power.toml"]
        with (self.path / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)

    def end_role(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(WAIT_S)
        self.process = None
        return status

    async def ask(self, *words: str) -> tuple[int, str, str]:
        """A verb of `eagent power`: its status, and what it said."""
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "eagent", "power", *words),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, complained = await asked.communicate()
        assert asked.returncode is not None
        return asked.returncode, said.decode(), complained.decode()

    async def host(self, name: str) -> dict[str, Any]:
        """What the role's status says of a host."""
        _, said, _ = await self.ask("status", "--json")
        return next(host for host in json.loads(said)["hosts"] if host["host"] == name)

    # --- Hosts ---

    def tell(self, name: str, busy: int = 0, power: Power = Power.AWAKE, rights_mw: int = RESERVE_MW) -> None:
        own = Standing("rack", f"{name}life", 1, Stage.OPEN, self.table.digest, rights_mw=rights_mw)
        self.nodes[name].payload = Payload(power_w=200.0, power=power, standings=(own,), devices=4, busy=busy)

    def teller(self, name: str) -> Teller:
        return Teller(name, self.roster.hosts, random.Random(name), time.time_ns(), lambda _: True)

    def member(self, name: str, life: str = "life") -> Node:
        """A host with a real core; its warden does all that it is told at once."""
        own = Host(name, "rack", RESERVE_MW, 4 * RESERVE_MW)
        made = Node(
            name,
            [own],
            f"{name}{life}",
            self.roster.hosts,
            random.Random(name),
            time.time_ns(),
            lambda document: membership.documents.read(document, self.site.public_key, self.power.public_key),
            Terms(),
        )
        made.observe(Observation(RESERVE_MW, devices=4))
        made.add(self.document)
        return made

    def switch_on(self, name: str, node: Any) -> None:
        """Run a host."""
        self.nodes[name] = node
        station = Station(node, Transport(name, self.pairs[name].secret, self.roster), obey)
        if isinstance(node, Node):
            station.do(node.start(clock_ns(), {}, {"rack": RESERVE_MW}))
        stopping = asyncio.Event()
        self.running[name] = stopping, asyncio.create_task(station.run(stopping))

    async def switch_off(self, name: str) -> None:
        """Run it no more."""
        stopping, task = self.running.pop(name)
        stopping.set()
        await task


async def obey(_: Any) -> None:
    """Done."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        if made.process is not None:
            made.process.kill()
            made.process.wait()


def play(site: Site, nodes: dict[str, Any], course: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run hosts while the course takes its course."""

    async def all_of_it() -> None:
        for name, node in nodes.items():
            site.switch_on(name, node)
        try:
            await course()
        finally:
            for name in list(site.running):
                await site.switch_off(name)

    asyncio.run(all_of_it())


def asleep_by(site: Site, hearer: str) -> tuple[str, ...]:
    """Whom the role says asleep, as another host has heard."""
    node = site.nodes[hearer]
    held = (node.gossip if isinstance(node, Node) else node).records.get("mgmt")
    return held.record.payload.asleep if held is not None else ()


def tellers(site: Site) -> dict[str, Any]:
    return {name: site.teller(name) for name in HOSTS}


def test_a_host_that_yields_is_switched_off_and_woken_when_there_is_work(site: Site) -> None:
    async def course() -> None:
        for host in HOSTS:
            site.tell(host)
        site.start_role()
        site.tell("n2", power=Power.YIELDED)
        site.tell("n3", power=Power.YIELDED, rights_mw=RESERVE_MW + 1)  # it lies
        await until(lambda: asleep_by(site, "n1") == ("n2",))
        assert (site.power_of("n2"), site.told) == ("off", ["off n2"])
        host = await site.host("n2")
        assert (host["asleep"], host["state"], host["told_w"]) == (True, "off", 200.0)
        status, _, complained = await site.ask("sleep", "n3")
        assert (status, complained) == (1, "eagent: n3: it holds 1 mW above its reserve in rack\n")
        assert stat.S_IMODE((site.path / "run" / "power.sock").stat().st_mode) == 0o660
        for host in ("n1", "n3"):
            site.tell(host, busy=4)
        await until(lambda: site.power_of("n2") == "on")
        await until(lambda: asleep_by(site, "n1") == ())
        assert site.told == ["off n2", "on n2"]
        assert [line for line in site.recorded if line[0] != "asked"] == [("begun", "n2"), ("done", "n2")] * 2
        assert site.end_role() == 0

    play(site, tellers(site), course)
    assert "Traceback" not in (site.path / "log").read_text()


def test_observing_it_only_plans(site: Site) -> None:
    site.configure("observe")

    async def course() -> None:
        for host in HOSTS:
            site.tell(host)
        site.tell("n2", power=Power.YIELDED)
        site.start_role()
        await until((site.path / "run" / "power.sock").exists)
        said = ""
        async with asyncio.timeout(WAIT_S):
            while "n2: sleep" not in said or "n1: stays as it is: it says" not in said:
                _, said, _ = await site.ask("plan")
        assert "n2: sleep (would, but only observes): it has yielded and is not needed; told 200 W" in said
        assert "n1: stays as it is: it says that it is awake; told 200 W" in said
        assert "at stake: 200 W by what hosts told last" in said
        for verb in ("wake", "sleep"):
            status, _, complained = await site.ask(verb, "n2")
            assert status == 1
            assert 'power.toml says mode = "observe"' in complained
        await asyncio.sleep(QUIET_S)
        assert site.end_role() == 0

    play(site, tellers(site), course)
    assert (site.told, site.recorded) == ([], [])


def test_a_role_that_is_killed_while_it_switches_knows_what_it_did(site: Site) -> None:
    site.configure(off_s=1.5)

    async def course() -> None:
        for host in HOSTS:
            site.tell(host)
        site.tell("n2", power=Power.YIELDED)
        site.start_role()
        await until(lambda: site.told == ["off n2"])
        assert site.end_role(signal.SIGKILL) == -signal.SIGKILL
        assert [line for line in site.recorded if line[0] != "asked"] == [("begun", "n2")]
        await until(lambda: site.power_of("n2") == "off")  # what was begun goes on without the role
        site.start_role()
        await until(lambda: asleep_by(site, "n1") == ("n2",))
        assert site.told == ["off n2"]
        status, said, _ = await site.ask("wake", "n2", "--why", "maintenance")
        assert (status, said) == (0, "n2: it is being woken\n")
        await until(lambda: site.power_of("n2") == "on")
        assert site.end_role() == 0

    play(site, tellers(site), course)


def test_a_table_opens_though_a_member_is_off_because_the_role_certifies_it(site: Site) -> None:
    (site.path / "switch.n3").write_text("off\n")

    def stages(table: Table) -> list[Any]:
        standings = [site.nodes[host].escrows["rack"].standing for host in ("n1", "n2")]
        return [each.stage if each is not None and each.epoch == table.epoch else None for each in standings]

    async def course() -> None:
        await until(lambda: stages(site.table) == [Stage.SEALED] * 2)
        await asyncio.sleep(QUIET_S)
        assert stages(site.table) == [Stage.SEALED] * 2  # n3 blocks
        site.start_role()
        await until(lambda: stages(site.table) == [Stage.OPEN] * 2)
        second = site.bring_table(2)
        site.nodes["n1"].add(site.document)
        await until(lambda: stages(second) == [Stage.OPEN] * 2)
        said = ""
        async with asyncio.timeout(WAIT_S):
            while "rack: table 2 complete; certified off: n3; 2 hosts awake" not in said:
                _, said, _ = await site.ask("status")
        assert site.end_role() == 0

    play(site, {name: site.member(name) for name in ("n1", "n2")}, course)
    assert site.told == []


def test_a_host_hands_over_its_watts_sleeps_and_comes_back_in_a_new_life(site: Site) -> None:
    site.bring_table(1, 2 * RESERVE_MW)

    def standing(host: str) -> Standing:
        return site.nodes[host].escrows["rack"].standing or Standing("rack", "")

    async def course() -> None:
        site.start_role()
        await until(lambda: all(standing(host).stage is Stage.OPEN for host in HOSTS))
        site.nodes["n3"].observe(Observation(0, power=Power.YIELDING, devices=4))
        await until(lambda: asleep_by(site, "n1") == ("n3",))
        assert (site.power_of("n3"), standing("n3").rights_mw) == ("off", RESERVE_MW)
        assert sum(standing(host).rights_mw for host in HOSTS) == 6 * RESERVE_MW
        await site.switch_off("n3")
        for host in ("n1", "n2"):
            site.nodes[host].observe(Observation(RESERVE_MW, devices=4, busy=4))
        await until(lambda: site.power_of("n3") == "on")
        site.switch_on("n3", site.member("n3", "again"))
        await until(lambda: standing("n3").stage is Stage.OPEN)
        assert (standing("n3").life, site.told) == ("n3again", ["off n3", "on n3"])
        assert site.end_role() == 0

    play(site, {name: site.member(name) for name in HOSTS}, course)


def test_a_second_role_and_a_role_without_its_files_say_what_is_wrong_in_one_line(site: Site) -> None:
    async def course() -> None:
        site.start_role()
        await until((site.path / "run" / "power.sock").exists)
        status, _, complained = await site.ask("run", "--config", f"{site.path}/power.toml")
        assert (status, complained.count("\n")) == (1, 1)
        assert "another power role" in complained
        assert site.end_role() == 0
        status, _, complained = await site.ask("status")
        assert (status, complained.count("\n")) == (1, 1)
        assert "no power role runs here" in complained
        assert "eagent power run" in complained
        (site.path / "mgmt.key").unlink()
        status, _, complained = await site.ask("run", "--config", f"{site.path}/power.toml")
        assert (status, complained) == (1, f"eagent: {site.path}/mgmt.key: No such file or directory\n")

    asyncio.run(course())
