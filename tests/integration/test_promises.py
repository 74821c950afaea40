"""Nothing is left behind and a budget is kept, whoever is killed: real processes, `kill -9`, the driver's own log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

PRIOR_W = 380.0  # what somebody had set on gpu1 before eagent came
GRACE_S = 1.0
BUDGET_W, ENVELOPE_W, SAFE_W = 2000.0, 1000.0, 150.0

Site = Callable[..., Any]


@pytest.fixture
def budgeted(site: Site) -> Callable[..., Any]:
    """A host under a budget whose watts are shared."""

    def make(*options: str, ttl_s: float | None = None) -> Any:
        host = site()
        if ttl_s is not None:
            host.config.write_text(re.sub(r"lease_ttl_s = .*", f"lease_ttl_s = {ttl_s}", host.config.read_text()))
        host.plant.set_power_limit(1, PRIOR_W)
        host.up(*options)
        host.must("budget", "set", f"{BUDGET_W:g}")
        host.in_force_s = host.plant.time_s
        assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
        return host

    return make


def put_back(host: Any, killed_s: float) -> dict[int, tuple[float, float]]:
    """Per GPU: when it was first set again after the kill, and to what."""
    first: dict[int, tuple[float, float]] = {}
    for at_s, gpu, old_w, new_w, _ in host.plant.limit_log():
        if at_s > killed_s and new_w != old_w:
            first.setdefault(gpu, (at_s, new_w))
    return first


@pytest.mark.parametrize("victims", [("agent",), ("agent", "warden"), ("warden",), ("parent",)], ids="-".join)
def test_without_a_budget_each_knob_returns_to_its_prior_value(
    pinned: Callable[..., Any], victims: tuple[str, ...], ttl_s: float, gone: Callable[[int], bool]
) -> None:
    host = pinned(*(["--no-restart"] if victims == ("agent",) else []))
    killed_s = host.kill(*victims)
    assert host.await_true(lambda: set(put_back(host, killed_s)) == {0, 1}, ttl_s + GRACE_S + 5)
    back = put_back(host, killed_s)
    assert {gpu: limit_w for gpu, (_, limit_w) in back.items()} == {0: 400.0, 1: PRIOR_W}
    assert max(at_s for at_s, _ in back.values()) - killed_s <= ttl_s + GRACE_S
    if victims == ("parent",):
        assert host.await_true(lambda: all(gone(pid) for pid in host.pids.values()), 10)
        assert host.limits_w() == [400, PRIOR_W, 400, 400]


@pytest.mark.parametrize("victims", [("agent",), ("agent", "warden"), ("warden",), ("parent",)], ids="-".join)
def test_under_a_budget_each_knob_goes_to_its_safe_cap_and_never_above_the_budget(
    budgeted: Callable[..., Any], victims: tuple[str, ...], ttl_s: float, gone: Callable[[int], bool]
) -> None:
    host = budgeted(*(["--no-restart"] if victims == ("agent",) else []))
    killed_s = host.kill(*victims)
    assert host.await_true(lambda: len(put_back(host, killed_s)) == 4, ttl_s + GRACE_S + 5)
    back = put_back(host, killed_s)
    assert {limit_w for _, limit_w in back.values()} == {SAFE_W}
    assert max(at_s for at_s, _ in back.values()) - killed_s <= ttl_s + GRACE_S
    if victims == ("parent",):
        assert host.await_true(lambda: all(gone(pid) for pid in host.pids.values()), 10)
        assert host.limits_w() == [SAFE_W] * 4
    assert max(host.sums_w(host.in_force_s)) <= ENVELOPE_W


def test_when_all_are_killed_at_once_the_next_start_puts_everything_back(pinned: Callable[..., Any]) -> None:
    host = pinned()
    host.kill("agent", "warden", "parent")
    assert host.limits_w() == [250, 250, 400, 400]  # nobody is there to do anything
    host.up()
    assert host.await_true(lambda: host.limits_w() == [400, PRIOR_W, 400, 400], 3)


def test_when_all_are_killed_at_once_restore_puts_everything_back(pinned: Callable[..., Any]) -> None:
    host = pinned()
    host.kill("agent", "warden", "parent")
    said = host.must("restore")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]
    assert "gpu1: power limit 250 W -> 380 W, its prior value" in said
    assert "gpu2: power limit 400 W: it was at its prior value" in said


def test_when_all_are_killed_under_a_budget_restore_keeps_it_until_it_is_cleared(budgeted: Callable[..., Any]) -> None:
    host = budgeted()
    host.kill("agent", "warden", "parent")
    host.must("restore")
    assert host.limits_w() == [SAFE_W] * 4
    host.must("restore", "--clear-budget")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]
    assert max(host.sums_w(host.in_force_s)[:-4]) <= ENVELOPE_W  # the last four are the restore itself


def test_with_only_a_warden_left_restore_asks_it(budgeted: Callable[..., Any]) -> None:
    host = budgeted("--no-restart")
    host.kill("agent")
    assert "the safe caps hold" in host.must("restore")
    assert host.limits_w() == [SAFE_W] * 4
    assert "every knob is where it was before" in host.must("restore", "--clear-budget")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]


def test_restore_fails_while_a_damaged_entry_keeps_a_knob_from_going_back(pinned: Callable[..., Any]) -> None:
    host = pinned()
    host.kill("agent", "warden", "parent")
    entry = next((host.made.dir / "state" / "journal").glob("*.json"))
    entry.write_text("torn")
    done = host.eagent("restore")
    assert done.returncode == 1
    assert "at 250 W" in done.stderr
    assert "damaged" in done.stderr
    assert host.limits_w().count(250) == 1


def test_an_orderly_stop_gives_everything_back_and_leaves_nothing(pinned: Callable[..., Any], gone: Any) -> None:
    host = pinned()
    assert host.stop() == 0
    assert host.limits_w() == [400, PRIOR_W, 400, 400]
    assert all(gone(pid) for pid in host.pids.values())
    left = sorted(path.name for path in (host.made.dir / "run").iterdir())
    assert left == ["agent.lock", "jobs", "warden", "warden.lock"]
    assert [path for name in ("jobs", "warden") for path in (host.made.dir / "run" / name).iterdir()] == []
    assert list((host.made.dir / "state" / "journal").iterdir()) == []


def test_an_agent_that_comes_back_within_its_lease_moves_no_knob(budgeted: Callable[..., Any]) -> None:
    host = budgeted(ttl_s=15.0)
    killed_s = host.kill("agent")
    assert host.await_true(lambda: "starting it again" in host.log.read_text(), 5)
    assert host.await_true(lambda: host.eagent("status").returncode == 0, 12)
    assert all(limit_w > SAFE_W for _, limit_w in put_back(host, killed_s).values())


def test_other_peoples_tools_see_the_cap_that_eagent_set(pinned: Callable[..., Any]) -> None:
    host = pinned()
    seen = host.made.nvml("tell([nvmlDeviceGetPowerManagementLimit(nvmlDeviceGetHandleByIndex(i)) for i in range(4)])")
    assert seen == [250_000, 250_000, 400_000, 400_000]
    gpustat = json.loads(host.tool("gpustat", "--json"))
    assert [gpu["enforced.power.limit"] for gpu in gpustat["gpus"]] == [250, 250, 400, 400]
    assert re.findall(r"W / (\d+)W", host.tool("nvitop", "-1")) == ["250", "250", "400", "400"]


def test_explain_says_who_asked_and_why(budgeted: Callable[..., Any]) -> None:
    host = budgeted()
    host.must("pin", "set", "gpu0", "120", "--for", "1h")
    assert host.await_true(lambda: "120 W now" in host.must("explain", "gpu0"), 5)  # told a turn after it was done
    assert host.limits_w()[0] == 120
    said = host.must("explain", "gpu0")
    assert "it was 400 W before" in said
    assert "pinned" in said
