"""Make simulated hosts, give their GPUs work, and run anything on them: eagent itself, nvitop, programs of your own.

A simulated host is a directory with a library that answers as NVIDIA's driver library does. Every process that has the
host's environment (`eagent sim env`) sees the same GPUs, which follow real time. All watts and joules there are
simulated.

Examples:
  eagent sim create lab --gpus 8
  eval "$(eagent sim env lab)"                this shell now runs on the simulated host lab
  eagent up &                                 eagent governs its GPUs
  eagent sim sysfs lab                        give it CPUs, under $EAGENT_SYSFS and $EAGENT_PROC
  eagent sim load lab gang --gpus 0-3         a training job on four of them
  eagent sim load lab serving --gpus 4-7      LLM requests for the others
  eagent sim load lab none                    end all load
  eagent sim list
  eagent sim power lab off                    cut its power: what ran is lost, limits and locks are forgotten
  eagent sim power lab on                     it boots, then it is on
  eagent sim power lab status                 on or off, as a BMC says it; so does `watts`
  eagent sim boot lab -- eagent up            run eagent in each boot of it, until Ctrl-C; power off kills it
  eagent sim delete lab
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eagent.cli.arguments import duration, watts
from eagent.cli.dispatch import Context
from eagent.cli.quantities import format_duration
from eagent.errors import InputError

if TYPE_CHECKING:
    from eagent.sim._bmc import Bmc
    from eagent.sim._plant import Host

PERMISSIONS = ("anyone", "root", "nobody")
POWERCAPS = ("intel-rapl", "intel-rapl-mmio", "amd")
SERVING_S = 3600.0
SUPPLY = ("standby_w", "boot_w", "boot_s", "rest_w")

BOOT = """\
Run COMMAND on the host while it is on, in this shell until Ctrl-C or SIGTERM, which end COMMAND in order.

When the host goes off, COMMAND and all that it has started are killed at once, and the host's run directory is emptied;
its state directory stays, as a disk does. When it has booted, COMMAND is started anew. A COMMAND that fails is started
again after a second, then after two, up to 30; one that ends with status 0 runs again in the next boot."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent sim`."""
    actions = parser.add_subparsers(dest="action", metavar="|".join(ACTIONS), required=True)
    make = actions.add_parser("create", help="make a simulated host")
    make.add_argument("name", metavar="NAME")
    make.add_argument("--gpus", type=int, default=8, metavar="N", help="how many, 1 to 16; default 8")
    make.add_argument("--model", default="a100-sxm4-80gb", help="of the GPUs; default a100-sxm4-80gb")
    make.add_argument(
        "--seed", type=int, default=1, metavar="N", help="tells boards and their sensors apart; default 1"
    )
    make.add_argument(
        "--permission",
        choices=PERMISSIONS,
        default="anyone",
        help="whom the simulated driver lets set limits; default anyone",
    )
    make.add_argument("--cpu-model", default="xeon-platinum-8358", metavar="MODEL", help="default xeon-platinum-8358")
    make.add_argument(
        "--powercap",
        choices=POWERCAPS,
        help="how its RAPL zones are named and whether they have limits; default: the CPU's",
    )
    _configure_supply(make.add_argument_group("what it draws from the wall"))
    tree = actions.add_parser(
        "sysfs", help="serve the host's CPUs as the kernel's files, until `delete` or SIGTERM: /sys and /proc/stat"
    )
    tree.add_argument("name", metavar="NAME")
    tree.add_argument("--foreground", action="store_true", help="stay in this shell until Ctrl-C")
    for action, text in (("env", "print the host's environment, for eval in a shell"), ("delete", "remove a host")):
        actions.add_parser(action, help=text).add_argument("name", metavar="NAME")
    actions.add_parser("list", help="show the hosts and their load")
    power = actions.add_parser(
        "power", help="switch a host off or on, or ask its BMC for its state or its watts at the wall"
    )
    power.add_argument("name", metavar="NAME")
    power.add_argument("what", nargs="?", choices=("status", "on", "off", "watts"), default="status")
    boot = actions.add_parser("boot", help="run a command in each boot of a host, as init does", description=BOOT)
    boot.add_argument("name", metavar="NAME")
    boot.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="a program and its arguments")
    load = actions.add_parser("load", help="give GPUs work, or end it")
    load.add_argument("name", metavar="NAME")
    _configure_loads(load.add_subparsers(dest="load", metavar="square|gang|serving|none", required=True))


def _configure_supply(group: Any) -> None:
    group.add_argument("--standby-w", type=watts, metavar="WATTS", help="while it is off; default 30")
    group.add_argument("--boot-w", type=watts, metavar="WATTS", help="while it boots; default: GPUs idle, CPUs busy")
    group.add_argument("--boot-time", dest="boot_s", type=duration, metavar="TIME", help="how long; default 30s")
    group.add_argument(
        "--rest-w", type=watts, metavar="WATTS", help="while it is on, beside GPUs, CPUs and memory; default 1000"
    )


def _configure_loads(loads: Any) -> None:
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
    serving.add_argument("--trace", metavar="FILE", help="requests in the form of the Azure LLM traces; else generated")
    serving.add_argument("--for", dest="for_s", type=duration, metavar="TIME", help="of generated requests; default 1h")
    serving.add_argument(
        "--rate", type=float, metavar="PER_S", help="requests a second, of generated ones; default 5.53"
    )
    serving.add_argument(
        "--zipf", type=float, default=0.0, metavar="S", help="0 spreads them evenly (default), 1 is Zipf's"
    )
    serving.add_argument("--seed", type=int, default=1, metavar="N", help="of requests and their spread; default 1")
    for load in (square, gang, serving):
        load.add_argument("--gpus", metavar="LIST", help="such as 0-3,6; default all")
    loads.add_parser("none", help="end all load of the host")


def run(args: argparse.Namespace, context: Context) -> int:  # noqa: ARG001  # a simulated host has its own directories
    """Do what `args.action` names."""
    print("\n".join(ACTIONS[args.action](args)))
    return 0


def _create(args: argparse.Namespace) -> list[str]:
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


def _env(args: argparse.Namespace) -> list[str]:
    from eagent.sim import host

    found = host.find(host.root(os.environ), args.name)
    found.show_boot()
    return found.shell_lines()


def _sysfs(args: argparse.Namespace) -> list[str]:
    from eagent.sim import host, sysfs

    found = host.find(host.root(os.environ), args.name)
    if args.foreground:
        sysfs.serve(found)
        return [f"{found.kernel} is unmounted."]
    pid = sysfs.start(found)
    return [f"{found.kernel} is served by pid {pid}, until SIGTERM or `eagent sim delete {found.name}`."]


def _power(args: argparse.Namespace) -> list[str]:
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


def _boot(args: argparse.Namespace) -> list[str]:
    from eagent.sim import boot, host

    found = host.find(host.root(os.environ), args.name)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError(f"what to run is missing: eagent sim boot {found.name} -- eagent up")
    boot.run(found, command, os.environ, lambda line: print(f"eagent sim boot: {line}", flush=True))
    return [f"eagent sim boot: nothing of {command[0]} runs on {found.name} any more."]


def _delete(args: argparse.Namespace) -> list[str]:
    from eagent.sim import host

    host.delete(host.root(os.environ), args.name)
    return [f"Simulated host {args.name} is gone."]


def _list(args: argparse.Namespace) -> list[str]:  # noqa: ARG001  # the shape of an action
    from eagent.errors import DriverError
    from eagent.sim import host
    from eagent.sim._bmc import Bmc
    from eagent.sim._plant import Host

    directory = host.root(os.environ)
    lines = []
    for each in host.hosts(directory):
        try:
            with Host(each.plant) as opened, Bmc(each.plant) as bmc:
                lines.append(f"{each.name:<16} {_described(opened, bmc)}")
        except DriverError as problem:  # made by another version: it can still be deleted
            lines.append(f"{each.name:<16} {problem}")
    lines += [f"{each.name:<16} has no plant: all that can be done is to delete it" for each in host.remains(directory)]
    return lines or [f"No simulated host in {directory}: make one with `eagent sim create NAME`."]


def _state(opened: Host, bmc: Bmc) -> str:
    state, since_s = bmc.power, opened.time_s - bmc.power_changes()[-1][0]
    word = {"on": "up", "booting": "booting for", "off": "off for"}[state]
    return f"{word} {format_duration(since_s)}"


def _described(opened: Host, bmc: Bmc) -> str:
    running = [load for load in opened.progress() if load["running"]]
    loads = [f"{load['kind']} on {format_gpus(load['gpus'])}" for load in running]
    return (
        f"{opened.gpu_count} x {opened.gpu_name}, {_state(opened, bmc)}, "
        f"limits may be set by {opened.permission}; load: {', '.join(loads) or 'none'}"
    )


def _load(args: argparse.Namespace) -> list[str]:
    from eagent.sim import host, workload
    from eagent.sim._plant import Host

    found = host.find(host.root(os.environ), args.name)
    with Host(found.plant) as opened:
        if args.load == "none":
            opened.stop_load()
            return [f"All load on {found.name} has ended."]
        gpus = parse_gpus(args.gpus, opened.gpu_count)
        if args.load == "serving":
            requests, source = _requests(args, gpus)
            workload.Serving().start(opened, requests)
            return [f"{len(requests)} requests ({source}) come to gpus {format_gpus(gpus)} of {found.name}."]
        kind = {"square": workload.Square, "gang": workload.Gang}[args.load]
        given = ("period_s", "duty", "step_s", "imbalance", "compute", "memory")
        options = {name: getattr(args, name) for name in given if getattr(args, name, None) is not None}
        kind(**options).start(opened, gpus)
    return [f"{args.load} runs on gpus {format_gpus(gpus)} of {found.name}."]


def _requests(args: argparse.Namespace, gpus: list[int]) -> tuple[list[tuple[float, int, int, int]], str]:
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


ACTIONS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "create": _create,
    "env": _env,
    "sysfs": _sysfs,
    "load": _load,
    "power": _power,
    "boot": _boot,
    "list": _list,
    "delete": _delete,
}


def parse_gpus(text: str | None, count: int) -> list[int]:
    """The GPUs in a list such as `0-3,6`, in order; all `count` of them where there is no list.

    Raises:
        InputError: not such a list, or a GPU that the host does not have.
    """
    if text is None:
        return list(range(count))
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip(), re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InputError(f"{text!r} is not a list of gpus: write it as 0-3,6")
        chosen.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if max(chosen) >= count:
        raise InputError(f"no gpu {max(chosen)}: the host has {count}, from 0 to {count - 1}")
    return sorted(chosen)


def format_gpus(gpus: list[int] | tuple[int, ...]) -> str:
    """`0-3,6` for GPUs in order."""
    parts: list[str] = []
    first = last = gpus[0]
    for gpu in [*gpus[1:], -1]:
        if gpu != last + 1:
            parts.append(str(first) if first == last else f"{first}-{last}")
            first = gpu
        last = gpu
    return ",".join(parts)
