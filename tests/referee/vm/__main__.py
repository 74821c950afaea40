"""Run the contract tests of cpufreq and RAPL on a real kernel: `make referee`, or `python -m tests.referee.vm`.

It boots a small emulated machine with Debian's kernel, gives it this host's files read-only, runs pytest on
tests/referee there against the kernel's own /sys, and ends with pytest's status. Arguments go to pytest.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.referee.vm import initramfs, kernel

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]
TIME_LIMIT_S = float(os.environ.get("EAGENT_REFEREE_TIMEOUT_S", "180"))
PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "iasl": "acpica-tools"}
PR_SET_PDEATHSIG = 1

CPU = "Haswell-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-spec-ctrl"  # Intel, for acpi-cpufreq, less what TCG lacks
MACHINE = f"""
-nodefaults -no-user-config -display none -monitor none -no-reboot -nic none
-machine pc -accel tcg,thread=multi -cpu {CPU} -smp 2,maxcpus=4 -m 1024
-vga none -device virtio-vga,romfile=
-serial stdio -serial null -serial null
"""
# The other ports' scratch bytes are the P-state registers of pss.asl. iomem: so that hardware.py may map its.
CMDLINE = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off iomem=relaxed intel_pstate=disable"


def main() -> int:
    begun = time.monotonic()
    arguments = [f"--color={'yes' if sys.stdout.isatty() else 'no'}", *sys.argv[1:], "tests/referee"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install(missing())
    cache = kernel.default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    booted = kernel.obtain(cache)
    with tempfile.TemporaryDirectory(prefix="referee-") as scratch:
        directory = Path(scratch)
        (directory / "out").mkdir()
        prepare(directory, booted, arguments)
        run(directory, booted)
        return report(directory / "out", booted, time.monotonic() - begun)


def missing() -> list[str]:
    return [package for command, package in PACKAGES.items() if not shutil.which(command)]


def install(packages: list[str]) -> None:
    if not packages:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise SystemExit(f"referee: missing: {' '.join(packages)} (Debian: apt-get install {' '.join(packages)})")
    print(f"referee: apt-get install {' '.join(packages)}", flush=True)
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *words], env=environ, stdout=subprocess.DEVNULL, check=True)


def prepare(directory: Path, booted: kernel.Kernel, arguments: list[str]) -> None:
    """Write what qemu boots: the ACPI table with the P-states, and the initial RAM file system."""
    subprocess.run(["iasl", "-p", directory / "pss", HERE / "pss.asl"], stdout=subprocess.DEVNULL, check=True)
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    if b"/ld-linux" in busybox:
        raise SystemExit("referee: busybox is not static (Debian: apt-get install busybox-static)")
    job = {"PYTHON": sys.executable, "CHECKOUT": str(CHECKOUT), "TESTS": shlex.join(arguments)}
    files = {f"modules/{path.name}": (0o644, path.read_bytes()) for path in booted.modules}
    files["modules/order"] = (0o644, "".join(f"{path.name}\n" for path in booted.modules).encode())
    files["job"] = (0o644, "".join(f"{name}={shlex.quote(value)}\n" for name, value in job.items()).encode())
    files["bin/busybox"] = (0o755, busybox)
    files["init"] = (0o755, (HERE / "init.sh").read_bytes())
    initramfs.build(directory / "initramfs", files)


def run(directory: Path, booted: kernel.Kernel) -> None:
    """Boot, show the guest's console, and see to it that nothing of it is left, whatever ends this."""
    share = "local,security_model=none,multidevs=remap"
    command = [
        *("qemu-system-x86_64", *MACHINE.split()),
        *("-acpitable", f"file={directory / 'pss.aml'}"),
        *("-kernel", str(booted.image), "-initrd", str(directory / "initramfs"), "-append", CMDLINE),
        *("-fsdev", f"{share},id=host,path=/,readonly=on", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        *("-fsdev", f"{share},id=out,path={directory / 'out'}", "-device", "virtio-9p-pci,fsdev=out,mount_tag=out"),
    ]
    libc = ctypes.CDLL(None)
    guest = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    )
    try:
        guest.wait(TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"referee: ended after {TIME_LIMIT_S:.0f} s", file=sys.stderr)
    finally:
        guest.kill()
        guest.wait()


def report(out: Path, booted: kernel.Kernel, took_s: float) -> int:
    told = {path.name: path.read_text().strip() for path in out.iterdir() if path.suffix != ".xml"}
    with contextlib.suppress(OSError):
        if target := os.environ.get("EAGENT_REFEREE_JUNIT"):
            shutil.copy(out / "junit.xml", target)
    if "status" not in told:
        print("referee: the guest ended without a verdict: see its console above", file=sys.stderr)
        return 1
    print(
        f"referee: Linux {told['kernel']} ({booted.version}), {'passed' if told['status'] == '0' else 'FAILED'}: "
        f"{took_s:.1f} s in all, of which boot {float(told['booted_s']):.1f} s "
        f"and tests {float(told['ended_s']) - float(told['booted_s']):.1f} s"
    )
    return int(told["status"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:  # it has said why
        sys.exit(f"referee: {shlex.join(map(str, error.cmd))} failed with status {error.returncode}")
