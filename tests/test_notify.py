import socket
from pathlib import Path

import pytest

from eagent.notify import Notifier

SECOND_NS = 1_000_000_000


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listening.bind(str(tmp_path / "notify"))
    return listening


def _heard(manager: socket.socket) -> list[str]:
    heard = []
    with manager:
        try:
            while True:
                heard.append(manager.recv(4096).decode())
        except BlockingIOError:
            return heard


def _environ(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_a_manager_hears_that_we_are_ready_and_how_it_stands(manager: socket.socket) -> None:
    notifier = Notifier(_environ(manager))
    notifier.ready("governs 2 GPUs\nREADY=0")
    notifier.reloading()
    notifier.stopping()
    assert _heard(manager) == [
        "READY=1\nSTATUS=governs 2 GPUs READY=0",  # one line, whatever it says
        "RELOADING=1\nSTATUS=hands over to its successor",
        "STOPPING=1",
    ]


def test_a_sign_of_life_is_given_three_times_in_the_watchdogs_span_and_a_status_with_it(manager: socket.socket) -> None:
    notifier = Notifier(_environ(manager, WATCHDOG_USEC="3000000"))
    assert notifier.period_s == 1.0
    for tenth in range(25):
        notifier.beat(SECOND_NS + tenth * SECOND_NS // 10, f"{tenth // 10}")
    assert _heard(manager) == ["WATCHDOG=1\nSTATUS=0", "WATCHDOG=1\nSTATUS=1", "WATCHDOG=1\nSTATUS=2"]


def test_without_a_watchdog_only_what_has_changed_is_told(manager: socket.socket) -> None:
    notifier = Notifier(_environ(manager))
    for status in ("a", "a", "b", "b"):
        notifier.beat(SECOND_NS, status)
    assert _heard(manager) == ["STATUS=a", "STATUS=b"]


def test_a_watchdog_that_is_meant_for_another_process_is_not_ours(manager: socket.socket) -> None:
    with manager:
        assert Notifier(_environ(manager, WATCHDOG_USEC="3000000", WATCHDOG_PID="1")).period_s is None


def test_an_abstract_socket_is_spoken_to_and_one_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    name = f"eagent-test-{tmp_path}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listening.bind(f"\0{name}")
    notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
    notifier.stopping()
    assert _heard(listening) == ["STOPPING=1"]
    notifier.stopping()  # nobody is there any more


def test_who_was_started_by_no_manager_tells_nobody() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "3000000"})
    notifier.ready("well")
    assert not notifier.listened_to
    assert notifier.period_s is None
