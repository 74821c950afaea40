"""The kernel's time."""

from __future__ import annotations

from collections.abc import Iterator

from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host

COARSE_S = 0.0005  # the loop's lateness on a healthy host is below this
SLOW_SOURCES = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies")


def check(host: Host) -> Iterator[Finding]:
    """Deadlines need a fine clock that is cheap to read, records need one that other hosts agree with."""
    timer = host.timer
    if timer.resolution_s > COARSE_S:
        what = f"the monotonic clock moves in steps of {timer.resolution_s * 1000:g} ms: readings will be late"
        fix = "boot without `highres=off` and `nohz=off`"
        yield Finding("monotonic clock", Severity.WARNING, what, fix)
    elif timer.source in SLOW_SOURCES:
        what = f"the kernel's clock source is {timer.source}: each look at the time costs a microsecond or more"
        fix = "run `dmesg | grep -i -e tsc -e clocksource` to see why it is not tsc; a BIOS update often helps"
        yield Finding("monotonic clock", Severity.WARNING, what, fix)
    else:
        yield Finding("monotonic clock", Severity.OK, f"fine enough, from {timer.source or 'an unknown source'}")
    if timer.synchronised is False:
        what = "not kept in step with other clocks: records of several hosts don't compare"
        yield Finding("time of day", Severity.NOTE, what, "run `sudo timedatectl set-ntp true`")
    elif timer.synchronised:
        yield Finding("time of day", Severity.OK, "kept in step with other clocks")
