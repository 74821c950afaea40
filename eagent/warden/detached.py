"""Giving a GPU up so that it can be reset, and taking it again.

No driver resets a GPU that anybody has open. It goes in steps, each of which is known to be done before the next one:

    1. it counts at its greatest limit, because whoever has it meanwhile may put it there, and the others make room
    2. its knobs go back to their prior values, under a budget to its safe cap; one that does not answer is left alone
    3. it is written down that it is out, so that no warden of later opens it
    4. the loop gives its handle up

It comes back the other way round: under a budget it is at its safe cap before it counts as that. What does not succeed
leaves everything as it was before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eagent.errors import RefusedError
from eagent.hardware._loop import Loop
from eagent.model import Budget, Device, DeviceKind, KnobName
from eagent.warden import absent as records
from eagent.warden import durable
from eagent.warden.absent import Absent, Detachment, Outside, Place
from eagent.warden.budget import safe_cap_mw, uncapped_mw
from eagent.warden.journal import Journal
from eagent.wire import Message, mw, watts

if TYPE_CHECKING:
    from eagent.warden.life import Life, Lives
    from eagent.warden.warden import Warden

GPU_KNOBS = (KnobName.POWER_LIMIT, KnobName.GPU_CLOCK, KnobName.PERSISTENCE_MODE)


class Detached:
    """Takes GPUs of this host out, and in again."""

    def __init__(
        self,
        warden: Warden,
        loop: Loop,
        journal: Journal,
        lives: Lives,
        outside: Outside,
        settle: Callable[[Callable[[], bool]], bool],
        path: Path | None,
        boot_id: str,
        is_open: Callable[[Device], bool],
    ) -> None:
        """Nothing is changed yet.

        Args:
            warden: Whose GPUs they are.
            loop: The hot loop, which opens them.
            journal: What eagent has set.
            lives: What is known of the driver under each GPU.
            outside: What of this the others see.
            settle: Waits, while the loop runs, until the condition it is given is true or its patience ends; returns
                the condition's last value.
            path: Where it is written down; None: nowhere, and so no GPU is taken out.
            boot_id: This boot.
            is_open: Whether the kernel says that this process has a GPU open.
        """
        self._warden = warden
        self._loop = loop
        self._journal = journal
        self._lives = lives
        self._outside = outside
        self._settle = settle
        self._path = path
        self._boot_id = boot_id
        self._is_open = is_open

    # -- out ---------------------------------------------------------------------------------------------------------

    def detach(self, uuid: str, by: str, why: str, now_ns: int, time_s: float) -> Message:
        """Take a GPU out: when this returns it is not open in this process, and nothing of it is read or set.

        Args:
            uuid: Its UUID.
            by: Who asks for it, for a person.
            why: What for, likewise.
            now_ns: Monotonic time.
            time_s: The same since 1970.

        Returns:
            `why`: the line that is told of it from now on; `already`: it was out before.

        Raises:
            RefusedError: it can't be; it is governed as before.
        """
        i = self._find(uuid, "detached")
        standing = self._outside.gone.get(uuid)
        if standing:
            return {"why": standing.told(), "already": True}
        device = self._warden.devices[i]
        if not self._loop.can_part or self._path is None:
            raise RefusedError(
                f"{device.label}: this driver can't leave one GPU out: stop eagent for the reset instead"
            )
        if self._warden.budget:
            check_room(self._warden.budget, self._warden.devices, device, self._warden.left_alone_mw())
        detachment = Detachment(device, time_s, _line(by) or "somebody", _line(why) or "no reason was given")
        before = Absent(self._outside.gone, self._places())
        self._outside.is_moving = True
        try:
            self._part(i, detachment, now_ns)
            records.store(self._path, replace(before, detached={**before.detached, uuid: detachment}), self._boot_id)
            self._outside.gone = {**self._outside.gone, uuid: detachment}
            self._leave(i, now_ns)
        except (RefusedError, OSError) as problem:
            self._outside.gone = before.detached
            self._stay(i, device)
            self._until(lambda: not self._lives.all()[i].is_gone, now_ns)
            raise RefusedError(f"{device.label} is not detached: {_reason(problem)}{self._unwrite(before)}") from None
        finally:
            self._outside.is_moving = False
        return {"why": detachment.told(), "already": False}

    def _unwrite(self, before: Absent) -> str:
        """Have written down what was before; what of that fails, for the end of a line."""
        assert self._path is not None
        try:
            records.store(self._path, before, self._boot_id)
        except OSError as problem:
            return f"; {durable.shown(self._path)} may say that it is: {problem.strerror}"
        return ""

    def _part(self, i: int, detachment: Detachment, now_ns: int) -> None:
        """Have room for it at its greatest, and its knobs where they go back to."""
        uuid = detachment.device.uuid
        if detachment.device.power_limit.writable or detachment.device.clock.writable:
            self._outside.parting |= {uuid}
        # In this order, for the loop's thread may take a turn in between: it counts until the others have to make room.
        self._warden.rebind(i, detachment.stand_in())
        self._present(i, "parting")
        is_dead = self._lives.all()[i].why is not None
        if not self._until(lambda: self._warden.in_force() and (is_dead or self._is_back(i, uuid)), now_ns):
            if not self._warden.in_force():
                raise RefusedError("the others' limits could not be lowered in time to make room for its greatest one")
            raise RefusedError(f"its {self._held(uuid)} did not go back in time: see `eagent status`, and try again")

    def _leave(self, i: int, now_ns: int) -> None:
        """Have the loop give its handle up, and find the others answering."""
        well = {k for k, life in enumerate(self._lives.all()) if k != i and _answers(life)}
        self._outside.parting -= {self._warden.devices[i].uuid}
        self._warden.tell()
        self._present(i, "gone")
        if not self._until(lambda: self._lives.all()[i].is_gone, now_ns):
            raise RefusedError("a call of the driver hangs, and keeps all GPUs open")
        if self._is_open(self._warden.devices[i]):
            raise RefusedError("this driver keeps it open all the same: stop eagent for the reset instead")
        lost = [k for k, life in enumerate(self._lives.all()) if k in well and not _answers(life)]
        if lost:
            labels = ", ".join(self._warden.devices[k].label for k in lost)
            raise RefusedError(f"without it this driver gives no handle of {labels}: stop eagent for the reset instead")

    def _stay(self, i: int, device: Device) -> None:
        """Govern it as before."""
        self._outside.parting -= {device.uuid}
        self._present(i, "here")  # first, as above: it counts before the others have its room
        self._warden.rebind(i, device)

    # -- in ----------------------------------------------------------------------------------------------------------

    def attach(self, uuid: str, now_ns: int) -> Message:
        """Take a GPU in again, as the driver has it now: it may have been reset.

        Returns:
            `already`: it was not out.

        Raises:
            RefusedError: it does not answer, or can't be held where a budget needs it. It stays out.
        """
        i = self._find(uuid, "attached")
        detachment = self._outside.gone.get(uuid)
        if detachment is None or self._path is None:
            return {"already": True}
        rest = {other: each for other, each in self._outside.gone.items() if other != uuid}
        self._outside.is_moving = True
        try:
            self._come(i, detachment, rest, now_ns)
            records.store(self._path, Absent(rest, self._places()), self._boot_id)
        except (RefusedError, OSError) as problem:
            self._outside.gone = {**rest, uuid: detachment}
            self._outside.parting -= {uuid}
            self._warden.tell()
            self._present(i, "gone")
            raise RefusedError(f"{detachment.device.label} stays detached: {_reason(problem)}") from None
        finally:
            self._outside.is_moving = False
        self._stay(i, detachment.device)
        return {"already": False}

    def _come(self, i: int, detachment: Detachment, rest: Mapping[str, Detachment], now_ns: int) -> None:
        uuid = detachment.device.uuid
        self._present(i, "parting")
        if not self._until(lambda: _answers(self._lives.all()[i]), now_ns):
            why = self._lives.all()[i].why or "a call of the driver hangs"
            raise RefusedError(f"it does not answer yet ({why}): attach it again when `nvidia-smi` shows it")
        self._outside.gone = rest
        if self._warden.budget is None or not detachment.device.power_limit.writable:
            self._warden.tell()
            return
        self._outside.parting |= {uuid}
        self._warden.enter_for_budget(uuid)
        self._warden.tell()
        if not self._until(lambda: self._is_at_safe_cap(i), now_ns):
            raise RefusedError("its limit could not be brought to its safe cap in time")

    # -- what both go by ---------------------------------------------------------------------------------------------

    def _find(self, uuid: str, verb: str) -> int:
        for i, device in enumerate(self._warden.devices):
            if device.uuid == uuid:
                if device.kind is DeviceKind.CPU:
                    raise RefusedError(f"{device.label} is a CPU package, which can't be {verb}: only GPUs can")
                return i
        raise RefusedError(f"no GPU {uuid[: records.TEXT_MAX]} is governed here")

    def _places(self) -> tuple[Place, ...]:
        gpus = self._warden.devices[: self._loop.gpus]
        return tuple(Place(device.index, device.uuid, device.pci_bus_id) for device in gpus)

    def _present(self, i: int, presence: str) -> None:
        gpus = self._warden.devices[: self._loop.gpus]
        presences = ["gone" if device.uuid in self._outside.gone else "here" for device in gpus]
        presences[i] = presence
        self._loop.present(presences)

    def _until(self, condition: Callable[[], bool], now_ns: int) -> bool:
        """Whether it comes true in time, by what the loop says after it has gone by what it was told."""

        def look() -> bool:
            self._warden.tick(now_ns)
            return self._loop.governed(False) and condition()

        return self._settle(look)

    def _is_back(self, i: int, uuid: str) -> bool:
        """Whether nothing of the GPU is eagent's; under a budget its limit is, at its safe cap."""
        held = [knob for knob in GPU_KNOBS if self._journal.get(uuid, knob)]
        if self._warden.budget and KnobName.POWER_LIMIT in held:
            held.remove(KnobName.POWER_LIMIT)
            return not held and self._is_at_safe_cap(i)
        return not held

    def _is_at_safe_cap(self, i: int) -> bool:
        budget, device = self._warden.budget, self._warden.devices[i]
        return budget is None or self._loop.limits()[i][4] == safe_cap_mw(budget, device)

    def _held(self, uuid: str) -> str:
        held = [str(knob).replace("_", " ") for knob in GPU_KNOBS if self._journal.get(uuid, knob)]
        return " and ".join(held) or "power limit"


def check_room(budget: Budget, devices: tuple[Device, ...], device: Device, left_alone_mw: int) -> None:
    """Refuse to take a GPU out where it could then draw what the budget has not left for it.

    Raises:
        RefusedError: one line with the watts that are missing and what would be right.
    """
    if not device.power_limit.writable:  # it counts at its greatest already
        return
    others = [each for each in devices if each.power_limit.writable and each.uuid != device.uuid]
    least_mw = sum(safe_cap_mw(budget, each) for each in others) + uncapped_mw(budget, devices) + left_alone_mw
    missing_mw = least_mw + mw(device.max_limit_w) - mw(budget.envelope_w)
    if missing_mw > 0:
        missing_w = watts(missing_mw)
        raise RefusedError(
            f"{device.label} can't be detached under a budget of {budget.budget_w:g} W: a reset may put it at "
            f"{device.max_limit_w:g} W, which with the others at their safe caps is {missing_w:g} W too much: give "
            f"the others lower safe caps, or set a budget of {budget.budget_w + missing_w:g} W"
        )


def _answers(life: Life) -> bool:
    return life.why is None and not life.is_gone


def _reason(problem: Exception) -> str:
    return f"it can't be written down: {problem.strerror}" if isinstance(problem, OSError) else str(problem)


def _line(text: str) -> str:
    """What a client sent, as one line of bounded length."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[: records.TEXT_MAX]
