"""Everything that the checks look at, gathered once: they are functions of it, and tests make their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from eagent.config import Config
from eagent.doctor.driver import Driver, ask
from eagent.doctor.symbols import SYMBOLS
from eagent.doctor.timer import Timer, look_at_timer
from eagent.errors import EagentError
from eagent.paths import Paths

Json = dict[str, Any]

CAP_SYS_ADMIN = 21
HELD = ("leased", "safe", "restoring")  # states of a knob in which its value is eagent's doing


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the trees of the kernel and of the system hang from.

    `proc` is where eagent's own processes are found, also on a simulated host; where the CPUs' time is read is in the
    paths.
    """

    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    etc: Path = Path("/etc")
    run: Path = Path("/run")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `admin` is what a driver wants of who sets a knob: CAP_SYS_ADMIN, and not of a user namespace."""

    uid: int
    admin: bool


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by all the names that it goes by: a script's interpreter is not what it is."""

    pid: int
    names: frozenset[str]
    command: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """This host, as far as it can be seen without writing to it."""

    paths: Paths
    roots: Roots
    config: Config
    user: User
    driver: Driver
    timer: Timer
    config_file: Path | None = None  # None: there is none, and the defaults hold
    config_problem: str = ""
    before: Json | None = None  # the agent's status before NVML was asked and its limits watched
    status: Json | None = None  # and after
    status_problem: str = ""  # why there is none
    processes: tuple[Process, ...] = field(default=())

    @property
    def warden_answers(self) -> bool:
        """Whether the agent tells the warden's word, and not only its own."""
        return self.status is not None and bool(self.status["warden"]["connected"])

    def held(self) -> frozenset[str]:
        """The UUIDs of the devices whose power limit eagent held, before or after."""
        devices = [device for status in (self.before, self.status) if status for device in status["devices"]]
        return frozenset(each["uuid"] for each in devices if each["power_limit"]["state"] in HELD)


def gather(
    paths: Paths,
    roots: Roots,
    config: Config,
    ask_agent: Callable[[], Json],
    *,
    config_file: Path | None = None,
    config_problem: str = "",
    watch_s: float = 1.0,
) -> Host:
    """Look at everything.

    Args:
        paths: eagent's directories.
        roots: The kernel's trees.
        config: The operator's wishes, or the defaults if they can't be read.
        ask_agent: Gives the agent's status, or raises an EagentError.
        config_file: Where they stand.
        config_problem: Why the configuration can't be read.
        watch_s: How long to look for limits that somebody changes.
    """
    before, _ = _ask(ask_agent)
    driver = ask(config.library, tuple(SYMBOLS), kernel_driver=has_kernel_driver(roots), watch_s=watch_s)
    status, problem = _ask(ask_agent)
    return Host(
        paths=paths,
        roots=roots,
        config=config,
        user=look_at_user(roots.proc),
        driver=driver,
        timer=look_at_timer(roots.sysfs),
        config_file=config_file,
        config_problem=config_problem,
        before=before,
        status=status,
        status_problem=problem,
        processes=tuple(look_at_processes()),
    )


def _ask(ask_agent: Callable[[], Json]) -> tuple[Json | None, str]:
    try:
        return ask_agent(), ""
    except EagentError as problem:
        return None, str(problem)


def has_kernel_driver(roots: Roots) -> bool:
    """Whether an NVIDIA kernel driver is loaded: a PC's or server's, WSL's, or a Tegra's."""
    signs = (roots.proc / "driver/nvidia/version", roots.dev / "dxg", roots.sysfs / "module/nvgpu")
    return any(sign.exists() for sign in signs)


def look_at_user(proc: Path) -> User:
    """Who we are, and whether a driver would let us set a knob."""
    fields = dict(line.partition(":")[::2] for line in (proc / "self/status").read_text().splitlines())
    capable = bool(int(fields["CapEff"].strip(), 16) >> CAP_SYS_ADMIN & 1)
    try:
        whole_map = (proc / "self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    except OSError:  # a kernel without user namespaces
        whole_map = True
    return User(os.geteuid(), capable and whole_map)


def look_at_processes() -> list[Process]:
    """All processes that we may see."""
    found = []
    for each in psutil.process_iter(["name", "cmdline"]):
        arguments = each.info["cmdline"] or []
        found.append(Process(each.pid, names_of(each.info["name"] or "", arguments), " ".join(arguments)))
    return found


def names_of(name: str, arguments: Sequence[str]) -> frozenset[str]:
    """The kernel's name of a process, its program's, and if that is an interpreter its script's."""
    names = {name, *(Path(argument).name for argument in arguments[:1])}
    if arguments and Path(arguments[0]).name.startswith(("python", "perl", "ruby", "sh", "bash")):
        script = next((argument for argument in arguments[1:] if not argument.startswith("-")), "")
        names.add(Path(script).name)
    return frozenset(names - {""})
