"""The agent's one loop: drain → fold → decide → apply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from eagent.agent.cost import Costs
from eagent.agent.feed import Feed
from eagent.agent.known import aims, as_told, consented, heeded, resolve_gangs, with_knobs
from eagent.agent.links import Tap, WardenLink
from eagent.agent.plan import NOTHING, Plan, Vector, make_plan
from eagent.agent.problems import Problems
from eagent.agent.questions import Questions
from eagent.agent.warden import UNTOLD, Backoff, Hello, Told
from eagent.agent.wishes import goals_of, modes
from eagent.config import Config
from eagent.errors import EagentError
from eagent.model import NEVER, Budget, Device, DeviceState, HostState, Priority, Progress, Proposal, Reading
from eagent.policy import efficiency, together
from eagent.policy.goals import Goals, Hint, Pin
from eagent.policy.paces import paces
from eagent.policy.registry import Policies
from eagent.telemetry.fold import Fold
from eagent.telemetry.locks import Inference, Locks
from eagent.wire import watts

SECOND_NS = 1_000_000_000

LOCK_AGAIN_NS = 10 * SECOND_NS  # a lock that others fight for is written no more often

ROUNDING_W = 1e-6  # of an envelope, which is a difference of floats


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
        progress: Callable[[int], tuple[Progress, ...]] = lambda _: (),
        curves: efficiency.Curves | None = None,
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
            progress: Tells how far the jobs of this host have come, at a monotonic time.
            curves: What was learnt of jobs in their runs before.
            tap: Gets all that is drained from the ring, too.
        """
        self.halted: str | None = None
        self.proposals: list[Proposal] = []  # of all policies, those that only observe included
        self._halted = halted
        self._policies = Policies()
        self._policies.remember(efficiency.NAME, efficiency.Memory(curves=curves or {}))
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
        self.reserved_w = 0.0  # of it, for GPUs that did not answer at the warden's start
        self.writing_hangs = False  # the half of the warden that writes knobs and reads them back, as of the last read
        self.waiting: str | None = None  # for what, before anything may be asked of the warden; None: for nothing
        self.widest_w: float | None = None  # an envelope above it must not stand: no lease then; None: any may
        self.feed = feed
        self._config = config
        self._goals = goals_of(config, goals or Goals())
        self._modes = modes(config)
        self._busy_cpus = busy_cpus
        self._busy = NEVER
        self._look_at_frequencies = frequencies
        self._look_at_progress = progress
        self._frequencies: Mapping[str, Reading] = {}
        self.costs = Costs()
        self._tap = tap
        self._fold = Fold(())
        self._locks = Locks()
        self.inferred: Mapping[str, Inference] = {}  # per UUID of a GPU, what is inferred of locks that can't be read
        self._locked_again_ns = 0
        self._gangs: tuple[frozenset[str], ...] = ()
        self._problems = Problems()
        self._warden_alarms: tuple[str, ...] = ()
        self.kept: tuple[str, ...] = ()  # what the warden can't put back, a line each
        self._reconnect = Backoff()
        self._questions = Questions()
        self._asked: Vector | None = None
        self._asked_ns = 0
        self._woken = asyncio.Event()
        self.turn = asyncio.Lock()  # a turn goes by one budget from beginning to end; so does an order

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices of this host, in the warden's order; none before its first hello."""
        return self._fold.devices

    @property
    def thrift(self) -> efficiency.Memory:
        """What the efficiency policy knows."""
        memory: efficiency.Memory = self._policies.memory(efficiency.NAME)
        return memory

    @property
    def alarms(self) -> list[str]:
        """What is wrong now: our own lines, and the warden's while it is there to stand by them."""
        return [*self._problems.lines(), *(self._warden_alarms if self.warden.connected else ())]

    @property
    def why_no_warden(self) -> str | None:
        """What the last try to speak with the warden came to; None: it went well, or there was none."""
        return self._problems.of("warden")

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
        return consented(self.devices, names)

    def reconsider(self) -> None:
        """Ask every policy in the next turn, whatever it said last."""
        self._policies.forget()

    def wake(self) -> None:
        """Take the next turn now, and ask every policy: something was asked for."""
        self.reconsider()
        self._woken.set()

    def ask_warden(self) -> None:
        """Have the next turn ask the warden for what it holds, whatever the ring tells."""
        self._questions.ask()

    async def step(self, now_ns: int) -> None:
        """One turn, at the monotonic time `now_ns`. Raises nothing for what the warden or the ring do."""
        async with self.turn:
            self.warden.notice()
            if not self.warden.connected:
                await self._greet(now_ns)
            self.read(now_ns)
            if self.warden.connected and self._questions.are_due(self.feed.changes(now_ns), now_ns):
                with self._problems.minding("warden"):
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
        self._problems.mind("ring", self.feed.problem)
        pulse = self.feed.pulse(now_ns)
        self.writing_hangs = pulse.writing.hangs
        for half in pulse.halves:
            self._problems.mind(f"{half.name} half", half.problem(warden_answers=self.warden.connected))
        self.costs.note(self.feed.stats)
        for subject, problem in self.costs.problems(now_ns).items():
            self._problems.mind(subject, problem)
        self._busy = self._busy_cpus(now_ns)
        self._frequencies = self._look_at_frequencies(now_ns)
        self._gather(now_ns)

    def _infer(self, now_ns: int) -> None:
        """What is to be said of clock locks: of GPUs, whose locks can't be read back."""
        for device in self.devices:
            clock = self.told.get(device.uuid, UNTOLD).clock
            # What the driver took: a lock that is asked for may have to wait for its turn of the driver.
            ours_mhz = None if clock is None else (clock.ours_mhz and clock.held_mhz) or clock.baseline_mhz
            self._locks.expect(device.uuid, ours_mhz, now_ns)
        self.inferred = self._locks.found(now_ns)
        for device in self.devices:
            made = self.inferred.get(device.uuid)
            words = f"{device.label}: clock ceiling: {made.words()}" if made else None
            self._problems.mind(f"lock of {device.label}", words)

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
        self.reserved_w = watts(status.reserved_mw)
        self._warden_alarms = status.alarms
        self.kept = status.kept
        devices = tuple(as_told(device, self.told.get(device.uuid, UNTOLD)) for device in self.devices)
        if devices != self.devices:
            self._rebind(devices)

    async def share(self, budget: Budget, now_ns: int) -> None:
        """Lease as under this budget, which is about to stand. Only with the `turn`."""
        self.budget = budget
        self.reconsider()
        self._decide(now_ns)
        await self._apply(now_ns)

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
        with self._problems.minding("warden"):
            self.hello = await self.warden.connect()
            self._reconnect.succeeded()
            self.budget, self.reserved_w = self.hello.budget, watts(self.hello.reserved_mw)
            self._rebind(self.hello.devices)
            self._gangs, problem = resolve_gangs(self.hello.devices, self._config.gangs)
            self._problems.mind("gangs", problem)
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
        with self._problems.minding("locks"):
            await self.warden.lock_again(held)
        for uuid in held:
            self._locks.restart(uuid, now_ns)

    async def _reclaim(self, now_ns: int) -> None:
        if not self.reclaimed or not self.warden.connected:
            return
        with self._problems.minding("taking back"):
            await self.warden.take_back(self.reclaimed)
            self.reclaimed.clear()
            await self.look(now_ns)

    async def _apply(self, now_ns: int) -> None:
        """Ask for the plan's vector when it is new or the lease has spent a third of its time; else leave it be."""
        if self.hello is None or not self.warden.connected or self.held_back is not None:
            return
        vector = self.plan.vector
        if vector is None:
            self._problems.mind("lease", None)
            if self.lease_until_ns is not None:
                with self._problems.minding("lease"):
                    await self.release()
            return
        ttl_s = min(self._config.lease_ttl_s, self.hello.ttl_max_s)
        if vector == self._asked and now_ns - self._asked_ns < ttl_s * SECOND_NS / 3:
            return
        changed = vector != self._asked
        self._asked, self._asked_ns = vector, now_ns
        with self._problems.minding("lease"):
            self.lease_until_ns = await self.warden.lease(
                vector.limits_mw, vector.clocks_mhz, vector.preferences, ttl_s
            )
            if changed:
                await self.look(now_ns)  # so that what we say is ours is what we have just asked for
        if self._problems.of("lease") is not None:
            self._questions.ask()  # the warden knows something that we do not

    def _rebind(self, devices: tuple[Device, ...]) -> None:
        self._fold.rebind(devices)
        self._locks.rebind(devices)
        if self._tap is not None:
            self._tap.bind(devices, simulated=self.hello is not None and self.hello.simulated)

    def _decide(self, now_ns: int) -> None:
        """Make a plan of the state and the wishes."""
        self._gather(now_ns)  # again: the warden may have told of another budget, or of other devices
        self.pins = {uuid: pin for uuid, pin in self.pins.items() if pin.stands(now_ns)}
        consent = self.consented(self._config.idle_consent)
        idling = replace(self._goals.idle, consent=consent)
        thrift = replace(self._goals.efficiency, aims=aims(self.devices, self._config.goals))
        hints = heeded(self.hints(now_ns), acts=self._modes["hint"] == "act")
        known = paces(self.thrift, now_ns) if self._config.budget_share == "work" and self.budget else ()
        self.halted = self._halted()
        feeding = self._goals.feeding
        if self._modes["efficiency"] == "act" and self.halted is None:
            feeding = together.feeding(feeding, self.thrift)
        pins = tuple(self.pins.values())
        goals = replace(
            self._goals, pins=pins, hints=hints, idle=idling, efficiency=thrift, paces=known, feeding=feeding
        )
        self.proposals = self._policies.propose(self.state, goals, now_ns)
        acting = [proposal for proposal in self.proposals if self.acts(proposal)]
        self.plan = make_plan(self.state, acting, self.told, now_ns)
        self._problems.mind("plan", self.plan.problem)

    def _gather(self, now_ns: int) -> None:
        devices = tuple(self._with_knobs(state) for state in self._fold.states(now_ns))
        progress = self._look_at_progress(now_ns)
        self.state = HostState(devices, self.budget, self._gangs, self._busy, self.reserved_w, progress)

    def _with_knobs(self, state: DeviceState) -> DeviceState:
        uuid = state.device.uuid
        is_read_back = self.warden.connected and not self.writing_hangs
        frequency_mhz = self._frequencies.get(uuid, NEVER)
        return with_knobs(state, self.told.get(uuid, UNTOLD), frequency_mhz, is_read_back=is_read_back)

    def _forget_lease(self) -> None:
        self._asked, self.lease_until_ns = None, None
