"""What a job owner reads of `eagent hint`, and who looks at the log of `eagent audit`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eagent.access import Role
from eagent.api.jobs import job_server
from eagent.audit import Audit
from eagent.cli.audit import sentence
from eagent.errors import InputError, RefusedError
from eagent.peer import Peer
from eagent.wish import Wish
from tests.cli.conftest import serving

Run = Callable[..., Any]


class Hints:
    """Says what it was given, and notes what it was asked."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"device": "gpu0", "limit_w": 250.0, "clock_mhz": None, "for_s": 3600.0}
        self.told |= {"slowdown": None, "first_token_p99_s": None, "between_tokens_p99_s": None}
        self.told |= {"waits_for": 0, "acts": True}
        self.asked: list[tuple[Any, ...]] = []
        self.problem: Exception | None = None

    def set_hint(self, _pid: int, _uid: int, device: str, wish: Wish, for_s: float) -> dict[str, Any]:
        if self.problem is not None:
            raise self.problem
        self.asked.append((device, wish, for_s))
        return self.told

    def clear_hint(self, _uid: int, device: str) -> None:
        if self.problem is not None:
            raise self.problem
        self.asked.append((device,))


@pytest.fixture
def hints(tmp_path: Path) -> Iterator[Hints]:
    (tmp_path / "jobs").mkdir()
    made = Hints()
    with serving(lambda: job_server(made, tmp_path / "jobs/ask.sock")):  # type: ignore[arg-type]  # hints alone
        yield made


def test_a_hint_says_what_holds_how_long_and_what_it_waits_for(eagent: Run, hints: Hints) -> None:
    assert eagent("hint", "set", "gpu0", "--cap", "250W") == (
        0,
        "gpu0: at most 250 W for 1h, or until your job ends.\n",
        "",
    )
    hints.told |= {"clock_mhz": 1200.0, "for_s": 1200.0, "waits_for": 2, "acts": False}
    assert eagent("hint", "set", "gpu0", "--cap", "250", "--clock", "1200", "--for", "20m").out.splitlines() == [
        "gpu0: at most 250 W and 1200 MHz for 20m, or until your job ends.",
        "It counts when 2 more of its users ask, too.",
        'It is only noted: the operator of this host has not set [policy] mode_hint = "act".',
    ]
    assert hints.asked == [("gpu0", Wish(250.0), 3600.0), ("gpu0", Wish(250.0, 1200.0), 1200.0)]


def test_a_hint_that_a_job_may_take_longer_says_so(eagent: Run, hints: Hints) -> None:
    hints.told |= {"limit_w": None, "slowdown": 0.1}
    said = eagent("hint", "set", "gpu0", "--slowdown", "10%")
    assert said.out == "gpu0: your job may take 10 % longer for 1h, or until your job ends.\n"
    hints.told |= {"slowdown": None, "first_token_p99_s": 2.5, "between_tokens_p99_s": 0.2}
    said = eagent("hint", "set", "gpu0", "--first-token-p99", "2.5s", "--between-tokens-p99", "200ms")
    line = "its p99 to the first token may be 2.5 s, and its p99 between two tokens may be 0.2 s"
    assert said.out == f"gpu0: {line} for 1h, or until your job ends.\n"
    asked = [Wish(slowdown=0.1), Wish(first_token_p99_s=2.5, between_tokens_p99_s=0.2)]
    assert hints.asked == [("gpu0", each, 3600.0) for each in asked]


def test_a_hint_is_cleared(eagent: Run, hints: Hints) -> None:
    assert eagent("hint", "clear", "gpu0") == (0, "Nothing is asked of gpu0 any more.\n", "")
    assert hints.asked == [("gpu0",)]


@pytest.mark.parametrize("problem", [RefusedError("no process of yours is on gpu0"), InputError("no device 'gpu0'")])
def test_a_hint_that_is_refused_is_one_line(eagent: Run, hints: Hints, problem: Exception) -> None:
    hints.problem = problem
    assert eagent("hint", "set", "gpu0", "--cap", "250") == (1, "", f"eagent: {problem}\n")


@pytest.mark.usefixtures("hints")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "a hint needs --cap WATTS, --clock MHZ, --slowdown SHARE, --first-token-p99 TIME"),
        (("--cap", "0"), "watts must be more than 0"),
        (("--slowdown", "ten"), "write it as 10% or 0.1"),
        (("--slowdown", "0%"), "a share must be more than 0"),
        (("--slowdown", "60%"), "slowdown: must be a number of its time, as a share, more than 0 and at most 0.5"),
        (("--cap", "20kW"), "limit_w: must be a number of watts, more than 0 and at most 10,000"),
    ],
)
def test_a_hint_without_a_bound_that_can_be_is_one_line(eagent: Run, words: tuple[str, ...], line: str) -> None:
    said = eagent("hint", "set", "gpu0", *words)
    assert said.code in (1, 2)
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert line in said.err


def test_without_an_agent_a_hint_says_so(eagent: Run) -> None:
    said = eagent("hint", "set", "gpu0", "--cap", "250")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "no agent runs here" in said.err


def test_the_log_of_all_processes_is_told_in_the_order_of_time(eagent: Run, tmp_path: Path) -> None:
    for name, minute in (("warden", 2), ("agent", 1), ("power", 3)):
        audit = Audit(tmp_path / "audit" / name, lambda minute=minute: datetime(2026, 7, 22, 12, minute, tzinfo=UTC))
        audit.note(Peer(0, 1000), Role.OBSERVER, f"ask {name}", "refused: you are an observer", why="a test")
        audit.close()
    said = eagent("audit")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"2026-07-22T12:0{minute}:00.000+00:00  a process (uid 1000, pid 0, observer): ask {name}; why: a test; "
        "refused: you are an observer"
        for minute, name in ((1, "agent"), (2, "warden"), (3, "power"))
    ]
    assert [json.loads(line)["what"] for line in eagent("audit", "--json").out.splitlines()] == [
        *("ask agent", "ask warden", "ask power")
    ]
    assert eagent("audit", "--since", "10m").out == "", "all of it is older"


def test_without_a_log_there_is_nothing_to_tell(eagent: Run) -> None:
    assert eagent("audit") == (0, "", "")


def test_a_line_tells_what_changed_and_changes_nobodys_terminal() -> None:
    line = {
        "at": "2026-07-22T12:00:00.000+00:00",
        "who": {"uid": 0, "pid": 7, "comm": "eagent", "role": "operator"},
        "what": "PUT /v1/budget",
        "why": "heat\x1b[2J",
        "before": {"budget": None},
        "after": {"budget": {"budget_w": 1600.0}},
        "outcome": "done",
        "unwritten": 3,
    }
    assert sentence(line) == (
        "2026-07-22T12:00:00.000+00:00  eagent (uid 0, pid 7, operator): PUT /v1/budget; "
        'budget: none -> {"budget_w": 1600.0}; why: heat?[2J; done; 3 more before it were not kept'
    )
