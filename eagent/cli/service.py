"""Run eagent as a service of this host: two units of systemd, started at boot, before jobs are.

`install` writes the units, a user `eagent` without any right, and a configuration if there is none, and starts both.
On a host where they run already it upgrades them: they become this eagent and keep budget, holds and pins. `uninstall`
gives every knob back, ends the budget, and takes all that away again, but for what you have written yourself; it says
what it left. Both can be repeated, and with --dry-run they only say what they would do.

Examples:
  sudo eagent service install
  eagent service install --dry-run
  eagent service status
  sudo eagent service uninstall
  sudo eagent service install --root /mnt/image      for an image, which starts it when it boots
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eagent.cli.dispatch import Context

NOT_RUNNING = 3  # as systemctl has it


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent service`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="install|uninstall|status")
    install = actions.add_parser("install", help="install, start or upgrade it")
    uninstall = actions.add_parser("uninstall", help="put everything back and take it away")
    uninstall.add_argument("--purge", action="store_true", help="the configuration and records, too")
    for action in (install, uninstall):
        action.add_argument("--dry-run", action="store_true", help="only say what would be done")
        action.add_argument("--root", metavar="DIR", default="/", help="the root of an image, instead of this host")
    actions.add_parser("status", help="say whether it is installed and runs")


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # the shape of a verb
    """Install, uninstall, or tell.

    Raises:
        EagentError: it can't be done; what was done until then stands, and it can be begun again.
    """
    if args.action == "status":
        return _status()
    from eagent.service.files import own_command
    from eagent.service.host import Host
    from eagent.service.steps import take

    host = Host(Path(args.root).absolute())
    if not args.dry_run:
        host.check()
    if args.action == "install":
        take(host.install(own_command()), print, dry=args.dry_run)
        print("Nothing was done: this is what would be." if args.dry_run else "Installed: see `eagent service status`.")
        return 0
    import sys

    take(host.uninstall((sys.executable, "-m", "eagent"), purge=args.purge), print, dry=args.dry_run)
    print("Nothing was done: this is what would be." if args.dry_run else "Uninstalled.")
    for line in () if args.dry_run else host.left():
        print(f"left: {line}")
    return 0


def _status() -> int:
    """A line for each unit, of what systemd says of it."""
    from eagent.service.files import UNITS
    from eagent.service.steps import must

    asked = "LoadState,UnitFileState,ActiveState,SubState,StatusText,NRestarts,Result"
    well = True
    for unit in UNITS:
        lines = must(("systemctl", "show", f"--property={asked}", unit)).splitlines()
        told = dict(line.split("=", 1) for line in lines if "=" in line)
        well = well and told.get("ActiveState") == "active"
        if told.get("LoadState") == "not-found":
            print(f"{unit:<22} not installed")
            continue
        state = f"{told['ActiveState']} ({told['SubState']}), {told['UnitFileState'] or 'not enabled'}"
        restarts = told.get("NRestarts", "0")
        more = [f"started again {restarts} times" if restarts != "0" else "", told.get("StatusText", "")]
        print(f"{unit:<22} {'; '.join([state, *filter(None, more)])}")
    return 0 if well else NOT_RUNNING
