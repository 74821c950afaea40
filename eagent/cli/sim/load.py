"""Give GPUs of a simulated host work, or end all of it."""

from __future__ import annotations

import argparse
import os
from typing import Any

from eagent.cli.arguments import duration
from eagent.errors import InputError

SUMMARY = "give GPUs work, or end it"
SERVING_S = 3600.0
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
    serving.add_argument("--seed", type=int, default=1, metavar="N", help="of requests and their spread; default 1")


def run(args: argparse.Namespace) -> list[str]:
    """Start or end it."""
    from eagent.sim import host, workload
    from eagent.sim._plant import Host
    from eagent.sim.gpus import format_gpus, of_host, parse_gpus

    found = host.find(host.root(os.environ), args.name)
    with Host(found.plant) as opened:
        if args.load == "none":
            opened.stop_load()
            return [f"All load on {found.name} has ended."]
        gpus = of_host(None if args.gpus is None else parse_gpus(args.gpus), opened.gpu_count)
        if args.load == "serving":
            requests, source = _requests(args, gpus)
            workload.Serving().start(opened, requests)
            return [f"{len(requests)} requests ({source}) come to gpus {format_gpus(gpus)} of {found.name}."]
        kind = {"square": workload.Square, "gang": workload.Gang}[args.load]
        options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name, None) is not None}
        kind(**options).start(opened, gpus)
    return [f"{args.load} runs on gpus {format_gpus(gpus)} of {found.name}."]


def _requests(args: argparse.Namespace, gpus: tuple[int, ...]) -> tuple[list[tuple[float, int, int, int]], str]:
    from eagent.sim import trace, workload

    if args.trace is not None:
        if args.for_s is not None or args.rate is not None:
            raise InputError("--for and --rate are of generated requests: they do not go with --trace")
        chosen = trace.read_azure_csv(args.trace)
    else:
        rate = trace.MEAN_RATE_PER_S if args.rate is None else args.rate
        chosen = trace.generate(args.for_s or SERVING_S, args.seed, mean_rate_per_s=rate)
    places = trace.assign(chosen, trace.zipf_weights(len(gpus), args.zipf), args.seed)
    return workload.dispatched(chosen.requests, (gpus[place] for place in places)), chosen.source
