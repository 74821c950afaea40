"""Watch eagent share a budget on simulated GPUs, then watch everything be killed.

Two simulated hosts serve the same requests under the same budget: one with an equal static split of the watts, one with
eagent. Then two others serve a load with pauses, without a budget: eagent slows GPUs that rest and CPUs that wait. No
GPU and no root is needed; all watts and joules are simulated.

Examples:
  eagent demo
  eagent demo --trace AzureLLMInferenceTrace_conv.csv --json out.json
  eagent demo --hosts 3                         three hosts share a rack's budget, and one sleeps for a while
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eagent.cli import arguments
from eagent.cli.dispatch import FAILED, Context
from eagent.errors import InputError

if TYPE_CHECKING:
    from eagent.sim.trace import Trace

GENERATED_S = 600.0
GENERATOR_SEED = 1
HOSTS_MAX = 8
SECONDS = 60.0
QUIET_SECONDS = 60.0
RACK_SECONDS = 120.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `eagent demo`."""
    parser.add_argument(
        "--trace", metavar="FILE", help="requests in the public Azure LLM inference CSV form; else generated like it"
    )
    parser.add_argument(
        "--seconds",
        type=arguments.duration,
        help="length of the busiest window that is played (60s; with --hosts 2m)",
    )
    parser.add_argument(
        "--quiet-seconds",
        type=arguments.duration,
        help="length of the window that is then played without a budget (60s)",
    )
    parser.add_argument(
        "--hosts",
        type=int,
        default=1,
        metavar="N",
        help=f"2 to {HOSTS_MAX}: instead, so many hosts in a rack share its budget, and one sleeps for a while",
    )
    parser.add_argument("--budget-only", action="store_true", help="end after the budget")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # the demo has hosts of its own
    """Play it; 1 if a promise was broken."""
    from eagent.demo import report
    from eagent.demo.run import run as play
    from eagent.sim import trace as traces

    if not 1 <= args.hosts <= HOSTS_MAX:
        raise InputError(f"--hosts {args.hosts}: must be 1 to {HOSTS_MAX}")
    target = Path(args.json) if args.json else None
    if target is not None and not target.parent.is_dir():
        raise InputError(f"--json {target}: there is no directory {target.parent}")
    trace = traces.read_azure_csv(args.trace) if args.trace else traces.generate(GENERATED_S, GENERATOR_SEED)
    if args.hosts > 1:
        if args.budget_only or args.quiet_seconds is not None:
            raise InputError(
                "--budget-only and --quiet-seconds are of the demo with one host: they don't go with --hosts"
            )
        return _run_rack(args, trace, target)
    quiet_seconds = 0.0 if args.budget_only else args.quiet_seconds or QUIET_SECONDS
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # in order: no process is left behind
    document = play(trace, args.seconds or SECONDS, quiet_seconds, os.environ)
    print("", *report.summary(document), sep="\n")
    if "quiet" in document:
        print("", *report.quiet_summary(document["quiet"]), sep="\n")
    _write(document, target)
    restored = document.get("quiet", {}).get("knobs_restored", True)
    return 0 if document["promises_kept"] and document["limits_over_budget_s"] == 0 and restored else FAILED


def _run_rack(args: argparse.Namespace, trace: Trace, target: Path | None) -> int:
    """Play it with several hosts; 1 if a promise was broken."""
    from eagent.demo import rack_report
    from eagent.demo.ending import Ending
    from eagent.demo.together import run as play

    if args.trace:
        trace = replace(trace, source=Path(args.trace).name)
    seconds = args.seconds or RACK_SECONDS
    with Ending() as ending:
        outcome = play(trace, args.hosts, seconds, os.environ, lambda line: print(line, flush=True), ending.check)
    document = rack_report.document(outcome)
    print("", *rack_report.summary(document), sep="\n")
    _write(document, target)
    return 0 if rack_report.is_kept(document) else FAILED


def _write(document: dict[str, Any], target: Path | None) -> None:
    if target is not None:
        target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(f"figures written to {target}")
