"""Make eagent's Debian package of what is built here: eagent and the Python packages that it needs, in /opt/eagent.

It runs on the distribution's own Python, of the version that this one has, and brings what that lacks, so it takes
nothing from a network when it is installed. Nothing is compiled here: `make deb` does that before.

    python debian/build.py dist/
    python debian/build.py dist/ --quick       for a test: neither packed nor with its byte code
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import eagent
from eagent.service.files import files, shipped

HERE = Path(__file__).parent
EXTRA = "mesh"
OPT = Path("opt/eagent")
COMMAND = f"/{OPT}/bin/eagent"
PYTHON = f"python{sysconfig.get_python_version()}"
CONTROL = """\
Package: eagent
Version: {version}
Architecture: {architecture}
Maintainer: The eagent authors <root@localhost>
Installed-Size: {size_kib}
Depends: python3 (>= {minor}), python3 (<< {next_minor}), libc6, systemd (>= 247)
Section: admin
Priority: optional
Description: energy agent for GPU hosts
 Holds power limits and clocks of a host's GPUs and CPUs under budgets, and
 puts everything back: two units of systemd, one of them privileged.
"""


def main() -> int:
    """Build into the directory that is named; prints the package's path."""
    out, quick = Path(sys.argv[1]).absolute(), "--quick" in sys.argv
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="eagent-deb-") as place:
        root = Path(place) / "eagent"
        _stage(root, quick=quick)
        path = out / f"eagent_{eagent.__version__}_{_architecture()}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone" if quick else "-Zxz", "--build", root, path],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    print(path)
    return 0


def _stage(root: Path, *, quick: bool) -> None:
    site = root / OPT / "lib" / PYTHON / "site-packages"
    _copy_package(site)
    for name in sorted(_needs("eagent", set(), EXTRA)):
        _copy_distribution(distribution(name), site)
    _make_environment(root)
    if not quick:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(site, quiet=2, stripdir=str(root), prependdir="/", invalidation_mode=mode)
    for file in files(COMMAND):
        _write(root / _place(file.path), file.text)
    _write(root / "usr/share/doc/eagent/copyright", (HERE.parent / "LICENSE").read_text(encoding="utf-8"))
    _control(root)


def _place(path: Path) -> Path:
    """Where a package of the distribution puts what an administrator has in /etc."""
    return Path(re.sub(r"^/etc/(systemd/system|sysusers\.d|tmpfiles\.d)/", r"usr/lib/\1/", str(path)).lstrip("/"))


def _copy_package(site: Path) -> None:
    package = Path(eagent.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "*.pyi")
    shutil.copytree(package, site / "eagent", ignore=ignored)
    shutil.copytree(shipped(), site / "eagent/shipped", dirs_exist_ok=True)


def _needs(name: str, found: set[str], extra: str = "") -> set[str]:
    """The distributions that one needs, with this extra of its own, and what those need."""
    for line in distribution(name).requires or ():
        needed = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        wanted = "extra ==" not in line or (extra and f'extra == "{extra}"' in line)
        if wanted and needed not in found and '== "pypy"' not in line:
            found.add(needed)
            _needs(needed, found)
    return found


def _copy_distribution(made: Distribution, site: Path) -> None:
    for file in made.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = site / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), place)


def _make_environment(root: Path) -> None:
    """A virtual environment of the distribution's Python, as `python3 -m venv` makes them."""
    _write(root / OPT / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    program = root / COMMAND[1:]
    _write(program, f"#!/{OPT}/bin/python\nimport sys\nfrom eagent.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    (program.parent / "python").symlink_to(f"/usr/bin/{PYTHON}")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/eagent").symlink_to(COMMAND)


def _control(root: Path) -> None:
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    major, minor = sys.version_info[:2]
    control = CONTROL.format(
        version=eagent.__version__,
        architecture=_architecture(),
        size_kib=size // 1024,
        minor=f"{major}.{minor}",
        next_minor=f"{major}.{minor + 1}",
    )
    _write(root / "DEBIAN/control", control)
    _write(root / "DEBIAN/conffiles", "/etc/eagent/eagent.toml\n")
    for name in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / name, root / "DEBIAN" / name)
        (root / "DEBIAN" / name).chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
