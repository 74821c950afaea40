"""A simulated host's /sys (cpufreq and powercap) and /proc (stat and cpuinfo), served by one FUSE process on its plant.

Files behave as the kernel's: one is made when it is read from its beginning, each write is one command, and a file
without write bits can't be opened for writing, not even by root.

While the host is not on there is no kernel: names stay, as who looks may have them cached, and every file answers
ENODEV. So does a file that was opened in an earlier boot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from eagent.errors import DriverError, EagentError, RefusedError
from eagent.sim import cpufreq, powercap, procfs
from eagent.sim._faults import Faults
from eagent.sim._plant import Host
from eagent.sim.attribute import Attribute, Link, Tree
from eagent.sim.host import MODULE, SHOWN_MODULE, SimulatedHost
from eagent.sim.mount import PATIENCE_S

STATIC_S = 3600  # the tree never changes: the kernel may remember names and modes
WRITES = os.O_WRONLY | os.O_RDWR
# The files that faults are of: those of a cpufreq policy, which has its CPU's number, and of a package's zones.
STRUCK = re.compile(
    r"/sys/devices/(?:system/cpu/cpufreq/policy(?P<policy>\d+)|virtual/powercap/[^/]+/[^/]+:(?P<package>\d+))/"
)
# Which of a fault's errors a file gives, and how: one that is gone can't be opened; who has it open finds no device.
AT_OPENING = {error: error for error in (errno.ENOENT, errno.EACCES)}
IN_USE = {errno.EIO: errno.EIO, errno.EBUSY: errno.EBUSY, errno.ENOENT: errno.ENODEV}

Method = TypeVar("Method", bound=Callable[..., Any])


def serve(host: SimulatedHost, ready: Callable[[], None] = lambda: None) -> None:
    """Mount the host's tree, call `ready`, serve it until SIGTERM, SIGINT or SIGHUP, and unmount it.

    Raises:
        RefusedError: another process serves it.
        DriverError: FUSE or mfusepy is missing, or the mount fails.
    """
    fuse = _library()
    held = host.mount.hold()
    if held is None:
        raise RefusedError(f"{host.kernel} is served already, by pid {host.mount.server}")
    try:
        host.mount.clear()
        host.kernel.mkdir(exist_ok=True)
        with Host(host.plant) as plant, Faults(host.plant) as faults:
            if plant.processor is None:
                raise DriverError(f"{host.plant}: the host was made without processors")
            files = Files(
                tree(plant), lambda: plant.boot_id, plant.permission == "nobody", fuse, ready, faults.file_errno
            )
            others = {"allow_other": True} if os.geteuid() == 0 else {}  # a user's mount is the user's own
            hides = {"nonempty": True} if fuse.fuse_version_major == 2 else {}  # libfuse 3 mounts over files unasked
            fuse.FUSE(
                files,
                str(host.kernel),
                foreground=True,
                nothreads=True,
                direct_io=True,
                default_permissions=True,
                attr_timeout=STATIC_S,
                entry_timeout=STATIC_S,
                fsname="eagent-sim",
                **others,
                **hides,
            )
    except RuntimeError as problem:  # libfuse has told the reason on stderr
        raise DriverError(f"{host.kernel}: FUSE cannot mount (status {problem})") from None
    finally:
        with contextlib.suppress(EagentError, OSError):  # the host may be no more
            host.show_boot()  # also when libfuse calls the signal that has ended it a failure
        os.close(held)


def tree(plant: Host) -> Tree:
    """All files of a host's kernel: `sys` stands for /sys, `proc` for /proc."""
    sys_files = {**cpufreq.tree(plant), **powercap.tree(plant), MODULE: Link(SHOWN_MODULE)}
    found: Tree = {f"sys/{path}": node for path, node in sys_files.items()}
    return found | {f"proc/{path}": node for path, node in procfs.tree(plant).items()}


def start(host: SimulatedHost) -> int:
    """Serve the host's tree in a process of its own, which outlives this one. Returns its pid once the tree is there.

    Raises:
        DriverError: as `serve`, or another process serves it.
    """
    command = [sys.executable, "-m", "eagent.sim.sysfs", str(host.path)]
    try:  # ends when the server has let go of its stderr: when it is ready, or dead
        begun = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DriverError(f"{host.kernel}: its server does not begin") from None
    said = begun.stderr.decode(errors="replace").strip().splitlines()
    server = host.mount.server
    if said or server is None:
        raise DriverError(said[-1] if said else f"{host.kernel}: FUSE does not mount it")
    return server


def _library() -> Any:
    """Mfusepy, or why it can't be used here."""
    if not Path("/dev/fuse").exists():
        raise DriverError("/dev/fuse is missing: this kernel or container has no FUSE")
    try:
        import mfusepy
    except ImportError:
        raise DriverError("mfusepy is missing: pip install 'eagent[sim]'") from None
    except OSError:
        raise DriverError("libfuse is missing (Debian: apt-get install fuse3)") from None
    return mfusepy


def _with_errno(method: Method) -> Method:
    @wraps(method)
    def inner(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except EagentError as problem:  # the plant is damaged
            raise OSError(errno.EIO, str(problem)) from None

    return inner  # type: ignore[return-value]


class Files:
    """What libfuse asks, in the names that mfusepy gives it."""

    use_ns = True

    def __init__(
        self,
        tree: Tree,
        boot: Callable[[], str | None],
        frozen: bool,
        fuse: Any,
        ready: Callable[[], None],
        fault: Callable[[bool, str, int], int],
    ) -> None:
        """Serve `tree` while there is a `boot`; a `frozen` one is a read-only file system: /sys in a container.

        What `fault` says of writing (or reading) the files of a CPU or a package is the errno that they give.
        """
        self._fault = fault
        self._boot = boot
        self._boots: dict[int, str] = {}  # by handle: when it was opened
        self._ready = ready
        self._fuse = fuse
        self._frozen = frozen
        self._tree = {f"/{path}": node for path, node in tree.items()}
        self._directories: dict[str, list[str]] = {"/": []}
        for path in self._tree:
            self._enter(path)
        self._open = 0
        self._shown: dict[int, bytes] = {}  # by handle: what was read from the beginning
        self._owner = {"st_uid": os.geteuid(), "st_gid": os.getegid(), "st_atime": 0, "st_mtime": 0, "st_ctime": 0}

    def _enter(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        if parent and parent not in self._directories:
            self._directories[parent] = []
            self._enter(parent)
        self._directories[parent or "/"].append(name)

    def init(self, path: str) -> None:  # noqa: ARG002  # libfuse's
        """It is mounted."""
        self._ready()

    def destroy(self, path: str) -> None:
        """Nothing to undo."""

    def getattr(self, path: str, handle: int | None = None) -> Mapping[str, int]:  # noqa: ARG002  # libfuse's
        """Type, mode and owner."""
        if path in self._directories:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **self._owner}
        node = self._tree.get(path)
        if node is None:
            raise OSError(errno.ENOENT, path)
        if isinstance(node, Link):
            return {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1, "st_size": len(node.target), **self._owner}
        return {"st_mode": stat.S_IFREG | node.mode, "st_nlink": 1, "st_size": node.size, **self._owner}

    def readdir(self, path: str, handle: int) -> list[str]:  # noqa: ARG002  # libfuse's
        """The names in a directory."""
        return [".", "..", *self._directories[path]]

    def readlink(self, path: str) -> str:
        """Where a link points."""
        node = self._tree[path]
        assert isinstance(node, Link)
        return node.target

    @_with_errno
    def open(self, path: str, flags: int) -> int:
        """Allow what the file's mode allows to anybody, as kernfs does: root is no exception."""
        node = self._attribute(path)
        writes, reads = bool(flags & WRITES), not flags & os.O_WRONLY
        if writes and self._frozen:
            raise OSError(errno.EROFS, path)
        if (writes and node.store is None) or (reads and node.show is None):
            raise OSError(errno.EACCES, path)
        boot = self._boot()
        if boot is None:
            raise OSError(errno.ENODEV, path)
        for asked, is_write in ((reads, False), (writes, True)):
            if asked:
                self._meet_fault(path, is_write, AT_OPENING)
        self._open += 1
        self._boots[self._open] = boot
        return self._open

    def release(self, path: str, handle: int) -> int:  # noqa: ARG002  # libfuse's
        """Forget what was shown."""
        self._shown.pop(handle, None)
        self._boots.pop(handle, None)
        return 0

    @_with_errno
    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """Make the text anew at the beginning; go on with the same text after it."""
        self._require_boot(path, handle)
        if offset == 0:
            self._meet_fault(path, False, IN_USE)
            show = self._attribute(path).show
            assert show is not None
            self._shown[handle] = f"{show()}\n".encode()
        return self._shown.get(handle, b"")[offset : offset + size]

    @_with_errno
    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:  # noqa: ARG002  # ignored by sysfs
        """One write is one command."""
        self._require_boot(path, handle)
        self._meet_fault(path, True, IN_USE)
        store = self._attribute(path).store
        assert store is not None
        store(data.split(b"\0")[0].decode("latin-1"), self._fuse.fuse_get_context()[2])
        return len(data)

    def truncate(self, path: str, length: int, handle: int | None = None) -> int:  # noqa: ARG002  # libfuse's
        """`echo x > file` truncates it; sysfs does not mind."""
        return 0

    def _require_boot(self, path: str, handle: int) -> None:
        boot = self._boot()
        if boot is None or boot != self._boots.get(handle):
            raise OSError(errno.ENODEV, path)

    def _meet_fault(self, path: str, writes: bool, errors: Mapping[int, int]) -> None:
        match = STRUCK.match(path)
        if match is None:
            return
        part = "package" if match["policy"] is None else "cpu"
        error = errors.get(self._fault(writes, part, int(match["policy"] or match["package"])))
        if error is not None:
            raise OSError(error, path)

    def _attribute(self, path: str) -> Attribute:
        node = self._tree[path]
        assert isinstance(node, Attribute)
        return node


def _let_go() -> None:
    """Close what the process that started this one waits for."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    if os.fork():  # who started us must not have to wait for us
        os._exit(0)
    try:
        serve(SimulatedHost(Path(sys.argv[1])), _let_go)
    except EagentError as complaint:
        sys.exit(str(complaint))
