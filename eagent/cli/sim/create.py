"""Make a simulated host."""

from __future__ import annotations

import argparse
import os
from typing import Any

from eagent.cli.arguments import duration, watts

SUMMARY = "make a simulated host"
PERMISSIONS = ("anyone", "root", "nobody")
POWERCAPS = ("intel-rapl", "intel-rapl-mmio", "amd")
SUPPLY = ("standby_w", "boot_w", "boot_s", "rest_w")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim create`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--gpus", type=int, default=8, metavar="N", help="how many, 1 to 16; default 8")
    parser.add_argument("--model", default="a100-sxm4-80gb", help="of the GPUs; default a100-sxm4-80gb")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="tells boards and their sensors apart; default 1"
    )
    parser.add_argument(
        "--permission",
        choices=PERMISSIONS,
        default="anyone",
        help="whom the simulated driver lets set limits; default anyone",
    )
    parser.add_argument("--cpu-model", default="xeon-platinum-8358", metavar="MODEL", help="default xeon-platinum-8358")
    parser.add_argument(
        "--powercap",
        choices=POWERCAPS,
        help="how its RAPL zones are named and whether they have limits; default: the CPU's",
    )
    _configure_supply(parser.add_argument_group("what it draws from the wall"))


def _configure_supply(group: Any) -> None:
    group.add_argument("--standby-w", type=watts, metavar="WATTS", help="while it is off; default 30")
    group.add_argument("--boot-w", type=watts, metavar="WATTS", help="while it boots; default: GPUs idle, CPUs busy")
    group.add_argument("--boot-time", dest="boot_s", type=duration, metavar="TIME", help="how long; default 30s")
    group.add_argument(
        "--rest-w", type=watts, metavar="WATTS", help="while it is on, beside GPUs, CPUs and memory; default 1000"
    )


def run(args: argparse.Namespace) -> list[str]:
    """Make it."""
    from eagent.sim import host

    made = host.create(
        host.root(os.environ),
        args.name,
        gpus=args.gpus,
        gpu_model=args.model,
        seed=args.seed,
        permission=args.permission,
        cpu_model=args.cpu_model,
        powercap=args.powercap,
        **{name: getattr(args, name) for name in SUPPLY if getattr(args, name) is not None},
    )
    return [f'Simulated host {made.name} is made. To run on it: eval "$(eagent sim env {made.name})"']
