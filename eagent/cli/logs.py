"""Where the log of a process in the foreground goes."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Under systemd each line is stamped by the journal; the number in front tells it how grave the line is.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def log_to_stderr(environ: Mapping[str, str] = os.environ) -> None:
    """Send this process's log to stderr, in the form that whoever reads it wants: a person, or systemd's journal."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Journal() if _is_journal(environ) else logging.Formatter(_LINE))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr is what systemd connected to its journal: what a service starts may send its own elsewhere."""
    about = os.fstat(2)
    return environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


class _Journal(logging.Formatter):
    """Lines that start with `<priority>`, which the journal takes out again; also those of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.name}: {super().format(record)}"
        return "\n".join(f"<{_PRIORITY.get(record.levelno, 6)}>{line}" for line in text.splitlines())
