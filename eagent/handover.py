"""How a daemon becomes its own successor: the same process, with the program that is on the disk now.

What the successor needs to go on stands in its environment, so there is no file that could be stale or forged. The
signals that end or renew a daemon are held back from before the hand-over until the successor heeds them: none is lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import MutableMapping
from typing import Any, NoReturn

from eagent.errors import UnavailableError

NAME = "EAGENT_HANDOVER"
HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hold_signals() -> None:
    """From here on signals wait for the successor."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def heed_signals() -> None:
    """The handlers stand: what came meanwhile, comes now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def check_successor() -> None:
    """See that there is a program to become.

    Raises:
        UnavailableError: there is none; so nothing is to be begun.
    """
    if not os.access(sys.executable, os.X_OK):
        raise UnavailableError(f"{sys.executable}: can't be run any more")


def become_successor(left: dict[str, Any]) -> NoReturn:
    """Start this process's own command anew in its place.

    Args:
        left: What `take` gives the successor; as JSON.

    Raises:
        OSError: it can't be; what was held is for the next start.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, NAME: json.dumps(left)})


def take(environ: MutableMapping[str, str] = os.environ) -> dict[str, Any]:
    """What the predecessor left, once: who is started by us has no predecessor. Empty: there was none."""
    text = environ.pop(NAME, "")
    try:
        left = json.loads(text) if text else {}
    except ValueError:  # nobody wrote it who could have meant anything by it
        return {}
    return left if isinstance(left, dict) else {}
