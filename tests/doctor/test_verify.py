from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.doctor.driver import Gpu
from eagent.doctor.host import Host
from eagent.doctor.packages import Package
from eagent.doctor.verify import Row, Verdict, compare

Gpus = Callable[..., Gpu]
Status = Callable[..., dict[str, Any]]
Told = Callable[..., dict[str, Any]]
LIVE = Package(0, (1800.0,), ("balance_power",), (250.0, 300.0))


def of_gpu0(host: Host, status: dict[str, Any] | None, gpu: Gpu) -> Row:
    return compare(replace(host.driver, gpus=(gpu,)), (), status)[0]


@pytest.mark.parametrize(
    ("live_w", "limit", "verdict"),
    [
        (250.0, {"ours_w": 250.0, "requested_w": 250.0, "state": "leased"}, Verdict.AGREES),
        (250.0, {"ours_w": 255.0, "requested_w": 250.0, "state": "leased"}, Verdict.AGREES),  # a raise waits
        (240.0, {"ours_w": 255.0, "requested_w": 250.0, "state": "leased"}, Verdict.DIFFERS),  # the warden is mistaken
        (256.0, {"ours_w": 255.0, "requested_w": 255.0, "state": "leased"}, Verdict.DIFFERS),
        (256.0, {"ours_w": 255.0, "requested_w": 256.0, "state": "leased"}, Verdict.AGREES),  # a small lowering waits
        (300.0, {"ours_w": 255.0, "requested_w": 300.0, "state": "leased"}, Verdict.DIFFERS),  # a great one does not
        (400.0, {"ours_w": 150.0, "requested_w": 400.0, "state": "safe"}, Verdict.DIFFERS),  # above, though it is known
        (300.0, {"ours_w": None, "state": "baseline"}, Verdict.NOT_HELD),
        (300.0, {"ours_w": 255.0, "state": "foreign", "foreign": {"stands": True}}, Verdict.NOT_HELD),
        (300.0, {"ours_w": 255.0, "state": "leased", "foreign": {"stands": False}}, Verdict.DIFFERS),
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
    rows = compare(replace(host.driver, gpus=(gpu(0), gpu(7))), (), status(ours_w=400.0, state="leased"))
    assert [(row.subject, row.verdict, row.why) for row in rows] == [
        ("gpu0", Verdict.AGREES, ""),
        ("gpu7", Verdict.UNKNOWN, "NVML shows it, and the agent does not know it"),
        ("gpu1", Verdict.UNKNOWN, "the agent knows it, and NVML does not show it"),
    ]


@pytest.mark.parametrize(("budget_w", "verdict"), [(1650.0, Verdict.AGREES), (1649.0, Verdict.DIFFERS)])
def test_the_budget_is_checked_against_live_limits_and_the_most_of_what_can_not_be_capped(
    host: Host, gpu: Gpus, status: Status, budget_w: float, verdict: Verdict
) -> None:
    said = {
        **status(ours_w=250.0, state="leased"),
        "budget": {"budget_w": budget_w, "fixed_w": 1000.0, "safe_caps_w": {}},
    }
    said["devices"][1]["power_limit"].update(writable=False)
    driver = replace(host.driver, gpus=(gpu(0, requested_w=250.0), gpu(1, requested_w=100.0)))
    row = compare(driver, (), said)[-1]
    assert (row.subject, row.knob, row.live, row.held, row.verdict) == (
        "host", "budget", 1650.0, budget_w, verdict,
    )  # fmt: skip


def test_a_budget_over_limits_that_can_not_be_read_is_unknown(host: Host, gpu: Gpus, status: Status) -> None:
    said = {**status(), "budget": {"budget_w": 9000.0, "fixed_w": 0.0, "safe_caps_w": {}}}
    driver = replace(host.driver, gpus=(gpu(0), gpu(1, requested_w=None, max_limit_w=None)))
    assert compare(driver, (), said)[-1].verdict is Verdict.UNKNOWN


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
    rows = compare(replace(host.driver, gpus=(gpu(0, sm_clock_mhz=live_mhz),)), (), said)
    assert [row.verdict for row in rows if row.knob == "gpu clock"] == verdicts


def of_package(host: Host, status: dict[str, Any] | None, live: Package, told: dict[str, Any]) -> dict[str, Row]:
    """The rows of one package by knob."""
    if status is not None:
        status["devices"].append(told)
    rows = compare(replace(host.driver, gpus=()), (live,), status)
    return {row.knob: row for row in rows if row.uuid == "CPU-0"}


def test_a_packages_knobs_have_a_row_each(host: Host, status: Status, package: Told) -> None:
    rows = of_package(host, status(), LIVE, package(0))
    assert {knob: (row.subject, row.live, row.held, row.verdict) for knob, row in rows.items()} == {
        "power limit": ("cpu0", 250.0, None, Verdict.NOT_HELD),
        "cpu clock": ("cpu0", 1800.0, 1800, Verdict.AGREES),
        "cpu preference": ("cpu0", "balance_power", "balance_power", Verdict.AGREES),
    }


@pytest.mark.parametrize(
    ("limits_w", "limit", "live_w", "verdict"),
    [
        ((200.0, 200.0), {"ours_w": 200.0, "requested_w": 200.0}, 200.0, Verdict.AGREES),
        ((200.0, 240.0), {"ours_w": 200.0, "requested_w": 200.0}, 240.0, Verdict.DIFFERS),  # a second lets more through
        ((200.0, 150.0), {"ours_w": 200.0, "requested_w": 200.0}, 200.0, Verdict.AGREES),
        ((190.0, 190.0), {"ours_w": 200.0, "requested_w": 190.0}, 190.0, Verdict.AGREES),  # a raise waits
        ((190.0, 190.0), {"ours_w": 200.0, "requested_w": 200.0}, 190.0, Verdict.DIFFERS),
        ((250.0, 300.0), {"ours_w": None, "writable": False}, 250.0, Verdict.READ_ONLY),
        ((), {"ours_w": 200.0, "requested_w": 200.0}, None, Verdict.UNKNOWN),
    ],
)
def test_a_packages_limit_is_judged_by_the_greater_of_its_two_terms(
    host: Host,
    status: Status,
    package: Told,
    limits_w: tuple[float, ...],
    limit: dict[str, Any],
    live_w: float | None,
    verdict: Verdict,
) -> None:
    live = replace(LIVE, limits_w=limits_w)
    row = of_package(host, status(), live, package(0, power_limit=limit))["power limit"]
    assert (row.live, row.verdict) == (live_w, verdict)


def test_a_package_that_has_no_limit_has_no_row_for_it(host: Host, status: Status, package: Told) -> None:
    told = package(0, power_limit={"requested_w": None, "writable": False, "state": "unwritable"})
    assert set(of_package(host, status(), replace(LIVE, limits_w=()), told)) == {"cpu clock", "cpu preference"}


@pytest.mark.parametrize(
    ("ceilings_mhz", "clock", "verdict"),
    [
        ((1800.0, 3400.0), {}, Verdict.DIFFERS),  # one CPU is free
        ((1500.0, 1800.0), {"held_mhz": 1500}, Verdict.AGREES),  # one had a lower ceiling of its owner's
        ((1500.0,), {"held_mhz": 1800}, Verdict.DIFFERS),
        ((1500.0,), {"held_mhz": None}, Verdict.DIFFERS),
        ((3400.0,), {"ours_mhz": None, "held_mhz": 3400}, Verdict.NOT_HELD),
        ((3400.0,), {"ours_mhz": None, "writable": False}, Verdict.READ_ONLY),
        ((), {}, Verdict.UNKNOWN),
    ],
)
def test_a_packages_ceiling_is_that_of_all_its_cpus(
    host: Host,
    status: Status,
    package: Told,
    ceilings_mhz: tuple[float, ...],
    clock: dict[str, Any],
    verdict: Verdict,
) -> None:
    live = replace(LIVE, ceilings_mhz=ceilings_mhz)
    row = of_package(host, status(), live, package(0, cpu_clock=clock))["cpu clock"]
    assert (row.live, row.verdict) == (max(ceilings_mhz, default=None), verdict)
    assert bool(row.why) or verdict.is_good


@pytest.mark.parametrize(
    ("preferences", "told", "live", "verdict"),
    [
        (("power",), {}, "power", Verdict.DIFFERS),
        (("balance_power", "power"), {}, "mixed", Verdict.DIFFERS),
        (("power",), {"ours": None}, "power", Verdict.NOT_HELD),
        ((), {}, None, Verdict.UNKNOWN),
    ],
)
def test_a_packages_preference_is_that_of_all_its_cpus(
    host: Host,
    status: Status,
    package: Told,
    preferences: tuple[str, ...],
    told: dict[str, Any],
    live: str | None,
    verdict: Verdict,
) -> None:
    seen = replace(LIVE, preferences=preferences)
    row = of_package(host, status(), seen, package(0, cpu_preference=told))["cpu preference"]
    assert (row.live, row.verdict) == (live, verdict)


def test_without_the_warden_a_packages_live_knobs_are_shown_and_vouched_for_by_nobody(
    host: Host, status: Status, package: Told
) -> None:
    said = status()
    said["warden"]["connected"] = False
    for word in (None, said):
        rows = of_package(host, word, LIVE, package(0))
        assert [(row.subject, row.live, row.held, row.verdict) for row in rows.values()] == [
            ("cpu0", 250.0, None, Verdict.UNKNOWN),
            ("cpu0", 1800.0, None, Verdict.UNKNOWN),
            ("cpu0", "balance_power", None, Verdict.UNKNOWN),
        ]


def test_a_package_that_only_one_side_knows(host: Host, status: Status, package: Told) -> None:
    driver = replace(host.driver, gpus=())
    said = {**status(), "devices": []}
    assert compare(driver, (LIVE,), said) == (), "nobody claims it"
    said["devices"] = [package(1)]
    (row,) = compare(driver, (LIVE,), said)
    assert (row.subject, row.verdict, row.why) == (
        *("cpu1", Verdict.UNKNOWN),
        "the agent knows it, and the kernel does not show it",
    )


@pytest.mark.parametrize(
    ("limit", "named", "live_w"),
    [
        ({"writable": True}, {}, 1300.0),
        ({"writable": False}, {}, 1000.0),  # within the fixed draw
        ({"writable": False}, {"CPU-0": 250.0}, 1250.0),
    ],
)
def test_the_budget_counts_packages_by_their_limit_or_where_it_says_so(
    host: Host, status: Status, package: Told, limit: dict[str, Any], named: dict[str, float], live_w: float
) -> None:
    said = {**status(), "budget": {"budget_w": 9000.0, "fixed_w": 1000.0, "safe_caps_w": named}}
    said["devices"] = [package(0, power_limit=limit)]
    row = compare(replace(host.driver, gpus=()), (LIVE,), said)[-1]
    assert (row.knob, row.live, row.verdict) == ("budget", live_w, Verdict.AGREES)
