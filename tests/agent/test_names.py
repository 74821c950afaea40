from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eagent.agent.names import find_device
from eagent.errors import InputError


@pytest.fixture(scope="module")
def devices(new_device: Any) -> list[Any]:
    return [
        replace(new_device(0), uuid="GPU-1a2b3c4d-0000", pci_bus_id="00000000:3B:00.0"),
        replace(new_device(1), uuid="GPU-1a2b9999-0000", pci_bus_id="00000001:3B:00.0"),
    ]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *[("gpu0", 0), ("0", 0), ("GPU1", 1), (" 1 ", 1)],
        *[("GPU-1a2b3c4d-0000", 0), ("gpu-1a2b9", 1), ("1a2b3", 0), ("1A2B3C4D-0000", 0)],
        *[("00000000:3B:00.0", 0), ("0000:3b:00.0", 0), ("3b:00.0", 0), ("0001:3B:00.0", 1)],
    ],
)
def test_a_device_is_found_by_what_people_call_it(devices: list[Any], name: str, index: int) -> None:
    assert find_device(devices, name).index == index


@pytest.mark.parametrize(
    "name", ["", "gpu", "gpu2", "2", "GPU-", "1a2", "3b", ":", "::", "00000002:3B:00.0", "x" * 200]
)
def test_what_is_no_device_is_told_with_those_there_are(devices: list[Any], name: str) -> None:
    with pytest.raises(InputError, match=r"no device .*; known are gpu0, gpu1"):
        find_device(devices, name)


def test_a_prefix_of_two_is_neither(devices: list[Any]) -> None:
    with pytest.raises(InputError, match="could be gpu0 or gpu1"):
        find_device(devices, "GPU-1a2b")


def test_before_the_warden_answers_there_is_no_device() -> None:
    with pytest.raises(InputError, match="the warden has not answered"):
        find_device([], "gpu0")


@pytest.mark.parametrize(
    ("name", "label"),
    [("cpu0", "cpu0"), ("CPU-0", "cpu0"), ("CPU-1", "cpu1"), ("cpu1", "cpu1"), ("0", "gpu0"), ("1", "gpu1")],
)
def test_packages_have_names_of_their_own_and_a_bare_number_is_a_gpu(
    devices: list[Any], new_package: Any, name: str, label: str
) -> None:
    assert find_device([*devices, new_package(0), new_package(1)], name).label == label


@pytest.mark.parametrize("name", ["", ":", "::", "cpu", "cpu2", "CPU-2"])
def test_what_is_no_package_is_not_one_without_a_pci_address_either(
    devices: list[Any], new_package: Any, name: str
) -> None:
    with pytest.raises(InputError, match="no device"):
        find_device([*devices, new_package(0)], name)
