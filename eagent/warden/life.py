"""What the driver did under the warden: GPUs that it lost, settings that it forgot, and what that cost.

A setting that the driver has forgotten was not changed by anybody, and its journalled value is void: the driver's own
is what there is before us now. So its entry is made anew, before the loop sets anything there again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eagent.hardware._loop import Loop
from eagent.model import Device
from eagent.wire import Message

TOLD_NS = 600_000_000_000  # so long what is over is told
MODE_OFF = (
    "persistence mode is off: what is set is forgotten when the last process that uses the GPU ends; "
    "run `sudo nvidia-smi -pm 1`"
)


class Life(NamedTuple):
    """What the loop knows of the driver's life under one GPU; times are monotonic."""

    why: str | None  # why there is no driver for it; None: it answers
    void_ns: int | None  # since when
    forgets: int  # times that there was evidence of its having forgotten what was set
    forgot_ns: int | None  # the last of them ...
    is_kept: bool  # ... and whether the limit was ours all the same then ...
    found_mw: int | None  # ... and what it was
    has_mode: bool | None  # whether persistence mode is on; None: not known
    mode_problem: str | None  # why it could not be switched, at the last try
    is_gone: bool = False  # it is given up, and not open here


class Exposure(NamedTuple):
    """How long a device's limit in force was above what we held; times are monotonic."""

    exposed_s: float  # all of them together, as the next
    exposed_j: float
    since_ns: int | None  # None: it is not now
    ended_ns: int | None  # when the last one did
    last_s: float  # of the present or else the last one, as the next
    last_j: float


class Lives:
    """The driver's life under the GPUs of this host, as far as it was acted on."""

    def __init__(self, loop: Loop) -> None:
        """`loop` may have an earlier life behind it: what it tells now is where this one begins."""
        self._loop = loop
        self._heard = [life.forgets for life in self.all()]
        self._unheard: dict[int, str] = {}

    def all(self) -> list[Life]:
        """Of each GPU."""
        return [Life(*each) for each in self._loop.lives()]

    def exposures(self) -> list[Exposure]:
        """Of each device."""
        return [Exposure(*each) for each in self._loop.exposures()]

    def follow(self, renew: Callable[[int, Life], None]) -> bool:
        """Enter anew what was forgotten, by `renew`, and let the loop set it again. Returns whether there was any.

        What can't be entered is not set again but for a budget, and is tried again at the next call.
        """
        lives = self.all()
        forgotten = [i for i, life in enumerate(lives) if life.forgets != self._heard[i]]
        before = list(self._heard)
        for i in forgotten:
            try:
                renew(i, lives[i])
            except OSError as problem:
                self._unheard[i] = f"the journal can't be written: {problem.strerror}"
            else:
                self._unheard.pop(i, None)
                self._heard[i] = lives[i].forgets
        return self._heard != before

    def tell(self) -> None:
        """Let the loop set again what was entered anew."""
        self._loop.heard(self._heard)

    def alarms(
        self,
        devices: Sequence[Device],
        is_held: Callable[[Device], bool],
        refused: Mapping[str, str],
        now_ns: int,
    ) -> list[str]:
        """What of it a person should know.

        Args:
            devices: In the loop's order.
            is_held: Whether a device's knobs are eagent's now.
            refused: By UUID, why persistence mode could not be switched on.
            now_ns: Monotonic time.
        """
        return [
            *(
                f"gpu{number} is left alone: {why}; when it answers, send the warden a SIGHUP (`systemctl reload`)"
                for number, why in self._left()
            ),
            *(
                line
                for i, life in enumerate(self.all())
                for line in self._of_life(devices[i], i, life, is_held, now_ns)
            ),
            *(
                _of_mode(devices[i], refused)
                for i, life in enumerate(self.all())
                if life.has_mode is False and is_held(devices[i])
            ),
            *(
                line
                for device, exposure in zip(devices, self.exposures(), strict=True)
                for line in _of_exposure(device, exposure, now_ns)
            ),
        ]

    def _left(self) -> list[tuple[int, str]]:
        return sorted(self._loop.left_alone.items())

    def _of_life(self, device: Device, i: int, life: Life, is_held: Callable[[Device], bool], now_ns: int) -> list[str]:
        lines = []
        if life.void_ns is not None:
            lines.append(
                f"{device.label}: there is no driver for it since {_ago(life.void_ns, now_ns)} ({life.why}): its limit "
                f"counts as {device.max_limit_w:g} W, and eagent sets it again when it is back"
            )
        is_recent = life.forgot_ns is not None and now_ns - life.forgot_ns < TOLD_NS
        if life.forgot_ns is not None and is_recent and not life.is_kept and is_held(device):
            what = self._unheard.get(i, "what eagent holds was set again")
            lines.append(
                f"{device.label}: the driver forgot its settings {_ago(life.forgot_ns, now_ns)} ago (it was loaded "
                f"anew, the GPU was reset or lost, or its persistence mode switched off): {what}"
            )
        return lines


def _of_mode(device: Device, refused: Mapping[str, str]) -> str:
    why = refused.get(device.uuid)
    return f"{device.label}: {MODE_OFF}" + (f" (eagent may not: {why})" if why else "")


def _of_exposure(device: Device, exposure: Exposure, now_ns: int) -> list[str]:
    took = f"{exposure.last_s:.2f} s and {exposure.last_j:.0f} J"
    if exposure.since_ns is not None:
        return [f"{device.label}: exposure: its power limit is above what eagent holds: at most {took} so far"]
    if exposure.ended_ns is not None and now_ns - exposure.ended_ns < TOLD_NS:
        ago = _ago(exposure.ended_ns, now_ns)
        return [
            f"{device.label}: exposure: its power limit was above what eagent holds until {ago} ago: at most {took}"
        ]
    return []


def _ago(then_ns: int, now_ns: int) -> str:
    return f"{(now_ns - then_ns) / 1e9:.0f} s"


def told(exposure: Exposure) -> Message:
    """An exposure as the status tells it."""
    return {
        "exposed_s": exposure.exposed_s,
        "exposed_j": exposure.exposed_j,
        "is_exposed": exposure.since_ns is not None,
    }
