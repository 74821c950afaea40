"""The journal's directory: what stands, what is void, and whatever else somebody or a crash has left in it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagent.model import KnobName
from eagent.warden import durable
from eagent.warden.entry import Entry
from eagent.warden.journal import ALARMS_MAX, Journal

LIMIT, CLOCK = KnobName.POWER_LIMIT, KnobName.GPU_CLOCK
NOW = datetime(2026, 11, 30, 2, 0, 0, 123, UTC)
NOBODY = 65534
FILE = "GPU-a.power_limit.json"


def opened(directory: Path, driver: str = "") -> Journal:
    return Journal(directory, driver, lambda: NOW)


def stamped(uuid: str, prior: int, boot_id: str = "boot") -> Entry:
    return Entry(uuid, LIMIT, prior, boot_id, entered="2026-11-30T02:00:00Z")


def test_an_entry_is_on_the_disk_before_enter_returns(tmp_path: Path) -> None:
    opened(tmp_path).enter("GPU-a", LIMIT, 400_000, "boot")
    assert opened(tmp_path).get("GPU-a", LIMIT) == stamped("GPU-a", 400_000)


def test_an_entry_says_for_whom_why_when_and_in_which_life_of_the_driver(tmp_path: Path) -> None:
    opened(tmp_path, "7").enter("GPU-a", LIMIT, 400_000, "boot", owner="lease", reason="limits for 3 s")
    found = opened(tmp_path, "8").get("GPU-a", LIMIT)
    assert found == Entry("GPU-a", LIMIT, 400_000, "boot", {}, "7", "lease", "limits for 3 s", "2026-11-30T02:00:00Z")


def test_a_standing_entry_is_never_overwritten(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    assert journal.enter("GPU-a", LIMIT, 250_000, "boot").prior == 400_000
    assert opened(tmp_path).enter("GPU-a", LIMIT, 100_000, "boot").prior == 400_000


def test_what_a_boot_has_reset_is_void_and_makes_room(tmp_path: Path) -> None:
    opened(tmp_path).enter("GPU-a", LIMIT, 300_000, "boot")
    journal = opened(tmp_path)
    assert journal.enter("GPU-a", LIMIT, 400_000, "later").prior == 400_000
    assert opened(tmp_path).get("GPU-a", LIMIT) == stamped("GPU-a", 400_000, "later")


@pytest.mark.parametrize(
    ("uuid", "then", "now", "is_void"),
    [
        ("GPU-a", "7", "8", True),
        ("GPU-a", "7", "7", False),
        ("GPU-a", "", "8", False),  # entered where it could not be told
        ("GPU-a", "7", "", False),
        ("CPU-0", "7", "8", False),  # no GPU driver resets a package
    ],
)
def test_an_entry_of_a_gpu_is_void_in_another_life_of_its_driver(
    tmp_path: Path, uuid: str, then: str, now: str, is_void: bool
) -> None:
    opened(tmp_path, then).enter(uuid, LIMIT, 300_000, "boot")
    journal = opened(tmp_path, now)
    (entry,) = journal
    assert journal.is_void(entry, "boot") is is_void


def test_an_entry_is_renewed_in_the_place_of_a_void_one_by_one_file(tmp_path: Path) -> None:
    journal = opened(tmp_path, "7")
    entry = journal.enter("GPU-a", LIMIT, 300_000, "boot")
    journal.driver = "8"
    assert journal.is_void(entry, "boot")
    renewed = journal.renew(Entry("GPU-a", LIMIT, 400_000, "boot", owner="lease"))
    assert (renewed.driver, renewed.prior) == ("8", 400_000)
    assert journal.enter("GPU-a", LIMIT, 1, "boot") == renewed
    assert list(opened(tmp_path)) == [renewed]


def test_a_retired_entry_is_gone_also_after_a_restart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.retire("GPU-a", LIMIT)
    assert journal.get("GPU-a", LIMIT) is None
    assert list(opened(tmp_path)) == []


def test_a_damaged_entry_costs_its_own_knob_and_no_other(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.enter("GPU-b", LIMIT, 300_000, "boot")
    (tmp_path / FILE).write_text("{")
    again = opened(tmp_path)
    assert again.get("GPU-a", LIMIT) is None
    assert "damaged" in again.damaged["GPU-a", LIMIT]
    assert again.get("GPU-b", LIMIT) == stamped("GPU-b", 300_000)


def test_an_entry_of_another_device_under_this_name_is_damage(tmp_path: Path) -> None:
    opened(tmp_path).enter("GPU-a", LIMIT, 400_000, "boot")
    (tmp_path / FILE).rename(tmp_path / "GPU-b.power_limit.json")
    assert "not a journal entry of GPU-b" in opened(tmp_path).damaged["GPU-b", LIMIT]


def test_swapped_files_cost_both_knobs_and_a_copy_under_another_name_only_itself(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.enter("GPU-a", CLOCK, 0, "boot")
    journal.enter("GPU-b", LIMIT, 300_000, "boot")
    (tmp_path / "GPU-b copy.power_limit.json").write_bytes((tmp_path / "GPU-b.power_limit.json").read_bytes())
    clock = tmp_path / "GPU-a.gpu_clock.json"
    (tmp_path / FILE).rename(tmp_path / "between")
    clock.rename(tmp_path / FILE)
    (tmp_path / "between").rename(clock)
    again = opened(tmp_path)
    assert [entry.key for entry in again] == [("GPU-b", LIMIT)]
    assert set(again.damaged) == {("GPU-a", LIMIT), ("GPU-a", CLOCK), ("GPU-b copy", LIMIT)}


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # a socket's path must be short: the test runs in its directory


def huge_at(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


OBSTACLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "not a plain file"),
    "directory": (Path.mkdir, "Is a directory"),
    "link": (lambda path: path.symlink_to(path.with_name("other")), "a link"),
    "link to what never ends": (lambda path: path.symlink_to("/dev/zero"), "a link"),
    "socket": (socket_at, "a link or socket"),
    "huge": (huge_at, "larger than 65536 bytes"),
    "empty": (Path.touch, "damaged"),
    "deep": (lambda path: path.write_text("[" * 60_000), "damaged"),
    "later": (
        lambda path: path.write_text('{"version": 2, "crc32": 0, "content": {}}'),
        "written by a later eagent, version 2; this eagent reads version 1",
    ),
    "foreign": (lambda path: path.write_text('{"uuid": "GPU-a", "prior": 1}'), "not a whole file of eagent's"),
    "budget": (lambda path: durable.store(path, {"budget_mw": 1, "fixed_mw": 0, "safe_caps_mw": {}}), "not a journal"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_whatever_stands_in_an_entrys_place_costs_its_knob_and_is_told_in_a_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, told = OBSTACLES[name]
    opened(tmp_path).enter("GPU-b", LIMIT, 300_000, "boot")
    make(tmp_path / FILE)
    journal = opened(tmp_path)
    assert [entry.uuid for entry in journal] == ["GPU-b"]
    (line,) = journal.alarms()
    assert line.startswith(f"{tmp_path / FILE}: ")
    assert told in line
    assert "set the knob by hand" in line
    with pytest.raises(OSError, match="in its place") as refused:
        journal.enter("GPU-a", LIMIT, 400_000, "boot")
    assert refused.value.errno == errno.EEXIST
    assert os.path.lexists(tmp_path / FILE)  # it stays for the operator


def test_a_name_of_any_bytes_is_told_in_one_printable_line(tmp_path: Path) -> None:
    for name in (b"GPU-\xff.power_limit.json", b"GPU-\x1b[2J\n.power_limit.json", "GPU-ä.fan.json".encode()):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_text("x")
    lines = opened(tmp_path).alarms()
    assert len(lines) == 3
    assert all(line.isprintable() and line.encode() for line in lines)
    assert "of no knob that this eagent knows" in lines[-1]


def test_what_lies_about_is_passed_over_and_thousands_of_files_are_told_in_few_lines(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".GPU-a.power_limit.json.12.tmp").touch()  # a draft of a warden that died
    assert opened(tmp_path).alarms() == []
    for number in range(1000):
        (tmp_path / f"GPU-{number}.power_limit.json").touch()
    lines = opened(tmp_path).alarms()
    assert len(lines) == ALARMS_MAX + 1
    assert lines[-1] == f"{tmp_path}: {1000 - ALARMS_MAX} files more"


def test_an_entry_that_can_t_be_removed_stands_is_told_and_keeps_no_other(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.enter("GPU-a", LIMIT, 400_000, "boot")
    journal.enter("GPU-b", LIMIT, 300_000, "boot")
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()  # no unlink removes it, not even root's
    assert journal.try_retire("GPU-a", LIMIT) is False
    assert journal.try_retire("GPU-b", LIMIT) is True
    assert [entry.uuid for entry in journal] == ["GPU-a"]
    assert "is done with, and can't be removed" in journal.alarms()[0]
    (tmp_path / FILE).rmdir()
    assert journal.try_retire("GPU-a", LIMIT) is True
    assert journal.alarms() == []


@pytest.fixture
def unlisted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose files can be made and whose own state can't be put on the disk: it may not be opened."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    directory = Path("journal")  # from here: those above are root's alone
    directory.mkdir()
    yield directory
    directory.chmod(0o700)


def test_an_entry_that_may_not_be_on_the_disk_is_taken_away_again(unlisted: Path) -> None:
    journal = opened(unlisted)
    user = os.geteuid()
    if user == 0:
        os.chown(unlisted, NOBODY, -1)
    unlisted.chmod(0o300)
    try:
        if user == 0:
            os.seteuid(NOBODY)
        with pytest.raises(PermissionError):
            journal.enter("GPU-a", LIMIT, 400_000, "boot")
    finally:
        os.seteuid(user)
    unlisted.chmod(0o700)
    assert list(unlisted.iterdir()) == []  # else it would be gone back to, though nothing was ever written
    assert list(journal) == []


def test_what_is_only_remembered_is_told_and_put_on_the_disk_when_it_can_be(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal")
    (tmp_path / "journal").rmdir()
    (tmp_path / "journal").touch()
    with pytest.raises(NotADirectoryError):
        journal.enter("GPU-a", LIMIT, 400_000, "boot")
    assert (list(journal), journal.kept(), journal.problem) == ([], [], "Not a directory")
    journal.remember(Entry("GPU-a", LIMIT, 400_000, "boot", owner="budget"))
    assert "the value is in memory alone" in journal.alarms()[0]
    assert journal.save() is False
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").mkdir()
    assert journal.save() is True
    assert journal.alarms() == []
    assert [entry.prior for entry in opened(tmp_path / "journal")] == [400_000]


def test_a_refused_entry_is_told_with_what_it_was_and_stays_on_the_disk(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    entry = journal.enter("GPU-a", LIMIT, 900_000, "boot", owner="lease")
    journal.refuse(entry, "gpu0 takes 100 to 400 W")
    assert journal.get("GPU-a", LIMIT) is None
    assert "gpu0 takes 100 to 400 W: power limit was 900 W, journalled at" in journal.damaged["GPU-a", LIMIT]
    assert list(opened(tmp_path)) == [entry]
