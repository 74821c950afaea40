"""The demo from beginning to end."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eagent.demo import quiet, report
from eagent.demo.acts import perform
from eagent.demo.hosts import Bench, Governor
from eagent.demo.scenario import GPUS, Scenario, plan
from eagent.demo.view import Frame, View
from eagent.errors import EagentError
from eagent.sim.host import root as default_root
from eagent.sim.trace import Trace

FRAME_S = 0.25
LEAD_S = 1.0  # between telling both plants of the trace and its first request
DRAIN = 3.0  # the trace must be answered within this many times its length, else the demo has failed


def run(trace: Trace, seconds: float, quiet_seconds: float, environ: Mapping[str, str]) -> dict[str, Any]:
    """Play the trace on both hosts, kill everything, play it without a budget, and give the account.

    Args:
        trace: The requests; the busiest `seconds` of it are played.
        seconds: Length of that window.
        quiet_seconds: Length of the window that is played without a budget; 0: none.
        environ: Where simulated hosts are put, see `eagent.sim.host.root`.

    Returns:
        The document of `eagent demo --json`.

    Raises:
        EagentError: something did not start, or did not end.
    """
    parent = default_root(environ)
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, parent)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=parent))
        static, governed = (Bench(Path(directory), name) for name in ("static", "eagent"))
        look = governed.plant.view(0)
        scenario = plan(trace, seconds, look["limit_min_mw"] / 1000, look["limit_max_mw"] / 1000, governed.others_w)
        governor = Governor(governed)
        try:
            with View(scenario) as view:
                document = _play(scenario, static, governed, governor, view)
        finally:
            governor.stop()
            for bench in (static, governed):
                bench.close()
        if quiet_seconds:
            print(flush=True)
            part = quiet.run(trace, quiet_seconds, Path(directory), lambda line: print(line, flush=True))
            document["quiet"] = report.quiet_document(part)
        return document


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # other simulated hosts live there
        directory.rmdir()


def _play(scenario: Scenario, static: Bench, governed: Bench, governor: Governor, view: View) -> dict[str, Any]:
    requests = len(scenario.trace.requests)
    view.say(f"Two simulated hosts of {GPUS} A100s, one trace: {scenario.trace.source}, {requests} requests.")
    for bench in (static, governed):
        bench.set_limits(scenario.prior_limits_w)  # as their owners had left them
    static.set_limits((scenario.static_limit_w,) * GPUS)
    governor.start()
    terms = (f"--fixed-w={scenario.fixed_w:g}", f"--safe-cap={scenario.safe_cap_w:g}")
    view.say(governor.run("budget", "set", f"{scenario.budget_w:g}W", *terms))
    in_force_s = governed.plant.time_s

    starts_s = [bench.plant.time_s + LEAD_S for bench in (static, governed)]
    for bench, start_s in zip((static, governed), starts_s, strict=True):
        bench.serve(scenario.requests(), start_s)
    _watch_trace(scenario, static, governed, view, starts_s)
    ends_s = [bench.plant.time_s for bench in (static, governed)]
    length_s = min(end_s - start_s for start_s, end_s in zip(starts_s, ends_s, strict=True))
    nvml_time_share = governor.status()["warden"]["nvml_time_share"]

    view.say("")
    view.say("Now the worst: whatever dies, in whatever order, no GPU is left behind.")
    acts = []
    cleared_s = governed.plant.time_s
    for act in perform(governed, governor, scenario, lambda: view.show(_frame(static, governed, starts_s[1]))):
        limits = " ".join(f"{limit_w:.0f}" for limit_w in act.limits_w)
        view.say(f"  {'kept  ' if act.kept else 'BROKEN'} {act.what}: {act.outcome} ({act.seconds:.1f} s) [{limits} W]")
        acts.append(act)
        if "restore" not in act.what:
            cleared_s = governed.plant.time_s  # up to here the budget stood

    stage = report.Stage(static, starts_s[0], starts_s[0] + length_s, (), scenario.prior_limits_w)
    governed_stage = report.Stage(
        governed,
        starts_s[1],
        starts_s[1] + length_s,
        ((in_force_s, cleared_s, scenario.envelope_w),),
        scenario.prior_limits_w,
    )
    return report.document(scenario, report.figures(stage), report.figures(governed_stage), acts, nvml_time_share)


def _watch_trace(scenario: Scenario, static: Bench, governed: Bench, view: View, starts_s: list[float]) -> None:
    deadline_s = starts_s[1] + DRAIN * max(scenario.trace.duration_s, 20.0)
    all_requests = len(scenario.trace.requests)
    while governed.plant.time_s < deadline_s:
        frame = _frame(static, governed, starts_s[1])
        view.show(frame)
        if min(frame.done) == all_requests:
            return
        time.sleep(FRAME_S)
    waited_s = deadline_s - starts_s[1]
    raise EagentError(f"the trace was not answered within {waited_s:.0f} s: too much load for these GPUs")


def _frame(static: Bench, governed: Bench, start_s: float) -> Frame:
    return Frame(
        elapsed_s=max(0.0, governed.plant.time_s - start_s),
        done=(static.done(), governed.done()),
        power_w=(_power_w(static), _power_w(governed)),
        limits_w=(static.limits_w(), governed.limits_w()),
    )


def _power_w(bench: Bench) -> list[float]:
    return [bench.plant.view(gpu)["power_instant_mw"] / 1000 for gpu in range(GPUS)]
