"""The driver, its library, and the names that eagent needs in it."""

from __future__ import annotations

from collections.abc import Iterator

from eagent.doctor.driver import Driver
from eagent.doctor.finding import Finding, Severity, name_gpus
from eagent.doctor.host import Host
from eagent.doctor.symbols import NEEDED, SYMBOLS

DRIVER_NOT_LOADED = 9
MODULES = "nvidia_uvm nvidia_drm nvidia_modeset nvidia"

# How nvmlInit ends when it does not start, and what helps. The numbers are NVML's.
FIXES = {
    4: "run as root, or give this user access to /dev/nvidiactl",
    DRIVER_NOT_LOADED: "run `sudo modprobe nvidia`; if that fails, `sudo dmesg | grep -i nvrm` says why",
    17: "allow access to /dev/nvidia* : a container or the kernel's lockdown forbids it",
    18: f"reboot, or end what uses the GPUs and run `sudo modprobe -r {MODULES}; sudo modprobe nvidia`",
}
ELSE = "run `sudo dmesg | grep -i nvrm`: the driver's log says why"


def check(host: Host) -> Iterator[Finding]:
    """Whether NVML can be used, from the file to the GPUs behind it."""
    driver = host.driver
    problem = unusable(driver)
    if problem is not None:
        yield problem
    yield from _missing(driver)
    if problem is not None:
        return
    kind = "simulated driver" if driver.simulated else "driver"
    lost = [gpu.index for gpu in driver.gpus if gpu.lost]
    yield Finding(
        driver.library,
        Severity.OK,
        f"{kind} {driver.driver_version or 'of unknown version'}, {len(driver.gpus)} GPUs, from {driver.path}",
    )
    if lost:
        fix = "run `sudo dmesg | grep -i xid`; a reset or a reboot brings it back"
        yield Finding(name_gpus(lost), Severity.PROBLEM, "the driver counts it, but does not open it", fix)


def unusable(driver: Driver) -> Finding | None:
    """Why NVML can't be asked at all, if so."""
    what, fix = _why(driver)
    return Finding(driver.library, Severity.PROBLEM, what, fix) if what else None


def _why(driver: Driver) -> tuple[str, str]:
    """Why the library can't be used, and what helps; two empty texts if it can."""
    if driver.silent:
        fix = "run `sudo dmesg | grep -i -e nvrm -e xid`: a hung driver needs a GPU reset or a reboot"
        return f"the driver's library is there, but {driver.silent}", fix
    if driver.not_opened:
        fix = "install the NVIDIA driver, or run `eagent demo` to try eagent on a simulated host"
        return f"NVML can't be loaded: {driver.not_opened.removeprefix(f'{driver.library}: ')}", fix
    if driver.code is None:
        return f"{driver.path} is there, but no NVIDIA kernel driver is loaded", FIXES[DRIVER_NOT_LOADED]
    if driver.code == DRIVER_NOT_LOADED and driver.simulated:
        what = "no simulated host answers: none is chosen, or it is not on, or another version of eagent made it"
        fix = 'run `eagent sim list`, which shows names and states; `eval "$(eagent sim env NAME)"` chooses one'
        return what, fix
    if driver.code:
        return f"NVML does not start: {driver.text}", FIXES.get(driver.code, ELSE)
    if not driver.gpus:
        fix = "run `lspci -d 10de:`; in a container, give it GPUs (`--gpus all`)"
        return "the driver shows no GPU", fix
    return "", ""


def _missing(driver: Driver) -> Iterator[Finding]:
    update = "update the NVIDIA driver"
    for name, without in SYMBOLS.items():
        if name not in driver.missing:
            continue
        if without == NEEDED:
            yield Finding(name, Severity.PROBLEM, f"missing in {driver.library}: eagent can't use it", update)
        else:
            yield Finding(name, Severity.WARNING, f"missing in {driver.library}: {without}", update)
