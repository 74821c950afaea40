"""A cut of the device sum from 5.6 to 3.0 kW on 8 x H100, in real time, by the processes of `eagent up`.

The cut is asked for at the warden's own socket, so that the agent has no part in it; in half of the rounds the agent is
stopped by SIGSTOP. Everything is read from the plant: when each limit was written, by its log, and how long setters
held the driver, by its account of calls. Then the lease of the stopped agent ends, and the safe caps must be there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.envelope.demand import GPUS, KINDS
from eagent.model import Budget
from eagent.sim import host as simulated
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.account import limits_over_budget_s
from eagent.wire import decode, encode, pack_budget

GPU_MODEL = "h100-sxm5-80gb"
FULL_W, WIDE_W, NARROW_W, SAFE_W = 700.0, 5600.0, 3000.0, 200.0
RISEN_W = 5500.0  # the sum from which a cut begins
TICK_S = 0.05
TTL_S = 3.0
CONFIG = f"[host]\nfixed_w = 0.0\nsafe_cap_w = {SAFE_W}\n[agent]\nlease_ttl_s = {TTL_S}\n"
START_S, RISE_S, ANSWER_S = 60.0, 60.0, 10.0


@dataclass(frozen=True, slots=True)
class Cut:
    """One round. Times are in seconds."""

    from_w: float
    writes: int  # until the sum was within the envelope
    took_s: float  # from the request to the last of them
    setters_s: float  # of that, the time that setters held the driver
    safe_s: float | None = None  # from the cut to the last safe cap; None: the agent was there

    @property
    def beyond_s(self) -> float:
        """What it took beside the setters' own time."""
        return self.took_s - self.setters_s


@dataclass(slots=True)
class Rounds:
    """All rounds, and for how long limits in force were above an envelope that was in force."""

    alive: list[Cut] = field(default_factory=list)
    stopped: list[Cut] = field(default_factory=list)
    over_s: float = 0.0


class Site:
    """A simulated host with `eagent up` on it and work on every GPU."""

    def __init__(self, directory: Path) -> None:
        self.made = simulated.create(directory, "cut", gpus=GPUS, gpu_model=GPU_MODEL)
        self.plant, self.lab = Host(self.made.plant), Faults(self.made.plant)
        (self.made.path / "eagent.toml").write_text(CONFIG)
        for gpu in range(GPUS):
            KINDS["gemm"].load.start(self.plant, [gpu])
        self._log = self.made.path / "up.log"
        command = [sys.executable, "-m", "eagent", "up", "--no-restart", f"--config={self.made.path / 'eagent.toml'}"]
        with self._log.open("wb") as log:
            self._up = subprocess.Popen(command, env=self.made.environment(os.environ), stdout=log, stderr=log)
        await_true(lambda: "eagent is up" in self._log.read_text() or self._up.poll() is not None, START_S)
        found = re.search(r"eagent is up: warden \d+, agent (\d+)", self._log.read_text())
        if not found:
            raise SystemExit(self._log.read_text())
        self.agent_pid = int(found[1])
        self._warden = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._warden.settimeout(ANSWER_S)
        self._warden.connect(str(self.made.run / "warden/sock"))
        self._uuids = [device["uuid"] for device in self.ask({"op": "hello"})["devices"] if device["kind"] == "gpu"]

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        """Ask the warden, and have its answer."""
        self._warden.sendall(encode(request))
        reply = decode(self._warden.recv(65536))
        if reply.get("ok") is not True:
            raise SystemExit(f"the warden says: {reply.get('error')}")
        return reply

    def set_envelope(self, watts: float) -> bool:
        """A budget of so much for the devices; whether it was in force when the warden answered."""
        caps_w = dict.fromkeys(self._uuids, SAFE_W)
        return bool(self.ask({"op": "budget_set", **pack_budget(Budget(watts, 0.0, caps_w))})["in_force"])

    def limits_w(self) -> list[float]:
        """What is in force."""
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS)]

    @contextmanager
    def without_agent(self) -> Iterator[None]:
        """While this lasts the agent is stopped."""
        os.kill(self.agent_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.agent_pid, signal.SIGCONT)

    def close(self) -> None:
        """End all that was started."""
        self._warden.close()
        self._up.terminate()
        self._up.wait(30)
        self.lab.close()
        self.plant.close()


def await_true(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until it is true; whether it became so in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def run(directory: Path, rounds: int) -> Rounds:
    """So many cuts with the agent alive, and as many while it is stopped."""
    site = Site(directory)
    found, stretches = Rounds(), []
    try:
        for number in range(2 * rounds):
            if not site.set_envelope(WIDE_W):
                raise SystemExit("the wide budget is not in force")
            wide_s = site.plant.time_s
            if not await_true(lambda: sum(site.limits_w()) >= RISEN_W, RISE_S):
                raise SystemExit(f"the limits have not risen: {site.limits_w()} W")
            if number % 2:
                with site.without_agent():
                    cut, stretch = _cut(site, stopped=True)
                found.stopped.append(cut)
            else:
                cut, stretch = _cut(site, stopped=False)
                found.alive.append(cut)
            stretches += [(wide_s, stretch[0], WIDE_W), stretch]
        found.over_s = limits_over_budget_s(site.plant.limit_log(), [FULL_W] * GPUS, stretches)
    finally:
        site.close()
    return found


def _cut(site: Site, *, stopped: bool) -> tuple[Cut, tuple[float, float, float]]:
    """Cut, wait for what follows, and read the log: the cut, and the stretch after it with its envelope."""
    from_w, known, set_before_s = sum(site.limits_w()), len(site.plant.limit_log()), site.lab.calls()["set"][1]
    asked_s = site.plant.time_s
    in_force = site.set_envelope(NARROW_W)
    setters_s = site.lab.calls()["set"][1] - set_before_s
    if not in_force:
        raise SystemExit("the narrow budget is not in force")
    if stopped and not await_true(lambda: site.limits_w() == [SAFE_W] * GPUS, TTL_S + 2):
        raise SystemExit(f"the lease's end has not led to the safe caps: {site.limits_w()} W")
    time.sleep(0 if stopped else 1.0)  # what comes after must stay within the envelope, too
    until_s = site.plant.time_s
    sum_w, writes, last_s, log = from_w, 0, asked_s, site.plant.limit_log()[known:]
    for at_s, _, old_w, new_w, _ in log:
        if sum_w <= NARROW_W:
            break
        sum_w, writes, last_s = sum_w + new_w - old_w, writes + 1, at_s
    safe_s = log[-1][0] - asked_s if stopped else None
    return Cut(from_w, writes, last_s - asked_s, setters_s, safe_s), (last_s + 1e-6, until_s, NARROW_W)
