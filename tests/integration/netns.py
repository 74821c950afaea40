"""Hosts that are network namespaces of this machine, joined by a bridge: what they say to each other can be cut.

No packet leaves them, and nothing of them is left afterwards: what was started in one is killed, then it is deleted.
Needs root. The switch is a namespace as well, so that this machine's own is not touched.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ordinals = itertools.count()
_NOBODY = "02:00:00:00:00:00"  # a hardware address that no host has


@dataclass
class Host:
    """One namespace. Its network is its own; files, users and process ids are this machine's."""

    name: str
    address: str  # IPv4
    switch: str  # the namespace that holds its bridge
    port: str  # its port there
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))  # of what is started here
    _cut: set[str] = field(default_factory=set)
    _processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a process here; the options are of subprocess. Its pid is that of the command itself."""
        entered = ["nsenter", f"--net=/run/netns/{self.name}", "--", *command]
        process = subprocess.Popen(entered, **{"env": self.environ, "stdin": subprocess.DEVNULL, **options})
        self._processes.append(process)
        return process

    def python(self, script: str, *arguments: str, timeout_s: float = 60) -> Any:
        """Run a script here; what it returns is the JSON that the script prints."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = self.popen(sys.executable, "-c", script, *arguments, **pipes)
        out, err = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, f"exit status {process.returncode}\n{err}"
        return json.loads(out)

    def cut(self, *others: Host, one_way: bool = False) -> None:
        """Lose what is sent to others, unsaid as a network does; with `one_way` not what comes from them."""
        for other in others:
            # Frames to nobody's hardware address go to all ports of the bridge, and nobody takes them.
            ip("-n", self.name, "neigh", "replace", other.address, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent")
            self._cut.add(other.address)
            if not one_way:
                other.cut(self, one_way=True)

    def unplug(self) -> None:
        """Pull the cable: the host sees that its link is down."""
        ip("-n", self.switch, "link", "set", self.port, "down")

    def heal(self, *others: Host) -> None:
        """Undo what `cut` did from here, and `unplug`; and what `cut` did from others to here, if they are named."""
        ip("-n", self.switch, "link", "set", self.port, "up")
        for address in self._cut:
            ip("-n", self.name, "neigh", "del", address, "dev", "eth0")
        self._cut.clear()
        for other in others:
            other.heal()

    def clean_up(self) -> None:
        """End all that was started here."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def why_no_netns() -> str | None:
    """What this machine lacks to make network namespaces, or None."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    for tool in ("ip", "nsenter"):
        if shutil.which(tool) is None:
            return f"{tool} is missing (Debian: apt-get install iproute2 util-linux)"
    probe = f"eagent-{os.getpid()}-probe"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "network namespaces can't be made here"
    ip("netns", "del", probe)
    return None


@contextmanager
def network(count: int) -> Iterator[list[Host]]:
    """So many hosts that reach each other, 10.77.0.1 and on."""
    prefix = f"eagent-{os.getpid()}-{next(_ordinals)}"
    switch = f"{prefix}-sw"
    hosts = [Host(f"{prefix}-h{i}", f"10.77.0.{i}", switch, f"port{i}") for i in range(1, count + 1)]
    made: list[str] = []

    def make(name: str) -> None:
        ip("netns", "add", name)
        made.append(name)
        ip("-n", name, "link", "set", "lo", "up")

    try:
        make(switch)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for host in hosts:
            make(host.name)
            ip("-n", switch, *f"link add {host.port} type veth peer name eth0 netns {host.name}".split())
            ip("-n", switch, "link", "set", host.port, "master", "bridge", "up")
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "eth0", "up")
        yield hosts
    finally:
        for host in hosts:
            host.clean_up()
        for name in made:
            ip("netns", "del", name)
        assert not [name for name in made if Path("/run/netns", name).exists()]


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`; what it says is told if it fails."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
