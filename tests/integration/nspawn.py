"""A machine with a real systemd as its first process: a container on an overlay of this machine's own root.

Nothing that it writes reaches this machine, and nothing of it is left: all it changes is in memory. Needs root and
systemd-nspawn. Its network is its own and empty.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import eagent
from eagent.service.files import shipped

OPT = "/opt/wheel"  # where eagent is installed on it
BOOT_S, HALT_S = 30.0, 20.0
ENVIRON = {"PATH": f"{OPT}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def why_no_nspawn() -> str:
    """Why no such machine can be had here, for a person; empty: it can."""
    if os.geteuid() != 0:
        return "a container with a systemd of its own needs root"
    if missing := [each for each in ("systemd-nspawn", "nsenter") if shutil.which(each) is None]:
        return f"{' and '.join(missing)} missing (Debian: apt-get install systemd-container)"
    return ""


@dataclass
class Machine:
    """One that runs."""

    root: Path  # its tree, from here
    changes: Path  # of it what differs from this machine's
    leader: int  # its first process

    def run(self, *words: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it, as root."""
        entered = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "--", *words]
        done = subprocess.run(
            entered,
            env={**ENVIRON, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, name: str) -> str:
        """What its systemd tells of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def until(self, condition: Callable[[], bool], most_s: float, what: str) -> float:
        """Wait until it holds; after how many seconds it did."""
        since = time.monotonic()
        while not condition():
            assert time.monotonic() - since < most_s, f"not within {most_s:g} s: {what}\n{self.journal()}"
            time.sleep(0.05)
        return time.monotonic() - since

    def journal(self) -> str:
        """The last that its journal has of eagent."""
        return self.run("journalctl", "--no-pager", "-n", "60", "-u", "eagent-*", check=False).stdout


@contextmanager
def machine(place: Path) -> Iterator[Machine]:
    """Boots one with `place`, an empty directory, as its mount point; eagent is installed in it, but no service."""
    with _mounted(place) as root:
        _install(root)
        process = _boot(root)
        try:
            made = Machine(root, place / "u", _leader(process))
            made.run("systemctl", "is-system-running", "--wait", check=False)
            yield made
        finally:
            _halt(process)


@contextmanager
def _mounted(place: Path) -> Iterator[Path]:
    root = place / "m"
    _must("mount", "-t", "tmpfs", "-o", "mode=755", "eagent-test", str(place))
    try:
        for name in ("u", "w", "m"):
            (place / name).mkdir()
        _must(
            *("mount", "-t", "overlay", "eagent-test"),
            *("-o", f"lowerdir=/,upperdir={place}/u,workdir={place}/w", str(root)),
        )
        try:
            yield root
        finally:
            _must("umount", str(root))
    finally:
        _must("umount", str(place))


def _install(root: Path) -> None:
    """What `pip install` of a wheel would make, from what is built here."""
    (root / "etc/machine-id").write_text("")
    venv, version = root / OPT[1:], f"python{sysconfig.get_python_version()}"
    site = venv / f"lib/{version}/site-packages"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    (venv / "bin/python").symlink_to(f"/opt/python/bin/{version}")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(eagent.__file__).parent, site / "eagent", ignore=ignored)
    shutil.copytree(shipped(), site / "eagent/shipped", dirs_exist_ok=True)
    for path in [site, *site.rglob("*")]:
        os.chown(path, 0, 0)
    (site / "needs.pth").write_text("/opt/needs\n")
    for name in ("needs", "python"):  # this Python and its packages, which may be in a home that services can't see
        (root / "opt" / name).mkdir()
    program = venv / "bin/eagent"
    program.write_text(f"#!{OPT}/bin/python\nimport sys\nfrom eagent.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)


def _boot(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *("systemd-nspawn", "--quiet", "--directory", str(root), "--machine=eagent-test"),
            *("--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--console=pipe"),
            *("--resolv-conf=off", "--timezone=off", f"--bind-ro={sysconfig.get_path('purelib')}:/opt/needs"),
            f"--bind-ro={sys.base_prefix}:/opt/python",
            *("--boot", "systemd.unit=basic.target"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _leader(process: subprocess.Popen[bytes]) -> int:
    """The machine's first process, once its systemd answers."""
    until = time.monotonic() + BOOT_S
    while time.monotonic() < until and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[-1]}/root/run/systemd/private").exists():
            return int(children[-1])
        time.sleep(0.05)
    raise AssertionError(f"no systemd came up: exit status {process.poll()}")


def _halt(process: subprocess.Popen[bytes]) -> None:
    """Shut it down; should it not, as a power cut would."""
    process.terminate()
    try:
        process.wait(HALT_S)
    except subprocess.TimeoutExpired:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        process.wait(HALT_S)


def _must(*words: str) -> None:
    subprocess.run(words, check=True, timeout=60)
