"""Run the agent in the foreground: it reads what the warden measures, decides, and answers the other verbs.

systemd runs it so, as an unprivileged user; in a shell or a container `eagent up` runs agent and warden together. On
SIGHUP it becomes the program and the configuration on the disk, and keeps its pins and its lease.

Examples:
  eagent agent
  eagent agent --config ./eagent.toml
"""

from __future__ import annotations

import argparse

from eagent.cli.dispatch import Context
from eagent.cli.logs import log_to_stderr


def configure(parser: argparse.ArgumentParser) -> None:
    """`eagent agent` has only the options of all verbs."""


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # the shape of a verb
    """Run until a signal."""
    from eagent.agent.main import run as run_agent
    from eagent.api.jobs import job_server
    from eagent.api.server import Server
    from eagent.hardware.frequency import Frequencies

    log_to_stderr()
    frequencies = Frequencies(context.paths.sysfs)
    run_agent(context.paths, context.config(), Server, job_server, frequencies.read, context.config)
    return 0
