"""The files of the service: where they are shipped, where they go, and what stands in them on this host."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import eagent
from eagent.errors import RefusedError, UnavailableError

UNITS = ("eagent-warden.service", "eagent-agent.service", "eagent.target")
CONFIG = Path("/etc/eagent/eagent.toml")
RUN, STATE = Path("/run/eagent"), Path("/var/lib/eagent")
PACKAGED = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
UNSEEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # ProtectHome and PrivateTmp
FOUND_BY_PATH = "/usr/bin/env eagent"  # what the units as shipped start
PLAIN = re.compile(r"[\w/.+-]+")  # what needs no quotes in a unit


@dataclass(frozen=True, slots=True)
class File:
    """One file of the service, as it is to be on the host."""

    path: Path  # absolute, as the host sees it
    text: str
    theirs: bool = False  # the operator's: made once, and then left as it is


def shipped() -> Path:
    """The directory of what comes with this eagent: in an installed one beside its code, in a checkout `config`.

    Raises:
        UnavailableError: it is nowhere.
    """
    package = Path(eagent.__file__).parent
    for place in (package / "shipped", package.parent / "config"):
        if (place / "systemd" / UNITS[0]).is_file():
            return place
    raise UnavailableError(f"{package}: the units are missing: install eagent from its wheel or its package")


def files(command: str) -> tuple[File, ...]:
    """All files, with units that start `command`."""
    place = shipped()
    units = [
        File(Path("/etc/systemd/system", name), _read(place / "systemd" / name).replace(FOUND_BY_PATH, command))
        for name in UNITS
    ]
    return (
        File(Path("/etc/sysusers.d/eagent.conf"), _read(place / "systemd/sysusers.d/eagent.conf")),
        File(Path("/etc/tmpfiles.d/eagent.conf"), _read(place / "systemd/tmpfiles.d/eagent.conf")),
        File(CONFIG, _read(place / "eagent.toml"), theirs=True),
        *units,
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def own_command(executable: str = sys.executable, code: Path | None = None, base: str = sys.base_prefix) -> str:
    """How a unit starts this eagent.

    Args:
        executable: This Python.
        code: The directory of eagent's code; None: of this one's.
        base: The Python that a virtual environment is made from.

    Raises:
        RefusedError: services could not see it, or somebody else than root could change what root would run.
    """
    program = Path(executable).with_name("eagent")
    command: Sequence[str] = [str(program)] if program.is_file() else [executable, "-m", "eagent"]
    for place in (Path(executable), code or Path(eagent.__file__).parent, Path(base)):
        if any(place.is_relative_to(unseen) for unseen in UNSEEN):
            raise RefusedError(
                f"{place}: services see no homes and have a /tmp of their own: install eagent elsewhere, "
                "for example with `/usr/bin/python3 -m venv /opt/eagent`"
            )
        if not PLAIN.fullmatch(str(place)):
            raise RefusedError(f"{place}: a path with such characters can't stand in a unit: install eagent elsewhere")
        about = place.stat()
        if about.st_uid != 0 or about.st_mode & stat.S_IWOTH:
            raise RefusedError(
                f"{place}: somebody else than root may change it, and root would run it: install eagent as root"
            )
    return " ".join(command)


def packaged(root: Path) -> Path | None:
    """The unit of a package of the distribution, which keeps itself; None: there is none."""
    places = (root / place.relative_to("/") / UNITS[0] for place in PACKAGED)
    return next((place for place in places if place.exists()), None)
