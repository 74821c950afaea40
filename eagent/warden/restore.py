"""Putting everything back without an agent: through the warden if it lives, else from the journal alone."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from eagent.config import Config
from eagent.direct import Direct
from eagent.model import KnobName
from eagent.paths import Paths
from eagent.warden.main import Host, put_back, take_over
from eagent.warden.warden import Warden
from eagent.wire import Message, watts

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line for each knob or device: what is where it belongs now, and what is not and why."""

    back: list[str]
    kept: list[str]


def is_alive(paths: Paths) -> bool:
    """Whether a warden answers on its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as probe:
        return probe.connect_ex(str(paths.warden_socket)) == 0


def restore_through_warden(paths: Paths, config: Config, *, clear_budget: bool = False) -> Outcome:
    """Ask a living warden to let its lease go and, if told, its budget; wait until every knob is back.

    Returns:
        What is back, and what is not in time or never will be.

    Raises:
        UnavailableError: it does not answer.
        RefusedError: it says no.
    """
    with Direct(paths.warden_socket) as warden:
        if clear_budget:
            warden.ask("budget_clear")
        warden.ask("release")
        warden.ask("yield_clear")
        deadline = time.monotonic() + config.let_go_s
        while True:
            status = warden.ask("status")
            late = _late(status)
            if not late or time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
    where = "the safe caps hold, because a budget stands" if status["budget"] else "every knob is where it was before"
    kept = [*late, *status.get("kept", ())]
    return Outcome([f"No agent runs. The warden has let go{'' if kept else f': {where}'}."], kept)


def _late(status: Message) -> list[str]:
    """The knobs that are not yet where they belong without a lease, and why."""
    limits = [
        row
        for row in status["knobs"]
        if row["state"] == "restoring" or row["ours_mw"] not in (None, row["requested_mw"])
    ]
    others = [row for row in (*status["clocks"], *status.get("preferences", ())) if row["state"] == "restoring"]
    return [
        f"{row['knob'].replace('_', ' ')} of {row['uuid']} ({row['error'] or row['why'] or 'on its way'})"
        for row in (*limits, *others)
    ]


def restore_offline(paths: Paths, config: Config, *, clear_budget: bool = False) -> Outcome:
    """Put each knob where it belongs: to its journalled value or, while a budget stands, to its safe cap.

    The loop does it in the order of every turn: limits that fall, each read back; limits that rise; then clocks and the
    CPUs' files. So the limits never sum above what they summed to before or will after, and clocks are freed when
    the limit that is to bound the draw is in force. A knob that fails is tried again each second until
    `config.let_go_s` have passed, and keeps no other from its turn.

    Args:
        paths: Where journal and budget are.
        config: Which driver to use.
        clear_budget: Drop the budget first, so that every knob goes back to its prior value.

    Returns:
        Per device where its limit was, where it is, and why; and what did not go back, with the driver's reason.

    Raises:
        UnavailableError: a warden runs: it holds the knobs, ask it instead.
    """
    with take_over(paths, config) as host:
        warden = host.warden
        if clear_budget and warden.budget:
            warden.budget_clear()
        warden.yield_clear()
        put_back(warden, config.let_go_s)
        back, kept = _told(host, warden.status(time.monotonic_ns()))
        return Outcome(back, [*kept, *(line for line in warden.kept() if not any(line in each for each in kept))])


def _told(host: Host, status: Message) -> tuple[list[str], list[str]]:
    """A line for each knob that the journal named, of what is back and of what is not."""
    warden = host.warden
    standing = {entry.key for entry in warden.standing()}
    labels = {device.uuid: device.label for device in warden.devices}
    back: list[str] = []
    kept: list[str] = []
    for row, found_mw in zip(status["knobs"], host.found_mw, strict=True):
        line, is_back = _limit(row, found_mw, warden)
        (back if is_back else kept).append(f"{labels[row['uuid']]}{line}")
    for row in (*status["clocks"], *status["preferences"]):
        key = row["uuid"], KnobName(row["knob"])
        what = f"{labels[row['uuid']]}: {row['knob'].replace('_', ' ')}"
        if key in warden.damaged:
            kept.append(f"{what} ({warden.damaged[key]})")
        elif key in standing:
            kept.append(f"{what} ({row['error'] or row['why'] or 'no answer'})")
        elif key in host.entered:
            back.append(f"{what}: back where it was before eagent")
    if not warden.budget:  # under one it stays on, because what is set must outlive us
        modes = [entry for entry in warden.standing() if entry.knob is KnobName.PERSISTENCE_MODE]
        kept += [f"{labels[each.uuid]}: {each.told()}, and is on still" for each in modes if each.uuid in labels]
    return back, kept


def _limit(row: Message, found_mw: int | None, warden: Warden) -> tuple[str, bool]:
    """Of one power limit what is to be told, and whether it is where it belongs."""
    where = "its safe cap, because a budget stands" if warden.budget else "its prior value"
    if (row["uuid"], KnobName.POWER_LIMIT) in warden.damaged:
        return f", at {watts(found_mw or 0):g} W ({row['why']})", False
    if row["state"] == "restoring" or row["ours_mw"] not in (None, row["requested_mw"]):
        return f" ({row['error'] or row['why'] or 'no answer'})", False
    if not row["writable"]:
        return f": power limit not touched: {row['why']}", True
    foreign = row["foreign"]
    if foreign and not warden.budget and foreign["value"] == row["requested_mw"]:
        return (
            f": power limit {watts(row['requested_mw']):g} W: set by somebody else while eagent held it: it stands",
            True,
        )
    if found_mw == row["requested_mw"]:
        return f": power limit {watts(row['requested_mw']):g} W: it was at {where}", True
    return f": power limit {watts(found_mw or 0):g} W -> {watts(row['requested_mw']):g} W, {where}", True
