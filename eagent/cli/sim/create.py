"""Make a simulated host: from a file that describes it, from these options, or from both, of which the options win.

config/sim-host.toml explains every key of such a file; `eagent sim describe NAME` prints that of a host.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eagent.cli.arguments import duration, watts, watts_or_none

if TYPE_CHECKING:
    from eagent.sim.description.description import Description

SUMMARY = "make a simulated host"
PERMISSIONS = ("anyone", "root", "nobody")
POWERCAPS = ("intel-rapl", "intel-rapl-mmio", "amd")
SUPPLY = ("standby_w", "boot_w", "boot_s", "rest_w")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim create`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="may be left out where the file says it")
    parser.add_argument("--from", dest="source", metavar="FILE", help="what to make, as TOML; - is stdin")
    parser.add_argument("--gpus", type=int, metavar="N", help="how many, 1 to 16; default 8")
    parser.add_argument("--model", help="of the GPUs: a name, or the path of a file; default a100-sxm4-80gb")
    parser.add_argument("--seed", type=int, metavar="N", help="tells boards and their sensors apart; default 1")
    parser.add_argument(
        "--permission", choices=PERMISSIONS, help="whom the simulated driver lets set limits; default anyone"
    )
    parser.add_argument("--cpu-model", metavar="MODEL", help="likewise; default xeon-platinum-8358")
    parser.add_argument(
        "--powercap",
        choices=POWERCAPS,
        help="how its RAPL zones are named and whether they have limits; default: the CPU's",
    )
    _configure_supply(parser.add_argument_group("what it draws from the wall"))


def _configure_supply(group: Any) -> None:
    group.add_argument("--standby-w", type=watts_or_none, metavar="WATTS", help="while it is off; default 30")
    group.add_argument("--boot-w", type=watts, metavar="WATTS", help="while it boots; default: GPUs idle, CPUs busy")
    group.add_argument("--boot-time", dest="boot_s", type=duration, metavar="TIME", help="how long; default 30s")
    group.add_argument(
        "--rest-w",
        type=watts_or_none,
        metavar="WATTS",
        help="while it is on, all that does not change; default 760",
    )


def run(args: argparse.Namespace) -> list[str]:
    """Make it."""
    from eagent.sim import host

    made = host.make(host.root(os.environ), _description(args))
    return [f'Simulated host {made.name} is made. To run on it: eval "$(eagent sim env {made.name})"']


def _description(args: argparse.Namespace) -> Description:
    from eagent.sim import model, processor
    from eagent.sim.description import file
    from eagent.sim.description.description import Description
    from eagent.sim.description.parts import model_file

    base = Description() if args.source is None else file.read(args.source)
    gpu, cpu = args.model, args.cpu_model
    return replace(
        base,
        **_given(name=args.name, seed=args.seed, permission=args.permission),
        gpu=replace(base.gpu, **_given(count=args.gpus, model=gpu and model_file(gpu, Path(), model.parse))),
        cpu=replace(base.cpu, **_given(powercap=args.powercap, model=cpu and model_file(cpu, Path(), processor.parse))),
        supply={**base.supply, **_given(**{name: getattr(args, name) for name in SUPPLY})},
    )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
