"""stat, cpuinfo and boot_id in the /proc of a simulated host: who has been busy for how long, in the kernel's words.

A core is busy in user mode or idle. What the plant does not have (interrupts, context switches, forks) counts to 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from eagent.sim._plant import Host
from eagent.sim.attribute import Attribute, Show, Tree

USER_HZ = 100  # units of stat a second, on every architecture that eagent knows
ROUNDING = 1e-6  # of a unit: seconds are sums of binary fractions
BOOT_ID = "sys/kernel/random/boot_id"
SOFTIRQS = 10  # kinds of them


def tree(host: Host) -> Tree:
    """All files; none for a host without processors."""
    if host.processor is None:
        return {}
    files: dict[str, Show] = {
        "stat": partial(stat, host),
        "cpuinfo": partial(cpuinfo, host),
        BOOT_ID: lambda: host.boot_id,
    }
    return {name: Attribute(0o444, show, size=0) for name, show in files.items()}


def stat(host: Host) -> str:
    """The text of /proc/stat: a line for all CPUs together, one for each, then the rest.

    Each CPU's line is of one moment; as in the kernel, not all are of the same.
    """
    cpus = [host.cpu_view(cpu) for cpu in range(_count(host))]
    times = [(view["busy_s"], view["idle_s"]) for view in cpus]
    together = (sum(busy_s for busy_s, _ in times), sum(idle_s for _, idle_s in times))
    running = max(1, round(sum(view["busy"] for view in cpus)))  # who reads this runs
    return "\n".join(
        [
            _times("cpu ", *together),
            *(_times(f"cpu{cpu}", *each) for cpu, each in enumerate(times)),
            "intr 0",
            "ctxt 0",
            f"btime {int(host.boot_unix_s)}",
            "processes 0",
            f"procs_running {running}",
            "procs_blocked 0",
            _spaced("softirq", [0] * (SOFTIRQS + 1)),
        ]
    )


def _times(name: str, busy_s: float, idle_s: float) -> str:
    """User, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice."""
    return _spaced(name, [_units(busy_s), 0, 0, _units(idle_s), 0, 0, 0, 0, 0, 0])


def _units(seconds: float) -> int:
    return int(max(0.0, seconds) * USER_HZ + ROUNDING)


def _spaced(name: str, numbers: Iterable[int]) -> str:
    return " ".join([name, *map(str, numbers)])


def cpuinfo(host: Host) -> str:
    """The text of /proc/cpuinfo, as far as it says what the plant knows."""
    processor = host.processor
    assert processor is not None
    cores = processor["cores"]
    blocks = []
    for cpu in range(_count(host)):
        lines = {
            "processor\t": cpu,
            "model name\t": processor["name"],
            "cpu MHz\t\t": f"{host.cpu_view(cpu)['current_khz'] / 1e3:.3f}",
            "physical id\t": cpu // cores,
            "siblings\t": cores,
            "core id\t\t": cpu % cores,
            "cpu cores\t": cores,
        }
        blocks.append("".join(f"{name}: {value}\n" for name, value in lines.items()))
    return "\n".join(blocks)


def _count(host: Host) -> int:
    processor = host.processor
    assert processor is not None
    return processor["packages"] * processor["cores"]
