"""What operators do to an eagent that runs: GPUs are detached, reset and attached again, and daemons renewed."""

from __future__ import annotations

import contextlib
import signal

from eagent.client import device_target
from eagent.errors import EagentError, RefusedError
from tests.torture.course import Course
from tests.torture.script import MOST_W
from tests.torture.world import Process, World

START_S = 30.0  # of an interpreter, on a machine that does other things
PART_S = 4.0  # a warden waits three seconds for what it is asked to let go


class Upkeep(Course):
    """A course with these steps, and what is promised of them."""

    # -- detached GPUs -----------------------------------------------------------------------------------------------

    def _say_out(self, gpu: int, *, is_out: bool) -> None:
        self.timeline.out.append((self.world.now_s, gpu, is_out))
        (self.out.add if is_out else self.out.discard)(gpu)

    def _do_detach(self, gpu: int) -> None:
        if self.script.layout == "driven":
            self.world.ask("detach", PART_S, uuid=self.world.uuid(gpu), by="the torture", why="a reset")
        else:
            self.world.slow_api.request("PUT", device_target(f"gpu{gpu}", "detachment"), {"why": "a reset"})
        self._say_out(gpu, is_out=True)
        self._look_closed("it is detached")

    def _do_attach(self, gpu: int) -> None:
        was_out = gpu in self.out
        self._say_out(gpu, is_out=False)
        try:
            if self.script.layout == "driven":
                self.world.ask("attach", PART_S, uuid=self.world.uuid(gpu))
            else:
                self.world.slow_api.request("DELETE", device_target(f"gpu{gpu}", "detachment"))
        except RefusedError:
            if was_out:
                self._say_out(gpu, is_out=True)
            raise

    def _do_reset(self) -> None:
        """Of all that are out; others the driver resets for nobody."""
        self._look_closed("it is to be reset")
        for gpu in sorted(self.out):
            self.world.note(f"  gpu{gpu} is reset")
            self.legal_w[gpu].drop(MOST_W)
            self._inject("gpu-reset", gpu, ())

    def _look_closed(self, when: str) -> None:
        """No process has a GPU open that is said to be out."""
        for gpu in sorted(self.out):
            if self.world.has_open(gpu):
                self.wrong.append(f"{self.world.now_s:.3f} s: gpu{gpu} is open in a process, and {when}")

    def _attach_all(self, most_s: float) -> None:
        """Whatever is out comes in again, and is governed then."""
        for gpu in sorted(self.world.detached()):
            self.world.note(f"gpu{gpu} is attached")
            if not self.world.wait(lambda gpu=gpu: self._is_attached(gpu), most_s):  # type: ignore[misc]
                self.wrong.append(f"{self.world.now_s:.3f} s: gpu{gpu} can't be attached again")

    def _is_attached(self, gpu: int) -> bool:
        with contextlib.suppress(EagentError):
            self._say_out(gpu, is_out=False)
            self.world.ask("attach", PART_S, uuid=self.world.uuid(gpu))
            return True
        return False

    def _have_warden(self) -> None:
        """Start one, unless one answers."""

        def is_there() -> bool:
            if self.world.of("warden") is None:  # or the one that was ending has ended
                self.world.start("warden")
            return self._is_able()

        if not self.world.wait(is_there, START_S):
            self.wrong.append(f"{self.world.now_s:.3f} s: no warden within {START_S:g} s")
        self._look()

    # -- hand-overs --------------------------------------------------------------------------------------------------

    def _heeds(self, process: Process) -> bool:
        """Whether a process is a daemon that has begun, and so may be renewed."""
        if process.role == "warden":
            return self._is_able() and not process.stopped
        with contextlib.suppress(EagentError):
            return process.role == "agent" and bool(self.world.api.request("GET", "/v1/status"))
        return False

    def _do_renew(self, number: int) -> None:
        daemons = [each for each in self.world.living() if self._heeds(each)]
        if daemons:
            self._renew(daemons[number % len(daemons)])

    def _renew(self, process: Process) -> None:
        self.renewed.add(process.pid)
        self.world.signal(process, signal.SIGHUP)
        if process.role == "warden":
            self._unable()

    def _let_renewed_rest(self) -> None:
        """Whoever drives says that nothing is leased any more: a successor holds it for ten seconds else."""
        if self.renewed and self.script.layout == "driven":
            self.world.wait(lambda: self._is_released(self.world), PART_S)

    @staticmethod
    def _is_released(world: World) -> bool:
        with contextlib.suppress(EagentError):
            world.ask("release")
            return True
        return False
