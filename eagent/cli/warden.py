"""Run the warden in the foreground: the small privileged half, the only one that writes a knob.

systemd runs it so, as root; in a shell or a container `eagent up` runs agent and warden together. On SIGHUP it becomes
the program and the configuration on the disk, and keeps what it holds.

Examples:
  sudo eagent warden
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eagent.cli.dispatch import Context
from eagent.cli.logs import log_to_stderr

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """`eagent warden` has only the options of all verbs."""


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # the shape of a verb
    """Run until a signal."""
    from eagent.warden.main import run as run_warden

    log_to_stderr()
    run_warden(context.paths, context.config(), context.config)
    return 0
