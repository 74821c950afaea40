"""The way to a setting, and whether it is in force: by pins where an operator asks, by hints where a job's owner does.

Either ends by itself soon after nobody renews it, so whatever happens to us, the knobs go back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from eagent.client import Client, Json, device_target
from eagent.errors import EagentError, InputError, RefusedError, UnavailableError
from eagent.sweep.setting import Setting

HOLD_S = 10.0  # a killed sweep leaves its setting for as long as that
RENEW_S = 3.0
NEAR_W = 0.5
WHY = "eagent sweep"
OF_KNOB = {"power_limit": "power limit", "gpu_clock": "clock ceiling", "cpu_clock": "clock ceiling"}


class Knobs(Protocol):
    """Those of the devices of a sweep."""

    early: bool  # whether a setting can be in force before the command runs

    def set(self, setting: Setting) -> None:
        """Ask for it, or ask for it again so that it does not run out.

        Raises:
            EagentError: it can't be had.
        """

    def problem(self) -> str | None:
        """Why the setting is not in force; None: it is, as read back."""

    def notes(self) -> list[str]:
        """Who else has set a knob that the setting leaves alone."""

    def clear(self) -> None:
        """Ask for nothing any more."""


class Pins:
    """An operator's."""

    early = True

    def __init__(self, client: Client, devices: Sequence[str]) -> None:
        """Those of `devices`, by the names that the agent knows."""
        self._client = client
        self._devices = devices
        self._setting = Setting()
        self._pinned: set[str] = set()

    def others(self) -> list[tuple[str, float | None]]:
        """The devices that somebody has pinned by hand, and for how many seconds more; None: until it is cleared."""
        found = []
        for device in self._devices:
            for knob in self._explain(device):
                asked = filter(None, [knob["winner"], *knob["losers"]])
                found += [(device, each["until_s"]) for each in asked if each["policy"] == "pin"]
        return found

    def set(self, setting: Setting) -> None:
        """Pin it."""
        self._setting = setting
        wish = {"limit_w": setting.cap_w, "clock_mhz": setting.clock_mhz}
        body = {name: value for name, value in wish.items() if value is not None}
        if not body:
            self.clear()
            return
        for device in self._devices:
            self._pinned.add(device)
            self._client.request("PUT", device_target(device, "pin"), {**body, "for_s": HOLD_S}, why=WHY)

    def problem(self) -> str | None:
        """As `explain` tells."""
        for device in self._devices:
            if told := not_in_force(device, self._explain(device), self._setting):
                return told
        return None

    def notes(self) -> list[str]:
        """As `explain` tells."""
        return [
            note for device in self._devices for note in set_by_others(device, self._explain(device), self._setting)
        ]

    def clear(self) -> None:
        """Drop the pins."""
        for device in sorted(self._pinned):
            self._client.request("DELETE", device_target(device, "pin"), why=WHY)
        self._pinned.clear()

    def _explain(self, device: str) -> list[Json]:
        knobs: list[Json] = self._client.request("GET", device_target(device, "explain"))["knobs"]
        return knobs


class Hints:
    """A job owner's. The agent takes them only while the owner's command holds the device."""

    early = False

    def __init__(self, client: Client, devices: Sequence[str]) -> None:
        """Those of `devices`."""
        self._client = client
        self._devices = devices
        self._setting = Setting()
        self._told: dict[str, Json] = {}
        self._why = "the command has not been seen on the device"

    def set(self, setting: Setting) -> None:
        """Hint it; that the command is not seen on a device yet is no error, but a problem."""
        if setting != self._setting:
            self.clear()  # the one of before would stand until the command is seen on the device
        self._setting = setting
        wish = {"limit_w": setting.cap_w, "clock_mhz": setting.clock_mhz}
        body: dict[str, Any] = {name: value for name, value in wish.items() if value is not None}
        if not body:
            self.clear()
            return
        for device in self._devices:
            try:
                self._told[device] = self._client.request(
                    "PUT", device_target(device, "hint"), {**body, "for_s": HOLD_S}
                )
            except RefusedError as problem:
                self._told.pop(device, None)
                self._why = str(problem)
                continue
            if not self._told[device]["acts"]:
                raise RefusedError('hints are only noted here: the operator has not set [policy] mode_hint = "act"')

    def problem(self) -> str | None:
        """As the answers to our hints tell."""
        if self._setting.clock_mhz is None and self._setting.cap_w is None:
            return None
        for device in self._devices:
            told = self._told.get(device)
            if told is None:
                return self._why
            if told["waits_for"]:
                return f"{device}: {told['waits_for']} more of its users would have to ask, too"
            if problem := not_in_force(device, told["knobs"], self._setting):
                return problem
        return None

    def notes(self) -> list[str]:
        """As the answers to our hints tell."""
        return [
            note for device, told in self._told.items() for note in set_by_others(device, told["knobs"], self._setting)
        ]

    def clear(self) -> None:
        """Ask no more."""
        self._told.clear()
        for device in self._devices:
            self._client.request("DELETE", device_target(device, "hint"))


def not_in_force(device: str, knobs: Sequence[Json], setting: Setting) -> str | None:
    """Why a setting does not stand, by how the knobs of a device do; None: it does."""
    for knob in knobs:
        if knob["knob"] not in OF_KNOB:
            continue
        wanted = setting.cap_w if knob["knob"] == "power_limit" else setting.clock_mhz
        told = _not_left_alone(knob) if wanted is None else _not_at(knob, wanted)
        if told is not None:
            return f"{device}: {told}"
    return None


def _not_at(knob: Json, wanted: float) -> str | None:
    name, unit, decided = OF_KNOB[knob["knob"]], knob["unit"], knob["decided"]
    if decided is None:
        return f"nothing is decided about its {name} yet"
    if abs(decided - wanted) > NEAR_W:
        winner = knob["winner"]
        return f"{winner['policy']} ({winner['reason']}) keeps its {name} at {decided:g} {unit}"
    limits = knob["knob"] == "power_limit"  # a clock ceiling is in steps of the device, and none at its highest clock
    has, comes_to = (knob["value"], wanted) if limits else (knob["ours"], knob["ceiling"])
    if (has is None) == (comes_to is None) and (has is None or abs(has - comes_to) <= NEAR_W):
        return None
    return f"its {name} is {'not there' if has is None else f'{has:g} {unit}'}, not at {wanted:g} {unit}"


def _not_left_alone(knob: Json) -> str | None:
    """Whether what we have set before is still there; what another policy sets is the host's own."""
    name, unit = OF_KNOB[knob["knob"]], knob["unit"]
    if knob["winner"] is not None:
        return f"its {name} is pinned still" if knob["winner"]["policy"] == "pin" else None
    if knob["knob"] == "power_limit":
        left = knob["baseline"] is not None and knob["value"] is not None and knob["value"] < knob["baseline"] - NEAR_W
        return f"its {name} is {knob['value']:g} {unit} still" if left else None
    return f"its {name} is {knob['ours']:g} {unit} still" if knob["knob"] == "gpu_clock" and knob["ours"] else None


def set_by_others(device: str, knobs: Sequence[Json], setting: Setting) -> list[str]:
    """Policies that hold a knob down which the setting leaves alone, a line each."""
    notes = []
    for knob in knobs:
        ours = setting.cap_w if knob["knob"] == "power_limit" else setting.clock_mhz
        if ours is not None or knob["winner"] is None or knob["unit"] == "" or knob["ours"] is None:
            continue
        if knob["baseline"] is not None and knob["ours"] >= knob["baseline"]:
            continue
        notes.append(
            f"{device}: {knob['winner']['policy']} held its {OF_KNOB[knob['knob']]} at {knob['ours']:g} {knob['unit']}"
        )
    return notes


def choose(by: str, client: Client, jobs: Client, devices: Sequence[str]) -> Knobs:
    """The knobs of `devices`, by "pin", "hint", or with "auto" by pins if we may look at the agent, else by hints.

    Raises:
        InputError: a device is not there.
        UnavailableError: there is no agent.
    """
    if by == "hint":
        return Hints(jobs, devices)
    try:
        for device in devices:
            client.request("GET", device_target(device, "explain"))
    except InputError:
        raise
    except (UnavailableError, RefusedError) as problem:
        if by == "pin":
            raise
        try:
            jobs.request("DELETE", device_target(devices[0], "hint"))
        except EagentError:
            raise problem from None
        return Hints(jobs, devices)
    return Pins(client, devices)
