"""Who else sets what eagent sets: seen at it, or known for it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from eagent.doctor.checks.running import BY_OTHERS
from eagent.doctor.driver import Gpu
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host, Process
from eagent.doctor.locks import holder

DISABLE = "run `sudo systemctl disable --now {}`"

# A process's name, what it sets, and what to do about it.
KNOWN: dict[str, tuple[Severity, str, str]] = {
    "tuned": (
        Severity.WARNING,
        "sets CPU governors, EPP and what its profiles name",
        f"{DISABLE.format('tuned')}, or choose a profile without [cpu] and scripts: `tuned-adm profile`",
    ),
    "power-profiles-daemon": (
        Severity.WARNING,
        "sets EPP and platform limits",
        DISABLE.format("power-profiles-daemon"),
    ),
    "tlp": (Severity.WARNING, "sets CPU governors, EPP and frequency limits", DISABLE.format("tlp")),
    "auto-cpufreq": (Severity.WARNING, "sets CPU governors and frequency limits", DISABLE.format("auto-cpufreq")),
    "thermald": (Severity.WARNING, "sets RAPL limits and CPU frequency", DISABLE.format("thermald")),
    "nvidia-powerd": (Severity.WARNING, "moves watts between CPU and GPU", DISABLE.format("nvidia-powerd")),
    "nv-hostengine": (
        Severity.NOTE,
        "enforces GPU power limits and clocks if it was told to",
        "run `dcgmi config --get -g 0`; if it targets a limit or clock, `dcgmi config --set` it away",
    ),
    "slurmd": (
        Severity.NOTE,
        "sets GPU clocks for jobs that ask for it (--gpu-freq), and CPU frequency (--cpu-freq)",
        "leave GpuFreqDef and CpuFreqDef out of slurm.conf",
    ),
    "lactd": (Severity.WARNING, "sets GPU power limits and clocks", DISABLE.format("lactd")),
    "zeusd": (Severity.WARNING, "sets GPU power limits and clocks for its clients", DISABLE.format("zeusd")),
    "geopmd": (Severity.WARNING, "sets CPU and GPU limits for its clients", DISABLE.format("geopm")),
    "eard": (Severity.WARNING, "sets CPU and GPU frequencies and caps", DISABLE.format("eard")),
}
# Services that set knobs and end, so that no process tells of them. What is set before eagent starts it gives back.
SERVICES: dict[str, tuple[Severity, str, str]] = {
    "tlp": (
        Severity.WARNING,
        "sets CPU governors, EPP and frequency limits at boot, on waking and when the power source changes",
        "set TLP_ENABLE=0 in /etc/tlp.conf: to disable the service is not enough",
    ),
    "cpupower": (
        Severity.NOTE,
        "sets the CPU governor and frequency limits when it starts: at boot, and when somebody restarts it",
        f"nothing, if that is what eagent is to go back to; else {DISABLE.format('cpupower')}",
    ),
    "cpufrequtils": (
        Severity.NOTE,
        "sets the CPU governor and frequency limits when it starts: at boot, and when somebody restarts it",
        f"nothing, if that is what eagent is to go back to; else {DISABLE.format('cpufrequtils')}",
    ),
}
GPU_FREQ = re.compile(r"\s--gpu-freq\b")  # an srun that asks slurmd to set clocks


def check(host: Host) -> Iterator[Finding]:
    """What was seen to happen first: it needs no guess."""
    seen = [*_changes(host), *_alarms(host)]
    known = [*_known(host.processes), *_services(host)]
    yield from seen
    yield from known
    if not seen and not known:
        yield Finding("host", Severity.OK, "none is known to run, and no limit changed while we looked")


def _changes(host: Host) -> Iterator[Finding]:
    """Limits that changed while we looked; eagent's own changes are its business."""
    gpus = {gpu.index: gpu for gpu in host.driver.gpus}
    moves: dict[int, list[float]] = defaultdict(list)
    for change in host.driver.changes:
        moves[change.index] += [change.before_w, change.after_w]
    for index, watts in moves.items():
        if not _is_ours(gpus[index], host):
            times = f"{len(watts) // 2} time{'' if len(watts) == 2 else 's'}"
            what = f"its power limit changed {times} while we looked, from {watts[0]:g} W to {watts[-1]:g} W"
            fix = f"find who it is: {_suspects(host.processes)}"
            yield Finding(f"gpu{index}", Severity.PROBLEM, f"{what}, and eagent did not do it", fix)


def _is_ours(gpu: Gpu, host: Host) -> bool:
    if host.status is not None:
        return gpu.uuid in host.held()
    return holder(host.paths.warden_lock, host.roots.proc) is not None  # a warden alone may be putting it back


def _alarms(host: Host) -> Iterator[Finding]:
    for alarm in host.status["alarms"] if host.status else ():
        if BY_OTHERS in alarm:
            fix = f"find who it is: {_suspects(host.processes)}"
            yield Finding("warden", Severity.WARNING, alarm, fix)


def _suspects(processes: tuple[Process, ...]) -> str:
    """Those that run here and are known for it, else where to look."""
    names = sorted({name for process in processes for name in process.names & KNOWN.keys()})
    return f"{' or '.join(names)}?" if names else "a cron job or timer that runs nvidia-smi, or a job's own script"


def _services(host: Host) -> Iterator[Finding]:
    """By systemd's own marks: a link for each unit that is active, and one for each that a target wants."""
    running = {name for process in host.processes for name in process.names}
    for name, (severity, what, fix) in SERVICES.items():
        unit = f"{name}.service"
        active = (host.roots.run / "systemd/units" / f"invocation:{unit}").is_symlink()
        enabled = any((host.roots.etc / "systemd/system").glob(f"*.wants/{unit}"))
        if (active or enabled) and name not in running & KNOWN.keys():
            state = "active" if active else "enabled"
            yield Finding(name, severity, f"its service is {state}: {what}", fix)


def _known(processes: tuple[Process, ...]) -> Iterator[Finding]:
    pids: dict[str, list[int]] = defaultdict(list)
    for process in processes:
        for name in process.names & KNOWN.keys():
            pids[name].append(process.pid)
    for name, (severity, what, fix) in KNOWN.items():
        if name in pids:
            yield Finding(name, severity, f"pid {', '.join(map(str, sorted(pids[name])))}: {what}", fix)
    asking = [str(process.pid) for process in processes if GPU_FREQ.search(process.command)]
    if asking:
        what = f"pid {', '.join(asking)}: a job asks for GPU clocks (--gpu-freq), which slurmd sets"
        yield Finding("srun", Severity.WARNING, what, "agree with its owner, or refuse the option in a submit plugin")
