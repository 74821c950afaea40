"""What is to be done, a step at a time: each can be told before it is done, and each is done once only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import UnavailableError

COMMAND_S = 180.0  # an orderly end may take over a minute
SHOWN_MAX = 300  # characters


@dataclass(frozen=True, slots=True)
class Step:
    """One change to the host."""

    what: str
    do: Callable[[], object]


def take(steps: Iterable[Step], say: Callable[[str], None], *, dry: bool) -> None:
    """Do them in order, and say each; with `dry` only say them.

    Raises:
        UnavailableError: one failed. Those before it stand, and all can be begun again.
    """
    for step in steps:
        say(step.what)
        if dry:
            continue
        try:
            step.do()
        except OSError as problem:
            raise UnavailableError(f"{step.what}: {problem.filename or ''}: {problem.strerror}") from None


def write(path: Path, text: str) -> Step:
    """Write a file that anybody may read."""

    def do() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(path)

    return Step(f"write {path}", do)


def remove(path: Path) -> Step:
    """Remove a file or a link to one."""
    return Step(f"remove {path}", lambda: path.unlink(missing_ok=True))


def remove_tree(path: Path) -> Step:
    """Remove a directory with all that is in it."""
    return Step(f"remove {path}/", lambda: shutil.rmtree(path))


def remove_empty(path: Path) -> Step:
    """Remove a directory if nothing is in it."""

    def do() -> None:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()

    return Step(f"remove {path}/, if nothing else is in it", do)


def command(*words: str) -> Step:
    """Run a command that must succeed."""
    return Step(f"run {' '.join(words)}", lambda: must(words))


def must(words: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        UnavailableError: it is not there or fails, with its own last words.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except FileNotFoundError:
        raise UnavailableError(f"{words[0]}: no such command") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{' '.join(words)}: not done after {COMMAND_S:g} s") from None
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split())[-SHOWN_MAX:]
        raise UnavailableError(f"{' '.join(words)}: exit status {done.returncode}: {told}")
    return done.stdout
