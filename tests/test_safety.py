"""The page on safety names tests and mutants: each of them must be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.torture.mutants import MUTANTS
from tests.torture.native_mutants import NATIVE, ROOT, Change

PAGE = (ROOT / "docs" / "safety.md").read_text()


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 30
    missing = [f"{path}::{name}" for path, name in named if not (ROOT / path).is_file()]
    missing += [
        f"{path}::{name}" for path, name in named if not missing and name and name not in functions(ROOT / path)
    ]
    assert missing == []


def test_every_promise_has_a_mechanism_and_something_that_tries_to_break_it() -> None:
    promises = PAGE[PAGE.index("## What is promised") : PAGE.index("## What is NOT promised")]
    rows = [line.strip("|").split("|") for line in promises.splitlines() if line.startswith("| ") and "---" not in line]
    kept = [[cell.strip() for cell in row] for row in rows if row[0].strip() != "promise"]
    assert len(kept) > 15
    assert [row[0] for row in kept if len(row) != 3 or not row[1] or "`tests/" not in row[2]] == []


def test_the_page_names_each_mutant_and_none_that_is_not_there() -> None:
    named = {
        name
        for line in PAGE.splitlines()
        for names in re.findall(r"mutants? ((?:`[\w-]+`(?:, )?)+)", line)
        for name in re.findall(r"`([\w-]+)`", names)
    }
    assert named == {*MUTANTS, *NATIVE}


def test_the_text_that_native_mutants_change_is_there_once() -> None:
    def count(change: Change) -> int:
        return (ROOT / change.file).read_text().count(change.old)

    assert {name: count(change) for name, change in NATIVE.items()} == dict.fromkeys(NATIVE, 1)
