"""docs/ring.md against the compiled header: a table that is not true is worse than none."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from eagent.model import Channel, Status
from tests.telemetry.conftest import NATIVE, compile_c

DOCUMENT = NATIVE.parent / "docs" / "ring.md"
STRUCTS = {"Header": ("ring_header_t", 512), "Record": ("ring_record_t", 24)}
MADE_BY_READERS = 100  # statuses from here on are never in the ring


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its own two lines."""
    text = DOCUMENT.read_text(encoding="utf-8").split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def told_by_c(tmp_path: Path, *expressions: str) -> list[int]:
    """What a C compiler makes of these."""
    prints = "\n".join(f'  printf("%lld\\n", (long long)({expression}));' for expression in expressions)
    source = tmp_path / "told.c"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "ring.h"\nint main(void) {{\n{prints}\n  return 0;\n}}\n'
    )
    compile_c(tmp_path / "told", source)
    said = subprocess.run([tmp_path / "told"], check=True, capture_output=True, text=True, timeout=20)
    return [int(line) for line in said.stdout.split()]


@pytest.mark.parametrize("heading", STRUCTS)
def test_each_field_lies_where_the_document_says_and_none_is_left_out(tmp_path: Path, heading: str) -> None:
    struct, size = STRUCTS[heading]
    fields = [(int(offset), int(bytes_), name) for offset, bytes_, name, _ in rows(heading)]
    end = 0
    for offset, bytes_, name in fields:
        assert offset == end, f"a gap or an overlap before {name}"
        end = offset + bytes_
    assert end == size
    names = [name for _, _, name in fields]
    offsets = told_by_c(tmp_path, *(f"offsetof({struct}, {name})" for name in names))
    sizes = told_by_c(tmp_path, *(f"sizeof((({struct} *)0)->{name})" for name in names), f"sizeof({struct})")
    assert list(zip(offsets, sizes[:-1], names, strict=True)) == fields
    assert sizes[-1] == size


def test_the_constants_are_those_of_the_header(tmp_path: Path) -> None:
    constants = [(name, int(value)) for name, value, _ in rows("Life")]
    names = [name for name, _ in constants]
    assert list(zip(names, told_by_c(tmp_path, *names), strict=True)) == constants
    text = (NATIVE / "ring.h").read_text(encoding="utf-8")
    assert set(names) | {"RING_MAGIC"} == set(re.findall(r"^#define (RING_\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("heading", "known"), [("Channels", Channel), ("Statuses", Status)])
def test_channels_and_statuses_are_those_of_the_header_and_of_the_model(
    heading: str, known: type[Channel] | type[Status]
) -> None:
    told = {name: int(number) for number, name, *_ in rows(heading)}
    assert told == {each.name: each.value for each in known if each < MADE_BY_READERS}
    enum = {Channel: "ring_channel", Status: "ring_status"}[known]
    body = (NATIVE / "ring.h").read_text(encoding="utf-8").split(f"enum {enum} {{", 1)[1].split("};", 1)[0]
    assert told == {name: int(number) for name, number in re.findall(r"RING_(\w+) = (\d+),", body)}


def test_the_document_is_of_this_version() -> None:
    version = re.search(r"#define RING_VERSION\s+(\d+)u", (NATIVE / "ring.h").read_text(encoding="utf-8"))
    assert version is not None
    assert f"*not a ring of version {version[1]}:" in DOCUMENT.read_text(encoding="utf-8")
