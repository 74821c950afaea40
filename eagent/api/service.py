"""What the API needs of the agent. The agent has these methods; it need not know this file."""

from __future__ import annotations

from typing import Any, Protocol

Json = dict[str, Any]


class Service(Protocol):
    """The agent as HTTP sees it. Everything returned is JSON-ready: text, finite numbers, booleans, None, lists, dicts.

    A device is named by what a person has: "gpu0", "0", a UUID or an unambiguous prefix of it, a PCI bus id.
    Every method raises an `EagentError` whose text is one line for a person; `routes.py` turns its class into an HTTP
    status.
    """

    def status(self) -> Json:
        """All that is known now: host, warden, budget, lease, alarms, and per device readings and power limit."""

    def explain(self, device: str) -> Json:
        """Per knob of `device`: value now, who asked for it, why, who lost, until when.

        Raises:
            NotFoundError: no such device.
        """

    def plan(self) -> Json:
        """What every policy asks for now, whether it acts or only observes."""

    def mesh(self) -> Json:
        """This host's part in the mesh: what it may draw, its domains and its peers.

        Raises:
            NotFoundError: it is in none.
        """

    async def set_budget(self, budget_w: float, fixed_w: float | None, safe_cap_w: float | None) -> Json:
        """Put the host under a budget; a None comes from the configuration.

        Returns:
            The budget as in `status()`, and `in_force`: whether all limits have been read back under it.

        Raises:
            RefusedError: the budget could not be kept, or a limit may not be written.
            InputError: a number is missing, here and in the configuration, or out of range.
            UnavailableError: no warden.
        """

    async def clear_budget(self) -> None:
        """End the budget; the devices go back to their baselines.

        Raises:
            UnavailableError: no warden.
        """

    def set_pin(self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None) -> Json:
        """Hold one device's power limit, as far as a budget lets it, its clock ceiling, or both.

        For `for_s` seconds, or until cleared. None: the pin does not speak of it.

        Raises:
            NotFoundError: no such device.
            InputError: nothing to hold, or a value it cannot have.
            RefusedError: the limit or the ceiling may not be written.
        """

    def clear_pin(self, device: str) -> None:
        """Drop the pin of `device`, if it has one.

        Raises:
            NotFoundError: no such device.
        """

    async def detach(self, device: str, by: str, why: str) -> Json:
        """Take a GPU out, so that it can be reset.

        Returns:
            `device`, `why`: the line that is told of it from now on, and `already`: it was out before.

        Raises:
            NotFoundError: no such device.
            RefusedError: it can't be taken out.
            UnavailableError: no warden.
        """

    async def attach(self, device: str) -> Json:
        """Take it in again.

        Returns:
            `device`, and `already`: it was not out.

        Raises:
            NotFoundError: no such device.
            RefusedError: it does not answer yet.
            UnavailableError: no warden.
        """

    async def restore(self) -> Json:
        """Drop all pins and give every knob back.

        Returns:
            `devices`: per device whose knobs go back its `device` name and `baseline_w`; of a CPU package also
            `baseline_mhz` and `baseline_preference`. `kept`: what can't be put back, a line each.

        Raises:
            RefusedError: a budget is in force.
            UnavailableError: no warden.
        """
