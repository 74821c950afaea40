"""Whether what the journal would put back can be right on this host, as its devices are now. A wrong one is refused.

A checksum tells that a value is what was stored, and not that it fits: a limit may be out of the range of a board whose
firmware is another one now, or a frequency above what is left without turbo. Such a value is never written. What
can't be judged, because the device does not tell its range, is left to the driver's own check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from eagent.hardware.cpufreq import Policy
from eagent.hardware.package import NO_LIMIT_UW, Package
from eagent.model import Device, KnobName
from eagent.warden.entry import Entry
from eagent.warden.journal import Journal
from eagent.wire import mw, watts

EPP_MAX = 255  # a number where the kernel has no name for the preference


def vet_gpu(journal: Journal, boot_id: str, device: Device) -> None:
    """Refuse the entries of a GPU that can't be right."""
    _vet(journal, boot_id, device.uuid, KnobName.POWER_LIMIT, lambda entry: wrong_limit(entry, device))
    _vet(journal, boot_id, device.uuid, KnobName.GPU_CLOCK, lambda entry: wrong_clock(entry, device))


def vet_package(journal: Journal, boot_id: str, package: Package) -> None:
    """Refuse the entries of a CPU package that can't be right."""
    policies = {policy.path.name: policy for policy in package.policies}
    _vet(journal, boot_id, package.uuid, KnobName.POWER_LIMIT, lambda entry: wrong_package_limit(entry, package))
    _vet(journal, boot_id, package.uuid, KnobName.CPU_CLOCK, lambda entry: wrong_ceiling(entry, policies))
    _vet(journal, boot_id, package.uuid, KnobName.CPU_PREFERENCE, lambda entry: wrong_preference(entry, policies))


def _vet(journal: Journal, boot_id: str, uuid: str, knob: KnobName, wrong: Callable[[Entry], str]) -> None:
    entry = journal.get(uuid, knob)
    if entry is None or journal.is_void(entry, boot_id):
        return
    why = wrong(entry)
    if why:
        journal.refuse(entry, why)


def wrong_limit(entry: Entry, device: Device) -> str:
    """What is wrong with a GPU's prior limit; "" if nothing is, or the GPU does not tell its range."""
    if not device.max_limit_w or mw(device.min_limit_w) <= entry.prior <= mw(device.max_limit_w):
        return ""
    return (
        f"a limit of {watts(entry.prior):g} W is none that {device.label} takes, "
        f"{device.min_limit_w:g} to {device.max_limit_w:g} W"
    )


def wrong_clock(entry: Entry, device: Device) -> str:
    """Likewise of a GPU's clock ceiling, in MHz; 0: it was not locked."""
    if not entry.prior or not device.clocks_mhz or entry.prior in device.clocks_mhz:
        return ""
    low, high = device.clocks_mhz[0], device.clocks_mhz[-1]
    return f"a clock of {entry.prior} MHz is none that {device.label} has, {low} to {high} MHz"


def wrong_package_limit(entry: Entry, package: Package) -> str:
    """Likewise of a package's limits, which must be those of all its terms, and agree with the greatest of them.

    The kernel's `max_power_uw` is no bound: firmware sets short terms above it.
    """
    names = {f"{path.parent.name}/{path.name}" for path in package.limit_paths}
    if not names:
        return ""  # nothing is written
    if entry.texts.keys() != names:
        return f"the limits of {', '.join(sorted(entry.texts)) or 'nothing'}, and there are {', '.join(sorted(names))}"
    values_uw = [int(text) if text.isdigit() else 0 for text in entry.texts.values()]
    if min(values_uw) == 0 or max(values_uw) >= NO_LIMIT_UW or -(-max(values_uw) // 1000) != entry.prior:
        return f"limits of {', '.join(entry.texts.values())} uW and {entry.prior} mW don't agree, or are none"
    return ""


def wrong_ceiling(entry: Entry, policies: Mapping[str, Policy]) -> str:
    """Likewise of a package's frequency ceilings, in kHz; those of CPUs that are off line can't be judged."""
    for name, text in entry.texts.items():
        policy = policies.get(name.partition("/")[0])
        if not re.match("policy[0-9]+/", name):
            continue  # of no attribute of ours: nothing is written there
        if not text.isdigit():
            return f"{text!r} for {name} is no frequency in kHz"
        if policy and not policy.hardware_min_khz <= int(text) <= policy.hardware_max_khz:
            return (
                f"{int(text) // 1000} MHz for {name} is out of its range, "
                f"{policy.hardware_min_khz // 1000} to {policy.hardware_max_khz // 1000} MHz"
            )
    return ""


def wrong_preference(entry: Entry, policies: Mapping[str, Policy]) -> str:
    """Likewise of a package's energy preferences: one of the kernel's names, or a number."""
    for name, text in entry.texts.items():
        policy = policies.get(name.partition("/")[0])
        is_number = text.isdigit() and int(text) <= EPP_MAX
        if policy and policy.epps and not is_number and text not in policy.epps:
            return f"{text!r} for {name} is none of {', '.join(policy.epps)}"
    return ""
