"""Switch hosts by the site's own commands: Wake-on-LAN, the script of a PDU, a hypervisor, a simulated host."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from eagent.engines.power.adapter import PowerState, is_address, is_host_name
from eagent.engines.power.child import Finished, Run, run
from eagent.errors import RefusedError, UnavailableError

PLACES = ("host", "address")  # what stands in braces in an argument
POWER_W_MAX = 1_000_000.0
_PLACE = re.compile(r"\{([A-Za-z_]+)\}")  # an argument may hold other braces, such as those of JSON


@dataclass(frozen=True, slots=True)
class Commands:
    """What to run, each a program with its arguments, in which `{host}` and `{address}` are filled in.

    `state` prints on, off or unknown; `power_w` prints watts. Status 0 is success.
    """

    on: tuple[str, ...]
    off: tuple[str, ...]
    state: tuple[str, ...]
    power_w: tuple[str, ...] | None = None
    timeout_s: float = 60.0


def unknown_places(argument: str) -> list[str]:
    """The words in braces that we don't fill in: typing errors, most likely."""
    return [place for place in _PLACE.findall(argument) if place not in PLACES]


def fill(argv: tuple[str, ...], host: str, address: str) -> list[str]:
    """The command for one host.

    Raises:
        RefusedError: the host's name or address is none; it could be an option to the program, or a path.
    """
    if not is_host_name(host) or not is_address(address):
        raise RefusedError(f"{host!r} at {address!r} is not the name of a host at an address")
    filled = {"host": host, "address": address}
    return [_PLACE.sub(lambda match: filled.get(match[1], match[0]), argument) for argument in argv]


class CommandAdapter:
    """The hosts that are switched by commands; those that share their commands may share an adapter."""

    def __init__(self, commands: Commands, addresses: Mapping[str, str] | None = None, run: Run = run) -> None:
        """Run `commands`; `addresses` are those of hosts whose `{address}` is not their name."""
        self._commands = commands
        self._addresses = addresses or {}
        self._run = run

    @property
    def off_s(self) -> float:
        """Three commands' time-outs."""
        return 3 * self._commands.timeout_s

    async def state(self, host: str) -> PowerState:
        """What the command prints."""
        word = await self._answer(host, "state", self._commands.state)
        try:
            return PowerState(word.lower())
        except ValueError:
            raise UnavailableError(
                f"{host}: its state command printed {word[:40]!r}: must be on, off or unknown"
            ) from None

    async def off(self, host: str) -> None:
        """Run the command; what it does about an orderly shutdown is its own business."""
        await self._do(host, "off", self._commands.off)

    async def on(self, host: str) -> None:
        """Run the command."""
        await self._do(host, "on", self._commands.on)

    async def power_w(self, host: str) -> float | None:
        """What the command prints, in watts."""
        if self._commands.power_w is None:
            return None
        word = await self._answer(host, "power_w", self._commands.power_w)
        try:
            watts = float(word)
        except ValueError:
            watts = math.nan
        if not 0 <= watts <= POWER_W_MAX:
            raise UnavailableError(f"{host}: its power_w command printed {word[:40]!r}: must be a number of watts")
        return watts

    async def _answer(self, host: str, what: str, argv: tuple[str, ...]) -> str:
        return (await self._do(host, what, argv)).output.strip()

    async def _do(self, host: str, what: str, argv: tuple[str, ...]) -> Finished:
        command = fill(argv, host, self._addresses.get(host, host))
        try:
            done = await self._run(command, self._commands.timeout_s)
        except UnavailableError as problem:
            raise UnavailableError(f"{host}: its {what} command: {problem}") from None
        if done.status != 0:
            raise UnavailableError(f"{host}: its {what} command failed with status {done.status}: {done.last_words()}")
        return done
