"""The agent as its API sees it: what a person can ask and tell it."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eagent import __version__
from eagent.agent import orders, report
from eagent.agent.envelope import safe_caps_w
from eagent.agent.explanation import explanation
from eagent.agent.footprint import Footprint, Footprints
from eagent.agent.loop import Governor
from eagent.agent.names import find_device
from eagent.agent.warden import UNTOLD, Told
from eagent.config import Config
from eagent.errors import InputError, NotFoundError, RefusedError, UnavailableError
from eagent.model import Budget, Device, DeviceKind, KnobName
from eagent.policy import efficiency
from eagent.policy.goals import Pin

if TYPE_CHECKING:
    from eagent.agent.member import Member  # a host without a mesh loads nothing of it

Json = dict[str, Any]


class Agent:
    """The service behind the API; it changes the governor's wishes and tells what the governor knows."""

    def __init__(
        self,
        governor: Governor,
        config: Config,
        clock: Callable[[], int] = time.monotonic_ns,
        calendar: Callable[[], datetime] = lambda: datetime.now(UTC),
        host: str | None = None,
        member: Member | None = None,
        footprints: Footprints | None = None,
        jobs: Callable[[int], list[Json]] = lambda _: [],
    ) -> None:
        """A service over `governor`.

        Args:
            governor: The loop, running or stepped by somebody else.
            config: The operator's wishes, for what a request leaves out.
            clock: Monotonic nanoseconds.
            calendar: The time of day, in UTC.
            host: This host's name; its own by default.
            member: This host's part in the mesh; None: there is none.
            footprints: Tells what the processes of eagent use; None: that is not told.
            jobs: Tells how far the jobs have come, at a monotonic time.
        """
        self._governor = governor
        self._config = config
        self._member = member
        self._footprints = footprints
        self._jobs = jobs
        self._clock = clock
        self._calendar = calendar
        self._host = host or socket.gethostname()
        self.further_alarms: Callable[[], list[str]] = list  # of whoever serves it

    def status(self) -> Json:
        """All that is known now."""
        now_ns = self._clock()
        governor = self._governor
        governor.read(now_ns)
        until_ns = governor.lease_until_ns
        told, state = self._told(), governor.state
        return {
            "version": __version__,
            "host": self._host,
            "simulated": governor.hello is not None and governor.hello.simulated,
            "time": self._calendar().isoformat(timespec="milliseconds"),
            "warden": report.warden(
                governor.feed.stats,
                governor.feed.pulse(now_ns),
                governor.warden.connected,
                governor.why_no_warden,
                governor.hello.role if governor.hello is not None else None,
            ),
            "cost": report.cost(governor.feed.stats, governor.costs, self._processes(now_ns), now_ns),
            "budget": self._budget(),
            "lease": {"until_s": (until_ns - now_ns) / 1e9} if until_ns is not None and until_ns > now_ns else None,
            "held_back": governor.held_back,
            "halted": governor.halted,
            "alarms": [
                *governor.alarms,
                *(self._member.alarms if self._member is not None else ()),
                *self.further_alarms(),
            ],
            "mesh": self._member.summary() if self._member is not None else None,
            "busy_cpus": report.reading(state.busy_cpus, "CPUs"),
            "jobs": self._jobs(now_ns),
            "devices": [
                report.device(
                    each,
                    told.get(each.device.uuid, UNTOLD),
                    governor.budget,
                    now_ns,
                    governor.inferred.get(each.device.uuid),
                )
                for each in state.devices
            ],
        }

    def explain(self, device: str) -> Json:
        """Why the knobs of `device` stand where they stand.

        Raises:
            NotFoundError: no such device.
        """
        uuid, governor, now_ns = self._find(device).uuid, self._governor, self._clock()
        governor.read(now_ns)
        state = next(each for each in governor.state.devices if each.device.uuid == uuid)
        told, inferred = self._told().get(uuid, UNTOLD), governor.inferred.get(uuid)
        jobs = [job for job in self._jobs(now_ns) if state.device.label in job["devices"]]
        made = explanation(state, told, governor.plan, governor.budget, now_ns, inferred)
        return {**made, "jobs": jobs, "efficiency": efficiency.told(governor.thrift, uuid, now_ns)}

    def plan(self) -> Json:
        """What every policy asks for, whether it acts or only observes."""
        governor = self._governor
        governor.read(self._clock())
        return {
            "simulated": governor.hello is not None and governor.hello.simulated,
            "halted": governor.halted,
            "proposals": report.plan(governor.proposals, governor.state.devices, governor.acts),
            "sleep": self._member.plan() if self._member is not None else None,
        }

    def mesh(self) -> Json:
        """This host's part in the mesh, its domains and its peers.

        Raises:
            NotFoundError: it is in none.
        """
        if self._member is None:
            raise NotFoundError("this host is in no mesh: its configuration has no [mesh]; docs/mesh.md says how")
        governor = self._governor
        return {
            "simulated": governor.hello is not None and governor.hello.simulated,
            "halted": governor.halted,
            **self._member.status(),
        }

    async def set_budget(self, budget_w: float, fixed_w: float | None, safe_cap_w: float | None) -> Json:
        """Put this host under a budget; what is None comes from the configuration.

        Returns:
            The budget as `status()` tells it, and `in_force`: whether the limits were read back under its envelope.

        Raises:
            InputError: the fixed draw is known neither here nor in the configuration, or a number is none.
            RefusedError: the warden could not keep it, or the mesh keeps one.
            UnavailableError: there is no warden.
        """
        self._refuse_beside_mesh()
        self._refuse_without_right()
        fixed_w = self._config.fixed_w if fixed_w is None else fixed_w
        if fixed_w is None:
            raise InputError(
                "what all else on this host draws at most is not known: give fixed_w, or set it in the configuration's "
                "[host] section; 0 if the budget is for what eagent can cap alone"
            )
        if not all(math.isfinite(number) and number >= 0 for number in (budget_w, fixed_w, safe_cap_w or 0.0)):
            raise InputError("a budget, a fixed draw and a safe cap are finite numbers of watts")
        caps_w = safe_caps_w(self._connected_devices(), self._config, safe_cap_w)
        in_force = await orders.set_budget(self._governor, Budget(budget_w, fixed_w, caps_w), self._clock())
        await orders.take_back(self._governor, self._clock())
        told = self._budget() or {}
        return {**told, "in_force": in_force}

    async def clear_budget(self) -> None:
        """End the budget.

        Raises:
            RefusedError: the mesh keeps it.
            UnavailableError: there is no warden.
        """
        self._refuse_beside_mesh()
        self._refuse_without_right()
        await orders.clear_budget(self._governor, self._clock())

    def set_pin(self, device: str, limit_w: float | None, for_s: float | None, clock_mhz: float | None = None) -> Json:
        """Hold the limit of `device`, its clock ceiling, or both, for `for_s` seconds or until cleared.

        A budget may keep the limit lower. A pin takes the place of the one before; None: the pin does not speak of it.

        Raises:
            NotFoundError: no such device.
            InputError: nothing to hold, or a value or time it can't have.
            RefusedError: the limit or the ceiling can't be set here.
        """
        found = self._find(device)
        if limit_w is None and clock_mhz is None:
            raise InputError("a pin names limit_w, clock_mhz, or both")
        if limit_w is not None:
            _check_can_have(found, KnobName.POWER_LIMIT, limit_w)
        if clock_mhz is not None:
            _check_can_have(found, found.clock_knob, clock_mhz)
        if for_s is not None and not (math.isfinite(for_s) and for_s > 0):
            raise InputError(f"for {for_s} s: a pin lasts for a number of seconds above 0")
        until_ns = None if for_s is None else self._clock() + int(for_s * 1e9)
        self._governor.pins[found.uuid] = Pin(found.uuid, limit_w, until_ns, clock_mhz)
        self._governor.reclaimed.add(found.uuid)
        self._governor.wake()
        return {
            "device": found.label,
            "uuid": found.uuid,
            "limit_w": limit_w,
            "clock_mhz": clock_mhz,
            "until_s": for_s,
        }

    def clear_pin(self, device: str) -> None:
        """Drop the pin of `device`, if it has one.

        Raises:
            NotFoundError: no such device.
        """
        self._governor.pins.pop(self._find(device).uuid, None)
        self._governor.wake()

    async def detach(self, device: str, by: str, why: str) -> Json:
        """Take a GPU out, so that it can be reset: nothing has it open then, and it is neither read nor set.

        Raises:
            NotFoundError: no such device.
            RefusedError: it can't be taken out, such as under a budget without room for its greatest limit.
            UnavailableError: there is no warden.
        """
        found = self._find(device)
        answer = await orders.detach(self._governor, found.uuid, by, why, self._clock())
        return {"device": found.label, "uuid": found.uuid, **answer}

    async def attach(self, device: str) -> Json:
        """Take it in again, as the driver has it now.

        Raises:
            NotFoundError: no such device.
            RefusedError: it does not answer yet, or can't be held where the budget needs it.
            UnavailableError: there is no warden.
        """
        found = self._find(device)
        answer = await orders.attach(self._governor, found.uuid, self._clock())
        return {"device": found.label, "uuid": found.uuid, **answer}

    async def restore(self) -> Json:
        """Drop all pins and give every knob back.

        Raises:
            RefusedError: a budget is in force, and a budget is kept until it is cleared.
            UnavailableError: there is no warden.
        """
        governor = self._governor
        self._refuse_beside_mesh()
        if governor.budget is not None:
            raise RefusedError(f"a budget of {governor.budget.budget_w:g} W is in force: `eagent budget clear` first")
        devices = self._connected_devices()
        dropped = len(governor.pins)
        governor.pins.clear()
        await governor.release()
        await orders.take_back(governor, self._clock())
        told = self._told()
        given_back = [
            report.baselines(device, told.get(device.uuid, UNTOLD))
            for device in devices
            if device.power_limit.writable or (device.kind is DeviceKind.CPU and device.clock.writable)
        ]
        return {"pins_dropped": dropped, "devices": given_back, "kept": list(governor.kept)}

    def standing(self) -> Json:
        """What commands change, as it is now: for the audit log."""
        governor = self._governor
        labels = {device.uuid: device.label for device in governor.devices}
        found: Json = {"budget": None if governor.budget is None else asdict(governor.budget)}
        for uuid, pin in governor.pins.items():
            left_s = None if pin.until_ns is None else round((pin.until_ns - self._clock()) / 1e9, 1)
            found[f"pin of {labels.get(uuid, uuid)}"] = {
                "limit_w": pin.limit_w,
                "clock_mhz": pin.clock_mhz,
                "for_s": left_s,
            }
        return found

    def _processes(self, now_ns: int) -> Mapping[str, Footprint | None]:
        if self._footprints is None:
            return {"warden": None, "agent": None}
        return self._footprints.look({"warden": self._governor.warden.pid, "agent": os.getpid()}, now_ns)

    def _refuse_beside_mesh(self) -> None:
        if self._member is not None:
            raise RefusedError(
                f"the budget of this host comes from the mesh ({', '.join(self._member.mesh.domains)}): have the site "
                "sign another table, or take the host out of the mesh"
            )

    def _refuse_without_right(self) -> None:
        if self._governor.hello is not None and self._governor.hello.role == "agent":
            raise RefusedError(
                "the warden takes a budget from operators only, and not from an agent of another user: `eagent budget` "
                "asks it itself"
            )

    def _budget(self) -> Json | None:
        governor = self._governor
        last = governor.told if governor.warden.connected else {}
        return report.budget(governor.budget, governor.state, last, are_read=not governor.writing_hangs)

    def _told(self) -> Mapping[str, Told]:
        """What the warden said last; nothing while it does not answer, because it would be a claim about now.

        While its half that reads knobs back hangs, nothing of what it had read.
        """
        governor = self._governor
        if not governor.warden.connected:
            return {}
        if governor.writing_hangs:
            return {uuid: each.unread() for uuid, each in governor.told.items()}
        return governor.told

    def _find(self, name: str) -> Device:
        return find_device([each.device for each in self._governor.state.devices], name)

    def _connected_devices(self) -> tuple[Device, ...]:
        if not self._governor.warden.connected:
            raise UnavailableError("the warden does not answer; is `eagent warden` running?")
        return self._governor.devices


def _check_can_have(device: Device, knob: KnobName, value: float) -> None:
    limits = knob is KnobName.POWER_LIMIT
    name, plural = ("power limit", "limits") if limits else ("clock ceiling", "ceilings")
    span = device.span(knob)
    if span is None:
        why = device.power_limit.why if limits else device.clock.why
        raise RefusedError(f"{device.label}: its {name} can't be set here: {why or 'it tells no clocks'}")
    if not span[0] <= value <= span[1]:
        raise InputError(
            f"{value:g} {knob.unit}: {device.label} takes {plural} from {span[0]:g} to {span[1]:g} {knob.unit}"
        )
