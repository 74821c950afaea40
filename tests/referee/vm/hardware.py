"""Play the RAPL hardware inside the guest: registers in the RAM of a graphics card, and the power behind them.

The kernel's own driver, proc_thermal_pci, is bound to a virtio-vga whose first BAR is plain memory. It takes that for
the registers of a processor's thermal device and serves them as the powercap zones intel-rapl-mmio:0 and below. This
process is what the driver believes it talks to: it draws power, obeys the package's limit and counts energy.

usage: hardware.py DIR. DIR/ready appears when the zones do. A file DIR/count with the lines `ZONE JOULES` sets counters
to that many joules before they wrap, and is removed when it has been obeyed.
"""

import mmap
import os
import struct
import sys
import time
from pathlib import Path

PCI = Path("/sys/bus/pci")
DRIVER = PCI / "drivers/proc_thermal_pci"
POWERCAP = Path("/sys/class/powercap")

# Where the driver looks (drivers/thermal/intel/int340x_thermal/processor_thermal_rapl.c, rapl_mmio_default).
UNITS, PACKAGE_INFO = 0x5938, 0x5930
LIMIT = {"package-0": 0x59A0, "dram": 0x58E0}
ENERGY = {"package-0": 0x593C, "dram": 0x58E8}

JOULE = 1 << 14  # counts: units say 2^-14 J, 1/8 W, 2^-10 s
WATT = 8
COUNTER = 1 << 32
ENABLED = 1 << 15
LOCKED = 1 << 63  # by the firmware, until reset
DEMAND_W = {"package-0": 150.0, "dram": 12.0}  # what would be drawn without a limit
TDP_W = 200
PERIOD_S = 0.01


class Registers:
    """The memory that the driver reads and writes."""

    def __init__(self, device: Path) -> None:
        handle = os.open(device / "resource0", os.O_RDWR | os.O_SYNC)
        self.memory = mmap.mmap(handle, 1 << 16)

    def read(self, offset: int, form: str) -> int:
        return int(struct.unpack_from(form, self.memory, offset)[0])

    def write(self, offset: int, form: str, value: int) -> None:
        struct.pack_into(form, self.memory, offset, value)


def find() -> Path:
    for device in PCI.glob("devices/*"):
        if (device / "class").read_text().strip() == "0x030000":
            return device
    raise SystemExit("hardware: there is no graphics card to play on")


def power_on(registers: Registers) -> None:
    registers.write(UNITS, "<I", 0x000A0E03)
    registers.write(PACKAGE_INFO, "<Q", TDP_W * WATT)
    window = 0x6E << 17  # about 28 s
    long_term, short_term = TDP_W * WATT | ENABLED | window, TDP_W * 5 // 4 * WATT | ENABLED
    registers.write(LIMIT["package-0"], "<Q", short_term << 32 | long_term)
    registers.write(LIMIT["dram"], "<Q", LOCKED)
    for offset in ENERGY.values():
        registers.write(offset, "<I", JOULE)  # a counter of 0 is no zone to the driver


def bind(device: Path) -> None:
    """Take the card from its driver and give it to proc_thermal_pci, as one of the devices that this knows."""
    if (device / "driver").exists():
        (device / "driver/unbind").write_text(device.name)
    vendor, product = ((device / name).read_text().strip().removeprefix("0x") for name in ("vendor", "device"))
    (DRIVER / "new_id").write_text(f"{vendor} {product} ffffffff ffffffff 0 0 f")


def drawn_w(registers: Registers, zone: str) -> float:
    limit = registers.read(LIMIT[zone], "<Q")
    return min(DEMAND_W[zone], (limit & 0x7FFF) / WATT) if limit & ENABLED else DEMAND_W[zone]


def play(registers: Registers, directory: Path) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # hardware does not wait for a CPU
    counts = {zone: float(registers.read(offset, "<I")) for zone, offset in ENERGY.items()}
    order = directory / "count"
    before = time.monotonic()
    while True:
        time.sleep(PERIOD_S)
        now = time.monotonic()
        for zone in ENERGY:
            counts[zone] = (counts[zone] + drawn_w(registers, zone) * (now - before) * JOULE) % COUNTER
        obeyed = order.exists()
        if obeyed:
            for zone, joules in map(str.split, order.read_text().splitlines()):
                counts[zone] = COUNTER - float(joules) * JOULE
        for zone, offset in ENERGY.items():
            registers.write(offset, "<I", int(counts[zone]))
        if obeyed:  # which says that the registers show it
            order.unlink()
        before = now


def main() -> None:
    directory = Path(sys.argv[1])
    device = find()
    registers = Registers(device)
    power_on(registers)
    bind(device)
    if not any(POWERCAP.glob("*:0")):
        raise SystemExit("hardware: the driver made no powercap zone")
    (directory / "ready").touch()
    play(registers, directory)


if __name__ == "__main__":
    main()
