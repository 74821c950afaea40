"""Hosts of one rack: simulated hosts with `eagent up` on them, in the mesh, and the truth of their plants."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eagent.demo.site import Site
from eagent.sim._plant import Host as Plant
from eagent.sim.workload import Square
from tests.integration.netns import Host as Namespace

GPUS = 2
FIXED_W, SAFE_W = 500.0, 100.0
RESERVE_W = FIXED_W + GPUS * SAFE_W
NAMEPLATE_W = FIXED_W + GPUS * 400.0
LOT_W = 10.0
START_S = 40.0
CONFIG = """
[agent]
lease_ttl_s = 3.0
decide_period_ms = 250
[host]
fixed_w = {fixed_w}
safe_cap_w = {safe_w}
[policy]
{policy}
[mesh]
reserve_w = {reserve_w}
nameplate_w = {nameplate_w}
psu_efficiency = 1.0
headroom_w = 20.0
band_w = 20.0
lot_w = {lot_w}
{site}
"""

Start = Callable[..., "subprocess.Popen[Any]"]


class Member:
    """One host of the rack."""

    def __init__(self, name: str, made: Any, site: Site, start: Start, **options: str) -> None:
        self.name = name
        self.made = made
        self.plant = Plant(made.plant)
        self.config = made.dir / "eagent.toml"
        self.log = made.dir / "up.log"
        self.process: subprocess.Popen[Any] | None = None
        self.born_s = time.monotonic() - self.plant.time_s  # all plants by one clock
        self._start = start
        policy = options.pop("policy", "")
        section = {**site.options(name), **options}
        self.config.write_text(
            CONFIG.format(
                fixed_w=FIXED_W,
                safe_w=SAFE_W,
                reserve_w=RESERVE_W,
                nameplate_w=NAMEPLATE_W,
                lot_w=LOT_W,
                policy=policy,
                site="\n".join(f"{key} = {value}" for key, value in section.items()),
            )
        )

    def up(self) -> None:
        """Start `eagent up` and wait until it says so."""
        self.log.write_text("")
        command = [sys.executable, "-m", "eagent", "up", f"--config={self.config}"]
        with self.log.open("ab") as log:
            self.process = self._start(*command, env=self.made.environ, stdout=log, stderr=log, start_new_session=True)
        until(lambda: "eagent is up" in self.log.read_text() or self.process.poll() is not None, START_S)  # type: ignore[union-attr]
        assert re.search(r"eagent is up", self.log.read_text()), self.log.read_text()

    def pids(self) -> dict[str, int]:
        """Warden, agent and their parent."""
        found = re.findall(r"eagent is up: warden (\d+), agent (\d+)", self.log.read_text())[-1]
        assert self.process is not None
        return {"warden": int(found[0]), "agent": int(found[1]), "parent": self.process.pid}

    def eagent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eagent", *arguments, f"--config={self.config}"]
        return subprocess.run(command, env=self.made.environ, capture_output=True, text=True, timeout=60, check=False)

    def mesh(self) -> dict[str, Any]:
        """What the host tells of the mesh; nothing while it does not answer."""
        done = self.eagent("mesh", "status", "--json")
        told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return told

    def domain(self) -> dict[str, Any]:
        return next(iter(self.mesh().get("domains", [])), {})

    def rights_w(self) -> float:
        return float(self.domain().get("rights_w") or 0.0)

    def work(self) -> None:
        """Let all GPUs compute without a pause."""
        Square(duty=1.0).start(self.plant, range(GPUS), pid=os.getpid())

    def rest(self) -> None:
        """End all work."""
        self.plant.stop_load()

    def limits_now_w(self) -> list[float]:
        """The limits in force now, by the plant."""
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS)]

    def limits(self) -> Iterator[tuple[float, int, float]]:
        """Each change of a limit by the driver's own log: when by the rack's clock, of which GPU, to how many watts."""
        for at_s, gpu, _, new_w, _ in self.plant.limit_log():
            yield self.born_s + at_s, gpu, new_w

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.plant.close()


class Rack:
    """Members, their site, and what their hardware may draw."""

    def __init__(self, members: Mapping[str, Member], site: Site, spaces: Mapping[str, Namespace]) -> None:
        self.members = members
        self.spaces = spaces
        self.site = site

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def lives(self) -> dict[str, str]:
        return {name: member.domain().get("life") or "" for name, member in self.members.items()}

    def told(self) -> str:
        """What every host tells of the mesh, to read after a failure."""
        return "\n".join(
            member.eagent("mesh", about).stdout for member in self.members.values() for about in ("status", "peers")
        )

    def sign(self, epoch: int, budget_w: float, grants_w: Mapping[str, float], to: str, **options: Any) -> None:
        """Sign a table with the lives of now and tell it to one host."""
        text = self.site.table(epoch, budget_w, 0.0, RESERVE_W, grants_w, lives=self.lives(), **options)
        self.site.tell(to, epoch, text)

    def sums_w(self, since_s: float) -> list[tuple[float, float]]:
        """The rack's permission in force after each change since a time: fixed draws and limits of all hosts."""
        limits = {(name, gpu): 400.0 for name in self.members for gpu in range(GPUS)}
        changes = sorted(
            (at_s, name, gpu, new_w) for name, member in self.members.items() for at_s, gpu, new_w in member.limits()
        )
        sums, fixed_w = [], len(self.members) * FIXED_W
        for at_s, name, gpu, new_w in changes:
            before_w = fixed_w + sum(limits.values())
            limits[name, gpu] = new_w
            if at_s >= since_s:
                if not sums:
                    sums.append((since_s, before_w))
                sums.append((at_s, fixed_w + sum(limits.values())))
        return sums or [(since_s, fixed_w + sum(limits.values()))]


def until(condition: Callable[[], Any], timeout_s: float, every_s: float = 0.1) -> bool:
    """Wait for a condition; whether it came."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(every_s)
    return True
