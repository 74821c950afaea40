"""Run your command under several clocks, limits and values of its own, and tell which need the least energy for it.

Each setting is put in force on --gpu, read back, and taken away again: by pins for operators of the host, by hints for
others, who may only lower. A setting that is not in force, because a budget or a policy is in the way, is not counted.
Without --clocks and --caps a short ladder of clocks is tried, then a finer one around the best of it. {NAME} in the
command stands for a value of --vary NAME=…, whose first one is the default. docs/sweep.md tells the rest.

Examples:
  eagent sweep --gpu gpu0 -- python train.py --epochs 1
  eagent sweep --gpu gpu0 --clocks 1005,1200 --caps 200,250 --units 1000 --unit token -- ./serve --requests 1000
  eagent sweep --gpu gpu0 --vary batch=8,16,32 --units-from 'samples: ([0-9]+)' -- python train.py --batch {batch}
  eagent sweep --gpu gpu0 --json front.json --plot front.svg -- ./job     and if it was broken off:
  eagent sweep --resume front.json
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from eagent.cli.arguments import duration
from eagent.cli.dispatch import Context
from eagent.cli.sweep import asked, knobs, whole
from eagent.client import Client
from eagent.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sweep`."""
    parser.add_argument(
        "--gpu", metavar="GPU", action="append", default=[], help="gpu0, or gpu0,gpu1; else the only one"
    )
    parser.add_argument("--clocks", metavar="MHZ,…", help="ceilings of the clock; else a ladder of four, then finer")
    parser.add_argument("--caps", metavar="WATTS,…", help="power limits; else none, if clocks can be set")
    parser.add_argument("--pairs", action="store_true", help="each clock under each limit; else one of both at a time")
    parser.add_argument("--vary", metavar="NAME=VALUE,…", action="append", default=[], help="what {NAME} stands for")
    parser.add_argument("--repeat", metavar="N", type=int, default=2, help="runs of each setting; default 2")
    parser.add_argument("--warmup", metavar="N", type=int, default=1, help="runs before that don't count; default 1")
    parser.add_argument("--max", metavar="N", dest="most", type=int, default=200, help="of runs; default 200")
    parser.add_argument(
        "--timeout", metavar="TIME", type=duration, help="end a run that takes longer; it does not count"
    )
    parser.add_argument("--units", metavar="N", type=float, help="how much one run does; default 1")
    parser.add_argument("--unit", metavar="WORD", help="of what: token, request, step")
    parser.add_argument(
        "--units-from", metavar="REGEX", help="its group is how much; the last line of the output counts"
    )
    parser.add_argument("--begin", metavar="REGEX", help="measure from the line that matches; else from the start")
    parser.add_argument("--end", metavar="REGEX", help="measure to the line that matches; else to the end")
    parser.add_argument("--by", choices=("auto", "pin", "hint"), default="auto", help="how to set knobs; default auto")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of the order of runs; default 1")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all of it there, after each run")
    parser.add_argument("--plot", metavar="FILE.svg", type=Path, help="draw the front")
    parser.add_argument("--log", metavar="FILE", type=Path, help="keep what the command prints")
    parser.add_argument("--resume", metavar="FILE", type=Path, help="go on with a sweep that wrote this --json")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be run, and run nothing")
    parser.add_argument("command", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="what to run, with arguments")


def run(args: argparse.Namespace, context: Context) -> int:
    """Plan, run, tell.

    Raises:
        InputError: it can't be done as asked.
    """
    if args.run_dir is not None:
        os.environ["EAGENT_RUN_DIR"] = str(context.paths.run)  # for our windows
    client, jobs = context.client(), Client(context.paths.measure_socket)
    if args.resume is not None:
        args.json = args.json or args.resume
        sweep = asked.resumed(args)
        means = knobs.choose(sweep.order.by, client, jobs, sweep.order.devices)
    else:
        sweep, means = asked.order(args, client, jobs)
    print("\n".join(whole.plan_lines(sweep)), file=sys.stderr)
    if args.dry_run:
        print("\n".join(f"  {setting.label()}" for setting in sweep.remaining()))
        return 0
    with ExitStack() as stack:
        log = None if args.log is None else stack.enter_context(_open(args.log))
        for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: the command is ended, the knobs go back
            stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
        return whole.Whole(sweep, means, args.json, args.plot, log).make()


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None
