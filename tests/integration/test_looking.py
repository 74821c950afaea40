"""`doctor`, `verify` and `top` beside a running eagent, and beside what a dead one has left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Site = Callable[..., Any]


def of_group(text: str, name: str) -> list[str]:
    """The lines below one heading of the doctor's."""
    return text.split(f"\n\n{name}\n")[1].split("\n\n")[0].split("\n")


def test_a_kept_budget_is_verified_and_what_is_broken_is_told(site: Site) -> None:
    host = site(gpus=2)
    host.config.write_text(f'{host.config.read_text()}foreign = "overrule"\n')
    host.up("--no-restart")
    host.must("budget", "set", "1600W")
    done = host.eagent("verify")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("\n\nAll agree.\n")
    found = host.eagent("doctor", "--watch=0.1s")
    assert found.returncode == 0, found.stdout
    assert of_group(found.stdout, "eagent") == ["  ok       eagent: agent and warden run, on 2 GPUs"]
    assert of_group(found.stdout, "permission") == [
        "  ok       gpu0-1: power limit: the warden can set it",
        "  ok       gpu0-1: gpu clock: the warden can set it",
    ]
    assert of_group(found.stdout, "journal and budget") == [
        "  ok       journal: 2 knobs can be put back",
        "  ok       budget: 1600 W, kept by the warden",
    ]
    shown = host.must("top", "--once")
    assert "SIMULATED" in shown
    assert "\ngpu1    " in shown

    os.kill(host.pids["warden"], signal.SIGSTOP)  # so that nobody overrules what comes now
    try:
        host.plant.set_power_limit(1, 390)
        broken = host.eagent("verify")
    finally:
        os.kill(host.pids["warden"], signal.SIGCONT)
    assert broken.returncode == 1
    assert "DIFFERS" in broken.stdout or "The warden can't be asked" in broken.stdout
    assert host.await_true(lambda: host.limits_w()[1] < 390, 10)
    assert host.eagent("verify").returncode == 0

    host.plant.set_power_limit(1, 390)
    assert host.await_true(lambda: host.limits_w()[1] < 390, 10)
    assert host.await_true(lambda: "ALARM" in host.must("status"), 10)
    writers = of_group(host.eagent("doctor", "--watch=0.1s").stdout, "other writers")
    assert any("by somebody else" in line for line in writers)


def test_the_cpus_of_a_host_are_looked_at_without_eagent(served_host: Callable[..., Any]) -> None:
    made = served_host(gpus=1, permission="anyone")

    def eagent(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eagent", *words]
        return subprocess.run(command, env=made.environ, capture_output=True, text=True, timeout=60, check=False)

    found = of_group(eagent("doctor", "--watch=0.1s").stdout, "cpu")
    assert found[0].startswith("  ok       cpufreq: 64 policies, driver intel_pstate, governor powersave, EPP ")
    assert any(line.startswith("  ok       RAPL limit: ") for line in found)
    assert not any("governor:" in line for line in found)
    cpus = made.sysfs / "devices/system/cpu/cpufreq"
    (cpus / "policy0/scaling_max_freq").write_text("1200000")
    (cpus / "policy40/energy_performance_preference").write_text("power")
    (cpus / "policy1/scaling_governor").write_text("performance")
    found = of_group(eagent("doctor", "--watch=0.1s").stdout, "cpu")
    assert any("  warning  governor: performance, of 1 of 64 policies: " in line for line in found)
    shown = eagent("verify")
    assert shown.returncode == 1, "nobody can be asked what is held"
    rows = {tuple(line.split()[:3]): line.split()[3:5] for line in shown.stdout.split("\n") if line.startswith("cpu")}
    assert rows["cpu0", "cpu", "clock"][1] == rows["cpu1", "cpu", "clock"][1] == "MHz"
    assert int(rows["cpu0", "cpu", "clock"][0]) > 3000, "the greatest of its CPUs, which alone is a ceiling"
    assert rows["cpu1", "cpu", "preference"][0] == "mixed"
    assert float(rows["cpu0", "power", "limit"][0]) > 0


def test_after_everything_was_killed_the_doctor_finds_the_dead_and_what_they_left(site: Site) -> None:
    host = site(gpus=2)
    host.up("--no-restart")
    host.must("pin", "set", "gpu0", "200W")
    assert host.await_true(lambda: host.limits_w()[0] == 200, 10)
    host.kill("warden", "agent", "parent")
    assert host.await_true(lambda: host.eagent("status").returncode == 1, 10)
    done = host.eagent("doctor", "--watch=0.1s")
    assert done.returncode == 1
    text = done.stdout.replace(str(host.made.dir), "DIR")
    assert re.search(
        r"  PROBLEM  journal: \d knobs? may still stand where a dead eagent set (it|them), and no ward", text
    )
    assert of_group(text, "eagent")[2::2] == [
        "  note     DIR/run/api.sock: left by an agent that is dead. The next one replaces it",
        "  note     DIR/run/warden/sock: left by a warden that is dead. The next one replaces it",
        "  note     DIR/run/ring: stale: the warden that wrote it is dead. The next one replaces it",
    ]
    assert "The warden can't be asked what it holds: the agent of DIR/run/api.sock is dead" in host.eagent(
        "verify"
    ).stdout.replace(str(host.made.dir), "DIR")
    host.must("restore")
    assert host.eagent("doctor", "--watch=0.1s").returncode == 0
