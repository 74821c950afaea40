"""Give GPUs of a simulated host work, or end all of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eagent.cli.arguments import duration
from eagent.errors import InputError

if TYPE_CHECKING:
    from eagent.sim._plant import Host
    from eagent.sim.description.load import Load, Ready

SUMMARY = "give GPUs work, or end it"
OPTIONS = ("period_s", "duty", "step_s", "imbalance", "compute", "memory")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim load`."""
    parser.add_argument("name", metavar="NAME")
    loads = parser.add_subparsers(dest="load", metavar="square|gang|serving|none", required=True)
    square = loads.add_parser("square", help="busy and quiet in turn")
    square.add_argument("--period", dest="period_s", type=duration, metavar="TIME", help="default 1s")
    square.add_argument("--duty", type=float, metavar="SHARE", help="busy share of a period, 0 to 1; default 0.5")
    gang = loads.add_parser("gang", help="one synchronous job, as training is: the slowest GPU sets the pace")
    gang.add_argument("--step", dest="step_s", type=duration, metavar="TIME", help="a step at full clock; default 0.5s")
    gang.add_argument("--imbalance", type=float, metavar="SHARE", help="spread of the GPUs' shares; default 0.03")
    for load in (square, gang):
        load.add_argument("--compute", type=float, metavar="SHARE", help="how busy the cores are, 0 to 1; default 1")
        load.add_argument("--memory", type=float, metavar="SHARE", help="how busy the memory is, 0 to 1; default 0.3")
    serving = loads.add_parser("serving", help="answering requests to a large language model")
    _configure_serving(serving)
    for load in (square, gang, serving):
        load.add_argument("--gpus", metavar="LIST", help="such as 0-3,6; default all")
    loads.add_parser("none", help="end all load of the host")


def _configure_serving(serving: Any) -> None:
    serving.add_argument("--trace", metavar="FILE", help="requests in the form of the Azure LLM traces; else generated")
    serving.add_argument("--for", dest="for_s", type=duration, metavar="TIME", help="of generated requests; default 1h")
    serving.add_argument(
        "--rate", type=float, metavar="PER_S", help="requests a second, of generated ones; default 5.53"
    )
    serving.add_argument(
        "--zipf", type=float, default=0.0, metavar="S", help="0 spreads them evenly (default), 1 is Zipf's"
    )
    serving.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="be the server, in this shell until Ctrl-C, and show its metrics there under vLLM's names",
    )
    serving.add_argument("--seed", type=int, default=1, metavar="N", help="of requests and their spread; default 1")


def run(args: argparse.Namespace) -> list[str]:
    """Start or end it."""
    from eagent.sim import host
    from eagent.sim._plant import Host
    from eagent.sim.gpus import format_gpus

    found = host.find(host.root(os.environ), args.name)
    with Host(found.plant) as opened:
        if args.load == "none":
            opened.stop_load()
            return [f"All load on {found.name} has ended."]
        ready = _load(args).ready(opened.gpu_count)
        gpus = f"gpus {format_gpus(ready.gpus)} of {found.name}"
        come = f"{len(ready.requests)} requests ({ready.source}) come to {gpus}."
        if getattr(args, "metrics", None) is not None:
            _be_server(opened, ready, args.metrics, come)
            return [f"No metrics any more. What runs goes on until `eagent sim load {found.name} none`."]
        ready.start(opened)
    if args.load == "serving":
        return [come]
    return [f"{args.load} runs on {gpus}."]


def _be_server(plant: Host, ready: Ready, address: str, come: str) -> None:
    from eagent.mesh.address import split
    from eagent.sim import metrics

    with metrics.Endpoint(split(address), plant, ready.gpus) as endpoint:
        ready.start(plant, os.getpid())
        metrics.serve(endpoint, lambda: print(f"{come} Metrics: {endpoint.url}", flush=True))


def _load(args: argparse.Namespace) -> Load:
    from eagent.sim.description.load import WORKS, Load, Requests
    from eagent.sim.gpus import parse_gpus

    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name, None) is not None}
    requests = Requests()
    if args.load == "serving":
        if args.trace is not None and (args.for_s is not None or args.rate is not None):
            raise InputError("--for and --rate are of generated requests: they do not go with --trace")
        trace = None if args.trace is None else Path(args.trace)
        requests = Requests(trace, args.for_s, args.rate, args.zipf, args.seed)
    gpus = None if args.gpus is None else parse_gpus(args.gpus)
    return Load(WORKS[args.load](**options), gpus, requests=requests)
