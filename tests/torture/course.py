"""What a round does to a world: time, requests, deaths and faults, each noted with what is promised from then on."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from eagent.client import NoAgentError, device_target
from eagent.errors import EagentError, InputError, RefusedError
from eagent.model import Budget
from eagent.sim.workload import Gang, Square
from eagent.wire import pack_budget, unpack_budget
from tests.torture import referee
from tests.torture.referee import Exposure, Legal, Timeline, Write
from tests.torture.script import DROPS, FIXED_W, GPUS, HINDERS, LEAST_W, MOST_W, SAFE_W, Script, Step
from tests.torture.world import World

LOOK_S = 0.02
HOLDER_PID = 1  # who is said to have loads: some process that lives


class Course:
    """What a script does to a world, and what is promised meanwhile."""

    def __init__(self, world: World, script: Script) -> None:
        """Nothing is done yet."""
        self.world = world
        self.script = script
        self.wrong: list[str] = []
        self.legal_w = [Legal({limit_w}) for limit_w in script.priors_w]
        self.legal_mhz = [Legal({0.0}) for _ in range(GPUS)]
        self.timeline = Timeline(list(script.priors_w), referee.strangers(os.getpid()))
        self.exposures: list[Exposure] = []
        self.out: set[int] = set()  # GPUs that are detached, by what was answered
        self.renewed: set[int] = set()  # pids: who was told to become its successor
        self._undo: list[tuple[float, str, Callable[[], None]]] = []  # by time, and what it ends
        self._hindered_until_s = -math.inf  # by faults
        self._lasting: set[str] = set()
        self._told_to_end: set[int] = set()  # pids: who was told to end, but for the ending, may do so at any moment
        self._standing_w: frozenset[float | None] = frozenset((None,))  # the envelopes of which one stands; None: none
        self._unanswered_w: frozenset[float | None] = frozenset()  # that were asked for, and may come yet
        self._in_force = True  # what was said of the budget that was set last
        self._began_s = 0.0
        self._exposed_before: tuple[int, float] | None = None

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
        self._allow_least()
        self._look()
        ended_s = self.world.now_s
        if in_force:
            return
        hindered = self.timeline.able_s(begun_s, ended_s) < ended_s - begun_s - LOOK_S
        if not hindered and begun_s > self._hindered_until_s + 1.5 and not self._strange_since(begun_s - 1.5):
            self.wrong.append(f"{ended_s:.3f} s: a budget of {budget_w:g} W is not in force, though nothing hinders it")

    def _allow_least(self) -> None:
        """A GPU that was not there when a budget was set has no safe cap in it, and gets its least when it is back."""
        with contextlib.suppress(EagentError):
            here = {each["uuid"] for each in self.world.ask("hello")["devices"]}
            for gpu in range(GPUS):
                if self.world.uuid(gpu) not in here:
                    self.legal_w[gpu].write(LEAST_W)

    def _log(self) -> list[Write]:
        """The driver's own log of limits, since the round began."""
        log = self.world.plant.limit_log()
        return [Write(at_s, gpu, new_w, pid) for at_s, gpu, _, new_w, pid in log if at_s > self._began_s]

    def _strange_since(self, since_s: float) -> bool:
        strangers = self.timeline.strangers
        return any(at_s >= since_s and pid in strangers for at_s, _, _, _, pid in self.world.plant.limit_log())

    def _set_budget(self, budget_w: float) -> bool:
        if self.script.layout != "driven":
            return bool(self.world.api.request("PUT", "/v1/budget", {"budget_w": budget_w})["in_force"])
        hello = self.world.ask("hello")
        caps = {each["uuid"]: SAFE_W for each in hello["devices"]}  # of who is detached now, too
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
            for uuid, share, is_writable in zip(uuids, shares, writable, strict=False)  # who was lost may not be here
            if is_writable and (budget or share > 0.2)
        }
        over = sum(limits.values()) - round(1000 * envelope_w)
        if budget and fill <= 1 and over > 0:  # the least limits have taken more than their share
            limits = {uuid: max(round(1000 * LEAST_W), mw - over) if mw == max(limits.values()) else mw
                      for uuid, mw in limits.items()}  # fmt: skip
            over = sum(limits.values()) - round(1000 * envelope_w)
        locked = {uuid: mhz for uuid, mhz in zip(uuids, clocks, strict=False) if mhz}
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
            self._told_to_end |= {each.pid for each in self.world.living() if each is victim or victim.role == "up"}
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
        self._inject(kind, gpu, () if kind == "driver-reload" else values)
        for each in hit if kind == "driver-reload" and values else ():
            self.world.plant.set_persistence(each, 1)  # by a daemon that sees to it
