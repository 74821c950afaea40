"""Run the agent in the foreground: it reads what the warden measures, decides, and answers the other verbs.

systemd runs it so, as an unprivileged user; in a shell or a container `eagent up` runs agent and warden together. On
SIGHUP it becomes the program and the configuration on the disk, and keeps its pins and its lease.

Examples:
  eagent agent
  eagent agent --config ./eagent.toml
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eagent.cli.dispatch import Context
from eagent.cli.logs import log_to_stderr

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """`eagent agent` has only the options of all verbs."""


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # the shape of a verb
    """Run until a signal."""
    from eagent import access
    from eagent.agent.agent import Agent
    from eagent.agent.desk import Desk
    from eagent.agent.main import ApiServer
    from eagent.agent.main import run as run_agent
    from eagent.api.gate import Gate
    from eagent.api.jobs import job_gate, job_server
    from eagent.api.server import Server
    from eagent.audit import Audit
    from eagent.hardware.frequency import Frequencies

    log_to_stderr()
    config = context.config()
    audit = Audit(context.paths.agent_audit)

    def api(agent: Agent, path: Path) -> ApiServer:
        agent.further_alarms = audit.alarms
        gate = Gate(access.API, access.of_api(config.groups), config.groups, audit, agent.standing)
        server = Server(agent, path, gate=gate)
        if not config.listen:
            return server
        from eagent.api.tcp import Beside, Port  # a host without a port loads nothing of it

        both = Beside(server, Port.of(config.listen, config.listen_names), agent)
        agent.further_alarms = lambda: [*audit.alarms(), *both.alarms()]
        return both

    def jobs(desk: Desk, path: Path) -> Server:
        return job_server(desk, path, job_gate(audit, desk.standing))

    try:
        follow = run_agent(context.paths, config, api, jobs, Frequencies(context.paths.sysfs).read, context.config)
    finally:
        audit.close()
    follow()
    return 0
