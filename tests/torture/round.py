"""One round: a script performed on a world, its ending, and the verdict."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import time

from eagent.client import NoAgentError
from eagent.errors import EagentError, ProtocolError, UnavailableError
from eagent.model import Budget
from eagent.sim._faults import FOREIGN_PID
from eagent.warden import durable
from eagent.warden.service import GRACE_S
from eagent.wire import unpack_budget
from tests.torture import referee
from tests.torture.probes import NOTICE_S, Probes
from tests.torture.script import SAFE_W
from tests.torture.upkeep import START_S

REST_S = 10.0  # from the end of all disturbances until every knob is where it belongs


class Round(Probes):
    """A script performed on a world, from its beginning to the verdict."""

    def run(self) -> list[str]:
        """All of it; what is wrong, a line each."""
        self._prepare()
        for step in self.script.steps:
            self._pass(step.after_s)
            self._perform(step)
        self._calm()
        self._compare_exposure()
        self._probe()
        self._let_renewed_rest()
        self._end()
        self._judge()
        return self.wrong

    def _prepare(self) -> None:
        world, layout = self.world, self.script.layout
        running = {process.role for process in world.living()}
        wanted = {"driven": {"warden"}, "pair": {"warden", "agent"}, "up": {"up"}}[layout]
        if layout == "up" or "up" in running or running - wanted:
            world.end_all(signal.SIGTERM)
        for gpu, prior_w in enumerate(self.script.priors_w):
            world.plant.set_power_limit(gpu, prior_w)
            world.plant.reset_clocks(gpu)  # of somebody else's, which the round before had to leave alone
        self._began_s = world.now_s

        def is_ready() -> bool:
            living = {each.role for each in world.living()}
            for role in sorted(wanted - living, reverse=True):  # or who was ending has ended
                world.start(role)
            if layout == "up" and not {"warden", "agent"} <= living:
                return False
            return self._ready("agent" if layout != "driven" else "warden")

        if not world.wait(is_ready, START_S):
            self.wrong.append(f"eagent did not start within {START_S:g} s")
        with contextlib.suppress(EagentError):  # what others set in the round before stands else
            world.ask("yield_clear", 5.0)
        self._look()
        self._exposed_before = self._told_exposure()

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
        self._take_in()
        self._look()

    def _take_in(self) -> None:
        """Do what the warden asks for of a GPU that was lost when it began, and answers now: nobody else would."""
        warden = self.world.of("warden")
        with contextlib.suppress(EagentError):
            if warden is None or not any("is left alone" in alarm for alarm in self.world.ask("status")["alarms"]):
                return
            self.world.note("the warden is renewed, and takes in what it has left alone")
            self._allow_least()
            since = self.world.readied()
            self._renew(warden)
            if not self.world.wait(lambda: self.world.readied() > since and self._is_able(), START_S):
                self.wrong.append(f"{self.world.now_s:.3f} s: the warden did not become its successor")

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
        if self._exposed_before is None or self._lowers_unseen() or self._exposed_before[0] in self.renewed:
            return
        seen = referee.judge(self._log(), self.timeline, self.world.now_s)[1]
        seen_j = sum(each.energy_j for each in seen)
        before_pid, before_j = self._exposed_before

        def is_told() -> bool:
            told = self._told_exposure()
            return told is None or told[0] != before_pid or told[1] - before_j >= 0.98 * seen_j - 1.0

        # The log is read after the wait: what follows a driver's forgetting may not have been written before it.
        if not self.world.wait(is_told, 2.0 * NOTICE_S) and not referee.is_written_over(self._log(), self.timeline):
            told = self._told_exposure()
            told_j = told[1] - before_j if told else 0.0
            self.wrong.append(
                f"{self.world.now_s:.3f} s: {told_j:.0f} J of exposure are told, at most, and {seen_j:.0f} J were"
            )

    def _lowers_unseen(self) -> bool:
        """Whether somebody else may have lowered what was held, which leaves room that is no exposure to a warden."""
        return any(step.values[0] == "foreign-limit" for step in self.script.steps if step.action == "strike")

    def _end(self) -> None:
        """Who governs lets go, or dies; then every knob comes to be where it belongs."""
        getattr(self, "_end_by_" + self.script.ending.replace("-", "_"))()
        self._await_rest("after the ending")
        if self.world.detached() or self.out:
            self._look_closed("it is detached")
            self._have_warden()
            self._attach_all(REST_S)
            self._await_rest("after all GPUs were attached")
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
        """From the journal: all comes back but what whoever has a detached GPU must see to."""
        code, said = self.world.restore()
        kept = set(re.findall(r"^not back: gpu(\d+):", said, re.MULTILINE))
        is_owed = bool(kept) and kept <= {str(gpu) for gpu in self.world.detached()}
        if code != 0 and not is_owed:
            self.wrong.append(f"{self.world.now_s:.3f} s: restore failed, though nothing hinders it: {said.strip()}")

    def _clear_without_agent(self) -> None:
        self.world.note("the budget is cleared")
        self._standing_w = frozenset((None,))
        self._promise()
        warden = self.world.of("warden")
        if warden is not None and self._is_able() and not self.script.clears_by_command:
            try:
                self.world.ask("budget_clear", 5.0)
                return
            except (NoAgentError, UnavailableError) as problem:
                if warden.pid not in self._told_to_end | self.renewed:
                    raise
                self.world.note(f"  it ends, or becomes its successor, meanwhile: {problem}")
                is_over = (lambda: not warden.alive) if warden.pid in self._told_to_end else self._is_able
                self.world.wait(is_over, REST_S)
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
        budget, world, out = self._standing(), self.world, self.world.detached()
        envelope_w = budget.envelope_w if budget else math.inf
        wrong = referee.misplaced(world.limits_w(), self.legal_w, SAFE_W if budget else None, envelope_w, out)
        for gpu, (lock_mhz, may) in enumerate(zip(world.locks_mhz(), self.legal_mhz, strict=True)):
            if lock_mhz not in may.values and gpu not in out:
                wrong.append(
                    f"gpu{gpu}: its clocks are locked to {lock_mhz} MHz, and should be to {sorted(may.values)}"
                )
        gone = tuple(world.uuid(gpu) for gpu in out)
        if budget is None and (entries := [name for name in world.entries() if not name.startswith(gone)]):
            wrong.append(f"the journal still holds {', '.join(entries)}")
        return wrong

    def _await_rest(self, when: str) -> None:
        if not self.world.wait(lambda: not self._misplaced(), REST_S + (GRACE_S if self.renewed else 0)):
            self.wrong += [f"{self.world.now_s:.3f} s: {when}: {line}" for line in self._misplaced()]
        self.world.note(f"at rest {when}" if not self.wrong else f"not at rest {when}")
        budget = self._standing()
        may_w = self._standing_w | self._unanswered_w
        if not any(_is_same(budget, envelope_w) for envelope_w in may_w):
            self.wrong.append(f"{self.world.now_s:.3f} s: {when}: {budget} stands, and should be of {may_w} W")

    def _judge(self) -> None:
        writes = self._log()
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
