"""What was learnt of jobs outlives the agent, is bounded, and harms nobody when it is damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.agent import curves
from eagent.agent.curves import CurveStore
from eagent.policy.efficiency import Memory
from eagent.policy.search.curve import Curve
from eagent.policy.search.trial import Block

LEARNT = Curve(1410.0).add(1410.0, Block(20, 60, 20, 6000)).add(1200.0, Block(20, 55, 20, 4500))


def test_what_was_kept_is_known_again(tmp_path: Path) -> None:
    CurveStore(tmp_path / "curves.sqlite").save({"a": (LEARNT,)})
    assert CurveStore(tmp_path / "curves.sqlite").load() == {"a": (LEARNT,)}


def test_nothing_is_known_where_nothing_was_kept(tmp_path: Path) -> None:
    assert CurveStore(tmp_path / "curves.sqlite").load() == {}


def test_a_job_that_has_ended_is_kept_at_once_and_only_once(tmp_path: Path) -> None:
    dates = iter(range(10))
    store = CurveStore(tmp_path / "curves.sqlite", lambda: next(dates))
    memory = Memory(curves={"a": (LEARNT,)})
    store.follow(memory)
    store.follow(memory)
    assert next(dates) == 1
    assert store.load() == memory.curves


def test_who_ran_longest_ago_is_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST", 3)
    dates = iter(range(10))
    store = CurveStore(tmp_path / "curves.sqlite", lambda: next(dates))
    for job in "abcde":
        store.save({job: (LEARNT,)})
    assert set(store.load()) == {"c", "d", "e"}


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200))
def test_a_damaged_file_is_begun_anew(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("curves") / "curves.sqlite"
    path.write_bytes(content)
    store = CurveStore(path)
    assert store.load() == {}
    store.save({"a": (LEARNT,)})
    assert store.load() == {"a": (LEARNT,)}


@pytest.mark.parametrize("text", ["", "[]]", '[{"top": 1}]', '[{"top": 1e999}]', "[" * 5000, "null", "7"])
def test_a_damaged_row_costs_its_own_job_alone(tmp_path: Path, text: str) -> None:
    store = CurveStore(tmp_path / "curves.sqlite")
    store.save({"a": (LEARNT,), "b": (LEARNT,)})
    with sqlite3.connect(tmp_path / "curves.sqlite") as database:
        database.execute("UPDATE curves_1 SET curves = ? WHERE job = 'a'", (text,))
    database.close()
    assert store.load()["b"] == (LEARNT,)


def test_a_place_that_cannot_be_written_is_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    CurveStore(tmp_path / "not there" / "curves.sqlite").save({"a": (LEARNT,)})
    assert "what was learnt of jobs is not kept: unable to open database file" in caplog.text


def test_a_database_that_cannot_be_used_now_is_not_thrown_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "curves.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE curves_1 (of_another_version TEXT)")
        database.execute("INSERT INTO curves_1 VALUES ('kept')")
    store = CurveStore(path)
    assert store.load() == {}
    store.save({"a": (LEARNT,)})
    assert "can't be read" in caplog.text
    assert "not kept" in caplog.text
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM curves_1").fetchall() == [("kept",)]
