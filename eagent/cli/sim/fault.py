"""Let something go wrong on a simulated host, show what does, or put it right.

Most faults last, until they are cleared or, with --for, for a time. The others strike once or, with --every, again and
again. Without --gpu, --cpu or --package a fault is of the whole host.

Examples:
  eagent sim fault lab gpu-lost --gpu 3
  eagent sim fault lab hung-calls --for 30s
  eagent sim fault lab foreign-limit --gpu 0-3 --watts 200 --every 10s
  eagent sim fault lab list
  eagent sim fault lab clear 2                the second; a kind's name clears all of it, nothing clears all there are
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from eagent.cli.arguments import duration, watts
from eagent.cli.quantities import format_duration
from eagent.errors import EagentError, InputError
from eagent.sim import faults
from eagent.sim.gpus import parse_gpus

if TYPE_CHECKING:
    from eagent.sim._faults import Faults
    from eagent.sim.host import SimulatedHost

SUMMARY = "let something go wrong on a host, or put it right"
PARTS = {"gpu": "GPUs, such as 0-3,6", "cpu": "CPUs, such as 0-3,6", "package": "CPU packages, such as 0,1"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim fault`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", metavar="NAME")
    kinds = parser.add_subparsers(dest="what", metavar="KIND|list|clear", required=True)
    for name, kind in faults.KINDS.items():
        one = kinds.add_parser(name, help=kind.summary)
        for part in kind.parts:
            one.add_argument(f"--{part}", metavar="LIST", help=f"{PARTS[part]}; default: the whole host")
        if name != faults.MISSING_SYMBOLS:
            one.add_argument("--in", dest="in_s", type=duration, metavar="TIME", help="begins then; default: now")
            span = "until then it strikes; with --every" if kind.strikes else "it lasts; default: until it is cleared"
            one.add_argument("--for", dest="for_s", type=duration, metavar="TIME", help=span)
        if kind.strikes:
            one.add_argument("--every", dest="every_s", type=duration, metavar="TIME", help="it strikes again")
        _configure_values(name, one)
    kinds.add_parser("list", help="show the faults that last or are yet to come")
    clear = kinds.add_parser("clear", help="end faults")
    clear.add_argument("which", nargs="?", metavar="NUMBER|KIND", help="default: all")


def _configure_values(name: str, one: Any) -> None:
    """What a kind needs to be told, as `values`: functions of the arguments give the plant's two numbers."""
    if name in ("not-supported", "zero-power"):
        share = {"not-supported": 0.1, "zero-power": 1.0}[name]
        one.add_argument("--share", type=float, default=share, metavar="SHARE", help=f"0 to 1; default {share:g}")
        one.set_defaults(values=lambda args: (args.share,))
    elif name == "stuck-power":
        usual = ",".join(faults.STUCK_USUALLY)
        one.add_argument("--watts", type=watts, default=0.0, help="what it shows; default: what it shows now")
        one.add_argument(
            "--what", dest="stuck", default=usual, metavar="LIST", help=f"of {', '.join(faults.STUCK)}; default {usual}"
        )
        one.set_defaults(values=lambda args: (args.watts, _stuck(args.stuck)))
    elif name == "slow-calls":
        one.add_argument("--take", type=duration, default=0.1, metavar="TIME", help="of each call; default 0.1s")
        one.set_defaults(values=lambda args: (args.take,))
    elif name in ("outside-limit", "foreign-limit"):
        one.add_argument("--watts", type=watts, required=True)
        one.set_defaults(values=lambda args: (args.watts,))
    elif name == "foreign-lock":
        one.add_argument("--min", type=int, metavar="MHZ", help="default: as --max")
        one.add_argument("--max", type=int, metavar="MHZ", required=True)
        one.set_defaults(values=lambda args: (args.max if args.min is None else args.min, args.max))
    elif name in ("sysfs-read", "sysfs-write"):
        one.add_argument("--error", choices=tuple(faults.FILE_ERRORS), default="EIO", help="default EIO")
        one.set_defaults(values=lambda args: (faults.FILE_ERRORS[args.error],))
    elif name == "rapl-wrap":
        one.add_argument("--joules", type=float, default=100.0, help="left until they wrap; default 100")
        one.set_defaults(values=lambda args: (args.joules,))
    elif name == "xid":
        one.add_argument("--number", type=int, default=79, metavar="XID", help="default 79: fallen off the bus")
        one.set_defaults(values=lambda args: (args.number,))
    else:
        one.set_defaults(values=lambda args: ())  # noqa: ARG005  # the shape of the others


def run(args: argparse.Namespace) -> Iterable[str]:
    """Do what `args.what` says."""
    from eagent.sim import host, symbols
    from eagent.sim._faults import Faults

    found = host.find(host.root(os.environ), args.name)
    if args.what == faults.MISSING_SYMBOLS:
        symbols.drop(found)
        return [f"Processes that start on {found.name} from now on find a library of a driver of 535."]
    with Faults(found.plant) as opened:
        if args.what == "list":
            return _listed(found, opened) or [f"{found.name} has no fault."]
        if args.what == "clear":
            return _clear(found, opened, args.which)
        return _inject(found, opened, args)


def _inject(found: SimulatedHost, opened: Faults, args: argparse.Namespace) -> list[str]:
    from eagent.sim._plant import Host

    every_s = getattr(args, "every_s", None) or 0.0
    strikes_once = faults.KINDS[args.what].strikes and not every_s
    if args.for_s and strikes_once:
        raise InputError(f"{args.what} strikes once: --for needs --every")
    with Host(found.plant) as plant:
        now_s = plant.time_s
    from_s = now_s + args.in_s if args.in_s else 0.0
    until_s = (from_s or now_s) + args.for_s if args.for_s else 0.0
    parts, numbers = _parts(args), list[int]()
    try:
        for target, index in parts:
            numbers.append(opened.inject(args.what, target, index, args.values(args), from_s, until_s, every_s))
    except EagentError:  # all of it or nothing
        for fault in opened.all():
            if fault["number"] in numbers:
                opened.clear(fault["number"])
        raise
    named = [found.name if target == "host" else f"{target} {index} of {found.name}" for target, index in parts]
    if strikes_once and not from_s:
        return [f"{args.what}: {of}." for of in named]
    return [f"{args.what}: {of}, fault {number}." for of, number in zip(named, numbers, strict=True)]


def _parts(args: argparse.Namespace) -> list[tuple[str, int]]:
    chosen = [(part, index) for part in PARTS if getattr(args, part, None) for index in parse_gpus(getattr(args, part))]
    return chosen or [("host", 0)]


def _stuck(text: str) -> int:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in faults.STUCK:
            raise InputError(f"--what {name!r}: must be of {', '.join(faults.STUCK)}")
    return sum(faults.STUCK[name] for name in set(names))


def _listed(found: SimulatedHost, opened: Faults) -> list[str]:
    from eagent.sim import symbols
    from eagent.sim._plant import Host

    with Host(found.plant) as plant:
        now_s = plant.time_s
    lines = []
    for fault in opened.all():
        kind = faults.KINDS[fault["kind"]]
        of = "host" if fault["target"] == "host" else f"{fault['target']} {fault['index']}"
        told = [kind.show(*fault["values"])]
        if not fault["begun"]:
            told.append(f"in {format_duration(max(0.0, fault['from_s'] - now_s))}")
        if fault["every_s"] is not None:
            told.append(f"every {format_duration(fault['every_s'])}")
        if fault["until_s"] is not None:
            told.append(f"ends in {format_duration(max(0.0, fault['until_s'] - now_s))}")
        lines.append(f"{fault['number']:<4} {fault['kind']:<17} {of:<10} {', '.join(filter(None, told))}".rstrip())
    if symbols.are_missing(found):
        lines.append(f"{'-':<4} {faults.MISSING_SYMBOLS:<17} host")
    return lines


def _clear(found: SimulatedHost, opened: Faults, which: str | None) -> list[str]:
    from eagent.sim import symbols

    numbers = {str(fault["number"]): fault["number"] for fault in opened.all()}
    if which in numbers:
        opened.clear(numbers[which])
        return [f"Fault {which} of {found.name} has ended."]
    if which is not None and which.isdecimal():
        raise InputError(f"no fault has the number {which}: see `eagent sim fault {found.name} list`")
    if which is not None and which not in faults.KINDS:
        raise InputError(f"{which!r} is neither a fault's number nor a kind: see `eagent sim fault {found.name} list`")
    if which in (None, faults.MISSING_SYMBOLS) and symbols.are_missing(found):
        symbols.restore(found)
    for fault in opened.all():
        if which in (None, fault["kind"]):
            opened.clear(fault["number"])
    return [f"{found.name} has no fault any more." if which is None else f"{found.name} has no {which} any more."]
