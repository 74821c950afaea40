"""Devices: their readings and their knobs."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, mapped, number, one_of, ref, text, truth, whole
from eagent.api.service import Json
from eagent.model import DeviceKind, Status

# What a knob of a device is now, by the warden's word.
STATES = ("baseline", "leased", "safe", "restoring", "foreign", "unwritable", "detached", "unknown")
FATES = ("stands", "overruled", "moved back", "taken back")
STATE = (
    "Whose value stands: leased (the agent's), safe (the safe cap of a budget), baseline (what was before eagent), "
    "foreign (somebody else's, left alone), restoring (on its way back), detached, unwritable, or unknown (the warden "
    "does not say)"
)


def schemas() -> Json:
    """The schemas of this family, by name."""
    return {
        "Reading": made(
            "A number that says what it is.",
            value=number("In `unit`; null unless `status` is ok", null=True, least=None),
            unit=text("W, J, MHz, °C, B (bytes), s, ratio (0 to 1), CPUs or processes"),
            status=one_of([each.name.lower() for each in Status], "How the read went"),
            sensor=text("What it was read from; empty: nothing yet"),
            window_s=number("Seconds that the value is averaged over; 0: an instant, or a counter"),
            age_s=number("Seconds since it was read; null: never", null=True),
        ),
        "Device": {
            "oneOf": [ref("Gpu"), ref("CpuPackage")],
            "discriminator": {
                "propertyName": "kind",
                "mapping": {"gpu": "#/components/schemas/Gpu", "cpu": "#/components/schemas/CpuPackage"},
            },
        },
        "Gpu": made(
            "A GPU.",
            **_device(DeviceKind.GPU, "", "its clock, use, temperature, memory, PCIe counters and processes"),
            gpu_clock=ref("GpuClock"),
        ),
        "CpuPackage": made(
            "A CPU package.",
            **_device(DeviceKind.CPU, "; empty: it has none", "its frequency"),
            cpus=whole("How many CPUs it has"),
            cpu_clock=ref("CpuClock"),
            cpu_preference=ref("CpuPreference"),
        ),
        "PowerLimit": made(
            "A device's power limit, in watts.",
            requested_w=number("What stands, as read back; null: not known", null=True),
            enforced_w=number("What the driver enforces, which another limit may lower", null=True),
            age_s=number("Seconds since requested_w was read; null: it is the warden's word", null=True),
            ours_w=number("What eagent holds; null: nothing", null=True),
            baseline_w=number("Where it goes back to; null: not known", null=True),
            min_w=number("The least that it takes", null=True),
            max_w=number("The most that it takes; of a CPU package what it had before eagent", null=True),
            exposure=ref("Exposure", "null: the warden does not say", null=True),
            **_knob(),
        ),
        "GpuClock": made(
            "The ceiling of a GPU's SM clock, in MHz. No driver lets it be read back.",
            **_clock(),
            inferred=ref("InferredLock", "null: nothing is", null=True),
        ),
        "CpuClock": made(
            "The ceiling of a CPU package's frequency, in MHz.",
            held_mhz=number("What stands, as read back", null=True),
            **_clock(),
        ),
        "CpuPreference": made(
            "A CPU package's energy performance preference, by the kernel's names.",
            held=text("What stands; mixed: its CPUs differ", null=True),
            ours=text("What eagent holds; null: nothing", null=True),
            baseline=text("What it goes back to", null=True),
            takes=listed(text("A name"), "What it takes"),
            **_knob(),
        ),
        "Exposure": made(
            "How far the limit in force has been above what eagent held, since the warden began.",
            seconds=number("For how long, in seconds"),
            joules=number("By how much at most, in joules"),
            now=truth("Whether it is now"),
        ),
        "Foreign": made(
            "The last write of somebody else to a knob that eagent held.",
            count=whole("How often somebody did"),
            ago_s=number("Seconds ago; null: before this warden", null=True),
            value={"type": ["number", "string"], "description": "What they wrote, in the knob's unit"},
            before={"type": ["number", "string", "null"], "description": "What stood there"},
            stands=truth("Whether it is left alone"),
            fate=one_of(FATES, "What became of it"),
        ),
        "InferredLock": made(
            "What clocks tell of a lock that can't be read back.",
            what=one_of(("ours is not in force", "somebody else's is in force"), "What is inferred"),
            clock_mhz=number("The greatest clock seen, in MHz"),
            expected_mhz=number("Where it should be able to go, or not go above, in MHz"),
            window_s=number("Seconds of evidence"),
            looks=whole("How often was looked"),
        ),
    }


def _device(kind: DeviceKind, address: str, more: str) -> Json:
    return {
        "device": text(f"What people type: {kind}0"),
        "kind": {"type": "string", "const": str(kind)},
        "uuid": text("What it is known by, whatever its number"),
        "name": text("Of its model"),
        "pci_bus_id": text(f"Its PCI address{address}"),
        "readings": mapped(ref("Reading"), f"power, power_mean (1 s), power_recent (10 s), energy (a counter), {more}"),
        "power_limit": ref("PowerLimit"),
    }


def _clock() -> Json:
    return {
        "ours_mhz": number("What eagent holds; null: no ceiling", null=True),
        "baseline_mhz": number("What it goes back to; null: no ceiling, or not known", null=True),
        "min_mhz": number("The least that it takes", null=True),
        "max_mhz": number("The most that it takes", null=True),
        **_knob(),
    }


def _knob() -> Json:
    return {
        "state": one_of(STATES, STATE),
        "writable": truth("Whether it can be set here"),
        "why": text("What a person would wonder about; empty: nothing"),
        "foreign": ref("Foreign", "null: nobody else wrote to it", null=True),
    }
