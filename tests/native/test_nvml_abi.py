"""native/nvml_abi.h against nvidia-ml-py's ctypes: sizes, offsets, numbers; and the names that the library exports."""

import ctypes
import inspect
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pynvml
import pytest

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "native" / "nvml_abi.h"

# What nvidia-ml-py calls our structs. The older ones of OLDER it no longer has: see the test of their own below.
CLASSES = {
    "nvmlPciInfo_t": pynvml.nvmlPciInfo_t,
    "nvmlPciInfo_v2_t": pynvml.nvmlPciInfo_v2_t,
    "nvmlPciInfoExt_v1_t": pynvml.nvmlPciInfoExt_v1_t,
    "nvmlMemory_t": pynvml.c_nvmlMemory_t,
    "nvmlMemory_v2_t": pynvml.c_nvmlMemory_v2_t,
    "nvmlUtilization_t": pynvml.c_nvmlUtilization_t,
    "nvmlTemperature_v1_t": pynvml.c_nvmlTemperature_v1_t,
    "nvmlPowerValue_v2_t": pynvml.c_nvmlPowerValue_v2_t,
    "nvmlProcessInfo_v2_t": pynvml.c_nvmlProcessInfo_v2_t,
    "nvmlProcessUtilizationSample_t": pynvml.c_nvmlProcessUtilizationSample_t,
    "nvmlProcessUtilizationInfo_v1_t": pynvml.c_nvmlProcessUtilizationInfo_v1_t,
    "nvmlProcessesUtilizationInfo_v1_t": pynvml.c_nvmlProcessesUtilizationInfo_v1_t,
    "nvmlBAR1Memory_t": pynvml.c_nvmlBAR1Memory_t,
    "nvmlDeviceAttributes_t": pynvml.c_nvmlDeviceAttributes,
    "nvmlViolationTime_t": pynvml.c_nvmlViolationTime_t,
    "nvmlEventData_t": pynvml.c_nvmlEventData_t,
    "nvmlSample_t": pynvml.c_nvmlSample_t,
    "nvmlValue_t": pynvml.c_nvmlValue_t,
    "nvmlFieldValue_t": pynvml.c_nvmlFieldValue_t,
}
# An older struct is the beginning of a newer one: its size, its last member, and that one's place in the newer.
OLDER = {
    "nvmlProcessInfo_v1_t": (16, "usedGpuMemory", pynvml.c_nvmlProcessInfo_v2_t.usedGpuMemory.offset),
    "nvmlEventData_v1_t": (24, "eventData", pynvml.c_nvmlEventData_t.eventData.offset),
}
# A byte in NVML's header, an int in nvidia-ml-py: the same place, and little-endian the same value.
NARROWER = {("nvmlPowerValue_v2_t", "powerScope"): 1}


def constants() -> list[str]:
    """The names of all numbers that the header defines: object-like macros and members of enums."""
    text = HEADER.read_text()
    macros = re.findall(r"^#define\s+(\w+)[ \t]+\S", text, re.MULTILINE)
    members = [
        name
        for body in re.findall(r"typedef enum \w+ \{(.*?)\}", text, re.DOTALL)
        for name in re.findall(r"(\w+)\s*=", body)
    ]
    return macros + members


def structs() -> list[str]:
    return re.findall(r"typedef (?:struct|union) \w+ \{.*?^\} (\w+);", HEADER.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a C compiler makes of the header: constants as numbers, structs as {"": size, field: [at, size]}."""
    lines = [f'printf("\\"{name}\\": %llu,\\n", (unsigned long long)({name}));' for name in constants()]
    for name, mirror in CLASSES.items():
        fields = [
            f'printf(", \\"{field[0]}\\": [%zu, %zu]", offsetof({name}, {field[0]}), sizeof(v.{field[0]}));'
            for field in mirror._fields_
        ]
        lines.append(
            f'{{ {name} v; printf("\\"{name}\\": {{\\"\\": %zu", sizeof v); {"".join(fields)} printf("}},\\n"); }}'
        )
    for name, (_, last, _) in OLDER.items():
        lines.append(f'printf("\\"{name}\\": [%zu, %zu],\\n", sizeof({name}), offsetof({name}, {last}));')
    lines.append('printf("\\"\\": 0");')
    folder = tmp_path_factory.mktemp("probe")
    source = folder / "probe.c"
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "nvml_abi.h"\nint main(void) {\nprintf("{");\n'
        + "\n".join(lines)
        + '\nprintf("}");\n}\n'
    )
    subprocess.run(["cc", "-std=c11", f"-I{HEADER.parent}", str(source), "-o", str(folder / "probe")], check=True)
    found: dict[str, Any] = json.loads(subprocess.run([folder / "probe"], check=True, capture_output=True).stdout)
    return found


def test_every_struct_of_the_header_is_compared() -> None:
    assert set(structs()) == {*CLASSES, *OLDER}


@pytest.mark.parametrize("name", CLASSES)
def test_a_struct_has_the_size_and_the_offsets_of_nvidias_own(compiled: dict[str, Any], name: str) -> None:
    mirror = CLASSES[name]
    expected: dict[str, Any] = {"": ctypes.sizeof(mirror)}
    for field, *_ in mirror._fields_:
        place = getattr(mirror, field)
        expected[field] = [place.offset, NARROWER.get((name, field), place.size)]
    assert compiled[name] == expected


@pytest.mark.parametrize("name", OLDER)
def test_an_older_struct_is_the_beginning_of_the_newer(compiled: dict[str, Any], name: str) -> None:
    size, _, place = OLDER[name]
    assert compiled[name] == [size, place]


@pytest.mark.parametrize("name", constants())
def test_a_constant_has_nvidias_number(compiled: dict[str, Any], name: str) -> None:
    assert compiled[name] == getattr(pynvml, name)


def test_a_version_macro_packs_size_and_number(compiled: dict[str, Any]) -> None:
    assert compiled["nvmlPowerValue_v2"] == 12 | 2 << 24


def test_every_name_that_nvidia_ml_py_looks_up_is_exported(exported: frozenset[str]) -> None:
    names = set(re.findall(r'_nvmlGetFunctionPointer\("(nvml\w+)"\)', inspect.getsource(pynvml)))
    assert len(names) > 400
    assert names <= exported


def test_every_prototype_of_the_header_is_exported(exported: frozenset[str]) -> None:
    prototypes = set(re.findall(r"^(?:nvmlReturn_t|const char \*)\s?(\w+)\(", HEADER.read_text(), re.MULTILINE))
    assert len(prototypes) > 70
    assert prototypes <= exported


def test_nothing_but_nvml_and_the_sign_of_simulation_is_exported(exported: frozenset[str]) -> None:
    assert {name for name in exported if not name.startswith("nvml")} == {
        "eagent_simulated_host",
        "eagent_simulated_reset",
    }
