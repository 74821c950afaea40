from collections.abc import Callable
from typing import Any

import pytest

from eagent.api.health import FRESH_S, unhealthy


@pytest.fixture
def fresh(status: dict[str, Any]) -> dict[str, Any]:
    status["devices"][1]["readings"]["temperature"].update(status="ok", value=50)
    return status


def test_fresh_readings_under_a_connected_warden_are_healthy_even_where_a_device_has_no_power_sensor(
    fresh: dict[str, Any],
) -> None:
    assert fresh["devices"][1]["readings"]["power"]["status"] == "not_supported"
    assert unhealthy(fresh) is None


def power(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda status: status["devices"][0]["readings"]["power"].update(change)


def package(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda status: status["devices"][2]["readings"]["power"].update(change)


def warden(**change: Any) -> Callable[[dict[str, Any]], None]:
    return lambda status: status["warden"].update(change)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (warden(connected=False), "warden is not connected"),
        (warden(stale_s=None), "not delivered a reading"),
        (warden(stale_s=FRESH_S + 1), "6.0 s old"),
        (warden(stale_s=float("nan")), "old"),
        (lambda status: status["warden"]["halves"]["writing"].update(silent_s=1.6, hangs=True), "writing half hangs"),
        (lambda status: status["warden"]["halves"]["reading"].update(silent_s=1.6, hangs=True), "reading half hangs"),
        (power(status="stale", value=None), "gpu0: the power reading is stale"),
        (power(status="missing", value=None), "gpu0: no power reading (missing)"),
        (power(status="gpu_lost", value=None), "(gpu_lost)"),
        (power(status="failed", value=None), "(failed)"),
        (power(age_s=FRESH_S + 1), "old"),
        (power(age_s=None), "unknown age"),
        (lambda status: status["devices"].clear(), "no GPU"),
        (lambda status: status.update(devices=status["devices"][2:]), "no GPU"),
        (package(status="stale", value=None), "cpu0: the power reading is stale"),
        (lambda status: status["devices"][0]["readings"].clear(), "no power reading"),
    ],
)
def test_what_is_not_seen_now_is_not_healthy(
    fresh: dict[str, Any], damage: Callable[[dict[str, Any]], None], says: str
) -> None:
    damage(fresh)
    reason = unhealthy(fresh)
    assert reason is not None
    assert says in reason


def test_a_host_with_a_gpu_that_an_operator_has_detached_is_healthy(fresh: dict[str, Any]) -> None:
    power(status="detached", value=None)(fresh)
    assert unhealthy(fresh) is not None
    fresh["devices"][0]["power_limit"]["state"] = "detached"
    assert unhealthy(fresh) is None


@pytest.mark.parametrize("said", ["missing", "not_supported", "no_permission", "failed"])
def test_a_host_that_does_not_tell_what_its_cpus_draw_is_healthy(fresh: dict[str, Any], said: str) -> None:
    package(status=said, value=None)(fresh)
    assert unhealthy(fresh) is None


def test_of_a_warden_that_is_not_connected_it_is_said_why(fresh: dict[str, Any]) -> None:
    warden(connected=False, why="the driver has not answered the warden for 4 s")(fresh)
    assert unhealthy(fresh) == (
        "the warden is not connected: nothing is read and nothing is governed: the driver has not answered the warden "
        "for 4 s"
    )
