"""Switch a simulated host off or on, or ask its BMC for its state or its watts at the wall."""

from __future__ import annotations

import argparse
import os

from eagent.cli.quantities import format_duration

SUMMARY = "switch a host off or on, or ask its BMC for its state or its watts at the wall"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim power`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("what", nargs="?", choices=("status", "on", "off", "watts"), default="status")


def run(args: argparse.Namespace) -> list[str]:
    """Do or ask what `args.what` says."""
    from eagent.sim import host
    from eagent.sim._bmc import Bmc

    found = host.find(host.root(os.environ), args.name)
    with Bmc(found.plant) as bmc:
        if args.what == "watts":
            return [f"{bmc.power_w:.1f}"]
        if args.what == "status":
            return ["off" if bmc.power == "off" else "on"]  # to a BMC a host that boots is on
        if args.what == "off":
            bmc.switch_off()
            return [f"{found.name} is off."]
        bmc.switch_on()
        boots_s = bmc.supply["boot_s"]
        is_on = bmc.power == "on"
    found.show_boot()
    return [f"{found.name} is on." if is_on else f"{found.name} boots; that takes {format_duration(boots_s)}."]
