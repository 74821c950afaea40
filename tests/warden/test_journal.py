from pathlib import Path

from eagent.model import KnobName
from eagent.warden.journal import Entry, Journal

LIMIT = KnobName.POWER_LIMIT


def test_an_entry_is_on_the_disk_before_enter_returns(tmp_path: Path) -> None:
    Journal(tmp_path).enter("GPU-a", LIMIT, 400_000, "boot")
    assert Journal(tmp_path).get("GPU-a", LIMIT) == Entry("GPU-a", LIMIT, 400_000, "boot")


def test_a_standing_entry_is_never_overwritten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    assert journal.enter("GPU-a", LIMIT, 250_000, "boot").prior == 400_000
    assert Journal(tmp_path).enter("GPU-a", LIMIT, 100_000, "later").prior == 400_000


def test_a_retired_entry_is_gone_also_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.retire("GPU-a", LIMIT)
    assert journal.get("GPU-a", LIMIT) is None
    assert list(Journal(tmp_path)) == []


def test_a_damaged_entry_costs_its_own_knob_and_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.enter("GPU-b", LIMIT, 300_000, "boot")
    (tmp_path / "GPU-a.power_limit.json").write_text("{")
    again = Journal(tmp_path)
    assert again.get("GPU-a", LIMIT) is None
    assert "damaged" in again.damaged["GPU-a", LIMIT]
    assert again.get("GPU-b", LIMIT) == Entry("GPU-b", LIMIT, 300_000, "boot")


def test_an_entry_of_another_device_under_this_name_is_damage(tmp_path: Path) -> None:
    Journal(tmp_path).enter("GPU-a", LIMIT, 400_000, "boot")
    (tmp_path / "GPU-a.power_limit.json").rename(tmp_path / "GPU-b.power_limit.json")
    assert "not a journal entry of GPU-b" in Journal(tmp_path).damaged["GPU-b", LIMIT]
