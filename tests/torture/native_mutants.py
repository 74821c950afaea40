"""What is broken in the hot loop: a copy of the tree with other text in one file, built there."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Before setup.py: the loop alone is built, which takes seconds; the rest is copied as it was built.
ONLY_THE_LOOP = """import setuptools
_setup = setuptools.setup
setuptools.setup = lambda ext_modules, **_: _setup(
    ext_modules=[each for each in ext_modules if each.name == "eagent.hardware._loop"]
)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """Text that stands once in a file, and what stands there instead."""

    file: str
    old: str
    new: str


NATIVE: dict[str, Change] = {
    "raises-before-it-lowers": Change(  # room is taken for granted
        "native/govern.c",
        "if (!turn->envelope_mw || sum_mw + rise <= turn->envelope_mw) return 1;",
        "if (turn->envelope_mw != 1 || sum_mw + rise + falls_mw) return 1;",
    ),
    "foreign-write-not-noticed": Change(
        "native/govern.c",
        "} else if (settled_mw && (found_mw != settled_mw",
        "} else if (settled_mw == 1 && (found_mw != settled_mw",
    ),
    "never-looks-again": Change(
        "native/actuator.c",
        "if (now_ns < actuator->look_ns[i]) continue;",
        "if (actuator->limits.devices[i].read_ns || now_ns < actuator->look_ns[i]) continue;",
    ),
    "persistence-mode-later": Change(  # at the next look, a second later
        "native/actuator.c",
        "if (actuator->setpoints.mode[i] != before[i]) actuator->look_ns[i] = 0;",
        "if (actuator->setpoints.mode[i] != before[i] && before[i] > 2) actuator->look_ns[i] = 0;",
    ),
    "forgetting-not-noticed": Change(
        "native/govern.c",
        "return !limit->zone && limits->driver && driver_judge(limits->driver, i, &look, now_ns);",
        "return !limit->zone && limits->driver && driver_judge(limits->driver, i, &look, now_ns) > 1;",
    ),
}


@contextlib.contextmanager
def built(name: str) -> Iterator[dict[str, str]]:
    """A tree with that change; what makes a process run from it.

    Raises:
        ValueError: the text is not there any more, or more than once: the mutant must be brought up to date.
        CalledProcessError: it does not build.
    """
    change = NATIVE[name]
    with tempfile.TemporaryDirectory(prefix="m") as directory:
        tree = Path(directory)
        for part in ("eagent", "native"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / part, tree / part)
        setup = tree / "setup.py"
        setup.write_text(ONLY_THE_LOOP + setup.read_text())
        text = (tree / change.file).read_text()
        if text.count(change.old) != 1:
            raise ValueError(f"{name}: {change.file} does not have the text that it changes, once")
        (tree / change.file).write_text(text.replace(change.old, change.new))
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield {"PYTHONPATH": str(tree)}
