"""The rules as a model that `spin` exhausts (escrow.pml), and each broken rule as one in which it finds a breach.

What was proved, and of what, is in docs/proof.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("escrow.pml")
MEMORY_MB, DEPTH = 2000, 100_000
MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} is missing (Debian: apt-get install spin gcc)")

CONFIGURATIONS = {
    "one death and three gifts": ["WIDE", "GIVES=3"],
    "two deaths and two gifts": ["DEATHS=2"],
    "a third table": ["LAST=3"],
    "nothing that was said is forgotten": ["WIDE", "GIVES=3", "ALL_KEPT"],
}
LARGE = {
    "three deaths and three gifts": ["WIDE", "GIVES=3", "DEATHS=3"],
    "a third table and three gifts": ["WIDE", "GIVES=3", "LAST=3"],
    "a third table and two deaths": ["DEATHS=2", "LAST=3"],
}
BROKEN = {
    "rule 2: the reserve given away": ["RESERVE_GIVEN"],
    "rule 4: rights kept across a life": ["DISK_KEPT"],
    "rule 4: granted again after a death": ["GRANTED_AGAIN"],
    "rule 5: no lowering first": ["NOT_LOWERED"],
    "rule 5: no storing first": ["UNSTORED"],
    "rule 6: adding instead of maximum": ["ADDED"],
    "rule 6: any epoch": ["ANY_EPOCH"],
    "rule 6: any life": ["ANY_LIFE"],
    "rule 7: no lowering on seal": ["SEALED_UNLOWERED"],
    "rule 7: raising on seal": ["RAISED_ON_SEAL"],
    "rule 7: opening before all have sealed": ["OPENED_ALONE"],
    "rule 7: giving before all have sealed": ["TRADES_SEALED"],
    "rule 7: skipped epoch": ["LATER_SEAL_ENOUGH", "LAST=3"],
    "rule 7: seals of lives that ended": ["ONE_WAVE"],
    "rule 7: the end of a life taken for its seal": ["OLD_LIFE_ENOUGH"],
    "rule 7: the grant to any life": ["GRANTED_TO_ANY"],
    "rule 7: off before the others have sealed": ["OFF_EARLY"],
}
GOALS = {
    "all draw what a second table grants": ["CUT_AND_SHIFTED"],
    "a gift is taken after a cut": ["GIFT_AFTER_CUT"],
    "a new life has the grant that a table names it for": ["NEW_LIFE_GRANTED"],
    "an epoch opens while a host is off": ["OPENED_WHILE_OFF"],
    "a host that sealed and died is given watts in the old epoch": ["BACK_BEHIND_ITS_SEAL"],
    "a table is skipped": ["TABLE_SKIPPED", "LAST=3"],
    "a third table follows the second": ["TABLE_AFTER_TABLE", "LAST=3"],
}


@dataclass(frozen=True)
class Verdict:
    """What the search says of itself.

    Attributes:
        violated: the assertion that failed, as C; empty if none did.
        states: how many different ones were stored.
    """

    violated: str
    states: int


def search(directory: Path, names: list[str], timeout_s: float, optimise: str = "-O0") -> Verdict:
    """Make the model's program with these names defined, and run it to its end or to the first error.

    To optimise it takes longer than a small search.
    """
    for command in (
        ["spin", *(f"-D{name}" for name in names), "-a", str(MODEL)],
        ["gcc", optimise, "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"],
    ):
        made = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
        assert made.returncode == 0, f"{command[0]}: {made.stdout}{made.stderr}"
    found = subprocess.run(
        ["./pan", f"-m{DEPTH}"], cwd=directory, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return read(found.stdout + found.stderr)


def read(report: str) -> Verdict:
    """What pan reports; fails where the search was cut short, or ended in another error than an assertion."""
    for trouble in ("max search depth too small", "out of memory", "reached -DMEMLIM", "Search not completed"):
        is_stopped = trouble == "Search not completed" and "assertion violated" in report  # at the first error
        assert trouble not in report or is_stopped, report
    errors, states = re.search(r"errors: (\d+)", report), re.search(r"(\d+) states, stored", report)
    assert errors, report
    assert states, report
    violated = re.search(r"assertion violated +(.*?) ?\(at depth \d+\)", report)
    assert int(errors[1]) == (1 if violated else 0), report
    return Verdict(violated[1] if violated else "", int(states[1]))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_budget_holds_in_every_state_that_can_be_reached(tmp_path: Path, name: str) -> None:
    verdict = search(tmp_path, CONFIGURATIONS[name], timeout_s=100)
    assert verdict.violated == ""
    assert verdict.states > 100_000


@pytest.mark.soak
@pytest.mark.parametrize("name", LARGE)
def test_the_budget_holds_in_every_state_of_a_large_model(tmp_path: Path, name: str) -> None:
    verdict = search(tmp_path, LARGE[name], timeout_s=600, optimise="-O2")
    assert verdict.violated == ""
    assert verdict.states > 1_000_000


@pytest.mark.parametrize("name", BROKEN)
def test_no_rule_can_be_left_out_of_the_model(tmp_path: Path, name: str) -> None:
    violated = search(tmp_path, BROKEN[name], timeout_s=60).violated
    assert "<=" in violated, f"the budget holds without it; violated is {violated!r}"


@pytest.mark.parametrize("name", GOALS)
def test_the_model_gets_somewhere(tmp_path: Path, name: str) -> None:
    violated = search(tmp_path, GOALS[name], timeout_s=60).violated
    assert violated.startswith("!("), f"it never happens; violated is {violated!r}"


@pytest.mark.parametrize(
    "trouble", ["error: max search depth too small", "pan: out of memory", "pan: reached -DMEMLIM bound"]
)
def test_a_search_that_was_cut_short_proves_nothing(trouble: str) -> None:
    with pytest.raises(AssertionError, match="errors: 0"):
        read(f"{trouble}\nState-vector 76 byte, depth reached 9, errors: 0\n 17 states, stored\n")


def test_an_error_that_is_no_assertion_is_no_breach() -> None:
    with pytest.raises(AssertionError, match="invalid end state"):
        read("pan:1: invalid end state (at depth 3)\ndepth reached 9, errors: 1\n 17 states, stored\n")
