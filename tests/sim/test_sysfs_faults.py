"""Faults of the kernel's files on a simulated host: what opening, reading and writing them then gives."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagent.sim._faults import Faults

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

POLICY = "devices/system/cpu/cpufreq/policy{}/scaling_max_freq"
ZONE = "class/powercap/intel-rapl:{}/constraint_0_power_limit_uw"
KNOBS = (POLICY, "2000000"), (ZONE, "150000000")
ERRORS = [(name, getattr(errno, name)) for name in ("EIO", "EBUSY", "ENOENT", "EACCES")]


@pytest.fixture
def served(served_host: SimHostFactory) -> SimHost:
    return served_host(gpus=1)


@pytest.fixture
def faults(served: SimHost) -> Iterator[Faults]:
    with Faults(served.plant) as opened:
        yield opened


def read(path: Path) -> str | int:
    """The file's text, or the errno of opening or reading it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        return error.errno or -1
    return read_open(descriptor, close=True)


def read_open(descriptor: int, close: bool = False) -> str | int:
    try:
        return os.pread(descriptor, 4096, 0).decode()
    except OSError as error:
        return error.errno or -1
    finally:
        if close:
            os.close(descriptor)


def write(path: Path, text: str) -> int:
    """The errno of opening or writing the file, 0 if it took it."""
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


@pytest.mark.parametrize(("name", "error"), ERRORS)
def test_files_fail_to_be_read_or_to_be_written_and_are_in_order_again(
    served: SimHost, faults: Faults, name: str, error: int
) -> None:
    assert name == errno.errorcode[error]
    places = [(served.sysfs / place.format(0), text) for place, text in KNOBS]
    before = [read(path) for path, _ in places]
    reading = faults.inject("sysfs-read", values=(error,))
    assert [read(path) for path, _ in places] == [error, error]
    assert [write(path, text) for path, text in places] == [0, 0]
    faults.clear(reading)
    written = [f"{text}\n" for _, text in places]
    assert [read(path) for path, _ in places] == written != before
    faults.inject("sysfs-write", values=(error,))
    assert [read(path) for path, _ in places] == written
    assert [write(path, "1000000") for path, _ in places] == [error, error]
    faults.clear()
    assert [read(path) for path, _ in places] == written
    assert [write(path, "1000000") for path, _ in places] == [0, 0]


def test_a_fault_is_of_one_cpu_or_one_package(served: SimHost, faults: Faults) -> None:
    faults.inject("sysfs-read", "cpu", 3, (errno.EIO,))
    faults.inject("sysfs-read", "package", 1, (errno.EBUSY,))
    assert [isinstance(read(served.sysfs / POLICY.format(cpu)), str) for cpu in (2, 3, 33)] == [True, False, True]
    assert [isinstance(read(served.sysfs / ZONE.format(package)), str) for package in (0, 1)] == [True, False]
    assert read(served.sysfs / "class/powercap/intel-rapl:1:0/energy_uj") == errno.EBUSY
    assert read(served.sysfs / "class/powercap/intel-rapl:1/energy_uj") == errno.EBUSY
    assert read(served.sysfs / "devices/system/cpu/cpu3/topology/core_id") == "3\n"
    assert isinstance(read(served.procfs / "stat"), str)


@pytest.mark.parametrize(
    ("error", "given"), [(errno.EIO, errno.EIO), (errno.ENOENT, errno.ENODEV), (errno.EACCES, None)]
)
def test_who_has_the_file_open_is_told_what_a_kernel_would_tell(
    served: SimHost, faults: Faults, error: int, given: int | None
) -> None:
    descriptor = os.open(served.sysfs / POLICY.format(0), os.O_RDONLY)
    try:
        before = read_open(descriptor)
        faults.inject("sysfs-read", values=(error,))
        assert read_open(descriptor) == (before if given is None else given)
    finally:
        os.close(descriptor)


def test_an_energy_counter_that_is_about_to_wrap_is_read_through_its_wrap(served: SimHost, faults: Faults) -> None:
    zone = served.sysfs / "class/powercap/intel-rapl:0"
    range_uj = int((zone / "max_energy_range_uj").read_text())
    faults.inject("rapl-wrap", "package", 0, (3.0,))
    early_uj = int((zone / "energy_uj").read_text())
    late_uj = early_uj
    while late_uj >= early_uj:  # an idle package draws 65 W
        late_uj = int((zone / "energy_uj").read_text())
    assert range_uj - 4e6 < early_uj <= range_uj
    assert late_uj < 1e8
