"""A simulated host's /sys: the files, the errors and the tools of a real one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eagent.errors import DriverError, RefusedError
from eagent.sim import host as hosts
from eagent.sim import sysfs
from eagent.sim._bmc import Bmc
from eagent.sim._plant import Host
from eagent.sim.workload import Square

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

CPUFREQ = "devices/system/cpu/cpufreq"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def attempt(path: Path, text: str) -> int:
    """The errno of writing `text`, 0 if it was taken."""
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError as error:
        return error.errno or -1
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        return error.errno or -1
    finally:
        os.close(descriptor)
    return 0


def as_nobody(*actions: str) -> list[Any]:
    """What becomes of expressions evaluated by another user: their values, or the errno."""
    script = f"""
import os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def outcome(action):
    try:
        return eval(action)
    except OSError as error:
        return error.errno
print([outcome(action) for action in {actions!r}])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return list(eval(done.stdout))  # our own print


def wait_until_gone(made: SimHost) -> None:
    mount = hosts.SimulatedHost(made.dir).mount
    deadline = time.monotonic() + 10
    while mount.mounted or mount.server is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- cpufreq ---------------------------------------------------------------------------------------------------------


def test_the_tree_tells_what_the_processors_are(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    cpus = made.sysfs / "devices/system/cpu"
    assert (cpus / "present").read_text() == (cpus / "online").read_text() == "0-63\n"
    assert len(list(cpus.glob("cpu[0-9]*"))) == len(list((made.sysfs / CPUFREQ).glob("policy*"))) == 64
    assert (cpus / "cpu40/topology/physical_package_id").read_text() == "1\n"
    policy = cpus / "cpu40/cpufreq"
    assert policy.readlink() == Path("../cpufreq/policy40")
    assert {path.name: path.read_text() for path in policy.iterdir()} == {
        "affected_cpus": "40\n",
        "related_cpus": "40\n",
        "cpuinfo_min_freq": "800000\n",
        "cpuinfo_max_freq": "3400000\n",
        "cpuinfo_transition_latency": "0\n",
        "energy_performance_available_preferences": ("default performance balance_performance balance_power power \n"),
        "energy_performance_preference": "balance_performance\n",
        "scaling_available_governors": "performance powersave\n",
        "scaling_cur_freq": "800000\n",
        "scaling_driver": "intel_pstate\n",
        "scaling_governor": "powersave\n",
        "scaling_max_freq": "3400000\n",
        "scaling_min_freq": "800000\n",
        "scaling_setspeed": "<unsupported>\n",
    }


def test_writes_are_taken_clamped_or_refused_as_the_kernel_does(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    policy = made.sysfs / CPUFREQ / "policy0"
    for name, text, code, shown in [
        ("scaling_max_freq", "2000000", 0, "2000000"),
        ("scaling_max_freq", "99", 0, "800000"),
        ("scaling_max_freq", "999999999\n", 0, "3400000"),
        ("scaling_max_freq", "0x1e8480", 0, "2000000"),
        ("scaling_max_freq", "-1", errno.EINVAL, "2000000"),
        ("scaling_max_freq", "fast", errno.EINVAL, "2000000"),
        ("scaling_max_freq", "4294967296", errno.EINVAL, "2000000"),
        ("scaling_max_freq", str(2**70), errno.ERANGE, "2000000"),
        ("scaling_min_freq", "3000000", 0, "2000000"),  # above the upper bound, which stands
        ("scaling_governor", "ondemand", errno.EINVAL, "powersave"),
        ("scaling_governor", "", 0, "powersave"),  # write() of nothing does not reach the kernel's file
        ("scaling_governor", "Performance\n", 0, "performance"),
        ("energy_performance_preference", "power", errno.EBUSY, "performance"),
        ("scaling_governor", "powersave", 0, "powersave"),
        ("energy_performance_preference", "power\n", 0, "power"),
        ("energy_performance_preference", "default", 0, "balance_performance"),
        ("energy_performance_preference", "77", 0, "77"),
        ("energy_performance_preference", "256", errno.EINVAL, "77"),
        ("energy_performance_preference", "eco", errno.EINVAL, "77"),
        ("scaling_setspeed", "2000000", errno.EINVAL, "<unsupported>"),
        ("scaling_cur_freq", "2000000", errno.EACCES, "2000000"),
        ("cpuinfo_max_freq", "2000000", errno.EACCES, "3400000"),
    ]:
        assert attempt(policy / name, text) == code, (name, text)
        assert (policy / name).read_text() == f"{shown}\n", (name, text)
    assert (policy.parent / "policy1/scaling_max_freq").read_text() == "3400000\n"


def test_acpi_cpufreq_has_more_governors_and_no_epp(served_host: SimHostFactory) -> None:
    policy = served_host(gpus=1, cpu_model="epyc-7543").sysfs / CPUFREQ / "policy0"
    assert (policy / "scaling_driver").read_text() == "acpi-cpufreq\n"
    assert "schedutil" in (policy / "scaling_available_governors").read_text().split()
    assert not list(policy.glob("energy*"))
    assert attempt(policy / "scaling_governor", "ondemand") == 0
    assert (policy / "scaling_governor").read_text() == "ondemand\n"


def test_writes_reach_the_plant_with_their_writer(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    shell = subprocess.Popen(["sh", "-c", f"echo 1500000 > {made.sysfs}/{CPUFREQ}/policy2/scaling_max_freq"])
    assert shell.wait() == 0
    with Host(made.plant) as plant:
        assert [entry[1:] for entry in plant.cpu_log()] == [("max_khz", 2, 0, 3_400_000, 1_500_000, shell.pid)]
        Square(duty=0.0).start(plant, [0])
        plant.set_cpu_max_khz(0, 1_700_000)
        assert (made.sysfs / CPUFREQ / "policy0/scaling_max_freq").read_text() == "1700000\n"


# ---- powercap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("powercap", "prefix", "zones"),
    [("intel-rapl", "intel-rapl", 4), ("intel-rapl-mmio", "intel-rapl-mmio", 4), ("amd", "intel-rapl", 2)],
)
def test_zones_bear_the_prefix_and_have_the_limits_of_their_kind(
    served_host: SimHostFactory, powercap: str, prefix: str, zones: int
) -> None:
    place = served_host(gpus=1, powercap=powercap).sysfs / "class/powercap"
    assert len(list(place.glob(f"{prefix}:*"))) == zones
    package = place / f"{prefix}:1"
    assert package.readlink() == Path(f"../../devices/virtual/powercap/{prefix}/{prefix}:1")
    assert (package / "name").read_text() == "package-1\n"
    assert (package / "max_energy_range_uj").read_text() == "262143328850\n"
    assert len(list(package.glob("constraint_*"))) == (0 if powercap == "amd" else 8)
    assert attempt(package / "enabled", "1") == (errno.ENOSYS if powercap == "amd" else 0)
    if powercap != "amd":
        assert (place / f"{prefix}:1:0/name").read_text() == "dram\n"
        assert (package / f"{prefix}:1:0").is_dir()


def test_limits_are_taken_rounded_or_refused_as_the_kernel_does(served_host: SimHostFactory) -> None:
    place = served_host(gpus=1).sysfs / "class/powercap"
    for name, text, code, shown in [
        ("intel-rapl:0/constraint_0_power_limit_uw", "100000001\n", 0, "100000000"),
        ("intel-rapl:0/constraint_0_power_limit_uw", "0x10", errno.EINVAL, "100000000"),
        ("intel-rapl:0/constraint_0_power_limit_uw", "-5", errno.EINVAL, "100000000"),
        ("intel-rapl:0/constraint_0_power_limit_uw", str(2**64), errno.EINVAL, "100000000"),
        ("intel-rapl:0/constraint_1_power_limit_uw", "120000000", 0, "120000000"),
        ("intel-rapl:0/constraint_0_time_window_us", "5000", 0, "5000"),
        ("intel-rapl:0/constraint_0_time_window_us", str(2**33), errno.ENODATA, "5000"),
        ("intel-rapl:0/constraint_0_max_power_uw", "1", errno.EACCES, "250000000"),
        ("intel-rapl:0/enabled", "off", 0, "0"),
        ("intel-rapl:0/enabled", "2", errno.EINVAL, "0"),
        ("intel-rapl:0/max_energy_range_uj", "0", errno.EACCES, "262143328850"),
        ("intel-rapl:1/constraint_0_power_limit_uw", "", 0, "250000000"),
        ("intel-rapl:1:0/constraint_0_power_limit_uw", "5000000", errno.ENODATA, "0"),
        ("intel-rapl:1:0/enabled", "1", errno.ENOSYS, "0"),
    ]:
        assert attempt(place / name, text) == code, (name, text)
        assert (place / name).read_text() == f"{shown}\n", (name, text)


def test_energy_moves_and_nobody_may_write_it_not_even_root(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    counter = made.sysfs / "class/powercap/intel-rapl:0/energy_uj"
    assert attempt(counter, "0") == errno.EACCES
    first = int(counter.read_text())
    deadline = time.monotonic() + 10
    while int(counter.read_text()) == first:
        assert time.monotonic() < deadline
    with Host(made.plant) as plant:
        assert int(counter.read_text()) <= 1e6 * plant.cpu_energy_true_j(0)[0]


def test_a_file_read_in_pieces_is_of_one_moment(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1, clock="virtual")
    with Host(made.plant) as plant:
        plant.advance(1.0)
        descriptor = os.open(made.sysfs / "class/powercap/intel-rapl:0/energy_uj", os.O_RDONLY)
        try:
            begun, early = os.pread(descriptor, 4, 0), plant.rapl_view(0)["energy_uj"]
            plant.advance(20.0)  # from eight digits to ten
            assert begun + os.pread(descriptor, 100, 4) == f"{early}\n".encode()
            assert os.pread(descriptor, 100, 0) == f"{plant.rapl_view(0)['energy_uj']}\n".encode()
        finally:
            os.close(descriptor)


# ---- who may do what -------------------------------------------------------------------------------------------------


@ROOT_ONLY
def test_modes_and_owners_are_the_kernels(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    for path in (made.dir.parent, *made.dir.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)  # another user has to get there
    zone = made.sysfs / "class/powercap/intel-rapl:0"
    found = {path.name: path.stat() for path in zone.iterdir()}
    assert {status.st_uid for status in found.values()} == {0}
    assert stat.S_IMODE(found["energy_uj"].st_mode) == 0o400
    assert stat.S_IMODE(found["constraint_0_power_limit_uw"].st_mode) == 0o644
    assert stat.S_IMODE(found["name"].st_mode) == 0o444
    assert as_nobody(
        f"open('{zone}/name').read()",
        f"open('{zone}/energy_uj').read()",
        f"open('{zone}/constraint_0_power_limit_uw', 'w')",
    ) == ["package-0\n", errno.EACCES, errno.EACCES]


def test_where_nobody_may_set_knobs_the_tree_is_read_only(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1, permission="nobody")
    policy = made.sysfs / CPUFREQ / "policy0"
    assert attempt(policy / "scaling_max_freq", "2000000") == errno.EROFS
    assert (policy / "scaling_max_freq").read_text() == "3400000\n"


# ---- its life --------------------------------------------------------------------------------------------------------


def test_it_is_unmounted_when_its_server_is_told_to_end(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    server = hosts.SimulatedHost(made.dir).mount.server
    assert server is not None
    os.kill(server, signal.SIGTERM)
    wait_until_gone(made)
    left = [path.relative_to(made.kernel) for path in made.kernel.rglob("*") if path.is_file()]
    assert left == [Path("proc/sys/kernel/random/boot_id")]


def test_only_one_process_serves_it(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    with pytest.raises(RefusedError, match="is served already, by pid"):
        sysfs.serve(hosts.SimulatedHost(made.dir))


def test_a_killed_server_leaves_a_dead_mount_which_the_next_one_clears(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    simulated = hosts.SimulatedHost(made.dir)
    (made.sysfs / CPUFREQ / "policy0/scaling_max_freq").write_text("2000000")
    server = simulated.mount.server
    assert server is not None
    os.kill(server, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while simulated.mount.server is not None:
        assert time.monotonic() < deadline
    with pytest.raises(OSError, match="not connected"):
        list(made.kernel.iterdir())
    assert sysfs.start(simulated) != server
    assert (made.sysfs / CPUFREQ / "policy0/scaling_max_freq").read_text() == "2000000\n"  # the plant has it


def test_deleting_a_host_ends_its_server_dead_or_alive(served_host: SimHostFactory) -> None:
    for kill in (False, True):
        made = served_host(gpus=1)
        simulated = hosts.SimulatedHost(made.dir)
        server = simulated.mount.server
        assert server is not None
        if kill:
            os.kill(server, signal.SIGKILL)
        hosts.delete(made.dir.parent, made.name)
        assert not made.dir.exists()
        assert not simulated.mount.mounted


def test_a_host_without_a_plant_is_one_line(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1)
    simulated = hosts.SimulatedHost(made.dir)
    simulated.mount.stop()
    made.plant.rename(made.dir / "away")
    with pytest.raises(DriverError, match="No such file") as caught:
        sysfs.start(simulated)
    assert "\n" not in str(caught.value)
    (made.dir / "away").rename(made.plant)


# ---- tools that nobody here wrote ------------------------------------------------------------------------------------


def on_host(made: SimHost, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program for which the simulated files are those of /sys and /proc, in a mount namespace of its own."""
    binds = 'mount --bind "$0/sys" /sys && for name in stat cpuinfo; do mount --bind "$0/proc/$name" /proc/$name; done'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f'mount --make-rprivate / && {binds} && exec "$@"', str(made.kernel), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def namespace_missing() -> str | None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root and unshare"
    done = subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return "mount namespaces cannot be made here" if done.returncode else None


def require(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing (Debian: apt-get install linux-cpupower)")
    if missing := namespace_missing():
        pytest.skip(missing)


def test_psutil_reads_it_unmodified(served_host: SimHostFactory) -> None:
    require()
    made = served_host(gpus=1)
    (made.sysfs / CPUFREQ / "policy3/scaling_max_freq").write_text("2000000")
    script = """
import psutil
print([each.max for each in psutil.cpu_freq(percpu=True)].count(2000.0))
print(*map(int, psutil.cpu_freq()[1:]), psutil.cpu_count(), psutil.cpu_count(logical=False))
"""
    done = on_host(made, sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "800", str((63 * 3400 + 2000) // 64), "64", "64"]


def test_psutil_reads_proc_where_it_is_told_to(served_host: SimHostFactory) -> None:
    made = served_host(gpus=8, clock="virtual")
    with Host(made.plant) as plant:
        Square(duty=0.0).start(plant, [5], at_s=10.0)
        plant.advance(35.0)
    script = """
import json, psutil, sys
psutil.PROCFS_PATH = sys.argv[1]
each = psutil.cpu_times(percpu=True)
print(json.dumps({
    "cpus": len(each), "busy": [cpu for cpu, times in enumerate(each) if times.user], "times": each[40],
    "all": psutil.cpu_times(), "fields": psutil.cpu_times()._fields, "boot": psutil.boot_time(),
    "stats": psutil.cpu_stats(), "counts": [psutil.cpu_count(), psutil.cpu_count(logical=False)],
}))
"""
    found = made.python(script, str(made.procfs))
    assert (found["cpus"], found["busy"], found["boot"]) == (64, [40, 41], 1_767_225_600)
    times = dict(zip(found["fields"], found["times"], strict=True))
    assert {name: spent for name, spent in times.items() if spent} == {"user": 25.0, "idle": 10.0}
    assert dict(zip(found["fields"], found["all"], strict=True))["user"] == 50.0
    assert sum(found["all"]) == 64 * 35
    assert found["stats"] == [0, 0, 0, 0]
    assert all(found["counts"])  # of the real /sys: psutil looks for it there, whatever it is told


def test_cpupower_reads_and_writes_it_unmodified(served_host: SimHostFactory) -> None:
    require("cpupower")
    made = served_host(gpus=1)
    shown = on_host(made, "cpupower", "-c", "5", "frequency-info")
    assert "driver: intel_pstate" in shown.stdout
    assert "hardware limits: 800 MHz - 3.40 GHz" in shown.stdout
    done = on_host(made, "cpupower", "frequency-set", "-d", "1GHz", "-u", "2GHz", "-g", "performance")
    assert done.returncode == 0, done.stderr
    for cpu in (0, 63):
        policy = made.sysfs / CPUFREQ / f"policy{cpu}"
        settings = [policy / f"scaling_{name}" for name in ("min_freq", "max_freq", "governor")]
        assert [path.read_text() for path in settings] == ["1000000\n", "2000000\n", "performance\n"]
    assert "between" not in done.stdout
    assert "within 1000 MHz and 2.00 GHz" in on_host(made, "cpupower", "frequency-info", "-p").stdout
    assert on_host(made, "cpupower", "frequency-set", "-g", "ondemand").returncode != 0  # not there


# ---- a host that is switched off -------------------------------------------------------------------------------------


def test_no_file_answers_while_the_host_is_off_and_all_do_after_its_boot(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1, boot_s=0.3)
    limit = made.sysfs / "class/powercap/intel-rapl:0/constraint_0_power_limit_uw"
    boot_id = made.procfs / "sys/kernel/random/boot_id"
    constant, before = made.sysfs / CPUFREQ / "policy0/scaling_driver", limit.read_text()
    first = boot_id.read_text()
    assert attempt(limit, "90000000") == 0
    with Bmc(made.plant) as bmc, Host(made.plant) as plant, limit.open("rb", buffering=0) as held:
        bmc.switch_off()
        for power in ("off", "booting"):
            assert bmc.power == power
            for path in (limit, constant, boot_id, made.procfs / "stat"):
                with pytest.raises(OSError, match="No such device"):
                    path.read_text()
            assert attempt(limit, "80000000") == errno.ENODEV
            with pytest.raises(OSError, match="No such device"):
                os.pread(held.fileno(), 100, 0)
            bmc.switch_on()
        while bmc.power != "on":
            time.sleep(0.01)
        with pytest.raises(OSError, match="No such device"):  # opened in a life that is over
            os.pread(held.fileno(), 100, 0)
        assert (limit.read_text(), constant.read_text()) == (before, "intel_pstate\n")
        assert first != boot_id.read_text() == f"{plant.boot_id}\n"


def test_the_id_of_the_boot_is_the_same_with_and_without_the_served_files(served_host: SimHostFactory) -> None:
    made = served_host(gpus=1, boot_s=0.0)
    host, path = hosts.SimulatedHost(made.dir), made.procfs / "sys/kernel/random/boot_id"
    with Bmc(made.plant) as bmc:
        bmc.switch_off()
        bmc.switch_on()
        while bmc.power != "on":
            time.sleep(0.01)
        served = path.read_text()
        host.mount.stop()
        assert path.read_text() == served == f"{bmc.boot_id}\n"
