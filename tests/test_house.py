"""The house rules that a machine can hold and no linter knows."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = ("eagent", "native", "tests", "benchmarks")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".c", ".h"}
EMPTY_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "const", "consts", "stuff"}
LINES_MAX = 600


def code_files() -> list[Path]:
    """All files of code that a person wrote: a .c beside a .pyx of its name is Cython's."""
    found = [path for room in CODE for path in (ROOT / room).rglob("*") if path.suffix in SUFFIXES]
    return sorted(path for path in found if not (path.suffix == ".c" and path.with_suffix(".pyx").exists()))


def modules() -> list[Path]:
    return sorted((ROOT / "eagent").rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_too_long_to_be_read() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in code_files()}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_name_says_nothing() -> None:
    assert [relative(path) for path in code_files() if {path.stem.strip("_"), path.parent.name} & EMPTY_NAMES] == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"
    assert docstring.splitlines()[0].endswith((".", ":", "?")), "its first line is not a sentence"


def test_a_directory_of_modules_is_a_package() -> None:
    # One without __init__.py still imports from a checkout, and is missing from an installation.
    directories = {path.parent for path in modules()}
    assert [relative(path) for path in directories if not (path / "__init__.py").exists()] == []


def test_every_compiled_module_has_a_stub_and_every_stub_a_compiled_module() -> None:
    declared = set(re.findall(r'extension\(\s*"(eagent\.[\w.]+)", \["[^"]+\.pyx"', (ROOT / "setup.py").read_text()))
    stubs = {relative(path)[:-4].replace("/", ".") for path in (ROOT / "eagent").rglob("_*.pyi")}
    assert declared
    assert stubs == declared


def test_the_rooms_import_contract_names_every_room() -> None:
    contract = (ROOT / ".importlinter").read_text()
    rooms = {path.parent.name for path in (ROOT / "eagent").glob("*/__init__.py")}
    assert {room for room in rooms if not re.search(rf"^ +.*eagent\.{room}\b", contract, re.MULTILINE)} == set()


def test_one_version_is_told_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'__version__ = "{version}"' in (ROOT / "eagent" / "__init__.py").read_text()


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert re.search(r"^## \[Unreleased\]$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_make_help_lists_every_target_a_person_calls() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}
    assert phony - {"help"} == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_the_demo_can_be_set_up_alone() -> None:
    """`make demo` installs its extra and nothing else: it holds what the simulated /sys and the mesh need."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*extras["sim"], *extras["mesh"]} <= set(extras["demo"])
