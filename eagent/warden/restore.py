"""Putting everything back without an agent: through the warden if it lives, else from the journal alone."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection

from eagent.config import Config, Paths
from eagent.errors import RefusedError, UnavailableError
from eagent.model import KnobName
from eagent.warden.main import take_over, wait
from eagent.warden.warden import Warden
from eagent.wire import MESSAGE_MAX_BYTES, Message, decode, encode, watts

ANSWER_S = 5.0
POLL_S = 0.05


def is_alive(paths: Paths) -> bool:
    """Whether a warden answers on its socket."""
    with _socket() as probe:
        return probe.connect_ex(str(paths.warden_socket)) == 0


def restore_through_warden(paths: Paths, config: Config, *, clear_budget: bool = False) -> list[str]:
    """Ask a living warden to let its lease go and, if told, its budget; wait until every knob is back.

    Returns:
        One line per device.

    Raises:
        UnavailableError: it does not answer.
        RefusedError: it says no, or some knob is not back in time.
    """
    with _socket() as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(paths.warden_socket))
            if clear_budget:
                _ask(connection, "budget_clear")
            _ask(connection, "release")
            deadline = time.monotonic() + config.let_go_s
            while True:
                status = _ask(connection, "status")
                late = _late(status)
                if not late:
                    break
                if time.monotonic() > deadline:
                    raise RefusedError(f"not back yet: {', '.join(late)}; see its log for why")
                time.sleep(POLL_S)
        except OSError as problem:
            reason = problem.strerror or "no answer"
            raise UnavailableError(f"the warden at {paths.warden_socket}: {reason}: is it stopped?") from None
    where = "the safe caps hold, because a budget stands" if status["budget"] else "every knob is where it was before"
    return [f"No agent runs. The warden has let go: {where}."]


def _late(status: Message) -> list[str]:
    """The knobs that are not yet where they belong without a lease."""
    limits = [
        row
        for row in status["knobs"]
        if row["state"] == "restoring" or row["ours_mw"] not in (None, row["requested_mw"])
    ]
    others = [row for row in (*status["clocks"], *status.get("preferences", ())) if row["state"] == "restoring"]
    return [f"{row['knob']} of {row['uuid']}" for row in (*limits, *others)]


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)


def _ask(connection: socket.socket, op: str) -> Message:
    connection.sendall(encode({"op": op}))
    reply = decode(connection.recv(MESSAGE_MAX_BYTES + 1))
    if reply.get("ok") is not True:
        raise RefusedError(str(reply.get("error")))
    return reply


def restore_offline(paths: Paths, config: Config, *, clear_budget: bool = False) -> list[str]:
    """Put each knob where it belongs: to its journalled value or, while a budget stands, to its safe cap.

    Args:
        paths: Where journal and budget are.
        config: Which driver to use.
        clear_budget: Drop the budget first, so that every knob goes back to its prior value.

    Returns:
        One line per device: where its limit was, where it is, and why.

    Raises:
        UnavailableError: a warden runs: it holds the knobs, ask it instead.
        RefusedError: some knob did not go back; the message names each and the driver's reason.
    """
    with take_over(paths, config) as host:
        warden = host.warden
        if clear_budget and warden.budget:
            warden.budget_clear()
        wait(warden.at_rest, config.let_go_s)
        status = warden.status(time.monotonic_ns())
        after = status["knobs"]
        damaged = {uuid for uuid, knob in warden.damaged if knob is KnobName.POWER_LIMIT}
        lines, failures = _others(warden, host.entered, status)
        for device, found_mw, now in zip(warden.devices, host.found_mw, after, strict=True):
            where = "its safe cap, because a budget stands" if warden.budget else "its prior value"
            if device.uuid in damaged:
                failures.append(f"{device.label}, at {watts(found_mw or 0):g} W ({now['why']})")
            elif now["state"] == "restoring" or now["ours_mw"] not in (None, now["requested_mw"]):
                failures.append(f"{device.label} ({now['error'] or now['why'] or 'no answer'})")
            elif not now["writable"]:
                lines.append(f"{device.label}: power limit not touched: {now['why']}")
            elif found_mw == now["requested_mw"]:
                lines.append(f"{device.label}: power limit {watts(now['requested_mw']):g} W: it was at {where}")
            else:
                lines.append(
                    f"{device.label}: power limit {watts(found_mw or 0):g} W -> {watts(now['requested_mw']):g} W, "
                    f"{where}"
                )
    if failures:
        raise RefusedError(
            f"not back: {', '.join(failures)}; what the journal keeps is put back by another `eagent restore`"
        )
    return lines


def _others(warden: Warden, entered: Collection[tuple[str, KnobName]], status: Message) -> tuple[list[str], list[str]]:
    """Of the knobs beside power limits that the journal named, a line for each that is back, and what is not."""
    lines, failures = [], []
    labels = {device.uuid: device.label for device in warden.devices}
    for row in (*status["clocks"], *status["preferences"]):
        knob, what = KnobName(row["knob"]), f"{labels[row['uuid']]}: {row['knob'].replace('_', ' ')}"
        if (row["uuid"], knob) in warden.damaged:
            failures.append(f"{what} ({warden.damaged[row['uuid'], knob]})")
        elif row["state"] == "restoring" or (row["state"] == "unwritable" and (row["uuid"], knob) in entered):
            failures.append(f"{what} ({row['error'] or row['why'] or 'no answer'})")
        elif (row["uuid"], knob) in entered:
            lines.append(f"{what}: back where it was before eagent")
    return lines, failures
