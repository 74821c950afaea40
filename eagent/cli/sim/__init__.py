"""Make simulated hosts, give their GPUs work, and run anything on them: eagent itself, nvitop, programs of your own.

A simulated host is a directory with a library that answers as NVIDIA's driver library does. Every process that has the
host's environment (`eagent sim env`) sees the same GPUs, which follow real time. All watts and joules there are
simulated.

Examples:
  eagent sim create lab --gpus 8
  eval "$(eagent sim env lab)"                this shell now runs on the simulated host lab
  eagent up &                                 eagent governs its GPUs
  eagent sim sysfs lab                        give it CPUs, under $EAGENT_SYSFS and $EAGENT_PROC
  eagent sim load lab gang --gpus 0-3         a training job on four of them
  eagent sim load lab serving --gpus 4-7      LLM requests for the others
  eagent sim load lab serving --metrics 127.0.0.1:8000 &     and a server that shows vLLM's metrics
  eagent sim load lab none                    end all load
  eagent sim work lab --units 300             a job in small: 300 units of 10 ms on GPU 0, then it ends
  eagent sim fault lab gpu-lost --gpu 3       what may go wrong: `eagent sim fault --help`
  eagent sim list
  eagent sim watch lab                        live: the truth beside what its sensors say
  eagent sim describe lab > lab.toml          what it was made from; edit it, and ...
  eagent sim create twin --from lab.toml      make another
  eagent sim power lab off                    cut its power: what ran is lost, limits and locks are forgotten
  eagent sim power lab on                     it boots, then it is on
  eagent sim power lab status                 on or off, as a BMC says it; so does `watts`
  eagent sim boot lab -- eagent up            run eagent in each boot of it, until Ctrl-C; power off kills it
  eagent sim delete lab
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Protocol, cast

from eagent.cli.dispatch import Context
from eagent.cli.sim import boot, create, delete, describe, env, fault, load, power, sysfs, watch, work
from eagent.cli.sim import list as list_


class Action(Protocol):
    """What the module of an action offers; it imports the simulator only in `run`. Its docstring is its help."""

    __doc__: str | None
    SUMMARY: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the action's arguments."""

    def run(self, args: argparse.Namespace) -> list[str]:
        """Do it, and return the lines to print.

        Raises:
            EagentError: shown as one line, exit code 1.
        """


# One line an action.
ACTIONS: Mapping[str, Action] = {
    name: cast(Action, module)
    for name, module in {
        "create": create,
        "describe": describe,
        "env": env,
        "sysfs": sysfs,
        "load": load,
        "work": work,
        "fault": fault,
        "power": power,
        "boot": boot,
        "list": list_,
        "watch": watch,
        "delete": delete,
    }.items()
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim`."""
    actions = parser.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    for name, action in ACTIONS.items():
        action.configure(actions.add_parser(name, help=action.SUMMARY, description=action.__doc__))


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # a simulated host has its own directories
    """Do what `args.action` names."""
    for line in ACTIONS[args.action].run(args):
        print(line)
    return 0
