"""From options to an order: what is tried when nothing is said, and what can't be."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from typing import Any

from eagent.cli.quantities import parse_megahertz, parse_watts
from eagent.cli.sweep.knobs import HOLD_S, Knobs, Pins, choose
from eagent.client import Client
from eagent.errors import InputError, RefusedError
from eagent.sweep.order import Order, Sweep, begun, read
from eagent.sweep.setting import VALUES_MAX, Space, coarse_caps, coarse_clocks, parse_varied

REPEAT_MAX = 100
OF_RESUME = ("json", "plot", "log", "resume", "dry_run")  # the options that a resumed sweep takes

Json = dict[str, Any]


def order(args: argparse.Namespace, client: Client, jobs: Client) -> tuple[Sweep, Knobs]:
    """The sweep that the options ask for, and the way to its settings.

    Raises:
        InputError: something asked for can't be, or is missing.
        UnavailableError: there is no agent.
    """
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError("nothing to run: eagent sweep --gpu gpu0 -- COMMAND [ARGUMENTS]")
    varied = parse_varied(args.vary, command)
    clocks, caps = _list(args.clocks, "--clocks", parse_megahertz), _list(args.caps, "--caps", parse_watts)
    _check_numbers(args)
    names = tuple(dict.fromkeys(name.strip() for text in args.gpu for name in text.split(",") if name.strip()))
    devices, status = _devices(names, args.by, client)
    means = choose(args.by, client, jobs, devices)
    by = "pin" if isinstance(means, Pins) else "hint"
    refined, highest = "", 0.0
    if by == "pin" and status:
        _check_not_pinned(means)
        for device in status:
            _check_in_range(device, clocks, caps)
    if not clocks and not caps:
        clocks, caps, refined, highest = _ladder(status, by)
    return begun(
        Order(
            tuple(command),
            devices,
            by,
            Space(clocks, caps, varied, args.pairs),
            refined,
            highest,
            args.repeat,
            args.warmup,
            args.seed,
            args.most,
            args.timeout,
            args.units or 1.0,
            args.unit or ("unit" if args.units or args.units_from else "run"),
            args.units_from or "",
            args.begin or "",
            args.end or "",
        )
    ), means


def resumed(args: argparse.Namespace) -> Sweep:
    """The sweep in a file, as far as it came.

    Raises:
        InputError: it is none, or the options say otherwise.
    """
    if args.command or args.gpu or args.vary or args.clocks or args.caps or args.units_from or args.units:
        raise InputError("--resume takes command and settings from its file: give neither")
    try:
        return read(json.loads(args.resume.read_text(encoding="utf-8")))
    except OSError as problem:
        raise InputError(f"{args.resume}: {problem.strerror}") from None
    except ValueError:
        raise InputError(f"{args.resume}: it is no JSON") from None
    except InputError as problem:
        raise InputError(f"{args.resume}: {problem}") from None


def _check_numbers(args: argparse.Namespace) -> None:
    for name, value, low, high in (
        ("--repeat", args.repeat, 1, REPEAT_MAX),
        ("--warmup", args.warmup, 0, REPEAT_MAX),
        ("--max", args.most, 2, 100_000),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} {value}: from {low} to {high}")
    if args.units is not None and not (math.isfinite(args.units) and args.units > 0):
        raise InputError(f"--units {args.units:g}: must be more than 0")
    if args.units is not None and args.units_from is not None:
        raise InputError("--units says how much a run does, --units-from reads it: give one of them")
    for name in ("units_from", "begin", "end"):
        text = getattr(args, name)
        try:
            found = re.compile(text or "")
        except re.error as problem:
            raise InputError(f"--{name.replace('_', '-')} {text!r}: {problem}") from None
        if name == "units_from" and text is not None and found.groups != 1:
            raise InputError(f"--units-from {text!r}: it needs one group, around the number: 'tokens: ([0-9]+)'")


def _list(text: str | None, option: str, parse: Any) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        values = tuple(dict.fromkeys(parse(part) for part in text.split(",")))
    except InputError as problem:
        raise InputError(f"{option}: {problem}") from None
    if len(values) > VALUES_MAX:
        raise InputError(f"{option}: {len(values)} values; at most {VALUES_MAX}")
    return values


def _devices(names: tuple[str, ...], by: str, client: Client) -> tuple[tuple[str, ...], list[Json]]:
    """The labels of the devices, and what the agent tells of them; nothing where it tells us nothing."""
    try:
        status = {"devices": []} if by == "hint" else client.request("GET", "/v1/status")
        told = status["devices"]
    except InputError:
        raise
    except Exception:  # not ours to look at: the job's socket is asked next
        if by == "pin":
            raise
        status, told = {}, []
    if why := status.get("halted"):
        raise RefusedError(f"nothing may be set here: {why}; `eagent halt --end` ends that")
    gpus = [device for device in told if device["kind"] == "gpu"]
    if not names and len(gpus) != 1:
        raise InputError("which GPUs? --gpu gpu0, or --gpu gpu0,gpu1" + (f"; there are {len(gpus)}" if gpus else ""))
    if not told:
        return names, []
    if not names:
        return (gpus[0]["device"],), gpus
    found = {name: device for device in told for name in (device["device"], device["uuid"])}
    if missing := [name for name in names if name not in found]:
        raise InputError(f"no device {missing[0]!r}; known are {', '.join(device['device'] for device in told)}")
    return names, [found[name] for name in names]


def _check_not_pinned(means: Knobs) -> None:
    """Somebody's pin is not ours to take away. One of a sweep that was killed runs out soon."""
    assert isinstance(means, Pins)
    deadline = time.monotonic() + HOLD_S + 2
    while others := means.others():
        device, until_s = others[0]
        if until_s is None or until_s > HOLD_S or time.monotonic() > deadline:
            raise RefusedError(f"{device} is pinned by hand: `eagent pin clear {device}` first, or wait until it ends")
        time.sleep(0.2)


def _check_in_range(device: Json, clocks: tuple[float, ...], caps: tuple[float, ...]) -> None:
    clock = device["gpu_clock" if device["kind"] == "gpu" else "cpu_clock"]
    for option, values, knob, unit, low, high in (
        ("--clocks", clocks, clock, "MHz", clock["min_mhz"], clock["max_mhz"]),
        ("--caps", caps, device["power_limit"], "W", device["power_limit"]["min_w"], device["power_limit"]["max_w"]),
    ):
        if values and not knob["writable"]:
            raise RefusedError(f"{option}: {device['device']}: it can't be set here: {knob['why']}")
        for value in values:
            if low is not None and high is not None and not low <= value <= high:
                raise InputError(f"{option} {value:g}: {device['device']} takes {low:g} to {high:g} {unit}")


def _ladder(status: list[Json], by: str) -> tuple[tuple[float, ...], tuple[float, ...], str, float]:
    """Clocks, caps, which of both to look at more closely, and where that is without eagent."""
    if not status or by == "hint":
        raise InputError("give --clocks or --caps: the agent does not tell you which ones this GPU takes")
    clock, limit = status[0]["gpu_clock" if status[0]["kind"] == "gpu" else "cpu_clock"], status[0]["power_limit"]
    if clock["writable"] and clock["max_mhz"]:
        return coarse_clocks(clock["min_mhz"], clock["max_mhz"]), (), "clock_mhz", clock["max_mhz"]
    if limit["writable"] and limit["max_w"]:
        highest_w = limit["baseline_w"] or limit["max_w"]
        return (), coarse_caps(limit["min_w"] or 0.0, highest_w), "cap_w", highest_w
    raise RefusedError(
        f"{status[0]['device']}: neither clock nor limit can be set here: {clock['why']}; {limit['why']}"
    )
