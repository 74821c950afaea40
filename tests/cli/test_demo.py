"""What `eagent demo` refuses before anything runs, and what it hands on; the plays themselves are tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.demo import rack_report, together

Run = Callable[..., Any]
CSV = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.0,374,44\n2023-11-16 18:16:46.0,374,44\n"
WITH_HOSTS = "--budget-only and --quiet-seconds are of the demo with one host: they don't go with --hosts"


@pytest.mark.parametrize("count", ["0", "9", "-1"])
def test_a_rack_has_at_most_eight_hosts(eagent: Run, count: str) -> None:
    said = eagent("demo", f"--hosts={count}")
    assert (said.code, said.err) == (1, f"eagent: --hosts {count}: must be 1 to 8\n")


def test_a_number_of_hosts_that_is_none_is_a_usage_error(eagent: Run) -> None:
    said = eagent("demo", "--hosts", "many")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "--hosts" in said.err


@pytest.mark.parametrize("option", [("--budget-only",), ("--quiet-seconds", "60s")])
def test_what_is_of_the_demo_with_one_host_does_not_go_with_several(eagent: Run, option: tuple[str, ...]) -> None:
    said = eagent("demo", "--hosts", "2", *option)
    assert (said.code, said.err) == (1, f"eagent: {WITH_HOSTS}\n")


def test_a_play_that_is_too_short_for_sleep_is_refused_at_once(eagent: Run) -> None:
    said = eagent("demo", "--hosts", "2", "--seconds", "44")
    assert said.code == 1
    assert said.err.endswith(": there is no time to sleep in 44 s: must be at least 45 s\n")


def test_a_file_of_figures_that_has_no_place_is_refused_at_once(eagent: Run, tmp_path: Path) -> None:
    said = eagent("demo", "--hosts", "2", "--json", str(tmp_path / "none" / "out.json"))
    assert (said.code, "there is no directory" in said.err) == (1, True)


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (False, 1)])
def test_figures_are_written_and_a_broken_promise_is_the_exit_code(
    eagent: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool, code: int
) -> None:
    played = []

    def play(trace: Any, *rest: Any) -> str:
        played.append((trace.source, *rest[:2]))
        return "outcome"

    monkeypatch.setattr(together, "run", play)
    monkeypatch.setattr(rack_report, "document", lambda outcome: {"of": outcome})
    monkeypatch.setattr(rack_report, "summary", lambda _: ["a line"])
    monkeypatch.setattr(rack_report, "is_kept", lambda _: kept)
    (tmp_path / "night.csv").write_text(CSV)
    target = tmp_path / "out.json"
    said = eagent("demo", "--hosts=3", "--trace", str(tmp_path / "night.csv"), "--seconds=50", f"--json={target}")
    assert (said.code, "a line\n" in said.out) == (code, True)
    assert json.loads(target.read_text()) == {"of": "outcome"}
    assert played == [("night.csv", 3, 50.0)]
