"""The memory of eagent's two processes and the time that `eagent status` takes, on a simulated host of 8 GPUs.

    make bench NAME=footprint

Memory is the kernel's own account (/proc/PID/smaps_rollup): RSS is all pages that the process has mapped and present,
those of libraries and files that it shares included; PSS counts a shared page by its share; USS is what would be free
if the process ended. The warden has the simulated driver mapped, and the simulated host's state, where a real one has
NVIDIA's library. The peers hold still while they are looked at, after one reading of all GPUs.

All is measured of eagent as pip installs it from a wheel: with compiled bytecode, in an environment without the finder
of an editable install, which would make every Python slower. Both processes read the configuration that `eagent service
install` lays down. Times are from fork to exit; `status` and `pass` take turns at going first, and what counts is the
median of their ratios.
"""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figure, publish
from eagent.sim import host as simulated
from eagent.sim._plant import Host
from eagent.sim.workload import Gang

CHECKOUT = Path(__file__).parent.parent
CONFIG = CHECKOUT / "config" / "eagent.toml"
GPUS = 8
WARDEN_MAX_MB, AGENT_MAX_MB, STATUS_MAX = 20.0, 60.0, 6.0
PAIRS = 40
SETTLE_S = 15.0  # all windows of the agent but the minutes have filled
START_S = 20.0
MB = 1e6

# What a process of others does before it is looked at; each reads all GPUs once, where it can.
HOLDERS = {
    "python -c pass": "",
    "pynvml": (
        "import pynvml as n; n.nvmlInit()\n"
        "for i in range(n.nvmlDeviceGetCount()): n.nvmlDeviceGetPowerUsage(n.nvmlDeviceGetHandleByIndex(i))"
    ),
    "gpustat": "import gpustat; gpustat.new_query()",
    "nvitop": "import nvitop; [gpu.as_snapshot() for gpu in nvitop.Device.all()]",
}
STARTERS = {
    "import argparse, json, socket": "import argparse, json, socket",
    "import click": "import click",
    "import pynvml": "import pynvml",
    "import rich.table": "import rich.table, rich.console",
}


def main() -> None:
    """Run all, print, and write the figures."""
    with tempfile.TemporaryDirectory(prefix="eagent-bench-") as directory:
        python = install(Path(directory) / "installed")
        made = simulated.create(Path(directory) / "sim", "host", gpus=GPUS)
        with Host(made.plant) as plant:
            Gang(step_s=0.4).start(plant, list(range(GPUS)), pid=os.getpid())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EAGENT", "PYTHON"))}
        environ = made.environment(inherited)
        publish("footprint", measure(python, environ))


def install(place: Path) -> Path:
    """Lay this checkout's eagent out as a wheel's install would be; the interpreter that finds it there.

    What eagent needs of others is that of the environment in which this runs.
    """
    venv.create(place)
    site = place / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    shutil.copytree(CHECKOUT / "eagent", site / "eagent", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(site / "eagent", quiet=1)
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    python = place / "bin" / "python"
    script = place / "bin" / "eagent"
    script.write_text(f"#!{python}\nimport sys\nfrom eagent.cli import main\nsys.exit(main())\n", encoding="utf-8")
    script.chmod(0o755)
    return python


def measure(python: Path, environ: Mapping[str, str]) -> list[Figure]:
    """All figures, of this interpreter on the host of this environment."""
    eagent = str(python.with_name("eagent"))
    with (
        subprocess.Popen([eagent, "warden", f"--config={CONFIG}"], env=environ, stderr=subprocess.DEVNULL) as warden,
        subprocess.Popen([eagent, "agent", f"--config={CONFIG}"], env=environ, stderr=subprocess.DEVNULL) as agent,
    ):
        try:
            _await_answer([eagent, "status"], environ)
            time.sleep(SETTLE_S)
            ours = {"warden": memory_mb(warden.pid), "agent": memory_mb(agent.pid)}
            status = ratios([eagent, "status"], [str(python), "-c", "pass"], environ)
            others = {
                name: ratios([str(python), "-c", code], [str(python), "-c", "pass"], environ)[0]
                for name, code in STARTERS.items()
            }
        finally:
            for process in (agent, warden):
                process.send_signal(signal.SIGTERM)
                process.wait()
    peers = {name: _held_mb(python, code, environ) for name, code in HOLDERS.items()}
    return [
        _memory("warden", ours["warden"], WARDEN_MAX_MB, peers),
        _memory("agent", ours["agent"], AGENT_MAX_MB, peers),
        *(_parts(name, seen) for name, seen in ours.items()),
        Figure("eagent status / python -c pass", status[0], "ratio", "<= 6", status[0] <= STATUS_MAX, others),
        Figure("its CPU time / that of python -c pass", status[1], "ratio"),
    ]


def memory_mb(pid: int) -> dict[str, float]:
    """What the kernel accounts to a process now: RSS, PSS and USS; and the most that RSS ever was."""
    found: dict[str, float] = {}
    for line in [
        *Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:],
        *Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines(),
    ]:
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0]) * 1024 / MB
    return {
        "RSS": found["Rss"],
        "PSS": found["Pss"],
        "USS": found["Private_Clean"] + found["Private_Dirty"],
        "peak RSS": found["VmHWM"],
    }


def ratios(ours: Sequence[str], other: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """The median ratio of two commands' times, by the clock and of the CPU; they take turns at going first."""
    wall, cpu = [], []
    for turn in range(PAIRS):
        first, second = (ours, other) if turn % 2 else (other, ours)
        one, two = _timed(first, environ), _timed(second, environ)
        mine, its = (one, two) if turn % 2 else (two, one)
        wall.append(mine[0] / its[0])
        cpu.append(mine[1] / its[1])
    return statistics.median(wall), statistics.median(cpu)


def _timed(command: Sequence[str], environ: Mapping[str, str]) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environ, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    took_s = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    return took_s, used.ru_utime + used.ru_stime


def _held_mb(python: Path, code: str, environ: Mapping[str, str]) -> dict[str, float]:
    script = f"{code}\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [str(python), "-c", script], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"a peer did not start: {code}")
        seen = memory_mb(process.pid)
        process.stdin.write("\n")
    return seen


def _await_answer(command: Sequence[str], environ: Mapping[str, str]) -> None:
    until = time.monotonic() + START_S
    while subprocess.run(command, env=environ, capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise SystemExit("eagent does not answer")
        time.sleep(0.2)


def _memory(name: str, seen: Mapping[str, float], most: float, peers: Mapping[str, Mapping[str, float]]) -> Figure:
    rss = {peer: each["RSS"] for peer, each in peers.items()}
    return Figure(f"{name}: RSS", seen["RSS"], "MB", f"<= {most:g}", seen["RSS"] <= most, rss)


def _parts(name: str, seen: Mapping[str, float]) -> Figure:
    others = {part: value for part, value in seen.items() if part not in ("RSS", "USS")}
    return Figure(f"{name}: USS", seen["USS"], "MB", peers=others)


if __name__ == "__main__":
    sys.exit(main())
