"""A budget set or cleared at the warden itself: where the agent is another user's, the warden takes none from it."""

from __future__ import annotations

import time

from eagent.cli.dispatch import Context
from eagent.client import Client
from eagent.config import Config
from eagent.direct import Direct
from eagent.errors import InputError, RefusedError, UnavailableError
from eagent.model import Budget

POLL_S, KNOWN_S = 0.05, 5.0  # an agent asks the warden each second


def takes_budget(client: Client) -> bool:
    """Whether the agent may pass a budget on: unless the warden takes it for less than an operator."""
    return bool(client.request("GET", "/v1/status")["warden"].get("role") != "agent")


def put(
    context: Context, budget_w: float, fixed_w: float | None, safe_cap_w: float | None, why: str | None = None
) -> bool:
    """Set a budget; what is None comes from the configuration. Returns whether it is in force.

    Raises:
        InputError: the fixed draw is not known.
        RefusedError: it can't be kept, comes from the mesh, or you may not set it.
        UnavailableError: there is no warden, or its socket is closed to you.
    """
    from eagent.agent.envelope import safe_caps_w
    from eagent.wire import pack_budget, unpack_device

    config = context.config()
    refuse_beside_mesh(config)
    fixed_w = config.fixed_w if fixed_w is None else fixed_w
    if fixed_w is None:
        raise InputError("what all else on this host draws at most is not known: give --fixed-w, or set [host] fixed_w")
    with Direct(context.paths.warden_socket) as warden:
        devices = [unpack_device(each) for each in warden.ask("hello")["devices"]]
        budget = Budget(budget_w, fixed_w, safe_caps_w(devices, config, safe_cap_w))
        in_force = bool(warden.ask("budget_set", why=why, **pack_budget(budget))["in_force"])
        warden.ask("yield_clear")
    return in_force


def clear(context: Context, why: str | None = None) -> None:
    """End the budget; the errors are those of `put`."""
    refuse_beside_mesh(context.config())
    with Direct(context.paths.warden_socket) as warden:
        warden.ask("budget_clear", why=why)


def await_agent(client: Client, budget_w: float | None) -> None:
    """Wait until the agent knows what the warden was told, so that nobody is shown what was before.

    Raises:
        UnavailableError: it does not hear of it, or does not answer.
    """
    until_s = time.monotonic() + KNOWN_S
    while True:
        budget = client.request("GET", "/v1/status")["budget"]
        if (budget["budget_w"] if budget else None) == budget_w:
            return
        if time.monotonic() > until_s:
            raise UnavailableError("the warden has done it, but the agent does not know of it yet: see `eagent status`")
        time.sleep(POLL_S)


def refuse_beside_mesh(config: Config) -> None:
    """A host of the mesh draws no more than its site counts on, whoever asks.

    Raises:
        RefusedError: it is one.
    """
    if config.mesh is not None:
        raise RefusedError(
            f"the budget of this host comes from the mesh ({', '.join(config.mesh.domains)}), whose other hosts count "
            "on it: take [mesh] out of the configuration first"
        )
