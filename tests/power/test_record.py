import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.adapter import PowerState
from eagent.engines.power.role import Entry, Event
from eagent.engines.power.wishes import Consent, Kind, Wish
from eagent.errors import UnavailableError
from eagent.power import record
from eagent.power.record import Record, Sleeper

CONSENT = Consent("n1", "life1", "its own record", True, True, True, 0, 9)
RESERVES = {"rack": 900_000}


def entry(event: Event, kind: Kind = Kind.SLEEP, host: str = "n1") -> Entry:
    wish = Wish(host, kind, "eagent", "idle", 5, CONSENT if kind is Kind.SLEEP else None)
    return Entry(7, event, wish, "detail", PowerState.ON, 312.0)


def told(*events: tuple[Event, Kind]) -> dict[str, Sleeper]:
    sleepers: dict[str, Sleeper] = {}
    for at_s, (event, kind) in enumerate(events):
        sleepers = record.after(sleepers, record.line(entry(event, kind), float(at_s), RESERVES))
    return sleepers


def test_a_line_tells_what_was_done_to_whom_why_and_what_was_read() -> None:
    assert record.line(entry(Event.BEGUN), 1.5, RESERVES) == {
        "v": 1,
        "at": 1.5,
        "event": "begun",
        "host": "n1",
        "kind": "sleep",
        "who": "eagent",
        "why": "idle",
        "detail": "detail",
        "state": "on",
        "power_w": 312.0,
        "life": "life1",
        "reserves_mw": RESERVES,
    }


SLEEP, WAKE = Kind.SLEEP, Kind.WAKE


@pytest.mark.parametrize(
    ("events", "since_s"),
    [
        ([(Event.ASKED, SLEEP)], None),
        ([(Event.ASKED, SLEEP), (Event.REFUSED, SLEEP)], None),
        ([(Event.ASKED, SLEEP), (Event.BEGUN, SLEEP)], 1.0),  # and then it was killed: it may be off
        ([(Event.BEGUN, SLEEP), (Event.DONE, SLEEP)], 0.0),
        ([(Event.BEGUN, SLEEP), (Event.FAILED, SLEEP)], 0.0),  # it may still go off
        ([(Event.BEGUN, SLEEP), (Event.WITHDRAWN, SLEEP)], 0.0),  # likewise
        ([(Event.ALREADY, SLEEP)], 0.0),
        ([(Event.FAILED, SLEEP)], None),  # before it was begun
        ([(Event.BEGUN, SLEEP), (Event.DONE, SLEEP), (Event.BEGUN, WAKE)], 0.0),
        ([(Event.BEGUN, SLEEP), (Event.DONE, SLEEP), (Event.BEGUN, WAKE), (Event.DONE, WAKE)], None),
        ([(Event.BEGUN, SLEEP), (Event.DONE, SLEEP), (Event.ALREADY, WAKE)], None),
        ([(Event.BEGUN, SLEEP), (Event.BEGUN, WAKE), (Event.FAILED, WAKE)], 0.0),
    ],
)
def test_who_may_sleep_is_read_from_what_was_done(events: list[tuple[Event, Kind]], since_s: float | None) -> None:
    expected = {} if since_s is None else {"n1": Sleeper("n1", "life1", since_s, RESERVES)}
    assert told(*events) == expected


def test_who_was_found_on_does_not_sleep() -> None:
    sleepers = told((Event.BEGUN, SLEEP), (Event.DONE, SLEEP))
    assert record.after(sleepers, record.found_on("n1", 9.0, "somebody")) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["v", "at", "event", "host", "kind", "life", "reserves_mw"])
VALUES = JSON | st.sampled_from([1, "begun", "done", "kept", "found on", "sleep", "wake", "n1"])


@given(st.dictionaries(KEYS, VALUES))
def test_any_line_is_understood_or_changes_nothing(line: dict[str, Any]) -> None:
    before = {"n9": Sleeper("n9", "", 1.0)}
    for host, sleeper in record.after(before, line).items():
        assert (host, type(sleeper.since_s)) == (sleeper.host, float)


@given(st.text() | st.lists(st.builds(json.dumps, JSON)).map("\n".join))
def test_any_text_is_read(text: str) -> None:
    lines, damaged = record.parse(text)
    assert all(line["v"] == 1 for line in lines)
    assert 0 <= damaged <= len(text.splitlines())


def test_a_record_that_is_read_again_knows_who_sleeps(tmp_path: Path) -> None:
    path = tmp_path / "power.jsonl"
    first = Record(path)
    first.append(record.line(entry(Event.BEGUN), 1.0, RESERVES))
    first.append(record.line(entry(Event.BEGUN, host="n2"), 2.0, {}))
    first.append(record.line(entry(Event.DONE, WAKE, "n2"), 3.0, {}))
    first.close()
    second = Record(path)
    assert second.sleepers == first.sleepers == {"n1": Sleeper("n1", "life1", 1.0, RESERVES)}
    second.close()


def test_a_line_that_was_cut_short_is_passed_over_and_what_follows_is_not(tmp_path: Path) -> None:
    path = tmp_path / "power.jsonl"
    whole = json.dumps(record.line(entry(Event.BEGUN), 1.0, {}))
    path.write_text(whole + "\n" + whole.replace("n1", "n2")[:-9])
    cut = Record(path)
    assert set(cut.sleepers) == {"n1"}
    cut.append(record.line(entry(Event.BEGUN, host="n3"), 2.0, {}))
    cut.close()
    again = Record(path)
    assert set(again.sleepers) == {"n1", "n3"}
    again.close()


def test_a_long_record_is_put_aside_and_the_new_one_begins_with_who_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "FILE_BYTES_MAX", 2000)
    path = tmp_path / "power.jsonl"
    long = Record(path)
    long.append(record.line(entry(Event.BEGUN), 1.0, RESERVES))
    for number in range(60):
        long.append(record.line(entry(Event.ASKED, host=f"m{number}"), 2.0, {}))
    long.close()
    assert path.stat().st_size < 2500
    assert (tmp_path / "power.jsonl.1").stat().st_size < 2500
    assert sorted(file.name for file in tmp_path.iterdir()) == ["power.jsonl", "power.jsonl.1"]
    again = Record(path)
    assert again.sleepers == {"n1": Sleeper("n1", "life1", 1.0, RESERVES)}
    again.append(record.line(entry(Event.DONE, WAKE), 3.0, {}))
    again.close()
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "done"


def test_what_can_not_be_written_is_said_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "power.jsonl"
    made = Record(path)
    made.close()
    made._descriptor = -1
    with pytest.raises(UnavailableError, match="nothing is switched unrecorded"):
        made.append(record.line(entry(Event.BEGUN), 1.0, {}))
    assert made.sleepers == {}


def test_a_directory_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        Record(tmp_path / "none" / "power.jsonl")
