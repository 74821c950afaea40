from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.doctor.driver import Gpu
from eagent.doctor.host import Host
from eagent.doctor.verify import Row, Verdict, compare

Gpus = Callable[..., Gpu]
Status = Callable[..., dict[str, Any]]


def of_gpu0(host: Host, status: dict[str, Any] | None, gpu: Gpu) -> Row:
    return compare(replace(host.driver, gpus=(gpu,)), status)[0]


@pytest.mark.parametrize(
    ("live_w", "limit", "verdict"),
    [
        (250.0, {"ours_w": 250.0, "requested_w": 250.0, "state": "leased"}, Verdict.AGREES),
        (250.0, {"ours_w": 255.0, "requested_w": 250.0, "state": "leased"}, Verdict.AGREES),  # a raise waits
        (240.0, {"ours_w": 255.0, "requested_w": 250.0, "state": "leased"}, Verdict.DIFFERS),  # the warden is mistaken
        (256.0, {"ours_w": 255.0, "requested_w": 255.0, "state": "leased"}, Verdict.DIFFERS),
        (400.0, {"ours_w": 150.0, "requested_w": 400.0, "state": "safe"}, Verdict.DIFFERS),  # above, though it is known
        (300.0, {"ours_w": None, "state": "baseline"}, Verdict.NOT_HELD),
        (300.0, {"ours_w": None, "writable": False, "state": "unwritable"}, Verdict.READ_ONLY),
        (None, {"ours_w": 150.0, "state": "safe"}, Verdict.UNKNOWN),
    ],
)
def test_a_live_limit_is_judged_by_what_is_held(
    host: Host, gpu: Gpus, status: Status, live_w: float | None, limit: dict[str, Any], verdict: Verdict
) -> None:
    row = of_gpu0(host, status(**limit), gpu(0, requested_w=live_w))
    assert (row.subject, row.live, row.verdict) == ("gpu0", live_w, verdict)
    assert bool(row.why) or verdict.is_good


def test_nothing_is_taken_for_held_while_the_warden_can_not_be_asked(host: Host, gpu: Gpus, status: Status) -> None:
    said = status(ours_w=250.0, state="leased")
    said["warden"]["connected"] = False
    for word in (None, said):
        row = of_gpu0(host, word, gpu(0, requested_w=250.0))
        assert (row.held, row.verdict) == (None, Verdict.UNKNOWN)


def test_a_gpu_that_only_one_side_knows_is_unknown(host: Host, gpu: Gpus, status: Status) -> None:
    rows = compare(replace(host.driver, gpus=(gpu(0), gpu(7))), status(ours_w=400.0, state="leased"))
    assert [(row.subject, row.verdict, row.why) for row in rows] == [
        ("gpu0", Verdict.AGREES, ""),
        ("gpu7", Verdict.UNKNOWN, "NVML shows it, and the agent does not know it"),
        ("gpu1", Verdict.UNKNOWN, "the agent knows it, and NVML does not show it"),
    ]


@pytest.mark.parametrize(("budget_w", "verdict"), [(1650.0, Verdict.AGREES), (1649.0, Verdict.DIFFERS)])
def test_the_budget_is_checked_against_live_limits_and_the_most_of_what_can_not_be_capped(
    host: Host, gpu: Gpus, status: Status, budget_w: float, verdict: Verdict
) -> None:
    said = {**status(ours_w=250.0, state="leased"), "budget": {"budget_w": budget_w, "fixed_w": 1000.0}}
    said["devices"][1]["power_limit"].update(writable=False)
    driver = replace(host.driver, gpus=(gpu(0, requested_w=250.0), gpu(1, requested_w=100.0)))
    row = compare(driver, said)[-1]
    assert (row.subject, row.knob, row.live, row.held, row.verdict) == (
        "host", "budget", 1650.0, budget_w, verdict,
    )  # fmt: skip


def test_a_budget_over_limits_that_can_not_be_read_is_unknown(host: Host, gpu: Gpus, status: Status) -> None:
    said = {**status(), "budget": {"budget_w": 9000.0, "fixed_w": 0.0}}
    driver = replace(host.driver, gpus=(gpu(0), gpu(1, requested_w=None, max_limit_w=None)))
    assert compare(driver, said)[-1].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("live_mhz", "held_mhz", "verdicts"),
    [
        (705, 705, [Verdict.AGREES]),
        (210, 705, [Verdict.AGREES]),
        (1410, 705, [Verdict.DIFFERS]),
        (None, 705, [Verdict.UNKNOWN]),
        (1410, None, []),
    ],
)
def test_a_clock_ceiling_is_judged_by_the_clock_because_no_lock_can_be_read(
    host: Host, gpu: Gpus, status: Status, live_mhz: int | None, held_mhz: int | None, verdicts: list[Verdict]
) -> None:
    said = status()
    said["devices"][0]["gpu_clock"]["ours_mhz"] = held_mhz
    rows = compare(replace(host.driver, gpus=(gpu(0, sm_clock_mhz=live_mhz),)), said)
    assert [row.verdict for row in rows if row.knob == "gpu clock"] == verdicts
