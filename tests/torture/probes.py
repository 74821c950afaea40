"""What is looked at before the end of a round, of a warden that nothing hinders: each provokes one mechanism.

By chance alone the moments for which these mechanisms are there come too seldom to see that one is gone.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eagent.errors import EagentError, RefusedError
from tests.torture.upkeep import PART_S, START_S, Upkeep

NOTICE_S = 3.0  # the promise is 2 s
AGAIN_S = 6.0  # what could not be set is tried again after 2 s, and by a warden that may be at something else
SETTLE_S = 0.1  # in which the loop has read back what it wrote
SWITCHED_S = 0.5  # in which persistence mode is on where something is held; the next look comes up to a second later
LOOKED_S = 1.5  # each GPU is looked at once a second
PROBED, FOREIGN_W = 1, 321.0
PROBE_W = 105.0  # far enough from any value that a round sets: a change of 3 % waits under a lease
NO_DISK = Path("/proc/sys")  # a directory that takes no file from anybody


class Probes(Upkeep):
    """A course with these."""

    def _probe(self) -> None:
        """Those of the script; they need somebody who asks for leases, and that is nobody else."""
        if self.script.layout != "driven":
            return
        for name in sorted(self.script.probes):
            try:
                getattr(self, f"_probe_{name}")()
            except EagentError as problem:  # its beginning: what came of it is told by the probe
                self.world.note(f"no probe of {name}: {problem}")

    def _fail(self, what: str) -> None:
        self.wrong.append(f"{self.world.now_s:.3f} s: {what}")

    # -- what they begin with ----------------------------------------------------------------------------------------

    def _devices(self) -> list[dict[str, Any]]:
        """All of them, where no budget stands; else none."""
        hello = self.world.ask("hello", 5.0)
        return [] if hello["budget"] is not None else list(hello["devices"])

    def _is_free(self) -> bool:
        """Whether each limit is there to be leased: no budget, and all writable."""
        devices = self._devices() if self._is_able() else []
        return bool(devices) and all(each["power_limit"]["writable"] for each in devices)

    def _free(self) -> bool:
        """Have a warden, all GPUs, no budget and nobody else; whether each limit is there to be leased then."""
        self._have_warden()
        self._attach_all(PART_S)
        if self.world.ask("hello", 5.0)["budget"] is not None:
            self.world.note("clear, for a probe")
            self._do_clear()
        self.world.ask("yield_clear", 5.0)  # what somebody else had set, and keeps a limit from its lease
        return self.world.wait(_quietly(self._is_free), AGAIN_S)

    def _is_observed(self) -> bool:
        """Whether no limit can be set, as is told."""
        return not any(each["power_limit"]["writable"] for each in self._devices())

    def _holds(self, ttl_s: float) -> bool:
        """Whether a lease of the probed GPU is in force now. If not, the round's end tells whether that is wrong."""
        self.world.ask("lease", limits_mw={self.world.uuid(PROBED): round(PROBE_W * 1000)}, ttl_s=ttl_s)
        if not self.world.wait(lambda: self.world.limits_w()[PROBED] == PROBE_W, 3.0):
            self._release()
            return False
        time.sleep(SETTLE_S)
        return True

    def _is_blamed(self) -> bool:
        """Whether a stranger is said to have set the probed GPU."""
        with contextlib.suppress(EagentError):
            alarms = self.world.ask("status")["alarms"]
            return any("somebody else" in alarm and f"gpu{PROBED}:" in alarm for alarm in alarms)
        return False

    def _kill_warden(self, number: signal.Signals = signal.SIGKILL) -> None:
        warden = self.world.of("warden")
        if warden is not None:
            self.world.signal(warden, number)
            self._unable()
            self.world.wait(lambda: not warden.alive, PART_S)

    def _release(self) -> None:
        self.world.wait(lambda: self._is_released(self.world), PART_S)

    # -- they --------------------------------------------------------------------------------------------------------

    def _probe_foreign(self) -> None:
        """A foreign write to a limit that is held is noticed, and said, within two seconds."""
        if not self._is_free() or not self._holds(NOTICE_S + 2.0):
            return
        self.world.note(f"probe: somebody else sets gpu{PROBED} to {FOREIGN_W:g} W")
        self._do_strike("foreign-limit", PROBED, (FOREIGN_W,))
        if not self.world.wait(self._is_blamed, NOTICE_S):
            self._fail(f"a foreign write to gpu{PROBED} was not told within {NOTICE_S:g} s")
        self._release()

    def _probe_renewal(self) -> None:
        """A warden that becomes its successor lets nothing go."""
        warden = self.world.of("warden")
        if warden is None or not self._is_free() or not self._holds(2.0):
            return
        since_s, before = self.world.now_s, self.world.readied()
        self.world.note("probe: the warden is renewed")
        self._renew(warden)
        if not self.world.wait(lambda: self.world.readied() > before and self._is_able(), START_S):
            self._fail("the warden did not become its successor")
        moved = [each for each in self._log() if each.at_s > since_s and each.gpu == PROBED and each.new_w != PROBE_W]
        if moved or self.world.limits_w()[PROBED] != PROBE_W:
            self._fail(f"a renewed warden let gpu{PROBED} go: {moved}")
        self._look()

    def _probe_absence(self) -> None:
        """What somebody else sets while no warden lives is theirs: the next one says so, and lets it stand."""
        if not self._free() or not self._holds(60.0):
            return
        self.world.note(f"probe: somebody else sets gpu{PROBED} to {FOREIGN_W:g} W while no warden lives")
        self._kill_warden()
        self._do_strike("foreign-limit", PROBED, (FOREIGN_W,))
        self._have_warden()
        if not self.world.wait(self._is_blamed, NOTICE_S):
            self._fail(f"a foreign write to gpu{PROBED} between two wardens was not told")
        if self.world.limits_w()[PROBED] != FOREIGN_W:
            self._fail(f"a foreign write to gpu{PROBED} between two wardens does not stand")

    def _probe_reload(self) -> None:
        """What the driver drops while no warden lives is nobody's, also where a daemon switches persistence mode on."""
        if not self._free() or not self._holds(60.0):
            return
        self.world.note("probe: the driver is reloaded while no warden lives")
        self._kill_warden()
        self._do_strike("driver-reload", -1, (1.0,))
        self._have_warden()
        if self.world.wait(self._is_blamed, LOOKED_S):
            self._fail(f"what a reload dropped of gpu{PROBED} is said to be somebody else's")

    def _probe_drop(self) -> None:
        """What the driver drops right after it was first held is held again, and nobody is blamed."""
        if not self._free():
            return
        self.world.note(f"probe: gpu{PROBED} is dropped as soon as it is held")
        self._release()
        self._do_strike(
            "settings-dropped", PROBED, ()
        )  # its persistence mode is off now, and stays so unless it is held
        time.sleep(2 * LOOKED_S)
        if not self._holds(2 * NOTICE_S):
            return
        self.world.wait(lambda: self.world.plant.view(PROBED)["persistence_mode"] == 1, SWITCHED_S)
        self._do_strike("settings-dropped", PROBED, ())
        time.sleep(SETTLE_S)
        if not self.world.wait(lambda: self.world.limits_w()[PROBED] == PROBE_W, NOTICE_S):
            self._fail(f"gpu{PROBED} is not held again within {NOTICE_S:g} s of its driver's forgetting")
        if self._is_blamed():
            self._fail(f"what the driver has just dropped of gpu{PROBED} is said to be somebody else's")
        self._release()

    def _probe_disk(self) -> None:
        """While the disk takes nothing, a knob without an entry is told as one that can't be set; then as before."""
        if not self._free():
            return
        self._release()
        self.world.wait(lambda: not self.world.entries(), PART_S)
        self.world.note("probe: the disk takes nothing")
        with self._bad_disk():
            with contextlib.suppress(RefusedError):
                self._holds(2.0)
                self._fail(f"gpu{PROBED} was leased, and the journal can't be written")
            if not self.world.wait(_quietly(self._is_observed), NOTICE_S):
                self._fail("limits are said to be writable, and the journal can't be written")
        self._must_hold_again("the disk takes something again")

    def _probe_start(self) -> None:
        """A warden that started on a disk which takes nothing says so, and governs once it takes something."""
        if not self._free():
            return
        self._release()
        self.world.wait(lambda: not self.world.entries(), PART_S)
        self._kill_warden(signal.SIGTERM)
        self.world.note("probe: the disk takes nothing, and a warden starts")
        with self._bad_disk():
            self._have_warden()
            if not self._is_observed():
                self._fail("limits are said to be writable, and the journal can't be written")
        self._must_hold_again("the disk takes something again")

    def _probe_refusal(self) -> None:
        """A limit that was refused when the warden started is held once the driver allows it."""
        if not self._free():
            return
        self._release()
        self._kill_warden(signal.SIGTERM)
        self.world.note(f"probe: gpu{PROBED} refuses, and a warden starts")
        number = self._inject("no-permission", PROBED, ())
        self._have_warden()
        is_told = not self._devices()[PROBED]["power_limit"]["writable"]
        self.world.faults.clear(number)
        if not is_told:
            self._fail(f"gpu{PROBED} is said to be writable, and refuses")
        self._must_hold_again(f"gpu{PROBED} refuses nothing any more")

    def _probe_return(self) -> None:
        """A limit that can't go back when its lease ends goes back as soon as it can, whoever has died meanwhile."""
        if not self._free():
            return
        self._release()
        self.world.wait(lambda: not self.world.entries(), PART_S)
        before_w = self.world.limits_w()[PROBED]
        if not self._holds(1.0):
            return
        self.world.note(f"probe: gpu{PROBED} refuses, and its lease ends")
        number = self._inject("no-permission", PROBED, ())
        time.sleep(2 * LOOKED_S)
        self._kill_warden()
        self.world.faults.clear(number)
        self._have_warden()
        if not self.world.wait(lambda: self.world.limits_w()[PROBED] == before_w, AGAIN_S):
            self._fail(f"gpu{PROBED} does not go back to {before_w:g} W within {AGAIN_S:g} s of when it could")

    @contextlib.contextmanager
    def _bad_disk(self) -> Iterator[None]:
        journal = self.world.made.state / "journal"
        away = journal.with_name("away")
        journal.rename(away)
        journal.symlink_to(NO_DISK)
        try:
            yield
        finally:
            journal.unlink()
            away.rename(journal)

    def _must_hold_again(self, since: str) -> None:
        self.world.note(since)
        if not self.world.wait(_quietly(self._is_free), AGAIN_S):
            self._fail(f"limits are not writable {AGAIN_S:g} s after {since}")
        elif not self._holds(2.0):
            self._fail(f"gpu{PROBED} is leased and not held, after {since}")
        self._release()


def _quietly(condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, untrue where nobody answers."""

    def asked() -> bool:
        with contextlib.suppress(EagentError):
            return condition()
        return False

    return asked
