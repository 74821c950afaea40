"""One round: a script performed on a world, its ending, and the verdict."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from eagent.client import NoAgentError, device_target
from eagent.errors import EagentError, InputError, ProtocolError, RefusedError
from eagent.model import Budget
from eagent.sim._faults import FOREIGN_PID
from eagent.sim.workload import Gang, Square
from eagent.warden import durable
from eagent.wire import pack_budget, unpack_budget
from tests.torture import referee
from tests.torture.referee import Exposure, Legal, Timeline, Write
from tests.torture.script import DROPS, FIXED_W, GPUS, HINDERS, LEAST_W, MOST_W, SAFE_W, Script, Step
from tests.torture.world import World

START_S = 30.0  # of an interpreter, on a machine that does other things
REST_S = 10.0  # from the end of all disturbances until every knob is where it belongs
NOTICE_S = 3.0  # the promise is 2 s
LOOK_S = 0.02
HOLDER_PID = 1  # who is said to have loads: some process that lives


class Round:
    """What a script does to a world."""

    def __init__(self, world: World, script: Script) -> None:
        """Nothing is done yet."""
        self.world = world
        self.script = script
        self.wrong: list[str] = []
        self.legal_w = [Legal({limit_w}) for limit_w in script.priors_w]
        self.legal_mhz = [Legal({0.0}) for _ in range(GPUS)]
        self.timeline = Timeline(list(script.priors_w), referee.strangers(os.getpid()))
        self.exposures: list[Exposure] = []
        self._undo: list[tuple[float, str, Callable[[], None]]] = []  # by time, and what it ends
        self._hindered_until_s = -math.inf  # by faults
        self._lasting: set[str] = set()
        self._standing_w: frozenset[float | None] = frozenset((None,))  # the envelopes of which one stands; None: none
        self._unanswered_w: frozenset[float | None] = frozenset()  # that were asked for, and may come yet
        self._in_force = True  # what was said of the budget that was set last
        self._began_s = 0.0
        self._exposed_before: tuple[int, float] | None = None

    # -- the course --------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """All of it; what is wrong, a line each."""
        self._prepare()
        for step in self.script.steps:
            self._pass(step.after_s)
            self._perform(step)
        self._calm()
        self._compare_exposure()
        if self.script.probes_foreign:
            self._probe_foreign()
        self._end()
        self._judge()
        return self.wrong

    def _prepare(self) -> None:
        world, layout = self.world, self.script.layout
        running = {process.role for process in world.living()}
        wanted = {"driven": {"warden"}, "pair": {"warden", "agent"}, "up": {"up"}}[layout]
        if layout == "up" or "up" in running or running - wanted:
            world.end_all(signal.SIGTERM)
            running = set()
        for gpu, prior_w in enumerate(self.script.priors_w):
            world.plant.set_power_limit(gpu, prior_w)
            world.plant.reset_clocks(gpu)  # of somebody else's, which the round before had to leave alone
        self._began_s = world.now_s
        for role in sorted(wanted - running, reverse=True):
            world.start(role)
        if layout == "up":
            running = set()
            world.wait(lambda: {"warden", "agent"} <= {each.role for each in world.living()}, START_S)
        if not world.wait(lambda: self._ready("agent" if layout != "driven" else "warden"), START_S):
            self.wrong.append(f"eagent did not start within {START_S:g} s")
        self._look()
        self._exposed_before = self._told_exposure()

    def _ready(self, role: str) -> bool:
        if not self._is_able():
            return False
        if role == "warden":
            return True
        with contextlib.suppress(EagentError):
            return bool(self.world.api.request("GET", "/v1/status")["devices"])
        return False

    def _is_able(self) -> bool:
        """Whether a warden answers, and nothing keeps it from what it is for."""
        warden = self.world.of("warden")
        return warden is not None and not warden.stopped and self.world.warden_answers() == warden.pid

    def _look(self) -> None:
        """Note what a warden can do now."""
        is_able = not self._lasting & HINDERS and self._is_able()
        able = self.timeline.able
        if not able or able[-1][1] != is_able:
            able.append((self.world.now_s, is_able))

    def _unable(self) -> None:
        """From now on, until a look finds otherwise."""
        self.timeline.able.append((self.world.now_s, False))

    def _pass(self, seconds: float) -> None:
        """Let time go by, with what ends in it."""
        until = time.monotonic() + seconds
        while True:
            self._look()
            due = [each for each in self._undo if each[0] <= self.world.now_s]
            for each in due:
                self._undo.remove(each)
                self.world.note(each[1])
                each[2]()
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(LOOK_S, left_s))

    def _perform(self, step: Step) -> None:
        self.world.note(str(step))
        try:
            getattr(self, f"_do_{step.action}")(*step.values)
        except RefusedError as problem:
            self.world.note(f"  refused: {problem}")
        except EagentError as problem:
            self.world.note(f"  failed: {problem}")

    # -- load --------------------------------------------------------------------------------------------------------

    def _do_load(self, kind: str, gpus: tuple[int, ...], duty: float) -> None:
        self.world.plant.stop_load()
        if kind == "gang":
            Gang(step_s=0.2).start(self.world.plant, gpus, pid=HOLDER_PID)
        else:
            Square(period_s=0.4, duty=duty).start(self.world.plant, gpus, pid=HOLDER_PID)
        if quiet := [gpu for gpu in range(GPUS) if gpu not in gpus]:  # held by who does nothing: the policy idle acts
            Square(period_s=600.0, duty=1e-4).start(self.world.plant, quiet, pid=HOLDER_PID)

    def _do_unload(self) -> None:
        self.world.plant.stop_load()

    # -- budgets, pins and leases ------------------------------------------------------------------------------------

    def _promise(self) -> None:
        """From now on the sum of limits stays under the greatest envelope that may stand, if there is one for sure."""
        envelopes_w = [math.inf if each is None else each for each in self._standing_w | self._unanswered_w]
        self.timeline.envelopes_w.append((self.world.now_s, max(envelopes_w) if self._in_force else math.inf))

    @contextlib.contextmanager
    def _asking(self, envelope_w: float | None) -> Iterator[None]:
        """A request for a budget with this envelope, or for none, is under way."""
        before_w = self._standing_w
        self._standing_w = before_w | {envelope_w}
        self._promise()
        try:
            yield
            self._standing_w = frozenset((envelope_w,))
        except (RefusedError, InputError, NoAgentError):
            self._standing_w = before_w
            raise
        except EagentError:  # no answer: it may be done now, later or never
            self._standing_w = before_w
            self._unanswered_w |= {envelope_w}
            raise
        finally:
            self._promise()

    def _do_budget(self, budget_w: float) -> None:
        envelope_w, begun_s = budget_w - FIXED_W, self.world.now_s
        with self._asking(envelope_w):
            in_force = self._in_force = self._set_budget(budget_w)
        self._look()
        ended_s = self.world.now_s
        if in_force:
            return
        hindered = self.timeline.able_s(begun_s, ended_s) < ended_s - begun_s - LOOK_S
        if not hindered and begun_s > self._hindered_until_s + 1.5 and not self._strange_since(begun_s - 1.5):
            self.wrong.append(f"{ended_s:.3f} s: a budget of {budget_w:g} W is not in force, though nothing hinders it")

    def _strange_since(self, since_s: float) -> bool:
        strangers = self.timeline.strangers
        return any(at_s >= since_s and pid in strangers for at_s, _, _, _, pid in self.world.plant.limit_log())

    def _set_budget(self, budget_w: float) -> bool:
        if self.script.layout != "driven":
            return bool(self.world.api.request("PUT", "/v1/budget", {"budget_w": budget_w})["in_force"])
        hello = self.world.ask("hello")
        caps = {each["uuid"]: SAFE_W for each in hello["devices"] if each["power_limit"]["writable"]}
        reply = self.world.ask("budget_set", 4.0, **pack_budget(Budget(budget_w, FIXED_W, caps)))
        return bool(reply["in_force"])

    def _do_clear(self) -> None:
        with self._asking(None):
            if self.script.layout != "driven":
                self.world.api.request("DELETE", "/v1/budget")
            else:
                self.world.ask("budget_clear")

    def _do_pin(self, gpu: int, limit_w: float, for_s: float) -> None:
        body = {"limit_w": limit_w} | ({"for_s": for_s} if for_s else {})
        self.world.api.request("PUT", device_target(f"gpu{gpu}", "pin"), body)

    def _do_unpin(self, gpu: int) -> None:
        self.world.api.request("DELETE", device_target(f"gpu{gpu}", "pin"))

    def _do_halt(self) -> None:
        (self.world.made.state / "halt").write_text("torture\n")

    def _do_unhalt(self) -> None:
        (self.world.made.state / "halt").unlink(missing_ok=True)

    def _do_lease(self, fill: float, shares: tuple[float, ...], clocks: tuple[int, ...], ttl_s: float) -> None:
        """What a well-behaved agent asks for; and, with a fill above 1, what none may be given."""
        hello = self.world.ask("hello")
        writable = [each["power_limit"]["writable"] for each in hello["devices"]]
        uuids = [each["uuid"] for each in hello["devices"]]
        budget = hello["budget"] and unpack_budget(hello["budget"])
        envelope_w = budget.envelope_w - MOST_W * writable.count(False) if budget else 4 * MOST_W
        limits = {
            uuid: round(1000 * min(max(share * fill * envelope_w, LEAST_W), MOST_W))
            for uuid, share, is_writable in zip(uuids, shares, writable, strict=True)
            if is_writable and (budget or share > 0.2)
        }
        over = sum(limits.values()) - round(1000 * envelope_w)
        if budget and fill <= 1 and over > 0:  # the least limits have taken more than their share
            limits = {uuid: max(round(1000 * LEAST_W), mw - over) if mw == max(limits.values()) else mw
                      for uuid, mw in limits.items()}  # fmt: skip
            over = sum(limits.values()) - round(1000 * envelope_w)
        locked = {uuid: mhz for uuid, mhz in zip(uuids, clocks, strict=True) if mhz}
        try:
            self.world.ask("lease", limits_mw=limits, clocks_mhz=locked, ttl_s=ttl_s)
        except RefusedError as problem:
            self.world.note(f"  refused: {problem}")
            return
        if budget and over > 0:
            self.wrong.append(f"{self.world.now_s:.3f} s: a lease {over / 1000:g} W above the envelope was taken")

    def _do_release(self) -> None:
        self.world.ask("release")

    # -- deaths ------------------------------------------------------------------------------------------------------

    def _victim(self, number: int) -> Any:
        living = self.world.living()
        return living[number % len(living)] if living else None

    def _do_kill(self, number: int) -> None:
        if victim := self._victim(number):
            self.world.signal(victim, signal.SIGKILL)
            self._unable()

    def _do_end(self, number: int) -> None:
        if victim := self._victim(number):
            self.world.signal(victim, signal.SIGTERM)
            self._unable()

    def _do_pause(self, number: int, for_s: float) -> None:
        if victim := self._victim(number):
            self.world.signal(victim, signal.SIGSTOP)
            self._unable()
            wake = lambda: self.world.signal(victim, signal.SIGCONT)  # noqa: E731
            self._undo.append((self.world.now_s + for_s, f"{victim.role} goes on", wake))

    def _do_start(self) -> None:
        """Start what of the layout is dead."""
        living = {each.role for each in self.world.living()}
        if self.script.layout == "up":
            if "up" not in living:
                self.world.wait(lambda: not self.world.living(), 8.0)  # its children end in order
                self.world.start("up")
            return
        for role in ("warden", "agent") if self.script.layout == "pair" else ("warden",):
            if role not in living:
                self.world.start(role)

    def _do_restore(self) -> None:
        self.world.restore(most_s=20.0)
        self._look()

    # -- faults ------------------------------------------------------------------------------------------------------

    def _inject(self, kind: str, gpu: int, values: tuple[float, ...]) -> int:
        target, index = ("host", 0) if gpu < 0 else ("gpu", gpu)
        return self.world.faults.inject(kind, target, index, values)

    def _do_fault(self, kind: str, gpu: int, values: tuple[float, ...], for_s: float) -> None:
        number = self._inject(kind, gpu, values)
        self._lasting.add(kind)
        if kind in HINDERS:
            self._hindered_until_s = math.inf
            self._unable()
        self._undo.append((self.world.now_s + for_s, f"{kind} ends", lambda: self._clear(kind, number)))

    def _clear(self, kind: str, number: int) -> None:
        with contextlib.suppress(InputError):  # a reload or reset has cured it
            self.world.faults.clear(number)
        self._lasting.discard(kind)
        self._hindered_until_s = self.world.now_s if not self._lasting & HINDERS else math.inf

    def _do_strike(self, kind: str, gpu: int, values: tuple[float, ...]) -> None:
        hit = range(GPUS) if gpu < 0 else (gpu,)
        for each in hit:
            if kind == "foreign-limit":
                self.legal_w[each].write(values[0])
            elif kind == "foreign-lock":
                self.legal_mhz[each].write(values[1])
            elif kind in DROPS:
                self.legal_w[each].drop(MOST_W)
        self._inject(kind, gpu, values)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _calm(self) -> None:
        """No more disturbances: what was stopped goes on, what lasts is cleared, the load stops."""
        for _, text, undo in self._undo:
            self.world.note(text)
            undo()
        self._undo.clear()
        self.world.faults.clear()
        self._lasting.clear()
        self.world.plant.stop_load()
        self._do_unhalt()
        self._look()

    def _told_exposure(self) -> tuple[int, float] | None:
        """Which warden tells of how many joules of exposure, at most, in its life; None where it can't be asked."""
        with contextlib.suppress(EagentError):
            warden = self.world.of("warden")
            rows = self.world.ask("status")["knobs"]
            if warden is not None:
                return warden.pid, sum(row.get("exposed_j", 0.0) for row in rows)
        return None

    def _compare_exposure(self) -> None:
        """A warden that lived through the round tells of no less exposure than the log shows.

        What it tells is of each limit above what it was held at, which is no less than of their sum above the budget.
        """
        if self._exposed_before is None or self._lowers_unseen():
            return
        if referee.is_written_over(self._writes(), self.timeline):
            return
        seen = referee.judge(self._writes(), self.timeline, self.world.now_s)[1]
        seen_j = sum(each.energy_j for each in seen)
        before_pid, before_j = self._exposed_before

        def is_told() -> bool:
            told = self._told_exposure()
            return told is None or told[0] != before_pid or told[1] - before_j >= 0.98 * seen_j - 1.0

        if not self.world.wait(is_told, 2.0 * NOTICE_S):
            told = self._told_exposure()
            told_j = told[1] - before_j if told else 0.0
            self.wrong.append(
                f"{self.world.now_s:.3f} s: {told_j:.0f} J of exposure are told, at most, and {seen_j:.0f} J were"
            )

    def _lowers_unseen(self) -> bool:
        """Whether somebody else may have lowered what was held, which leaves room that is no exposure to a warden."""
        return any(step.values[0] == "foreign-limit" for step in self.script.steps if step.action == "strike")

    def _writes(self) -> list[Write]:
        log = self.world.plant.limit_log()
        return [Write(at_s, gpu, new_w, pid) for at_s, gpu, _, new_w, pid in log if at_s > self._began_s]

    def _probe_foreign(self) -> None:
        """A foreign write to a limit that is held is noticed, and said, within two seconds."""
        if self.script.layout != "driven" or not self._is_able():
            return
        try:
            hello = self.world.ask("hello", 5.0)
            if hello["budget"] is not None or not all(each["power_limit"]["writable"] for each in hello["devices"]):
                return
            uuid = hello["devices"][1]["uuid"]
            self.world.ask("lease", limits_mw={uuid: 233_000}, ttl_s=NOTICE_S + 2.0)
            if not self.world.wait(lambda: self.world.limits_w()[1] == 233.0, 3.0):
                return  # the final wait tells whether that is an error
        except EagentError as problem:
            self.world.note(f"no probe: {problem}")
            return
        time.sleep(0.1)  # the loop has read back what it wrote
        self.world.note("probe: somebody else sets gpu1 to 321 W")
        self._do_strike("foreign-limit", 1, (321.0,))

        def is_told() -> bool:
            with contextlib.suppress(EagentError):
                return any("somebody else" in alarm and "gpu1" in alarm for alarm in self.world.ask("status")["alarms"])
            return False

        if not self.world.wait(is_told, NOTICE_S):
            self.wrong.append(f"{self.world.now_s:.3f} s: a foreign write to gpu1 was not told within {NOTICE_S:g} s")
        with contextlib.suppress(EagentError):
            self.world.ask("release")

    def _end(self) -> None:
        """Who governs lets go, or dies; then every knob comes to be where it belongs."""
        getattr(self, "_end_by_" + self.script.ending.replace("-", "_"))()
        self._await_rest("after the ending")
        if self._standing() is not None and not self.wrong:
            self._clear_without_agent()
            self._await_rest("after the budget was cleared")

    def _end_by_let_go(self) -> None:
        """The agent ends in order; the warden goes on."""
        for role in ("up", "agent"):
            if process := self.world.of(role):
                self.world.signal(process, signal.SIGTERM)
        self.world.wait(lambda: self.world.of("up") is None and self.world.of("agent") is None, 20.0)
        self._have_warden()

    def _end_by_kill_agent(self) -> None:
        for role in ("up", "agent"):
            if process := self.world.of(role):
                self.world.signal(process, signal.SIGKILL)
                if role == "up":
                    self.world.wait(lambda: not self.world.living(), 20.0)
        self._have_warden()

    def _end_by_stop_all(self) -> None:
        self._have_warden()
        self.world.end_all(signal.SIGTERM)

    def _end_by_kill_and_restore(self) -> None:
        self.world.end_all(signal.SIGKILL)
        self._restore()

    def _end_by_kill_and_start(self) -> None:
        self.world.end_all(signal.SIGKILL)
        self._have_warden()

    def _end_by_freeze_and_kill(self) -> None:
        """All stand still for longer than a lease, and die so."""
        for process in self.world.living():
            self.world.signal(process, signal.SIGSTOP)
        time.sleep(0.3)
        self.world.end_all(signal.SIGKILL)
        self._restore()

    def _restore(self) -> None:
        code, said = self.world.restore()
        if code != 0:
            self.wrong.append(f"{self.world.now_s:.3f} s: restore failed, though nothing hinders it: {said.strip()}")

    def _have_warden(self) -> None:
        def is_there() -> bool:
            if self.world.of("warden") is None:  # or the one that was ending has ended
                self.world.start("warden")
            return self._is_able()

        if not self.world.wait(is_there, START_S):
            self.wrong.append(f"{self.world.now_s:.3f} s: no warden within {START_S:g} s")
        self._look()

    def _clear_without_agent(self) -> None:
        self.world.note("the budget is cleared")
        self._standing_w = frozenset((None,))
        self._promise()
        if self._is_able() and not self.script.clears_by_command:
            self.world.ask("budget_clear", 5.0)
            return
        code, said = self.world.restore("--clear-budget")
        if code != 0:
            self.wrong.append(f"{self.world.now_s:.3f} s: restore --clear-budget failed: {said.strip()}")

    def _standing(self) -> Budget | None:
        """The budget that stands, by the disk."""
        try:
            content = durable.load(self.world.made.state / "budget.json")
            return unpack_budget(content) if content else None
        except (ProtocolError, OSError) as problem:
            self.wrong.append(f"the budget's file: {problem}")
            return None

    def _misplaced(self) -> list[str]:
        budget, world = self._standing(), self.world
        envelope_w = budget.envelope_w if budget else math.inf
        wrong = referee.misplaced(world.limits_w(), self.legal_w, SAFE_W if budget else None, envelope_w)
        for gpu, (lock_mhz, may) in enumerate(zip(world.locks_mhz(), self.legal_mhz, strict=True)):
            if lock_mhz not in may.values:
                wrong.append(
                    f"gpu{gpu}: its clocks are locked to {lock_mhz} MHz, and should be to {sorted(may.values)}"
                )
        if budget is None and (entries := world.entries()):
            wrong.append(f"the journal still holds {', '.join(entries)}")
        return wrong

    def _await_rest(self, when: str) -> None:
        if not self.world.wait(lambda: not self._misplaced(), REST_S):
            self.wrong += [f"{self.world.now_s:.3f} s: {when}: {line}" for line in self._misplaced()]
        self.world.note(f"at rest {when}" if not self.wrong else f"not at rest {when}")
        budget = self._standing()
        may_w = self._standing_w | self._unanswered_w
        if not any(_is_same(budget, envelope_w) for envelope_w in may_w):
            self.wrong.append(f"{self.world.now_s:.3f} s: {when}: {budget} stands, and should be of {may_w} W")

    def _judge(self) -> None:
        writes = self._writes()
        for each in writes:
            self.world.trace.append(
                (each.at_s, f"        {self._who(each.pid)} sets gpu{each.gpu} to {each.new_w:g} W")
            )
        for at_s, gpu, low_mhz, high_mhz, pid in self.world.plant.lock_log():
            if at_s > self._began_s:
                self.world.trace.append(
                    (at_s, f"        {self._who(pid)} locks gpu{gpu} to {low_mhz} to {high_mhz} MHz")
                )
        wrong, self.exposures = referee.judge(writes, self.timeline, self.world.now_s)
        self.wrong += wrong

    def _who(self, pid: int) -> str:
        names = {0: "the driver", FOREIGN_PID: "somebody else", os.getpid(): "the owner"}
        return names.get(pid, f"eagent ({pid})")


def _is_same(budget: Budget | None, envelope_w: float | None) -> bool:
    if budget is None or envelope_w is None:
        return budget is None and envelope_w is None
    return abs(budget.envelope_w - envelope_w) < 0.01
