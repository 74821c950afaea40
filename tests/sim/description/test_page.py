"""What docs/simulator.md shows, tried."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from eagent.cli.sim import ACTIONS
from eagent.sim.description import file

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()


def shown(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(block)


def test_the_description_that_the_page_shows_is_one() -> None:
    described = file.parse(shown("toml"), "docs/simulator.md", Path())
    assert (described.name, len(described.loads), len(described.settings)) == ("lab", 2, 1)


def test_the_program_that_the_page_shows_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", shown("python")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+ steps, [\d.]+ simulated joules, [\d.]+ W\n", done.stdout)


def test_the_page_has_every_action() -> None:
    assert set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE)) >= set(ACTIONS)
