"""Installing, upgrading and uninstalling on one host, or in the tree of an image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import RefusedError, UnavailableError
from eagent.service.files import CONFIG, RUN, STATE, UNITS, File, files, packaged
from eagent.service.steps import Step, command, must, remove, remove_empty, remove_tree, write

OWN_STATE = frozenset(("journal", "budget.json", "halt"))  # what a host without eagent has no use for
TARGET = "eagent.target"
USER, GROUPS = "eagent", ("eagent-operators", "eagent-observers")


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is changed."""

    root: Path = Path("/")  # of an image, if it is not this host's own

    @property
    def live(self) -> bool:
        """Whether it is this host, with its systemd, and not an image."""
        return self.root == Path("/")

    def check(self) -> None:
        """See that it can be changed from here.

        Raises:
            RefusedError: not by this user.
            UnavailableError: there is no systemd.
        """
        if os.geteuid() != 0:
            raise RefusedError("a service is root's to install: use sudo, or look with --dry-run")
        if self.live and not Path("/run/systemd/system").is_dir():
            raise UnavailableError(
                "this host was not started by systemd: `eagent up` runs both halves here, and --root DIR installs "
                "into an image"
            )
        if not self.root.is_dir():
            raise UnavailableError(f"{self.root}: no such directory")

    def at(self, path: Path) -> Path:
        """Where a path of the host is from here."""
        return self.root / path.relative_to("/")

    # -- installing --------------------------------------------------------------------------------------------------

    def install(self, start: str) -> Iterator[Step]:
        """The steps that are still to be taken for a service that starts `start`.

        Raises:
            RefusedError: a package of the distribution has installed it.
        """
        if unit := packaged(self.root):
            raise RefusedError(f"{unit}: eagent's package has installed the service, and keeps it")
        todo = [file for file in files(start) if self._differs(file)]
        for file in todo:
            yield write(self.at(file.path), file.text)
        image = () if self.live else (f"--root={self.root}",)
        yield command("systemd-sysusers", *image, "eagent.conf")
        if self.live:
            yield command("systemd-tmpfiles", "--create", "eagent.conf")
            yield command("systemctl", "daemon-reload")
        yield command("systemctl", *image, "--quiet", "enable", *UNITS)
        if self.live:
            yield from self._start()

    def _differs(self, file: File) -> bool:
        place = self.at(file.path)
        try:
            return place.read_text(encoding="utf-8") != file.text and not file.theirs
        except FileNotFoundError:
            return True

    def _start(self) -> Iterator[Step]:
        """What runs becomes this eagent and keeps what it holds; what does not run is started."""
        for unit in UNITS[:2]:
            if self.is_active(unit):
                yield Step(f"run systemctl reload {unit}: it keeps what it holds", lambda u=unit: _quiet("reload", u))  # type: ignore[misc]
        yield command("systemctl", "start", TARGET)

    @staticmethod
    def is_active(unit: str) -> bool:
        """Whether a unit of this host runs."""
        asked = ["systemctl", "--quiet", "is-active", unit]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    # -- uninstalling ------------------------------------------------------------------------------------------------

    def uninstall(self, start: tuple[str, ...], *, purge: bool) -> Iterator[Step]:
        """The steps until nothing of the service is left but what `left` tells.

        Args:
            start: The command of this eagent, to put the knobs back.
            purge: Take the operator's own files away, too.

        Raises:
            RefusedError: a package of the distribution has installed it.
        """
        if unit := packaged(self.root):
            raise RefusedError(f"{unit}: eagent's package has installed the service: remove the package")
        mine = [file for file in files("") if self.at(file.path).exists()]
        units = [file.path.name for file in mine if file.path.name in UNITS]
        image = () if self.live else (f"--root={self.root}",)
        if self.live and units:
            yield command("systemctl", "stop", *units)  # the warden's end puts every knob back
        if self.live and self._holds():
            yield command(*start, "restore", "--offline", "--clear-budget")
        if units:
            yield command("systemctl", *image, "--quiet", "disable", *units)
        for file in mine:
            if not file.theirs or purge or self._untouched(file):
                yield remove(self.at(file.path))
        if self.at(CONFIG).parent.is_dir():
            yield remove_empty(self.at(CONFIG).parent)
        if self.live and units:
            yield command("systemctl", "daemon-reload")
            yield Step("run systemctl reset-failed", lambda: _lenient("reset-failed", *units))
        for place in (self.at(RUN), self.at(STATE)):
            if place.is_dir() and (purge or place != self.at(STATE) or not self._records()):
                yield remove_tree(place)
        if self.live and (purge or not self._records()):
            yield from self._accounts()

    def _holds(self) -> bool:
        """Whether a knob may not be back, or a budget stands."""
        journal = self.at(STATE) / "journal"
        return (self.at(STATE) / "budget.json").exists() or (journal.is_dir() and any(journal.glob("*.json")))

    def _untouched(self, file: File) -> bool:
        return self.at(file.path).read_text(encoding="utf-8", errors="replace") == file.text

    def _records(self) -> list[Path]:
        """What is in the state directory that somebody may want to read later."""
        state = self.at(STATE)
        others = sorted(each for each in state.iterdir() if each.name not in OWN_STATE) if state.is_dir() else []
        return [each for each in others if not each.is_dir() or any(path.is_file() for path in each.rglob("*"))]

    def _accounts(self) -> Iterator[Step]:
        users, groups = _names("passwd"), _names("group")
        if USER in users:
            yield command("userdel", USER)
        for group in GROUPS:
            if group in groups and not groups[group]:
                yield command("groupdel", group)

    def left(self) -> list[str]:
        """What an uninstallation has left, a line each."""
        lines = [f"{self.at(CONFIG)}: you have changed it"] if self.at(CONFIG).exists() else []
        lines += [f"{each}: a record" for each in self._records()]
        if self.live:
            groups = _names("group")
            lines += [f"group {each}: it has members" for each in GROUPS if groups.get(each)]
        return lines


def _names(database: str) -> dict[str, str]:
    """Of this host's users or groups, by name, what stands last in their lines: of a group its members."""
    lines = Path("/etc", database).read_text(encoding="utf-8", errors="replace").splitlines()
    return {line.split(":")[0]: line.rpartition(":")[2] for line in lines}


def _quiet(*words: str) -> None:
    must(("systemctl", *words))


def _lenient(*words: str) -> None:
    subprocess.run(["systemctl", *words], capture_output=True, check=False)  # of what has not failed it is an error
