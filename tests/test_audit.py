import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eagent.access import Role
from eagent.audit import FILES_KEPT, LINE_BYTES_MAX, OPERATORS, OTHERS, USER_BURST, Audit, read
from eagent.peer import Peer

NOON = datetime(2026, 7, 22, 12, 0, tzinfo=UTC)
ROOT, ALICE = Peer(1, 0), Peer(1, 1000)
SECOND_NS = 1_000_000_000


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def new_audit(directory: Path, clock: Clock | None = None, **options: Any) -> Audit:
    return Audit(directory / "audit", lambda: NOON, clock or Clock(), **options)


def test_a_line_says_who_what_why_before_after_and_outcome(tmp_path: Path) -> None:
    audit = new_audit(tmp_path)
    audit.note(
        ROOT, Role.OPERATOR, "PUT /v1/budget", "done", asked={"budget_w": 5}, why="a test", before={}, after={"b": 1}
    )
    audit.close()
    (line,) = read(tmp_path / "audit")
    assert line["who"]["comm"]
    assert line | {"who": {**line["who"], "comm": ""}} == {
        "v": 1,
        "at": "2026-07-22T12:00:00.000+00:00",
        "who": {"uid": 0, "pid": 1, "comm": "", "role": "operator"},
        "what": "PUT /v1/budget",
        "asked": {"budget_w": 5},
        "why": "a test",
        "before": {},
        "after": {"b": 1},
        "outcome": "done",
    }
    assert (tmp_path / "audit" / OPERATORS).stat().st_mode & 0o777 == 0o640


def test_nobody_makes_lines_of_their_own_in_the_process_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    audit = new_audit(tmp_path)
    text = "x\n<6>eagent.warden: all is well\x1b[2J"
    audit.note(ALICE, Role.AGENT, f"warden {text}", f"not done: {text}")
    audit.close()
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert "all is well" in record.getMessage()
    assert read(tmp_path / "audit")[0]["what"] == f"warden {text}"


def test_lines_are_only_added(tmp_path: Path) -> None:
    for number in range(2):
        audit = new_audit(tmp_path)
        audit.note(ROOT, Role.OPERATOR, f"x{number}", "done")
        audit.close()
    assert [line["what"] for line in read(tmp_path / "audit")] == ["x0", "x1"]


def test_who_is_refused_often_fills_no_disk_and_pushes_out_nothing_of_an_operator(tmp_path: Path) -> None:
    clock = Clock()
    audit = new_audit(tmp_path, clock)
    audit.note(ROOT, Role.OPERATOR, "set", "done")
    for _ in range(1000):
        audit.note(ALICE, Role.NOBODY, "try", "refused")
    clock.now_ns = 5 * SECOND_NS
    audit.note(ALICE, Role.NOBODY, "again", "refused")
    audit.close()
    lines = read(tmp_path / "audit")
    assert [line["what"] for line in lines].count("try") == USER_BURST
    assert next(line for line in lines if line["what"] == "again")["unwritten"] == 1000 - USER_BURST
    assert "set" in (tmp_path / "audit" / OPERATORS).read_text()
    assert "try" not in (tmp_path / "audit" / OPERATORS).read_text()


def test_many_users_together_have_a_bound_too(tmp_path: Path) -> None:
    audit = new_audit(tmp_path)
    for uid in range(5000):
        audit.note(Peer(1, uid), Role.NOBODY, "try", "refused")
    audit.close()
    assert len(read(tmp_path / "audit")) == 100


def test_old_files_go_when_new_ones_come(tmp_path: Path) -> None:
    audit = new_audit(tmp_path, file_bytes_max=400)
    for number in range(30):
        audit.note(ROOT, Role.OPERATOR, f"x{number}", "done")
    audit.close()
    files = sorted((tmp_path / "audit").iterdir())
    assert len(files) == FILES_KEPT
    assert all(path.stat().st_size <= 400 for path in files)
    assert read(tmp_path / "audit")[-1]["what"] == "x29"


def test_no_line_is_longer_than_a_bound(tmp_path: Path) -> None:
    audit = new_audit(tmp_path)
    audit.note(ALICE, Role.JOB, "y" * 10_000, "z" * 10_000, asked={"a": "x" * 60_000}, why="w" * 10_000)
    audit.close()
    assert len((tmp_path / "audit" / OTHERS).read_bytes()) <= LINE_BYTES_MAX
    assert read(tmp_path / "audit")[0]["asked"] == {"cut": True}


def test_a_disk_that_takes_nothing_is_told_and_keeps_nobody(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()  # no directory can be made there
    audit = new_audit(tmp_path)
    audit.note(ROOT, Role.OPERATOR, "set", "done")
    audit.close()
    assert audit.alarms() == [f"audit log: {audit.problem}"]
    assert "File exists" in str(audit.problem)
    (tmp_path / "audit").unlink()
    audit = new_audit(tmp_path)
    audit.note(ROOT, Role.OPERATOR, "set", "done")
    audit.close()
    assert audit.alarms() == []


def test_a_disk_that_hangs_makes_nobody_wait(tmp_path: Path) -> None:
    go_on = threading.Event()

    class Hanging(Audit):
        def _write(self, path: Path, data: bytes) -> None:
            go_on.wait(30)
            super()._write(path, data)

    audit = Hanging(tmp_path / "audit", lambda: NOON, Clock())
    for _ in range(2000):
        audit.note(ROOT, Role.OPERATOR, "set", "done")
    assert "lines were lost" in str(audit.problem)
    go_on.set()


def test_a_link_in_the_logs_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / OPERATORS).symlink_to(tmp_path / "shadow")
    audit = new_audit(tmp_path)
    audit.note(ROOT, Role.OPERATOR, "set", "done")
    audit.close()
    assert not (tmp_path / "shadow").exists()
    assert audit.problem is not None


def test_a_damaged_line_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / OTHERS).write_text(json.dumps({"at": "2026", "what": "x"}) + '\n{"at": "20\n[]\n')
    assert [line["what"] for line in read(tmp_path)] == ["x"]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x1c", "\r", "\ud800"])
def test_nobody_hides_a_line_by_ends_of_lines_in_it(tmp_path: Path, end: str) -> None:
    audit = new_audit(tmp_path)
    audit.note(ALICE, Role.NOBODY, f"try{end}it", f"refused{end}", asked={f"a{end}": end}, why=end)
    audit.close()
    assert [line["who"]["uid"] for line in read(tmp_path / "audit")] == [1000]
