import json
from collections.abc import Callable
from typing import Any

from eagent.cli.status import ours, report


def cells(lines: list[str]) -> dict[str, str]:
    """The first device's row by heading: a number ends where its heading ends, a text begins where it begins."""
    head = next(index for index, line in enumerate(lines) if line.startswith("DEVICE"))
    heading, row = lines[head], lines[head + 1]
    names = heading.replace("SIM. POWER", "SIM._POWER").split()
    ends = {name: heading.replace("SIM. POWER", "SIM._POWER").index(name) + len(name) for name in names}
    found, start = {}, 0
    for name in names[:-2]:  # STATE and WHY are texts
        found[name] = row[start : ends[name]].strip() if name != "DEVICE" else row.split()[0]
        start = ends[name] if name != "DEVICE" else len(row.split()[0])
    found["REST"] = row[start:].strip()
    return found


def unknown(cost: dict[str, Any]) -> None:
    """As before there was a ring."""
    for value in cost.values():
        if isinstance(value, dict) and "status" in value:
            value.update(value=None, status="missing")
    cost["processes"] = {"warden": None, "agent": None}


def cost_line(status: dict[str, Any]) -> str:
    (line,) = (line for line in report(status) if line.startswith("cost "))
    return line


def test_what_is_passed_over_is_said_where_the_cost_is(status: dict[str, Any]) -> None:
    status["cost"]["shed_share"]["value"] = 0.75
    assert "; 24.5% of the sensors' publications caught, 75.0% passed over; " in cost_line(status)


def test_of_what_eagent_costs_only_that_is_told_which_is_known(status: dict[str, Any]) -> None:
    process = status["cost"]["processes"]["agent"]
    unknown(status["cost"])
    status["cost"]["processes"]["agent"] = process
    process["cpu_share"].update(value=None, status="missing")
    assert cost_line(status) == "cost     agent 60 MiB"


def test_a_typical_host_is_shown_with_units_limits_and_reasons(status: dict[str, Any]) -> None:
    assert report(status) == [
        "c01  eagent 0.1.0  2026-07-22T10:00:00Z",
        "warden   connected, newest reading 40ms old",
        "cost     in NVML 0.62% of the time for reads, 0.01% for writes; 99.5% of the sensors' publications caught; "
        "wake-ups at most 0.256 ms late (99 %); warden 0.4% of a CPU, 30 MiB; agent 3.0% of a CPU, 60 MiB",
        "budget   2480 W: limits in force 260.5 W + fixed 400 W, headroom 1819.5 W",
        "         without a lease each device falls to its safe cap of 150 W",
        "lease    runs 2.5s more, unless renewed",
        "",
        "DEVICE    POWER   AGE     MEAN  BUSY   TEMP  REQUESTED  ENFORCED     OURS  STATE   WHY",
        "gpu0    312.4 W  40ms  300.2 W   97%  61 °C    260.5 W   260.5 W  260.5 W  leased  share of the budget",
    ]


def test_a_missing_reading_is_a_dash_with_its_reason_and_never_a_zero(status: dict[str, Any]) -> None:
    readings = status["devices"][0]["readings"]
    readings["power"].update(value=None, status="no_permission", age_s=None)
    readings["power_mean"].update(value=310.0, status="stale", age_s=9.0)  # a last value in disguise
    readings["temperature"].update(value=None, status="not_supported")
    del readings["gpu_utilisation"]
    status["devices"][0]["power_limit"].update(requested_w=None, ours_w=None)
    found = cells(report(status))
    assert found == {
        "DEVICE": "gpu0",
        "POWER": "— no permission",
        "AGE": "—",
        "MEAN": "— stale",
        "BUSY": "— missing",
        "TEMP": "— not supported",
        "REQUESTED": "—",
        "ENFORCED": "260.5 W",
        "OURS": "—",
        "REST": "leased  share of the budget",
    }


def test_a_zero_that_was_read_is_shown_as_a_zero(status: dict[str, Any]) -> None:
    status["devices"][0]["readings"]["gpu_utilisation"]["value"] = 0.0
    assert cells(report(status))["BUSY"] == "0%"


def test_a_limit_that_may_not_be_written_says_so_and_why(status: dict[str, Any]) -> None:
    status["devices"][0]["power_limit"].update(
        state="unwritable", writable=False, ours_w=None, why="needs root: run the warden as root"
    )
    assert cells(report(status))["REST"] == "unwritable (read-only)  needs root: run the warden as root"


def test_simulated_watts_are_called_simulated(status: dict[str, Any]) -> None:
    assert "SIM" not in "\n".join(report(status))
    status["simulated"] = True
    lines = report(status)
    assert lines[1].startswith("SIMULATED")
    assert cells(lines)["SIM._POWER"] == "312.4 W"


def test_exposure_is_told_where_there_was_any(status: dict[str, Any]) -> None:
    assert "exposure" not in "\n".join(report(status))
    status["devices"][0]["power_limit"]["exposure"] = {"seconds": 1.25, "joules": 187.5, "now": True}
    line = next(line for line in report(status) if line.startswith("exposure"))
    assert "gpu0 1.25 s, 188 J and it still is" in line


def test_without_warden_budget_and_devices_it_says_each(status: dict[str, Any]) -> None:
    status["warden"].update(connected=False, stale_s=None)
    unknown(status["cost"])
    status.update(budget=None, lease=None, devices=[], alarms=["gpu0: foreign write"])
    assert report(status)[1:] == [
        "warden   NOT CONNECTED: nothing is governed by this agent; no reading yet",
        "budget   none",
        "lease    none",
        "ALARM: gpu0: foreign write",
        "",
        "No device is visible.",
    ]


def test_errors_are_shown_when_there_are_some(status: dict[str, Any]) -> None:
    status["warden"].update(read_errors=3, write_errors=1)
    assert report(status)[1].endswith("3 read errors, 1 write errors")


def test_cpu_packages_have_a_table_of_their_own(status: dict[str, Any], package: dict[str, Any]) -> None:
    other = json.loads(json.dumps(package))
    other.update(device="cpu1", uuid="CPU-1")
    other["readings"]["power"].update(value=None, status="no_permission", age_s=None)
    why = "RAPL has no limit here; its draw is a part of fixed_w"
    other["power_limit"].update(requested_w=None, state="unwritable", writable=False, why=why)
    other["cpu_clock"].update(held_mhz=3400, ours_mhz=None, state="baseline")
    other["cpu_preference"].update(held=None, state="unwritable", writable=False, why="the driver has none")
    status["devices"] += [package, other]
    status["budget"]["safe_caps_w"]["CPU-0"] = 250.0
    other["readings"]["frequency"]["value"] = 900.0
    lines = report(status)
    assert lines[4:7] == [
        "         without a lease each device falls to its safe cap of 150 W, a CPU to 250 W",
        "lease    runs 2.5s more, unless renewed",
        "cpus     3.2 of 64 busy over the last second, at 2750, 900 MHz",
    ]
    assert lines[8].startswith("DEVICE")
    assert lines[9].startswith("gpu0")
    assert lines[10:] == [
        "",
        "CPU             POWER   AGE    MEAN  LIMIT   CEILING  PREFERENCE     OURS                 WHY",
        "cpu0           85.2 W  40ms  84.0 W  250 W  1800 MHz  balance_power  ceiling, preference",
        "cpu1  — no permission     —  84.0 W      —  3400 MHz  —              none                 "
        f"limit: {why}; preference: the driver has none",
    ]


def test_knobs_of_a_package_that_are_not_just_leased_say_what_they_are(package: dict[str, Any]) -> None:
    package["power_limit"]["state"] = "safe"
    package["cpu_clock"]["state"] = "restoring"
    package["cpu_preference"]["state"] = "baseline"
    assert ours(package) == "limit (safe), ceiling (restoring)"
    for knob in ("power_limit", "cpu_clock", "cpu_preference"):
        package[knob]["state"] = "unknown"
    assert ours(package) == "unknown"


def test_busy_cpus_that_nobody_could_count_are_a_dash(status: dict[str, Any], package: dict[str, Any]) -> None:
    status["devices"].append(package)
    status["busy_cpus"].update(value=None, status="missing")
    package["readings"]["frequency"].update(value=None, status="missing")
    assert "cpus     — missing of 32 busy over the last second" in report(status)


def test_a_host_with_packages_alone_shows_them(status: dict[str, Any], package: dict[str, Any]) -> None:
    status["devices"] = [package]
    lines = report(status)
    assert lines[-1].startswith("cpu0")
    assert not any(line.startswith("DEVICE") for line in lines)


def test_simulated_watts_of_a_package_are_called_simulated(status: dict[str, Any], package: dict[str, Any]) -> None:
    status.update(simulated=True, devices=[package])
    assert report(status)[-2].startswith("CPU   SIM. POWER")


def test_status_asks_the_agent(eagent: Callable[..., Any], agent: Any) -> None:
    said = eagent("status")
    assert (said.code, said.err) == (0, "")
    assert said.out == "\n".join(report(agent.said)) + "\n"


def test_status_as_json_is_what_the_agent_says(eagent: Callable[..., Any], agent: Any) -> None:
    assert json.loads(eagent("status", "--json").out) == agent.said


def test_why_there_is_no_lease_is_said(status: dict[str, Any]) -> None:
    status.update(lease=None, held_back="the mesh has not said yet what this host may draw")
    assert "lease    none: the mesh has not said yet what this host may draw" in report(status)


def test_a_half_that_hangs_is_said_and_limits_that_are_not_read_back_are_no_sum_in_force(
    status: dict[str, Any],
) -> None:
    status["warden"]["halves"]["writing"] = {"silent_s": 12.0, "hangs": True}
    status["budget"]["limits_w"] = None
    lines = report(status)
    assert any("its writing half HANGS for 12" in line for line in lines)
    assert any("limits NOT READ BACK, counted as read last with 260.5 W" in line for line in lines)
    assert not any("limits in force" in line for line in lines)
