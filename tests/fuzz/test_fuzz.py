"""A little of `make fuzz` in every run of the tests, and that it finds what is broken on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from eagent import wire
from eagent.telemetry import _ring
from eagent.warden import budget, server, warden
from tests.fuzz.main import TARGETS, play
from tests.fuzz.referee import Referee

EXAMPLES = {"commands": 10, "http": 30}  # the others are quick
SEED = 1


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_does_no_harm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGENT_SIM_HOST", "")  # what a target sets is undone
    assert play(name, SEED, 0, EXAMPLES.get(name, 50)) == 1


def a_limit_of_any_size_is_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budget, "check_range", lambda *_: None)


def the_envelope_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warden.Warden, "_envelope_mw", lambda _: 10**9)


def a_lease_ends_late(patch: pytest.MonkeyPatch) -> None:
    real = warden.Warden.lease

    def lease(self: Any, limits: Any, ttl_s: float, *rest: Any) -> Any:
        real(self, limits, min(ttl_s * 20, 60.0), *rest)
        return {}

    patch.setattr(warden.Warden, "lease", lease)


def a_refused_lease_is_applied(patch: pytest.MonkeyPatch) -> None:
    real = server.dispatch

    def dispatch(*arguments: Any) -> Any:
        reply = real(*arguments)
        return reply if "lease" not in str(arguments[1]) else {"ok": False, "error": "refused"}

    patch.setattr("tests.fuzz.commands.dispatch", dispatch)


def telling(uuids: list[str]) -> st.SearchStrategy[bytes]:
    """Of what `make fuzz` sends the few requests that tell a broken warden from a whole one."""
    budget = {"op": "budget_set", "budget_mw": 1_700_000, "fixed_mw": 1_000_000, "safe_caps_mw": {}}
    lease = [
        {"op": "lease", "limits_mw": dict.fromkeys(uuids, limit_mw), "ttl_s": 0.5} for limit_mw in (300_000, 400_001)
    ]
    return st.sampled_from([wire.encode(each) for each in (budget, *lease)])


@pytest.mark.parametrize(
    "break_it",
    [
        a_limit_of_any_size_is_taken,
        the_envelope_is_not_asked_for,
        a_lease_ends_late,
        a_refused_lease_is_applied,
    ],
)
def test_a_warden_that_is_broken_on_purpose_is_found_out(break_it: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGENT_SIM_HOST", "")
    monkeypatch.setattr("tests.fuzz.commands.packet", telling)
    assert play("commands", SEED, 0, 10, shrink=False) == 1, "a whole warden passes"
    break_it(monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        play("commands", SEED, 0, 50, shrink=False)


def test_a_reader_that_gives_too_much_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(_ring.RingReader):
        def drain(self) -> Any:
            return [None] * 100_000

    monkeypatch.setattr("tests.fuzz.forms.RingReader", Reader)
    with pytest.raises(AssertionError):
        play("ring", SEED, 0, 50, shrink=False)


@pytest.mark.parametrize(
    ("before_mw", "then_mw", "waits_s"),
    [(360_500, 400_000, 5.9), (360_500, 360_600, 5.9), (360_500, 360_400, 10.9), (360_500, 340_000, -1.0)],
    ids=["a raise", "a small raise", "a small fall", "a fall"],
)
def test_a_change_that_waits_stands_where_the_lease_before_had_it_and_not_for_ever(
    before_mw: int, then_mw: int, waits_s: float
) -> None:
    referee = Referee(["GPU-1"], 100_000, 400_000, [before_mw], [360_000])
    for limit_mw, at_s in ((before_mw, 1.0), (then_mw, 2.0)):
        request = {"op": "lease", "limits_mw": {"GPU-1": limit_mw}, "ttl_s": 60.0}
        referee.accept(request, {"ok": True}, at_s)
    if waits_s > 0:
        referee.stand(2.0 + waits_s)
    with pytest.raises(AssertionError, match=f"stands at {before_mw} mW, for nobody"):
        referee.stand(2.0 + max(waits_s, 0.0) + 0.2)
