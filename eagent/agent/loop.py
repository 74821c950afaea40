"""The agent's one loop: drain → fold → decide → apply."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from eagent.agent.cost import Costs
from eagent.agent.feed import Feed
from eagent.agent.foreign import foreign_limit_w
from eagent.agent.links import Tap, WardenLink
from eagent.agent.names import find_device
from eagent.agent.plan import NOTHING, Plan, Vector, make_plan
from eagent.agent.questions import Questions
from eagent.agent.warden import (
    UNTOLD,
    Backoff,
    ClockStatus,
    Hello,
    KnobStatus,
    PreferenceStatus,
    Told,
)
from eagent.config import Config
from eagent.errors import EagentError, InputError, RefusedError
from eagent.model import NEVER, Budget, Device, DeviceKind, DeviceState, HostState, Knob, Priority, Proposal, Reading
from eagent.policy.goals import Goals, Hint, Pin
from eagent.policy.registry import Policies
from eagent.telemetry.fold import Fold
from eagent.telemetry.locks import Inference, Locks
from eagent.wire import Message, watts

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000

LOCK_AGAIN_NS = 10 * SECOND_NS  # a lock that others fight for is written no more often

ROUNDING_W = 1e-6  # of an envelope, which is a difference of floats


def modes(config: Config) -> dict[str, str]:
    """What each policy may do, by its name; one that is not here only observes. A pin is a command, and acts."""
    return {
        "budget": config.mode_budget,
        "pin": "act",
        "hint": config.mode_hint,
        "idle": config.mode_idle,
        "cpu": config.mode_cpu,
        "sleep": config.mode_sleep,
    }


class Governor:
    """Reads, decides and asks, once a period. What it knows is open to read; only its own methods change it.

    Nothing that a warden does or fails to do ends it: what goes wrong is an alarm until it goes well again.
    """

    def __init__(
        self,
        warden: WardenLink,
        feed: Feed,
        config: Config,
        goals: Goals | None = None,
        halted: Callable[[], str | None] = lambda: None,
        busy_cpus: Callable[[int], Reading] = lambda _: NEVER,
        frequencies: Callable[[int], Mapping[str, Reading]] = lambda _: {},
        tap: Tap | None = None,
    ) -> None:
        """A governor that knows nothing yet.

        Args:
            warden: The way to the warden.
            feed: The way to the ring.
            config: The operator's wishes.
            goals: The numbers that the policies go by; what the configuration says of them comes before.
            halted: Says why all policies but the budget's are to stand still; None: they are not.
            busy_cpus: Tells how many CPUs are busy, at a monotonic time.
            frequencies: Tells how fast the CPUs of each package run, by its UUID, at a monotonic time.
            tap: Gets all that is drained from the ring, too.
        """
        self.halted: str | None = None
        self.proposals: list[Proposal] = []  # of all policies, those that only observe included
        self._halted = halted
        self._policies = Policies()
        self.warden = warden
        self.hello: Hello | None = None
        self.told: Mapping[str, Told] = {}  # per UUID, what the warden said last
        self.state = HostState(())
        self.plan: Plan = NOTHING
        self.pins: dict[str, Pin] = {}
        self.hints: Callable[[int], tuple[Hint, ...]] = lambda _: ()  # what jobs ask for, at a monotonic time
        self.reclaimed: set[str] = set()  # the UUIDs whose limits an operator wants governed, whoever has set them
        self.lease_until_ns: int | None = None
        self.budget: Budget | None = None  # as the warden holds it
        self._reserved_w = 0.0  # of it, for GPUs that did not answer at the warden's start
        self.writing_hangs = False  # the half of the warden that writes knobs and reads them back, as of the last read
        self.waiting: str | None = None  # for what, before anything may be asked of the warden; None: for nothing
        self.widest_w: float | None = None  # an envelope above it must not stand: no lease then; None: any may
        self.feed = feed
        self._config = config
        goals = goals or Goals()
        feeding = replace(goals.feeding, slowdown=config.cpu_slowdown)
        self._goals = replace(goals, feeding=feeding, clock_baseline_mhz=config.gpu_clock_baseline_mhz)
        self._modes = modes(config)
        self._busy_cpus = busy_cpus
        self._busy = NEVER
        self._look_at_frequencies = frequencies
        self._frequencies: Mapping[str, Reading] = {}
        self.costs = Costs()
        self._tap = tap
        self._fold = Fold(())
        self._locks = Locks()
        self.inferred: Mapping[str, Inference] = {}  # per UUID of a GPU, what is inferred of locks that can't be read
        self._locked_again_ns = 0
        self._gangs: tuple[frozenset[str], ...] = ()
        self._problems: dict[str, str] = {}  # per subject, gone when it goes well again
        self._warden_alarms: tuple[str, ...] = ()
        self.kept: tuple[str, ...] = ()  # what the warden can't put back, a line each
        self._reconnect = Backoff()
        self._questions = Questions()
        self._asked: Vector | None = None
        self._asked_ns = 0
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()  # a turn goes by one budget from beginning to end

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices of this host, in the warden's order; none before its first hello."""
        return self._fold.devices

    @property
    def alarms(self) -> list[str]:
        """What is wrong now: our own lines, and the warden's while it is there to stand by them."""
        return [*self._problems.values(), *(self._warden_alarms if self.warden.connected else ())]

    @property
    def why_no_warden(self) -> str | None:
        """What the last try to speak with the warden came to; None: it went well, or there was none."""
        return self._problems.get("warden")

    @property
    def held_back(self) -> str | None:
        """Why no lease is asked for, for a person; None: nothing speaks against it."""
        if self.waiting is not None or self.widest_w is None:
            return self.waiting
        if self.budget is not None and self.budget.envelope_w <= self.widest_w + ROUNDING_W:
            return None
        return "the warden has lost the ceiling that the mesh sets: it is being set again"  # a pin could go above it

    async def run(
        self, clock: Callable[[], int], stopping: asyncio.Event, turned: Callable[[], None] = lambda: None
    ) -> None:
        """Take turns, one a period and one whenever woken, until `stopping` is set and `wake` called.

        After each of them `turned` is called.
        """
        period_ns = self._config.decide_period_ms * 1_000_000
        due_ns = clock()
        while not stopping.is_set():
            await self.step(clock())
            turned()
            due_ns = max(due_ns + period_ns, clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((due_ns - clock()) / SECOND_NS):
                    await self._woken.wait()
            self._woken.clear()

    def acts(self, proposal: Proposal) -> bool:
        """Whether a proposal is more than an observation: its policy may act, and no halt holds it."""
        if self.halted is not None and proposal.priority > Priority.BUDGET:
            return False
        return self._modes.get(proposal.policy) == "act"

    def consented(self, names: Sequence[str]) -> frozenset[str]:
        """The UUIDs of the devices that the operator names, or of all if it names "all"."""
        found = self.devices if "all" in names else self._named(names)
        return frozenset(device.uuid for device in found)

    def _named(self, names: Sequence[str]) -> Iterator[Device]:
        for name in names:
            with contextlib.suppress(InputError):
                yield find_device(self.devices, name)

    def wake(self) -> None:
        """Take the next turn now, and ask every policy: something was asked for."""
        self._policies.forget()
        self._woken.set()

    async def step(self, now_ns: int) -> None:
        """One turn, at the monotonic time `now_ns`. Raises nothing for what the warden or the ring do."""
        async with self._turn:
            self.warden.notice()
            if not self.warden.connected:
                await self._greet(now_ns)
            self.read(now_ns)
            if self.warden.connected and self._questions.are_due(self.feed.changes(now_ns), now_ns):
                with self._minding("warden"):
                    await self.look(now_ns)
            await self._reclaim(now_ns)
            await self._lock_again(now_ns)
            self._decide(now_ns)
            await self._apply(now_ns)

    def read(self, now_ns: int) -> None:
        """Bring `state` up to date from the ring: for a turn, or for somebody who asks between two turns."""
        records = self.feed.drain(now_ns)
        self._fold.add(records)
        self._locks.add(records)
        self._infer(now_ns)
        if self._tap is not None:
            self._tap.add(records)
        self._mind("ring", self.feed.problem)
        pulse = self.feed.pulse(now_ns)
        self.writing_hangs = pulse.writing.hangs
        for half in pulse.halves:
            self._mind(f"{half.name} half", half.problem(warden_answers=self.warden.connected))
        self.costs.note(self.feed.stats)
        for subject, problem in self.costs.problems(now_ns).items():
            self._mind(subject, problem)
        self._busy = self._busy_cpus(now_ns)
        self._frequencies = self._look_at_frequencies(now_ns)
        self._gather(now_ns)

    def _infer(self, now_ns: int) -> None:
        """What is to be said of clock locks: of GPUs, whose locks can't be read back."""
        for device in self.devices:
            clock = self.told.get(device.uuid, UNTOLD).clock
            ours_mhz = None if clock is None else clock.ours_mhz or clock.baseline_mhz
            self._locks.expect(device.uuid, ours_mhz, now_ns)
        self.inferred = self._locks.found(now_ns)
        for device in self.devices:
            made = self.inferred.get(device.uuid)
            self._mind(f"lock of {device.label}", f"{device.label}: clock ceiling: {made.words()}" if made else None)

    async def look(self, now_ns: int) -> None:
        """Ask the warden what it holds, and take its word on the budget and on what can be written.

        Raises:
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        changes = self.feed.changes(now_ns)
        status = await self.warden.status()
        self._questions.asked(changes, now_ns)
        self.told = status.told()
        self.budget = status.budget
        self._reserved_w = watts(status.reserved_mw)
        self._warden_alarms = status.alarms
        self.kept = status.kept
        devices = tuple(_as_told(device, self.told.get(device.uuid, UNTOLD)) for device in self.devices)
        if devices != self.devices:
            self._rebind(devices)

    async def set_budget(self, budget: Budget, now_ns: int) -> bool:
        """Put the host under a budget; returns whether its limits were read back under the envelope.

        Raises:
            RefusedError: the warden could not keep it.
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        async with self._turn:
            before = self.budget
            if before is not None and budget.envelope_w < before.envelope_w:
                # The warden scales a lease that does not fit into it; who is to give is better decided by demand.
                self.budget = budget
                self._policies.forget()
                self._decide(now_ns)
                await self._apply(now_ns)
            try:
                in_force = await self.warden.set_budget(budget)
            except RefusedError:  # nothing has changed; after any other error the warden is met anew, and says
                self.budget = before
                self._policies.forget()
                raise
            finally:
                self._questions.ask()  # whatever came of it, what the warden holds is asked for
            await self.look(now_ns)
        self.wake()
        return in_force

    async def clear_budget(self, now_ns: int) -> None:
        """End the budget.

        Raises:
            RefusedError: the warden could not forget it.
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        async with self._turn:
            await self.warden.clear_budget()
            await self.look(now_ns)
        self.wake()

    async def detach(self, uuid: str, by: str, why: str, now_ns: int) -> Message:
        """Have a GPU taken out, so that it can be reset: `why` it is told to be out, and `already`.

        Raises:
            RefusedError: it can't be; nothing has changed.
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        async with self._turn:
            answer = await self.warden.detach(uuid, by, why)
            await self.look(now_ns)
        self.wake()
        return answer

    async def attach(self, uuid: str, now_ns: int) -> Message:
        """Have it taken in again; `already`: it was not out.

        Raises:
            RefusedError: it does not answer yet, or can't be held where the budget needs it: it stays out.
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        async with self._turn:
            answer = await self.warden.attach(uuid)
            await self.look(now_ns)
        self.wake()
        return answer

    async def take_back(self, now_ns: int) -> None:
        """Govern again all that is left to somebody else who has set it.

        Raises:
            RefusedError: the warden can't write its journal.
            UnavailableError, ProtocolError: it does not answer, or not in a way that can be read.
        """
        async with self._turn:
            await self.warden.take_back()
            await self.look(now_ns)
        self.wake()

    async def release(self) -> None:
        """Give the lease back; the warden then puts every knob where it belongs without us.

        Raises:
            UnavailableError: there is no warden to give it back to; it ends by itself.
        """
        self._forget_lease()
        await self.warden.release()

    async def close(self, *, release: bool = True) -> None:
        """End in order: no lease, unless a successor is to go on with it, no connection, no ring."""
        if release and self.warden.connected and self.lease_until_ns is not None:
            with contextlib.suppress(EagentError):  # it ends by itself then
                await self.release()
        self.warden.close()
        self.feed.close()

    async def _greet(self, now_ns: int) -> None:
        """Meet the warden, for the first time or again after either of us was away."""
        if not self._reconnect.ready(now_ns):
            return
        self._reconnect.failed(now_ns)  # until it went well
        with self._minding("warden"):
            self.hello = await self.warden.connect()
            self._reconnect.succeeded()
            self.budget = self.hello.budget
            self._rebind(self.hello.devices)
            self._gangs = self._resolve_gangs(self.hello.devices)
            self._forget_lease()
            self.feed.close()  # a new warden made a new ring
            self._questions.ask()

    async def _lock_again(self, now_ns: int) -> None:
        """Where others are overruled, have a lock of ours written again that is inferred not to be in force."""
        held = {uuid for uuid in self.inferred if (clock := self.told.get(uuid, UNTOLD).clock) and clock.ours_mhz}
        if self._config.foreign != "overrule" or not held or not self.warden.connected:
            return
        if now_ns - self._locked_again_ns < LOCK_AGAIN_NS:
            return
        self._locked_again_ns = now_ns
        with self._minding("locks"):
            await self.warden.lock_again(held)
        for uuid in held:
            self._locks.restart(uuid, now_ns)

    async def _reclaim(self, now_ns: int) -> None:
        if not self.reclaimed or not self.warden.connected:
            return
        with self._minding("taking back"):
            await self.warden.take_back(self.reclaimed)
            self.reclaimed.clear()
            await self.look(now_ns)

    async def _apply(self, now_ns: int) -> None:
        """Ask for the plan's vector when it is new or the lease has spent a third of its time; else leave it be."""
        if self.hello is None or not self.warden.connected or self.held_back is not None:
            return
        vector = self.plan.vector
        if vector is None:
            self._mind("lease", None)
            if self.lease_until_ns is not None:
                with self._minding("lease"):
                    await self.release()
            return
        ttl_s = min(self._config.lease_ttl_s, self.hello.ttl_max_s)
        if vector == self._asked and now_ns - self._asked_ns < ttl_s * SECOND_NS / 3:
            return
        changed = vector != self._asked
        self._asked, self._asked_ns = vector, now_ns
        with self._minding("lease"):
            self.lease_until_ns = await self.warden.lease(
                vector.limits_mw, vector.clocks_mhz, vector.preferences, ttl_s
            )
            if changed:
                await self.look(now_ns)  # so that what we say is ours is what we have just asked for
        if "lease" in self._problems:
            self._questions.ask()  # the warden knows something that we do not

    def _rebind(self, devices: tuple[Device, ...]) -> None:
        self._fold.rebind(devices)
        self._locks.rebind(devices)
        if self._tap is not None:
            self._tap.bind(devices, simulated=self.hello is not None and self.hello.simulated)

    def _resolve_gangs(self, devices: Sequence[Device]) -> tuple[frozenset[str], ...]:
        """The configured gangs as sets of UUIDs. One with a name that is not here is left out, with an alarm."""
        gangs, problem = [], None
        gpus = [device for device in devices if device.kind is DeviceKind.GPU]
        for names in self._config.gangs:
            try:
                gangs.append(frozenset(find_device(gpus, name).uuid for name in names))
            except InputError as unknown:
                problem = f"gang {', '.join(names)} is ignored: {unknown}"
        self._mind("gangs", problem)
        return tuple(gangs)

    def _decide(self, now_ns: int) -> None:
        """Make a plan of the state and the wishes."""
        self._gather(now_ns)  # again: the warden may have told of another budget, or of other devices
        self.pins = {uuid: pin for uuid, pin in self.pins.items() if pin.stands(now_ns)}
        consent = self.consented(self._config.idle_consent)
        idling = replace(self._goals.idle, consent=consent)
        goals = replace(self._goals, pins=tuple(self.pins.values()), hints=self.hints(now_ns), idle=idling)
        self.halted = self._halted()
        self.proposals = self._policies.propose(self.state, goals, now_ns)
        acting = [proposal for proposal in self.proposals if self.acts(proposal)]
        self.plan = make_plan(self.state, acting, self.told, now_ns)
        self._mind("plan", self.plan.problem)

    def _gather(self, now_ns: int) -> None:
        devices = tuple(self._with_knobs(state) for state in self._fold.states(now_ns))
        self.state = HostState(devices, self.budget, self._gangs, self._busy, self._reserved_w)

    def _with_knobs(self, state: DeviceState) -> DeviceState:
        told = self.told.get(state.device.uuid, UNTOLD)
        limit, clock, ceiling = told.limit, told.clock, None
        # Who is gone, or hangs, does not read it back.
        if state.device.kind is DeviceKind.CPU and self.warden.connected and not self.writing_hangs:
            ceiling = clock
        return replace(
            state,
            prior_limit_w=None if limit is None or limit.baseline_mw is None else watts(limit.baseline_mw),
            foreign_limit_w=foreign_limit_w(limit),
            clock_held=clock is not None and clock.ours_mhz is not None,
            ceiling_mhz=None if ceiling is None else ceiling.held_mhz,
            prior_ceiling_mhz=None if ceiling is None else ceiling.baseline_mhz,
            frequency_mhz=self._frequencies.get(state.device.uuid, NEVER),
        )

    def _forget_lease(self) -> None:
        self._asked, self.lease_until_ns = None, None

    @contextlib.contextmanager
    def _minding(self, subject: str) -> Iterator[None]:
        """Turn an error of ours into an alarm about `subject`, and its absence into none."""
        try:
            yield
        except EagentError as problem:
            self._mind(subject, str(problem))
        else:
            self._mind(subject, None)

    def _mind(self, subject: str, problem: str | None) -> None:
        if problem is None:
            if self._problems.pop(subject, None) is not None:
                log.info("%s: well again", subject)
        else:
            if subject not in self._problems:
                log.warning("%s: %s", subject, problem)
            self._problems[subject] = problem


def _as_told(device: Device, told: Told) -> Device:
    """A device whose knobs can be written or not as the warden says now: privilege and drivers come and go."""
    return replace(
        device,
        power_limit=_knob(device.power_limit, told.limit),
        clock=_knob(device.clock, told.clock),
        preference=_knob(device.preference, told.preference),
    )


def _knob(known: Knob, told: KnobStatus | ClockStatus | PreferenceStatus | None) -> Knob:
    return known if told is None else Knob(told.writable, told.why)
