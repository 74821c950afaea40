import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from eagent.api.metrics import exposition

GOLDEN = Path(__file__).with_name("metrics.golden.prom")


def families(text: str) -> dict[str, tuple[str, str, dict[tuple[tuple[str, str], ...], float]]]:
    """Name -> type, help, samples by labels; as a scraper reads the text."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
    }


def scraped(status: dict[str, Any]) -> dict[str, tuple[str, str, dict[tuple[tuple[str, str], ...], float]]]:
    return families(exposition(status).decode())


def labelled(samples: dict[tuple[tuple[str, str], ...], float], label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in samples.items()}


def test_the_text_is_read_back_as_the_golden_one(status: dict[str, Any]) -> None:
    assert scraped(status) == families(GOLDEN.read_text(encoding="utf-8"))


def test_a_missing_reading_has_no_sample_and_the_present_one_beside_it_has(status: dict[str, Any]) -> None:
    found = scraped(status)
    assert labelled(found["eagent_gpu_power_watts"][2], "gpu") == {"0": 312.4}
    assert labelled(found["eagent_gpu_temperature_celsius"][2], "gpu") == {"0": 61}


def test_a_value_whose_status_is_not_ok_is_not_shown_even_if_it_is_there(status: dict[str, Any]) -> None:
    status["devices"][0]["readings"]["power"]["status"] = "stale"
    assert scraped(status)["eagent_gpu_power_watts"][2] == {}


def test_a_stale_reading_keeps_its_age_and_a_missing_one_has_none(status: dict[str, Any]) -> None:
    ages = scraped(status)["eagent_gpu_reading_age_seconds"][2]
    of_second = {dict(labels)["reading"]: age for labels, age in ages.items() if dict(labels)["gpu"] == "1"}
    assert of_second["temperature"] == 9.0
    assert "power" not in of_second


def test_unknown_limits_budget_and_shares_are_absent(status: dict[str, Any]) -> None:
    for device in status["devices"]:
        device["power_limit"].update(requested_w=None, enforced_w=None, ours_w=None, baseline_w=None)
    status["budget"] = None
    status["warden"].update(connected=False, stale_s=None)
    cost = status["cost"]
    for share in ("read_share", "write_share"):
        cost[share].update(value=0.5, status="stale")
    for counter in ("read_share_since_start", "write_share_since_start", "read_s", "write_s", "lateness"):
        cost[counter] = None
    cost.update(refreshes_shed=None, processes={"warden": None, "agent": None})
    found = scraped(status)
    for name in (
        "eagent_gpu_power_limit_watts",
        "eagent_budget_watts",
        "eagent_budget_limits_watts",
        "eagent_ring_stale_seconds",
        "eagent_nvml_time_ratio",
        "eagent_nvml_seconds",
        "eagent_loop_lateness_seconds",
        "eagent_shedding",
        "eagent_refreshes_shed",
        "eagent_process_cpu_seconds",
        "eagent_process_cpu_ratio",
        "eagent_process_resident_memory_bytes",
    ):
        assert found[name][2] == {}
    assert found["eagent_warden_connected"][2] == {(): 0}


def test_packages_and_gpus_have_families_of_their_own(status: dict[str, Any]) -> None:
    found = scraped(status)
    assert labelled(found["eagent_cpu_power_watts"][2], "package") == {"0": 85.5}
    assert found["eagent_cpu_energy_joules"][:1] == ("counter",)
    assert labelled(found["eagent_cpu_power_limit_watts"][2], "kind") == {
        "requested": 200.0,
        "ours": 200.0,
        "baseline": 250.0,
    }
    assert labelled(found["eagent_cpu_scaling_frequency_max_hertz"][2], "kind") == {
        "held": 2.1e9,
        "ours": 2.0e9,
        "baseline": 3.4e9,
    }
    for name, (_, _, samples) in found.items():
        labels = {label for sample in samples for label, _ in sample}
        assert not name.startswith("eagent_gpu_") or labels & {"package"} == set(), name
        assert not name.startswith("eagent_cpu_") or labels & {"gpu"} == set(), name


def test_what_is_not_known_of_a_package_and_of_the_busy_cpus_is_absent(status: dict[str, Any]) -> None:
    status["devices"][2]["cpu_clock"].update(held_mhz=None, ours_mhz=None, baseline_mhz=None)
    status["busy_cpus"].update(value=None, status="missing")
    found = scraped(status)
    assert found["eagent_cpu_scaling_frequency_max_hertz"][2] == {}
    assert found["eagent_cpu_power_recent_watts"][2] == {}
    assert found["eagent_busy_cpus"][2] == {}


def test_busy_cpus_may_be_none_at_all(status: dict[str, Any]) -> None:
    status["busy_cpus"]["value"] = 0.0
    assert scraped(status)["eagent_busy_cpus"][2] == {(): 0.0}


def test_reads_and_writes_have_shares_of_their_own_over_the_minute_and_since_the_start(status: dict[str, Any]) -> None:
    samples = scraped(status)["eagent_nvml_time_ratio"][2]
    assert {(dict(each)["kind"], dict(each)["over"]): share for each, share in samples.items()} == {
        ("read", "minute"): 0.0062,
        ("read", "start"): 0.0061,
        ("write", "minute"): 0.0001,
        ("write", "start"): 0.0002,
    }


def test_the_lateness_of_wake_ups_is_a_cumulative_histogram_in_seconds(status: dict[str, Any]) -> None:
    status["cost"]["lateness"] = [3, 2, 0, 1] + [0] * 15 + [4]
    kind, _, samples = scraped(status)["eagent_loop_lateness_seconds"]
    by_bound = labelled(samples, "le")
    assert kind == "histogram"
    assert list(by_bound)[:5] == ["1e-06", "2e-06", "4e-06", "8e-06", "1.6e-05"]
    assert list(by_bound)[-2:] == ["0.262144", "+Inf"]
    assert list(by_bound.values()) == [3, 5, 5, 6] + [6] * 15 + [10]


def test_shedding_is_one_only_while_it_lasts(status: dict[str, Any]) -> None:
    assert scraped(status)["eagent_shedding"][2] == {(): 0}
    status["cost"]["shedding_s"] = 0.0
    assert scraped(status)["eagent_shedding"][2] == {(): 1}


def test_a_process_whose_share_is_not_known_yet_shows_its_counters(status: dict[str, Any]) -> None:
    status["cost"]["processes"]["warden"]["cpu_share"].update(value=None, status="missing")
    found = scraped(status)
    assert labelled(found["eagent_process_cpu_ratio"][2], "process") == {"agent": 0.03}
    assert labelled(found["eagent_process_cpu_seconds"][2], "process") == {"warden": 2.5, "agent": 20.0}


def test_traffic_is_a_counter_a_direction_and_absent_where_the_driver_has_none(status: dict[str, Any]) -> None:
    kind, _, samples = scraped(status)["eagent_gpu_pcie_bytes"]
    assert kind == "counter"
    assert {(dict(each)["gpu"], dict(each)["direction"]): value for each, value in samples.items()} == {
        ("0", "tx"): 7e9,
        ("0", "rx"): 9e9,
    }


def test_every_help_names_its_source_and_says_simulated_only_when_it_is(status: dict[str, Any]) -> None:
    assert all("Source: " in text and "SIMULATED" not in text for _, text, _ in scraped(status).values())
    status["simulated"] = True
    found = scraped(status)
    assert all(text.startswith("SIMULATED") for _, text, _ in found.values())
    assert labelled(found["eagent_build_info"][2], "simulated") == {"true": 1}


def test_names_are_in_base_units_and_only_counters_end_in_total(status: dict[str, Any]) -> None:
    text = exposition(status).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert kinds
    for name, kind in kinds.items():
        assert name.startswith("eagent_")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(mw|milliwatts|mhz|percent|ms|mj)(_|$)", name)


def test_a_host_without_devices_still_scrapes(status: dict[str, Any]) -> None:
    status["devices"] = []
    assert scraped(status)["eagent_gpu_power_watts"][2] == {}


def test_a_half_that_hangs_is_told_with_its_age_and_the_host_is_not_healthy(status: dict[str, Any]) -> None:
    status["devices"][1]["readings"]["temperature"].update(status="ok", value=50)
    assert scraped(status)["eagent_healthy"][2] == {(): 1}
    status["warden"]["halves"]["writing"] = {"silent_s": 12.5, "hangs": True}
    found = scraped(status)
    assert found["eagent_healthy"][2] == {(): 0}
    assert labelled(found["eagent_loop_hung"][2], "half") == {"reading": 0, "writing": 1}
    assert labelled(found["eagent_loop_heartbeat_age_seconds"][2], "half") == {"reading": 0.04, "writing": 12.5}


def test_limits_that_are_not_read_back_have_no_sum_in_force_but_stay_reserved(status: dict[str, Any]) -> None:
    status["budget"]["limits_w"] = None
    found = scraped(status)
    assert found["eagent_budget_limits_watts"][2] == {}
    assert found["eagent_budget_reserved_watts"][2] == {(): 520}
