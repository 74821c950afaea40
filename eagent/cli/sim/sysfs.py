"""Serve a simulated host's CPUs as the kernel's files, /sys and /proc/stat, until `delete` or SIGTERM."""

from __future__ import annotations

import argparse
import os

SUMMARY = "serve the host's CPUs as the kernel's files, until `delete` or SIGTERM: /sys and /proc/stat"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim sysfs`."""
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--foreground", action="store_true", help="stay in this shell until Ctrl-C")


def run(args: argparse.Namespace) -> list[str]:
    """Start the server, or be it."""
    from eagent.sim import host, sysfs

    found = host.find(host.root(os.environ), args.name)
    if args.foreground:
        sysfs.serve(found)
        return [f"{found.kernel} is unmounted."]
    pid = sysfs.start(found)
    return [f"{found.kernel} is served by pid {pid}, until SIGTERM or `eagent sim delete {found.name}`."]
