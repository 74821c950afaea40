from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.checks import records
from eagent.doctor.host import Host
from eagent.model import KnobName
from eagent.warden import durable
from eagent.warden.journal import Journal

Tell = Callable[[Any], list[tuple[str, str, str]]]


@pytest.fixture
def journal(host: Host) -> Journal:
    return Journal(host.paths.journal)


def budget(host: Host) -> None:
    durable.store(host.paths.budget, {"budget_mw": 2_480_000, "fixed_mw": 0, "safe_caps_mw": {}})


def test_nothing_on_disk_is_ok(host: Host, tell: Tell) -> None:
    assert tell(records.check(host)) == [("ok", "journal", "empty: eagent holds no knob"), ("ok", "budget", "none")]


def test_knobs_that_nobody_puts_back_are_a_problem(host: Host, journal: Journal, boot_id: str, tell: Tell) -> None:
    journal.enter("GPU-0a", KnobName.POWER_LIMIT, 400_000, boot_id)
    what = "1 knob may still stand where a dead eagent set it, and no warden runs to put it back"
    assert tell(records.check(host))[0] == ("problem", "journal", what)


def test_the_same_knobs_are_in_good_hands_while_a_warden_runs(
    host: Host, journal: Journal, boot_id: str, status: Callable[..., Any], tell: Tell
) -> None:
    journal.enter("GPU-0a", KnobName.POWER_LIMIT, 400_000, boot_id)
    journal.enter("GPU-0b", KnobName.POWER_LIMIT, 400_000, "an earlier boot")
    budget(host)
    assert tell(records.check(replace(host, status=status()))) == [
        ("ok", "journal", "1 knob can be put back; of an earlier boot or driver, and void: 1"),
        ("ok", "budget", "2480 W, kept by the warden"),
    ]


def test_what_a_reload_of_the_driver_has_reset_is_void(host: Host, boot_id: str, tell: Tell) -> None:
    module = host.paths.sysfs / "module/nvidia"
    module.mkdir(parents=True)
    Journal(host.paths.journal, "an earlier life").enter("GPU-0a", KnobName.POWER_LIMIT, 400_000, boot_id)
    Journal(host.paths.journal, "an earlier life").enter("CPU-0", KnobName.CPU_CLOCK, 3400, boot_id)
    Journal(host.paths.journal, str(module.stat().st_ino)).enter("GPU-0b", KnobName.GPU_CLOCK, 0, boot_id)
    what = "2 knobs may still stand where a dead eagent set them, and no warden runs to put them back"
    assert tell(records.check(host))[0] == ("problem", "journal", what)


def test_a_budget_that_nobody_keeps_is_the_one_problem(host: Host, journal: Journal, boot_id: str, tell: Tell) -> None:
    journal.enter("GPU-0a", KnobName.POWER_LIMIT, 400_000, boot_id)
    budget(host)
    assert tell(records.check(host)) == [
        ("ok", "journal", "1 knob can be put back"),
        ("problem", "budget", "a budget of 2480 W stands, and no warden runs to keep it"),
    ]


def test_damage_is_a_problem_for_each_file(host: Host, journal: Journal, boot_id: str, tell: Tell) -> None:
    journal.enter("GPU-0a", KnobName.POWER_LIMIT, 400_000, boot_id)
    (damaged,) = host.paths.journal.glob("GPU-0a*")
    damaged.write_text(damaged.read_text().replace("400000", "700000"))
    host.paths.budget.write_text("{")
    assert tell(records.check(host)) == [
        ("problem", damaged.name, f"{damaged}: damaged: its checksum does not match"),
        ("ok", "journal", "empty: eagent holds no knob"),
        ("problem", "budget.json", f"{host.paths.budget}: damaged: not a whole file of eagent's"),
    ]


def test_what_this_user_may_not_read_is_noted(host: Host, tell: Tell) -> None:
    host.paths.budget.mkdir()  # for root, too, there are files that it can't read
    assert tell(records.check(host))[1][:2] == ("note", "budget.json")


def test_looking_makes_nothing(host: Host) -> None:
    list(records.check(host))
    assert list(Path(host.paths.state).iterdir()) == []
