"""Simulated hosts as directories.

- `<root>/<name>/plant`: what a driver would hold
- `<root>/<name>/host.toml`: what it was made from
- `<root>/<name>/lib/libnvidia-ml.so[.1]`: links to the simulated library
- `<root>/<name>/bin/nvidia-smi`: our own (`eagent.sim.smi`); there are clients that need one
- `<root>/<name>/kernel/`: `sys` and `proc` in it stand for /sys and /proc; but for the id of the boot and the driver's
  module empty unless their server runs (`eagent.sim.sysfs`)
- `<root>/<name>/driver/`: a directory for each life of the driver, and `nvidia`, which leads to the present one's:
  the simulated library shows them (native/nvmlsim/module.h)
- `<root>/<name>/run/`, `state/`: where eagent on this host keeps its sockets and its journal
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import DriverError, InputError, RefusedError
from eagent.sim import _maker
from eagent.sim._bmc import Bmc
from eagent.sim.description import file
from eagent.sim.description.description import NAME, Description
from eagent.sim.description.parts import Cpus, Gpus
from eagent.sim.mount import Mount

SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path, less its terminating zero
LONGEST_SOCKET = "jobs/ask.sock"
LIBRARY_NAMES = ("libnvidia-ml.so.1", "libnvidia-ml.so")  # nvtop asks for the second first
LOCKS = ("agent.lock", "warden.lock")
# With -P the current directory, which may be anybody's, is no place to import from.
SMI = '#!/bin/sh\nexec {python} -P -m eagent.sim.smi "$@"\n'
BOOT_ID = Path("sys/kernel/random/boot_id")
MODULE, SHOWN_MODULE = "module/nvidia", "../../../driver/nvidia"  # in /sys, and where that leads
# All that a host may have, or its maker or deleter leave if they die on the way.
PARTS = frozenset(
    ["plant", "plant.new", "host.toml", "lib", "bin", "run", "state", "kernel", "kernel.lock", "boot.lock", "driver"]
)


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """One simulated host. `path` is its directory."""

    path: Path

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return self.path.name

    @property
    def plant(self) -> Path:
        """The file to open with `eagent.sim._plant.Host`."""
        return self.path / "plant"

    @property
    def description(self) -> Path:
        """What it was made from, a TOML file (`eagent.sim.description.file`)."""
        return self.path / "host.toml"

    @property
    def run(self) -> Path:
        """The run directory of eagent on this host."""
        return self.path / "run"

    @property
    def state(self) -> Path:
        """The state directory of eagent on this host."""
        return self.path / "state"

    @property
    def lib(self) -> Path:
        """What goes to the front of the loader's path."""
        return self.path / "lib"

    @property
    def bin(self) -> Path:
        """What goes to the front of the shell's path."""
        return self.path / "bin"

    @property
    def kernel(self) -> Path:
        """Where `sysfs` and `procfs` are mounted, both in one."""
        return self.path / "kernel"

    @property
    def sysfs(self) -> Path:
        """What stands for /sys on this host."""
        return self.kernel / "sys"

    @property
    def procfs(self) -> Path:
        """What stands for /proc on this host."""
        return self.kernel / "proc"

    @property
    def mount(self) -> Mount:
        """The mount of `kernel`."""
        return Mount(self.kernel, self.path / "kernel.lock")

    @property
    def boot_lock(self) -> Path:
        """Held by the host's init (`eagent.sim.boot`)."""
        return self.path / "boot.lock"

    def show_boot(self) -> None:
        """Write the id of the present or last boot to where the kernel shows it, unless its files are served.

        With it, values that were written in an earlier boot are known to be void, also on a host without FUSE.
        """
        if self.mount.mounted:
            return
        place = self.procfs / BOOT_ID
        place.parent.mkdir(parents=True, exist_ok=True)
        with Bmc(self.plant) as bmc:
            fresh = place.with_name("boot_id.new")
            fresh.write_text(f"{bmc.boot_id}\n", encoding="ascii")
            fresh.replace(place)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ`, changed so that a process started with it runs on this host."""
        libraries, programs = environ.get("LD_LIBRARY_PATH"), environ.get("PATH") or os.defpath
        return {
            **environ,
            **self._own(),
            "LD_LIBRARY_PATH": f"{self.lib}:{libraries}" if libraries else str(self.lib),
            "PATH": f"{self.bin}:{programs}",
        }

    def shell_lines(self) -> list[str]:
        """The same as lines for `eval` in a POSIX shell."""
        library_path = shlex.quote(str(self.lib)) + "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        own = [f"export {name}={shlex.quote(value)}" for name, value in self._own().items()]
        return [
            f"export LD_LIBRARY_PATH={library_path}",
            f"export PATH={shlex.quote(str(self.bin))}:${{PATH:-{os.defpath}}}",
            *own,
        ]

    def _own(self) -> dict[str, str]:
        return {
            "EAGENT_SIM_HOST": str(self.plant),
            "EAGENT_RUN_DIR": str(self.run),
            "EAGENT_STATE_DIR": str(self.state),
            "EAGENT_SYSFS": str(self.sysfs),  # also while nothing is mounted: never the CPUs of the real host
            "EAGENT_PROC": str(self.procfs),  # likewise
        }


def root(environ: Mapping[str, str]) -> Path:
    """Where simulated hosts live: $EAGENT_SIM_DIR, else in $XDG_RUNTIME_DIR, else in /tmp."""
    if chosen := environ.get("EAGENT_SIM_DIR"):
        return Path(chosen).absolute()
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "eagent-sim"
    return Path(f"/tmp/eagent-sim-{os.getuid()}")


def create(
    directory: Path,
    name: str,
    *,
    gpus: int = 8,
    gpu_model: str = "a100-sxm4-80gb",
    seed: int = 1,
    permission: str = "anyone",
    clock: str = "wall",
    cpu_model: str = "xeon-platinum-8358",
    powercap: str | None = None,
    **supply: float | None,
) -> SimulatedHost:
    """Make a host under `directory` from the most common words of a description.

    Args:
        directory: As of `make`.
        name: As of `Description`, as are the rest.
        gpus: How many.
        gpu_model: One of `eagent.sim.model.names()`.
        seed: Tells boards apart.
        permission: Whom the simulated driver lets write.
        clock: "wall" or "virtual".
        cpu_model: One of `eagent.sim.processor.names()`.
        powercap: The kind of its RAPL zones; None: the processor's own.
        supply: What it draws from the wall, by the keys of `eagent.sim.supply`; None: the default.

    Raises:
        InputError: the name is taken or bad, the path too long for a socket, or a choice unknown.
        DriverError: the simulated library is not built, or the file system refuses.
    """
    _checked(directory, name)
    described = Description(
        name=name,
        seed=seed,
        permission=permission,
        clock=clock,
        gpu=Gpus(gpus, gpu_model),
        cpu=Cpus(cpu_model, powercap),
        supply={key: value for key, value in supply.items() if value is not None},
    )
    return make(directory, described)


def make(directory: Path, description: Description) -> SimulatedHost:
    """Make the host that is described. It comes to be whole, with its settings and its work, or not at all.

    Args:
        directory: Where hosts live (see `root`); made if it is missing.
        description: With a name.

    Raises:
        InputError: the name is taken or missing, the path too long for a socket, or a load's requests can't be had.
        DriverError: the simulated library is not built, or the file system refuses.
    """
    if description.name is None:
        raise InputError("a simulated host needs a name: `eagent sim create NAME`, or name in [host]")
    host = SimulatedHost(_checked(directory, description.name))
    library, begin = _library(), description.prepared()
    excess = len(os.fsencode(host.run / LONGEST_SOCKET)) - SOCKET_PATH_BYTES
    if excess > 0:
        raise InputError(f"{host.path}: too long for a socket by {excess} bytes; choose a shorter EAGENT_SIM_DIR")
    try:
        host.path.mkdir(parents=True)
    except FileExistsError:
        raise InputError(
            f"simulated host {host.name!r} exists already; `eagent sim delete {host.name}` first"
        ) from None
    except OSError as error:
        raise DriverError(f"cannot make {host.path}: {error.strerror}") from error
    try:
        with _alone(host.path):
            _furnish(host, description, begin, library)
    except BaseException as error:
        shutil.rmtree(host.path, ignore_errors=True)
        if isinstance(error, OSError):
            raise DriverError(f"cannot make {host.path}: {error.strerror}") from error
        raise
    return host


def find(directory: Path, name: str) -> SimulatedHost:
    """The host of that name.

    Raises:
        InputError: there is none.
    """
    host = SimulatedHost(_checked(directory, name))
    if not host.plant.is_file():
        raise _none_of(directory, name)
    return host


def hosts(directory: Path) -> tuple[SimulatedHost, ...]:
    """All hosts, by name."""
    return tuple(SimulatedHost(plant.parent) for plant in sorted(directory.glob("*/plant")))


def remains(directory: Path) -> tuple[SimulatedHost, ...]:
    """What is left of hosts that have lost their plant or never got one, by name; they can only be deleted."""
    found = (SimulatedHost(path) for path in sorted(directory.glob("*")) if NAME.fullmatch(path.name))
    return tuple(host for host in found if _was_host(host) and not host.plant.is_file())


def delete(directory: Path, name: str) -> None:
    """Remove a host and all that is in its directory; the server of its /sys and /proc, if it has one, is ended first.

    A host's directory that has lost its plant, or never got one, goes as well.

    Raises:
        InputError: there is none of that name.
        RefusedError: an agent, a warden or an init runs on it.
        DriverError: its /sys and /proc can't be unmounted, or the file system refuses.
    """
    path = _checked(directory, name)
    try:
        with _alone(path):
            _delete(SimulatedHost(path))
    except (FileNotFoundError, NotADirectoryError):
        raise _none_of(directory, name) from None
    except OSError as error:
        raise DriverError(f"cannot remove {path}: {error.strerror}") from error


def _delete(host: SimulatedHost) -> None:
    if not _was_host(host) and not host.plant.is_file():
        raise _none_of(host.path.parent, host.name)
    for lock in LOCKS:
        if _is_held(host.run / lock):
            raise RefusedError(f"simulated host {host.name!r} is in use: {lock} is held; stop `eagent up` there first")
    if _is_held(host.boot_lock):
        raise RefusedError(f"simulated host {host.name!r} is in use: `eagent sim boot` runs for it; stop that first")
    host.mount.stop()  # before anything is removed: never reach through a mount
    try:
        shutil.rmtree(host.path)
    except OSError as error:
        raise DriverError(f"cannot remove {host.path}: {error.strerror}") from error


def _was_host(host: SimulatedHost) -> bool:
    """Whether a directory was made to be a host; its maker may have died on the way."""
    if host.path.is_symlink() or not host.path.is_dir():
        return False
    furnished = all(part.is_dir() for part in (host.lib, host.run, host.state))
    return furnished or {path.name for path in host.path.iterdir()} <= PARTS


def _furnish(host: SimulatedHost, description: Description, begin: Callable[[Path], None], library: Path) -> None:
    for directory in (host.lib, host.bin, host.run, host.state, host.kernel, host.path / "driver"):
        directory.mkdir()
    (host.sysfs / MODULE).parent.mkdir(parents=True)
    (host.sysfs / MODULE).symlink_to(SHOWN_MODULE)
    for name in LIBRARY_NAMES:
        (host.lib / name).symlink_to(library)
    smi = host.bin / "nvidia-smi"
    smi.write_text(SMI.format(python=shlex.quote(sys.executable)), encoding="utf-8")
    smi.chmod(0o755)
    host.description.write_text(file.write(description), encoding="utf-8")
    fresh = host.plant.with_name("plant.new")
    _maker.create(fresh, description.plant())
    begin(fresh)
    fresh.rename(host.plant)  # with this file it is a host
    host.show_boot()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only one who makes or removes a host's directory; who comes later waits."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _none_of(directory: Path, name: str) -> InputError:
    known = ", ".join(other.name for other in hosts(directory)) or "none"
    return InputError(f"no simulated host {name!r}; there are: {known}")


def _checked(directory: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise InputError(f"bad host name {name!r}: up to 64 letters, digits and . _ -, a letter or digit first")
    return directory.absolute() / name


def _library() -> Path:
    """The compiled library. It is no Python module: found like one, never imported."""
    spec = importlib.util.find_spec("eagent.sim._nvml")
    if spec is None or spec.origin is None:
        raise DriverError("the simulated NVML library is not built: install eagent again")
    return Path(spec.origin).resolve()


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
