"""Switch hosts by their BMCs: IPMI 2.0 over the network, spoken by ipmitool.

ipmitool reads the password's file by itself: the password is never in our memory, on a command line or in an
environment.
What it says was looked up in its version 1.8.19, against two servers (tests/integration/test_power_over_ipmi.py).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eagent.engines.power.adapter import Clock, PowerState, await_state
from eagent.engines.power.child import Finished, Run, run
from eagent.errors import RefusedError, UnavailableError

PASSWORD_BYTES_MAX = 20  # IPMI 2.0, 22.30: Set User Password
PRIVILEGES = ("OPERATOR", "ADMINISTRATOR")  # the first suffices for what we do; some BMCs let only the second in
CIPHER_SUITES = (3, 17)  # the others lack authentication, integrity or secrecy, or rest on MD5
POLL_S = 5.0
_BACKOFF_MAX_S = 60.0
_RETRANSMIT = ("-N", "1", "-R", "2")  # of packets: a BMC that is silent is given up after about 6 s
_STATE = re.compile(r"Chassis Power is (on|off)")
_POWER = re.compile(r"^\s*Instantaneous power reading:\s+(\d{1,5}) Watts\s*$", re.MULTILINE)
_POWER_ACTIVE = re.compile(r"^\s*Power reading state is:\s+activated\s*$", re.MULTILINE)
# What ipmitool says (with -v) when the BMC knows us and will not have us: to ask again would lock the account.
_NOT_LET_IN = {
    "RAKP 2 HMAC is invalid": "the password is wrong",
    "unauthorized name": "it does not know the user",
    "unauthorized role or privilege level": "the user may not have this privilege",
    "failed: Insufficient privilege level": "the user's privilege does not suffice",
    "is not what we requested": "it does not speak this cipher suite: try cipher_suite = 3",
    "no matching cipher suite": "it does not speak this cipher suite: try cipher_suite = 3",
}
# Of the thing that was asked; with -v, ipmitool also tells how questions of its own were answered.
_COMMAND_REFUSED = re.compile(
    r"^(?:Set Chassis Power Control to \S+ failed|\s*DCMI request failed because): (.+)$", re.MULTILINE
)
_FOR_NOW = re.compile(r"busy|timeout|initialization|update mode", re.IGNORECASE)  # completion codes C0, C3, D1, D2


class CommandRefusedError(RefusedError):
    """The BMC let us in and will not do this one thing."""


@dataclass(frozen=True, slots=True)
class Bmc:
    """How one host's BMC is reached, and how patient we are with it."""

    address: str
    user: str
    password_file: Path
    port: int = 623
    cipher_suite: int | None = None  # None: the best that both know, of those that ipmitool takes
    privilege: str = "OPERATOR"
    timeout_s: float = 15.0  # of one run of ipmitool
    attempts: int = 3
    backoff_s: float = 2.0  # before the second attempt; doubles with each
    grace_s: float = 120.0  # for the host to shut down in order
    force: bool = True  # after the grace: take its power


def why_no_secret(path: Path) -> str | None:
    """What keeps a file from being the place of a password, or None. It is not read."""
    try:
        found = path.stat()
    except OSError as problem:
        return f"{path}: {problem.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path}: not a file"
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path}: others than its owner may use it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}"
    if found.st_uid not in (0, os.geteuid()):
        return f"{path}: belongs to user {found.st_uid}, not to root or to user {os.geteuid()}"
    if not os.access(path, os.R_OK):
        return f"{path}: user {os.geteuid()} may not read it"
    if not 0 < found.st_size <= PASSWORD_BYTES_MAX + 1:
        return f"{path}: holds {found.st_size} bytes: must be one line of 1 to {PASSWORD_BYTES_MAX} bytes"
    return None


def read_state(output: str) -> PowerState | None:
    """The state in what `chassis power status` printed; None if it printed anything else."""
    found = _STATE.fullmatch(output.strip())
    return PowerState(found[1]) if found else None


def read_power_w(output: str) -> float | None:
    """The watts in what `dcmi power reading` printed; None if there is no reading.

    Zero is none, too: a BMC that answers draws power, and some print 0 where they measure nothing.
    """
    found = _POWER.findall(output)
    if len(found) != 1 or not _POWER_ACTIVE.search(output):
        return None
    return float(found[0]) or None


class IpmiAdapter:
    """The hosts whose BMCs speak IPMI."""

    def __init__(
        self, bmcs: Mapping[str, Bmc], program: str = "/usr/bin/ipmitool", run: Run = run, clock: Clock | None = None
    ) -> None:
        """Switch the hosts of `bmcs`, by name; `program` is where ipmitool is."""
        self._bmcs = bmcs
        self._program = program
        self._run = run
        self._clock = clock or Clock()

    @property
    def off_s(self) -> float:
        """Two looks, then a look, a wish, a look at the end of the grace, and the end: each with all its attempts."""
        return max((6 * _longest_s(bmc) + bmc.grace_s for bmc in self._bmcs.values()), default=0.0)

    async def state(self, host: str) -> PowerState:
        """What the BMC says about the chassis."""
        done = await self._ask(host, "chassis", "power", "status")
        state = read_state(done.output)
        if state is None:
            raise UnavailableError(f"{host}: ipmitool said neither on nor off, but: {done.last_words()}")
        return state

    async def on(self, host: str) -> None:
        """Switch the chassis on."""
        await self._ask(host, "chassis", "power", "on")

    async def off(self, host: str) -> None:
        """Ask the host to shut down; when it has not after the grace, take its power, or refuse to.

        A BMC that will not pass the wish on may do so because the host shuts down already: it gets the grace, too.
        """
        bmc = self._bmc(host)
        if await self.state(host) is PowerState.OFF:
            return
        try:
            await self._ask(host, "chassis", "power", "soft")
            asked = "after it was asked to shut down"
        except CommandRefusedError as refusal:
            asked = f"after its BMC would not ask it to shut down ({refusal})"
        every_s = min(POLL_S, bmc.grace_s / 4)
        state = await await_state(lambda: self.state(host), PowerState.OFF, bmc.grace_s, every_s, self._clock)
        if state is PowerState.OFF:
            return
        if not bmc.force:
            raise RefusedError(
                f"{host}: not off {bmc.grace_s:g} s {asked}, and force = false forbids to take its power"
            )
        await self._ask(host, "chassis", "power", "off")

    async def power_w(self, host: str) -> float | None:
        """What the BMC measures (DCMI), over the window that the BMC chooses, often one second."""
        try:
            return read_power_w((await self._ask(host, "dcmi", "power", "reading")).output)
        except CommandRefusedError:
            return None

    def _bmc(self, host: str) -> Bmc:
        try:
            return self._bmcs[host]
        except KeyError:
            raise RefusedError(f"{host}: no BMC of it is known") from None

    async def _ask(self, host: str, *words: str) -> Finished:
        """Run ipmitool until the BMC answers, or the attempts are used up. A refusal is an answer."""
        bmc = self._bmc(host)
        for attempt in range(bmc.attempts):
            if attempt:
                await self._clock.sleep(_pause_s(bmc, attempt))
            if why := why_no_secret(bmc.password_file):
                raise RefusedError(f"{host}: {why}")
            try:
                done = await self._run(self._command(bmc, words), bmc.timeout_s)
            except UnavailableError as problem:
                why = str(problem)
                continue
            if done.status == 0:
                return done
            _raise_if_refused(host, bmc, done)
            why = _cause(done)
        times = f"{bmc.attempts} attempts" if bmc.attempts > 1 else "one attempt"
        raise UnavailableError(f"{host}: its BMC at {bmc.address} does not answer after {times}: {why}")

    def _command(self, bmc: Bmc, words: tuple[str, ...]) -> list[str]:
        suite = () if bmc.cipher_suite is None else ("-C", str(bmc.cipher_suite))
        # -v, once, for the cause of a failed login: without it a wrong password looks like a BMC that is silent.
        return [
            *(self._program, "-v", "-I", "lanplus", "-L", bmc.privilege, *suite, *_RETRANSMIT),
            *("-H", bmc.address, "-p", str(bmc.port), "-U", bmc.user, "-f", str(bmc.password_file)),
            *words,
        ]


def _pause_s(bmc: Bmc, attempt: int) -> float:
    return min(_BACKOFF_MAX_S, bmc.backoff_s * 2.0 ** (attempt - 1))


def _longest_s(bmc: Bmc) -> float:
    """The longest that one command may take, with all attempts."""
    return bmc.attempts * bmc.timeout_s + sum(_pause_s(bmc, attempt) for attempt in range(1, bmc.attempts))


def _raise_if_refused(host: str, bmc: Bmc, done: Finished) -> None:
    for sign, meaning in _NOT_LET_IN.items():
        if sign in done.errors:
            raise RefusedError(f"{host}: its BMC at {bmc.address} does not let in {bmc.user}: {meaning}")
    refused = _COMMAND_REFUSED.search(done.errors)
    if refused and not _FOR_NOW.search(refused[1]):
        raise CommandRefusedError(f"{host}: its BMC answers: {refused[1].strip()[:80]}")


def _cause(done: Finished) -> str:
    """The line that says most: the last one only ever says that there is no session."""
    lines = [line.strip() for line in done.errors.splitlines()]
    told = [line for line in lines if line.startswith(("Address lookup", "Get Auth Capabilities", "RAKP 2 message"))]
    return told[0] if told else done.last_words()
