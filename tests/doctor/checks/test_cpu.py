from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eagent.doctor.checks import cpu
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def cpufreq(root: Path, count: int = 2, **files: str) -> None:
    policy = {"scaling_max_freq": "3000000", "scaling_driver": "intel_pstate", "scaling_governor": "powersave", **files}
    for number in range(count):
        tree(root / f"devices/system/cpu/cpufreq/policy{number}", policy)


def zone(root: Path, place: str, name: str, *, limits: int) -> None:
    constraints = {f"constraint_{number}_power_limit_uw": "200000000" for number in range(limits)}
    tree(root / "class/powercap" / place, {"name": name, "energy_uj": "1", **constraints})


def test_a_host_without_cpu_knobs_says_so_for_both(host: Host, tell: Tell) -> None:
    assert [found[:2] for found in tell(cpu.check(host))] == [("note", "cpufreq"), ("note", "RAPL")]


def test_cpu_knobs_are_described(host: Host, tell: Tell) -> None:
    cpufreq(host.roots.sysfs, energy_performance_preference="balance_performance")
    for place, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "package-1")):
        zone(host.roots.sysfs, place, name, limits=2)
    (host.roots.sysfs / "class/powercap/intel-rapl").mkdir()  # the control type, which is no zone
    what = "2 policies, driver intel_pstate, governor powersave, EPP balance_performance; this user can set it"
    assert tell(cpu.check(host)) == [
        ("ok", "cpufreq", what),
        ("ok", "RAPL energy", "3 zones (package-0, dram, package-1)"),
        ("ok", "RAPL limit", "this user can set it"),
    ]


def test_amds_rapl_is_called_read_only(host: Host, tell: Tell) -> None:
    zone(host.roots.sysfs, "intel-rapl:0", "package-0", limits=0)
    found = tell(cpu.check(host))
    assert found[-1][:2] == ("note", "RAPL limit")
    assert found[-1][2].startswith("read-only, as AMD's is")


def test_cpu_knobs_of_root_are_noted_for_a_user(host: Host, tell: Tell, unprivileged: Path) -> None:
    cpufreq(unprivileged)
    zone(unprivileged, "intel-rapl:0", "package-0", limits=1)
    for path in unprivileged.rglob("*"):
        if path.is_file():
            path.chmod(0o400 if path.name != "energy_uj" else 0o000)
    real = host.paths._replace(proc=Path("/proc"))
    seen = replace(host, roots=replace(host.roots, sysfs=unprivileged), paths=real)
    assert [found[:2] for found in tell(cpu.check(seen))] == [
        ("note", "cpufreq"),
        ("note", "RAPL energy"),
        ("note", "RAPL limit"),
    ]


def test_the_governor_performance_is_told_with_what_eagent_can_not_do_under_it(host: Host, tell: Tell) -> None:
    cpufreq(host.roots.sysfs, scaling_governor="performance", energy_performance_preference="performance")
    found = next(each for each in cpu.check(host) if each.subject == "governor")
    assert (found.severity, found.what.partition(":")[0]) == ("warning", "performance, of all policies")
    assert "eagent can lower the CPUs' ceiling, but not set their preference" in found.what
    assert "frequency-set -g powersave" in found.fix
    cpufreq(host.roots.sysfs, 1, scaling_governor="powersave", energy_performance_preference="power")
    assert ("warning", "governor") in [found[:2] for found in tell(cpu.check(host))]
    found = next(each for each in cpu.check(host) if each.subject == "governor")
    assert found.what.startswith("performance, of 1 of 2 policies: ")


def test_the_governor_performance_of_a_driver_without_preferences_takes_nothing_away(host: Host, tell: Tell) -> None:
    cpufreq(host.roots.sysfs, scaling_driver="acpi-cpufreq", scaling_governor="performance")
    assert [found[1] for found in tell(cpu.check(host))] == ["cpufreq", "RAPL"]


def test_a_preference_that_can_not_be_set_is_noted_although_the_ceiling_can(
    host: Host, tell: Tell, unprivileged: Path
) -> None:
    cpufreq(unprivileged, energy_performance_preference="power")
    for path in unprivileged.rglob("energy_performance_preference"):
        path.chmod(0o444)
    seen = replace(host, roots=replace(host.roots, sysfs=unprivileged), paths=host.paths._replace(proc=Path("/proc")))
    severity, subject, what = tell(cpu.check(seen))[0]
    assert (severity, subject) == ("note", "cpufreq")
    assert what.endswith("; this user can't set it")


def test_cpu_time_that_can_not_be_read_is_told_with_what_goes_without_it(host: Host, tell: Tell) -> None:
    stat = host.paths.proc / "stat"
    cpufreq(host.roots.sysfs)
    for spoil in (lambda: stat.write_text("intr 1\n"), stat.unlink):
        spoil()
        severity, subject, what = tell(cpu.check(host))[-1]
        assert (severity, subject) == ("warning", "CPU time")
        assert what == f"{stat} can't be read: how busy the CPUs are is not known, and so the policy cpu never acts"


def test_cpu_time_is_not_missed_where_no_frequency_can_be_set(host: Host, tell: Tell) -> None:
    (host.paths.proc / "stat").unlink()
    assert [found[1] for found in tell(cpu.check(host))] == ["cpufreq", "RAPL"]
