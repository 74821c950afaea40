import asyncio
import json
import logging
from typing import Any

import pytest

from eagent.api.routes import Reply, answer
from eagent.errors import DriverError, InputError, RefusedError, UnavailableError
from eagent.peer import Peer


def ask(service: Any, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
    reply = whole(service, method, target, body)
    return reply.status, json.loads(reply.body)


def whole(service: Any, method: str, target: str, body: bytes = b"") -> Reply:
    return asyncio.run(answer(service, method, target, body, peer=Peer(1, 0)))


def test_status_is_what_the_service_says(service: Any) -> None:
    assert ask(service, "GET", "/v1/status") == (200, service.said)


def test_a_budget_is_set_with_what_the_body_holds_and_none_for_the_rest(service: Any) -> None:
    assert ask(service, "PUT", "/v1/budget", b'{"budget_w": 2480, "fixed_w": 0}') == (200, {"budget_w": 2480.0})
    assert service.asked == [("set_budget", 2480.0, 0.0, None)]


def test_a_budget_is_cleared(service: Any) -> None:
    assert ask(service, "DELETE", "/v1/budget") == (200, {})
    assert service.asked == [("clear_budget",)]


def test_a_pin_is_set_and_cleared(service: Any) -> None:
    assert ask(service, "PUT", "/v1/devices/gpu1/pin", b'{"limit_w": 250.5, "for_s": 600}')[0] == 200
    assert ask(service, "DELETE", "/v1/devices/gpu1/pin")[0] == 200
    assert service.asked == [("set_pin", "gpu1", 250.5, 600.0, None), ("clear_pin", "gpu1")]


def test_a_pin_may_name_a_clock_ceiling_alone(service: Any) -> None:
    assert ask(service, "PUT", "/v1/devices/gpu1/pin", b'{"clock_mhz": 1200}')[0] == 200
    assert service.asked == [("set_pin", "gpu1", None, None, 1200.0)]


def test_a_gpu_is_detached_by_whom_the_kernel_says_and_attached(service: Any) -> None:
    body = b'{"why": "XID 79"}'
    reply = asyncio.run(answer(service, "PUT", "/v1/devices/gpu1/detachment", body, peer=Peer(1, 0)))
    assert reply.status == 200
    assert json.loads(reply.body)["already"] is True
    assert ask(service, "DELETE", "/v1/devices/gpu0/detachment") == (200, {"device": "gpu0", "already": False})
    assert service.asked == [("detach", "gpu1", "root", "XID 79"), ("attach", "gpu0")]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"why": 1}', b'{"why": "a\\nb"}', b'{"why": "x", "by": "me"}', b'{"why": "%s"}' % (b"x" * 201)],
)
def test_a_reason_that_is_no_line_is_refused(service: Any, body: bytes) -> None:
    status, document = ask(service, "PUT", "/v1/devices/gpu1/detachment", body)
    assert status == 400
    assert "why" in document["error"] or "body" in document["error"]
    assert service.asked == []


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_restore_takes_an_empty_body(service: Any, body: bytes) -> None:
    assert ask(service, "POST", "/v1/restore", body) == (200, {})
    assert service.asked == [("restore",)]


def test_a_device_may_be_named_with_encoded_characters(service: Any) -> None:
    assert ask(service, "GET", "/v1/devices/00000000%3A00:00.0/explain")[1]["device"] == "00000000:00:00.0"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1",
        "/v1/status/",
        "//v1/status",
        "/v1/devices//explain",
        "/v1/devices/gpu9/explain",
        "/v1/devices/gpu0%2Fexplain",
        "/v1/devices/gpu0%0a/explain",
        "/v1/devices/" + "g" * 129 + "/explain",
        "*",
        "http://eagent/v1/status",
    ],
)
def test_an_unknown_path_or_device_is_404(service: Any, target: str) -> None:
    status, document = ask(service, "GET", target)
    assert status == 404
    assert list(document) == ["error"]


def test_a_name_that_would_harm_a_terminal_does_not_reach_the_service(service: Any) -> None:
    service.explain = None  # would be called
    assert "no such path" in ask(service, "GET", "/v1/devices/gpu0%1B/explain")[1]["error"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_pin_of_an_unknown_device_is_404_and_sets_nothing(service: Any, method: str) -> None:
    assert ask(service, method, "/v1/devices/gpu9/pin", b'{"limit_w": 5}' if method == "PUT" else b"")[0] == 404
    assert service.asked == []


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", "/v1/status", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
        ("HEAD", "/v1/budget", "PUT, DELETE"),
        ("GET", "/v1/budget", "PUT, DELETE"),
        ("get", "/v1/status", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(service: Any, method: str, target: str, allowed: str) -> None:
    reply = whole(service, method, target)
    assert (reply.status, dict(reply.headers)) == (405, {"Allow": allowed})


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/status?device=gpu0", b""),
        ("GET", "/v1/status", b"{}"),
        ("DELETE", "/v1/budget", b"{}"),
        ("PUT", "/v1/budget", b"{}"),
        ("POST", "/v1/restore", b'{"clear_budget": true}'),
        ("POST", "/v1/restore", b"[]"),
    ],
)
def test_what_a_route_does_not_take_is_400(service: Any, method: str, target: str, body: bytes) -> None:
    assert ask(service, method, target, body)[0] == 400
    assert service.asked == []


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InputError("no"), 400),
        (RefusedError("a budget of 2480 W is in force:\n clear it"), 409),
        (UnavailableError("no warden"), 503),
        (DriverError("lost"), 500),
    ],
)
def test_each_error_of_the_service_has_its_status_and_its_own_line(
    service: Any, problem: Exception, status: int
) -> None:
    service.problem = problem
    assert ask(service, "POST", "/v1/restore") == (status, {"error": " ".join(str(problem).split())})


def test_an_unforeseen_error_is_logged_whole_and_told_in_one_line(
    service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.problem = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR):
        status, document = ask(service, "GET", "/v1/status")
    assert status == 500
    assert "secret" not in document["error"]
    assert "secret" in caplog.text


def test_a_number_that_json_cannot_hold_is_an_error_and_not_a_nan(
    service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.said["warden"]["stale_s"] = float("nan")
    assert ask(service, "GET", "/v1/status")[0] == 500
    assert "ValueError" in caplog.text


def test_health_tells_the_reason_for_503(service: Any) -> None:
    assert ask(service, "GET", "/healthz")[0] == 503  # gpu1's temperature is stale
    del service.said["devices"][1]
    assert ask(service, "GET", "/healthz") == (200, {"healthy": True})
    service.said["warden"]["connected"] = False
    status, document = ask(service, "GET", "/healthz")
    assert status == 503
    assert "warden is not connected" in document["error"]
