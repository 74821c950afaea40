"""The two racks of the demo with several hosts: what they are made of, and eagent's real processes on one of them.

Beside each simulated host runs its init (`eagent sim boot`), which starts `eagent up` in each boot of it and kills all
when its power is cut; and for the rack the power role, which switches hosts by the command that stands for a BMC.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagent.demo.hosts import wait
from eagent.demo.site import Site
from eagent.errors import DriverError, EagentError
from eagent.sim import host as simulated
from eagent.sim import processor, sysfs
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.supply import Supply, memory_most_w
from eagent.sim.workload import Serving

GPUS = 4
MODEL = "a100-sxm4-80gb"
CPU_MODEL = "xeon-platinum-8358"
SEED = 1
BOOT_S = 4.0  # of a real server minutes; what is saved by sleeping is told with this
SAFE_CAP_W = 100.0
SLEEP_AFTER_S = 3.0  # beside the 15 s for which a host that would sleep says so
START_S = 60.0
ANSWER_S = 10.0  # an agent that answers answers at once
STOP_S = 25.0  # an init ends what it has started within 20 s

CONFIG = """
[host]
fixed_w = {fixed_w}
safe_cap_w = {safe_w}
[policy]
mode_sleep = "act"
sleep_after_s = {sleep_after_s}
sleep_cpus = 10.0
sleep_consent = ["all"]
[mesh]
reserve_w = {reserve_w}
nameplate_w = {nameplate_w}
psu_efficiency = 1.0
headroom_w = 50.0
band_w = 50.0
lot_w = 25.0
{site}
"""
POWER = """
[power]
mode = "act"
switches_per_minute = 12
least_on_s = 5.0
least_off_s = 2.0
[watch]
consent_s = 15.0
wake_busy = 0.85
wake_after_s = 2.0
wake_s = 60.0
[mesh]
{site}
[command]
on = {command_on}
off = {command_off}
state = {command_state}
confirm_s = 30.0
{hosts}
"""


@dataclass(frozen=True, slots=True)
class Watts:
    """What each host of the rack may draw at the wall, in watts."""

    packages_w: float  # the limits of its CPU packages, which nobody lowers
    gpus_w: float  # the greatest limits of its GPUs
    others_w: float  # the most that all draws of which nobody holds a limit
    packages_shown: bool  # whether eagent sees those packages; else they are declared with what is fixed

    @property
    def fixed_w(self) -> float:
        """What is declared to eagent for all of which it sees no limit."""
        return self.others_w if self.packages_shown else self.wall_w(0.0)

    @property
    def reserve_w(self) -> float:
        """At its safe caps; a boot draws less."""
        return self.wall_w(GPUS * SAFE_CAP_W)

    @property
    def nameplate_w(self) -> float:
        """With all limits at their greatest."""
        return self.wall_w(self.gpus_w)

    def wall_w(self, limits_w: float) -> float:
        """Under GPU limits of this sum."""
        return self.others_w + self.packages_w + limits_w


class RackHost:
    """One simulated host, seen from outside: its plant's own truth, not what eagent says of it."""

    def __init__(self, directory: Path, name: str, clock: str = "wall") -> None:
        """Make it; its `clock` is "wall" or "virtual"."""
        self.made = simulated.create(
            directory,
            name,
            gpus=GPUS,
            gpu_model=MODEL,
            cpu_model=CPU_MODEL,
            seed=SEED,
            boot_s=BOOT_S,
            clock=clock,
        )
        self.name = name
        self.plant = Host(self.made.plant)
        self.bmc = Bmc(self.made.plant)
        self.initial_limits_w = self.limits_w()
        self.serving_boot: int | None = None  # in which its engines were started

    def limits_w(self) -> list[float]:
        """The GPUs' power limits as the driver holds them."""
        return [self.plant.view(gpu)["limit_requested_mw"] / 1000 for gpu in range(GPUS)]

    @property
    def greatest_w(self) -> float:
        """The sum of the greatest limits that its GPUs take."""
        return sum(self.plant.view(gpu)["limit_max_mw"] / 1000 for gpu in range(GPUS))

    @property
    def packages_w(self) -> float:
        """The sum of the power limits of its CPU packages."""
        processor = self.plant.processor
        assert processor is not None
        return sum(max(self.plant.rapl_view(package)["limit_uw"]) / 1e6 for package in range(processor["packages"]))

    @property
    def others_w(self) -> float:
        """The most that it draws beside those limits: memory, disks, fans and losses."""
        memory_w = memory_most_w(processor.load(CPU_MODEL))
        return memory_w + Supply(**self.bmc.supply).others_most_w(self.greatest_w + self.packages_w + memory_w)

    @property
    def serves(self) -> bool:
        """Whether its engines run."""
        return self.serving_boot == self.bmc.boot and self.bmc.power == "on"

    def start_engines(self) -> None:
        """Let it serve; its GPUs are held by a process from now on."""
        Serving().start(self.plant, [], gpus=range(GPUS), pid=os.getpid())
        self.serving_boot = self.bmc.boot

    def close(self) -> None:
        """Let go of it."""
        self.plant.close()
        self.bmc.close()


class Governed:
    """eagent on a rack: the hosts' inits with `eagent up` under them, the power role, and the site they belong to."""

    def __init__(
        self,
        hosts: Mapping[str, RackHost],
        watts: Watts,
        directory: Path,
        environ: Mapping[str, str],
        check: Callable[[], None] = lambda: None,
        sleep_after_s: float = SLEEP_AFTER_S,
    ) -> None:
        """Nothing runs yet, and `running` must follow: it lets go of the ports that are held from here on.

        Args:
            hosts: By name.
            watts: What each may draw.
            directory: An empty one, for keys and configurations.
            environ: Where simulated hosts are; see `eagent.sim.host.root`.
            check: Called while something is awaited; what it raises ends that.
            sleep_after_s: How long a host has nothing to do before it yields.
        """
        self._hosts = hosts
        self._may_go_on = check
        self._sleep_after_s = sleep_after_s
        self._watts = watts
        self._environ = {**environ, "EAGENT_SIM_DIR": str(next(iter(hosts.values())).made.path.parent)}
        self._directory = directory
        names = [*hosts, "power"]
        with contextlib.ExitStack() as ports:
            addresses = {name: _address(ports.enter_context(_port())) for name in names}
            self._site = Site(directory, addresses)
            self._ports = ports.pop_all()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._epoch = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it all; it has ended, in order, when this ends.

        Raises:
            EagentError: something does not start; its log is in the message.
        """
        try:
            for name, host in self._hosts.items():
                self._start(name, ["sim", "boot", name, "--", *_eagent(), f"--config={self._config(host)}", "up"])
            self._start("power", ["power", f"--config={self._power_config()}", "run"])
            yield
        finally:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_S)
                process.kill()
                process.wait()
            self._ports.close()

    def sign(self, budget_w: float, grant_w: float, duty: Mapping[str, int]) -> None:
        """Put the rack under a budget: a grant for each host in the life that it is in.

        Raises:
            EagentError: a host begins no life, or does not get its grant.
        """
        if not wait(lambda: all(self.life(name) for name in self._hosts), START_S, self.check):
            raise EagentError(f"the hosts of the rack did not join the mesh: {self.logs()}")
        lives = {name: self.life(name) for name in self._hosts}
        self._epoch += 1
        grants_w = dict.fromkeys(self._hosts, grant_w)
        text = self._site.table(self._epoch, budget_w, 0.0, self._watts.reserve_w, grants_w, duty=duty, lives=lives)
        self._site.tell(next(iter(self._hosts)), self._epoch, text)
        if not wait(
            lambda: all(self._domain(name).get("stage") == "open" for name in self._hosts), START_S, self.check
        ):
            raise EagentError(f"the table of the rack was not sealed by all: {self.logs()}")

    @property
    def power_environ(self) -> dict[str, str]:
        """The environment of the power role, and of who asks it."""
        here = {"EAGENT_RUN_DIR": str(self._directory / "run"), "EAGENT_STATE_DIR": str(self._directory / "state")}
        return {**self._environ, **here}

    def life(self, name: str) -> str:
        """The life in which a host is in the mesh; empty while it is in none."""
        return str(self._domain(name).get("life") or "")

    def rights_w(self, name: str) -> float | None:
        """What a host holds; None while it does not say."""
        held: float | None = self._domain(name).get("rights_w")
        return held

    def check(self) -> None:
        """Return while all of it runs.

        Raises:
            EagentError: an init or the power role has ended; the last lines of the logs are in the message.
        """
        self._may_go_on()
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise EagentError(f"{name} has ended: {self.logs()}")

    def logs(self) -> str:
        """The last lines of all logs."""
        return "; ".join(
            f"{path.stem}: {lines[-1]}"
            for path in sorted(self._directory.glob("*.log"))
            if (lines := path.read_text(errors="replace").strip().splitlines())
        )

    def _start(self, name: str, arguments: list[str]) -> None:
        environ = self.power_environ if name == "power" else self._environ
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*_eagent(), *arguments], env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def _domain(self, name: str) -> dict[str, Any]:
        environ = self._hosts[name].made.environment(self._environ)
        command = [*_eagent(), "mesh", "status", "--json"]
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            return {}
        told = json.loads(done.stdout) if done.returncode == 0 else {"domains": []}
        return next(iter(told["domains"]), {})

    def _config(self, host: RackHost) -> Path:
        path = self._site.home(host.name) / "eagent.toml"
        site = "\n".join(f"{key} = {value}" for key, value in self._site.options(host.name).items())
        watts = self._watts
        path.write_text(
            CONFIG.format(
                fixed_w=watts.fixed_w,
                safe_w=SAFE_CAP_W,
                sleep_after_s=self._sleep_after_s,
                reserve_w=watts.reserve_w,
                nameplate_w=watts.nameplate_w,
                site=site,
            )
        )
        return path

    def _power_config(self) -> Path:
        """Who switches by what: each command is this program again, in the place of a BMC's."""
        options = self._site.options("power")
        options = {key: options[key] for key in ("name", "site_key", "roster", "key_file", "tables")}
        options["power_key_file"] = f'"{self._directory / "power.key"}"'
        here = [
            "/usr/bin/env",
            f"EAGENT_SIM_DIR={self._environ['EAGENT_SIM_DIR']}",
            *_eagent(),
            "sim",
            "power",
            "{host}",
        ]
        path = self._site.home("power") / "power.toml"
        path.write_text(
            POWER.format(
                site="\n".join(f"{key} = {value}" for key, value in options.items()),
                command_on=json.dumps([*here, "on"]),
                command_off=json.dumps([*here, "off"]),
                command_state=json.dumps([*here, "status"]),
                hosts="\n".join(f'[hosts.{name}]\nby = "command"' for name in self._hosts),
            )
        )
        path.chmod(0o600)
        return path


@contextlib.contextmanager
def hosts(
    directory: Path, names: list[str], *, kernel: bool, check: Callable[[], None] = lambda: None
) -> Iterator[dict[str, RackHost]]:
    """Make hosts; with `kernel` they have their /sys and /proc. What `check` raises between two of them ends it.

    Raises:
        DriverError: these can't be served here.
    """
    with contextlib.ExitStack() as stack:
        made = {}
        for name in names:
            host = made[name] = RackHost(directory, name)
            stack.callback(host.close)
            if kernel:
                stack.callback(host.made.mount.stop)  # first: also a start that fails may leave a mount
                sysfs.start(host.made)
            check()
        yield made


def why_no_kernel(directory: Path) -> str | None:
    """Why simulated hosts can't have their /sys and /proc here; None: they can."""
    try:
        with hosts(directory, ["probe"], kernel=True):
            pass
    except DriverError as problem:
        return str(problem)
    finally:
        with contextlib.suppress(EagentError):
            simulated.delete(directory, "probe")
    return None


def _eagent() -> list[str]:
    return [sys.executable, "-m", "eagent"]


def _port() -> socket.socket:
    """A port of this machine's loopback, held as long as this is open, also while the host that listens there sleeps.

    This socket does not listen, so who asks for the very port with SO_REUSEADDR, as servers do, gets it; nobody gets it
    by chance.
    """
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
    except OSError:
        held.close()
        raise
    return held


def _address(port: socket.socket) -> str:
    host, number = port.getsockname()
    return f"{host}:{number}"
