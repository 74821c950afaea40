"""Knobs that somebody else writes, with real processes; the plant's own log tells who wrote what when."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from eagent.sim._faults import FOREIGN_PID, Faults
from eagent.sim.workload import Square
from tests.integration.asking import told

Site = Callable[..., Any]

NOTICED_S = 2.0
SLACK_S = 10.0  # for us to see it, on a machine that runs other tests; when it was is told by the plant's log
INFERRED_S = 8.0


def inject(host: Any, kind: str, gpu: int, *values: float) -> float:
    """Let somebody else write now; the host's time just before: a fault strikes at the tick that has begun."""
    with closing(Faults(host.made.plant)) as faults:
        at_s = float(host.plant.time_s) - 0.1
        faults.inject(kind, "gpu", gpu, values)
    return at_s


def device(host: Any, gpu: int) -> dict[str, Any]:
    return dict(told(host)["devices"][gpu])


def writes(host: Any, gpu: int, since_s: float) -> list[tuple[float, float, int]]:
    """Of one GPU, from the first that somebody else made since then: when, to what, and by whom."""
    log = [(at_s, new_w, pid) for at_s, each, _, new_w, pid in host.plant.limit_log() if each == gpu]
    first = next((n for n, (at_s, _, pid) in enumerate(log) if pid == FOREIGN_PID and at_s >= since_s), len(log))
    return log[first:]


def governed(site: Site, policy: str = "respect", *words: str, gpus: int = 2) -> Any:
    host = site(gpus=gpus)
    host.config.write_text(f'{host.config.read_text()}foreign = "{policy}"\n')
    host.up(*words)
    return host


def test_a_foreign_limit_is_told_within_two_seconds_and_respected_until_it_is_taken_back(site: Site) -> None:
    host = governed(site)
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400], 5)
    # What comes between a write and its reading back is a write that failed, and is tried again.
    assert host.await_true(lambda: host.plant.time_s > host.plant.limit_log()[-1][0] + 0.5, 5)
    assert device(host, 0)["power_limit"]["state"] == "leased"
    at_s = inject(host, "foreign-limit", 0, 300)
    assert host.await_true(lambda: device(host, 0)["power_limit"]["state"] == "foreign", NOTICED_S + SLACK_S)

    def values() -> tuple[float, ...]:
        told = device(host, 0)["power_limit"]
        return told["requested_w"], told["ours_w"], told["baseline_w"], told["foreign"]["count"]

    assert host.await_true(lambda: values() == (300, 250, 300, 1), SLACK_S), values()  # all of it, a turn later
    now_s = host.plant.time_s
    noticed_s = now_s - device(host, 0)["power_limit"]["foreign"]["ago_s"]  # at the latest: the answer is of later
    assert noticed_s <= at_s + 0.1 + NOTICED_S
    said = host.must("explain", "gpu0")
    assert "power limit: 300 W now, set by somebody else; eagent would have it at 250 W" in said
    assert "`eagent restore`, a pin or a new budget takes it back" in said
    assert "gpu0: power limit: changed by somebody else" in host.must("status")
    assert [pid for _, _, pid in writes(host, 0, at_s)] == [FOREIGN_PID]

    host.kill("warden")  # and the next one goes on respecting it
    assert host.await_true(lambda: device(host, 0)["power_limit"]["state"] == "unknown", 5)
    assert host.await_true(lambda: device(host, 0)["power_limit"]["state"] == "foreign", 10)
    assert {new_w for _, new_w, _ in writes(host, 0, at_s)} <= {300.0}

    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400], 5)
    host.must("restore")
    assert host.await_true(lambda: host.limits_w() == [300, 400], 5)
    assert host.stop() == 0
    assert host.limits_w() == [300, 400]
    assert not list((host.made.dir / "state").glob("journal/*.json"))


def test_a_limit_that_somebody_sets_between_two_wardens_stands_and_is_told(site: Site) -> None:
    host = governed(site)
    for gpu in (0, 1):
        host.must("pin", "set", f"gpu{gpu}", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 250], 5)
    host.kill("agent", "warden", "parent")
    host.plant.set_power_limit(0, 310.0)
    host.up()
    assert host.await_true(lambda: host.limits_w() == [310, 400], 10)
    told = device(host, 0)["power_limit"]
    assert (told["state"], told["baseline_w"], told["foreign"]["count"]) == ("foreign", 310, 1)
    assert any("gpu0: power limit: changed by somebody else" in line for line in alarms(host))

    host.must("pin", "set", "gpu1", "250W")
    assert host.await_true(lambda: host.limits_w() == [310, 250], 5)
    host.kill("agent", "warden", "parent")
    host.plant.set_power_limit(1, 320.0)
    said = host.must("restore")
    assert "gpu1: power limit 320 W: set by somebody else while eagent held it: it stands" in said
    assert host.limits_w() == [310, 320]
    assert not list((host.made.dir / "state").glob("journal/*.json"))


def test_with_overrule_a_foreign_limit_is_written_over_within_two_seconds(site: Site) -> None:
    host = governed(site, "overrule")
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400], 5)
    at_s = inject(host, "foreign-limit", 0, 300)
    assert host.await_true(lambda: len(writes(host, 0, at_s)) >= 2, NOTICED_S + SLACK_S)
    (_, theirs_w, who), (back_s, ours_w, _) = writes(host, 0, at_s)[:2]
    assert (theirs_w, who, ours_w) == (300, FOREIGN_PID, 250)
    assert back_s - at_s <= NOTICED_S


def test_a_foreign_raise_under_a_budget_lowers_the_others_or_is_overruled(site: Site) -> None:
    host = governed(site)
    envelope_w = 700.0
    host.must("budget", "set", f"{1000 + envelope_w:g}W")
    assert host.await_true(lambda: math.fsum(host.limits_w()) <= envelope_w, 5)
    at_s = inject(host, "foreign-limit", 0, 399)
    host.await_true(lambda: host.plant.time_s > at_s + NOTICED_S, NOTICED_S + SLACK_S)
    assert host.limits_w()[0] == 399
    assert math.fsum(host.limits_w()) <= envelope_w
    assert 0 < over_s(host, envelope_w, at_s) <= NOTICED_S
    host.must("budget", "set", f"{1000 + 500:g}W")
    assert host.await_true(lambda: math.fsum(host.limits_w()) <= 500, 5)
    at_s = inject(host, "foreign-limit", 1, 380)  # beside a safe cap of 150 W there is no room
    host.await_true(lambda: host.plant.time_s > at_s + NOTICED_S, NOTICED_S + SLACK_S)
    assert math.fsum(host.limits_w()) <= 500
    assert 0 < over_s(host, 500, at_s) <= NOTICED_S
    assert any("and overruled: the budget has no room for it" in line for line in alarms(host))


def test_a_raise_between_two_wardens_is_back_under_the_budget_within_two_seconds_of_the_next_ones_start(
    site: Site,
) -> None:
    host = governed(site)
    host.must("budget", "set", "1500W")
    assert host.await_true(lambda: math.fsum(host.limits_w()) <= 500, 5)
    host.kill("agent", "warden", "parent")
    host.plant.set_power_limit(0, 399.0)
    host.up()
    assert host.await_true(lambda: math.fsum(host.limits_w()) <= 500, NOTICED_S + SLACK_S)
    assert any("gpu0: power limit: changed by somebody else" in line for line in alarms(host))


def alarms(host: Any) -> list[str]:
    return list(told(host)["alarms"])


def over_s(host: Any, envelope_w: float, since_s: float) -> float:
    """How long after that time the sum of limits was above an envelope, by the plant's log."""
    limits = [400.0] * host.plant.gpu_count
    over, since_over = 0.0, None
    for at_s, gpu, _, new_w, _ in host.plant.limit_log():
        limits[gpu] = new_w
        is_over = math.fsum(limits) > envelope_w and at_s > since_s
        if since_over is not None and not is_over:
            over += at_s - since_over
        since_over = (since_over or at_s) if is_over else None
    return over if since_over is None else float("inf")


@pytest.mark.parametrize("policy", ["respect", "overrule"])
def test_a_foreign_lock_is_inferred_while_the_gpu_works_and_never_fought_where_eagent_holds_none(
    site: Site, policy: str
) -> None:
    host = governed(site, policy, gpus=1)
    Square(period_s=1.0, duty=1.0, compute=0.2, memory=0.1).start(host.plant, [0])
    assert host.await_true(lambda: device(host, 0)["readings"]["gpu_utilisation"]["value"] == 1.0, 10)
    inject(host, "foreign-lock", 0, 210, 705)
    assert host.await_true(
        lambda: any("inferred: somebody else's lock is in force" in line for line in alarms(host)), INFERRED_S + SLACK_S
    )
    said = host.must("explain", "gpu0")
    assert "the SM clock was never above 705 MHz" in said
    assert [pid for *_, pid in host.plant.lock_log()][-1] == FOREIGN_PID
