"""Putting everything back without a daemon: for after the worst, when nothing of eagent runs any more."""

from __future__ import annotations

import time

from eagent.config import Config, Paths
from eagent.errors import RefusedError
from eagent.warden.main import LET_GO_S, take_over, wait
from eagent.wire import watts


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
        wait(warden.at_rest, LET_GO_S)
        after = warden.status(time.monotonic_ns())["knobs"]
        lines, failures = [], []
        for device, found_mw, now in zip(warden.devices, host.found_mw, after, strict=True):
            where = "its safe cap, because a budget stands" if warden.budget else "its prior value"
            if not now["writable"]:
                lines.append(f"{device.label}: power limit not touched: {now['why']}")
            elif now["ours_mw"] not in (None, now["requested_mw"]):
                failures.append(f"{device.label} ({now['error'] or 'no answer'})")
            elif found_mw == now["requested_mw"]:
                lines.append(f"{device.label}: power limit {watts(now['requested_mw']):g} W: it was at {where}")
            else:
                lines.append(
                    f"{device.label}: power limit {watts(found_mw or 0):g} W -> {watts(now['requested_mw']):g} W, "
                    f"{where}"
                )
    if failures:
        raise RefusedError(
            f"not back yet: {', '.join(failures)}; the journal keeps their values: run `eagent restore` again"
        )
    return lines
