"""Where things are: the directories that eagent lives in on a host, and the names in them.

It stands apart from the configuration, and is no dataclass, so that `eagent status` starts without either: they take
a third of its time to load.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from eagent.errors import UnavailableError

PROC = Path("/proc")
SYSTEM_RUN = Path("/run/eagent")  # root's
SYSTEM_STATE = Path("/var/lib/eagent")
JOBS_MODE = 0o755
RUN_MODE = 0o751  # others may pass through to `jobs`, and find nothing else that is theirs to open


class Paths(NamedTuple):
    """The two directories eagent lives in on a host, the names in them, and the kernel's trees."""

    run: Path  # sockets, locks and the ring: gone after a boot
    state: Path  # journal and budget: must outlive a boot
    sysfs: Path = Path("/sys")
    proc: Path = PROC

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """EAGENT_RUN_DIR and EAGENT_STATE_DIR, else the system's directories for root and the user's own for a user.

        The kernel's trees are where they always are, but on a simulated host: EAGENT_SYSFS and EAGENT_PROC.
        """
        uid = os.getuid()
        if uid == 0:
            run, state = str(SYSTEM_RUN), str(SYSTEM_STATE)
        else:
            run = f"{environ['XDG_RUNTIME_DIR']}/eagent" if environ.get("XDG_RUNTIME_DIR") else f"/tmp/eagent-{uid}"
            home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '/tmp')}/.local/state"
            state = f"{home}/eagent"
        return cls(
            run=Path(environ.get("EAGENT_RUN_DIR") or run),
            state=Path(environ.get("EAGENT_STATE_DIR") or state),
            sysfs=Path(environ.get("EAGENT_SYSFS") or "/sys"),
            proc=Path(environ.get("EAGENT_PROC") or PROC),
        )

    @classmethod
    def of_who_answers(
        cls, environ: Mapping[str, str] = os.environ, run: Path = SYSTEM_RUN, state: Path = SYSTEM_STATE
    ) -> Paths:
        """Where a user's command asks: an agent of the user's own, if one is there, else the host's, if it has one.

        Raises:
            UnavailableError: what is in the place of the user's own is somebody else's (a trap laid in /tmp).
        """
        own = cls.from_environment(environ)
        if environ.get("EAGENT_RUN_DIR") or own.run == run:
            return own
        if os.path.lexists(own.api_socket):
            owner = own.run.stat().st_uid
            if owner not in (0, os.getuid()):
                raise UnavailableError(f"{own.run} belongs to user {owner}, not to root or to you: remove it")
            return own
        if not os.path.isdir(run):  # noqa: PTH112  # Path's raises where one may not look
            return own
        return own._replace(run=run, state=own.state if environ.get("EAGENT_STATE_DIR") else state)

    def boot_id(self, proc: Path = PROC) -> str:
        """This boot, as the host's kernel names it: a simulated host's own where it has one, else that of `proc`.

        Raises:
            OSError: no kernel tells.
        """
        places = [tree / "sys/kernel/random/boot_id" for tree in (self.proc, proc)]
        own = self.proc != PROC and places[0].exists()
        return places[0 if own else 1].read_text(encoding="ascii").strip()

    def driver_life(self) -> str:
        """A text that differs for each time the kernel has loaded the GPU driver since it booted; "" where none tells.

        A reload resets every GPU's settings, and nothing else tells of it later. It is the inode of the module's
        directory: the kernel numbers what sysfs shows anew, and in a boot uses no number twice (fs/kernfs/dir.c,
        idr_alloc_cyclic with a generation).
        """
        try:
            return str((self.sysfs / "module/nvidia").stat().st_ino)
        except OSError:
            return ""

    @property
    def warden_socket(self) -> Path:
        """The warden's private socket, in a directory of its own: an agent can't take the name first."""
        return self.run / "warden/sock"

    @property
    def detached(self) -> Path:
        """Which GPUs are detached; here, because nobody resets a GPU across a boot."""
        return self.run / "detached.json"

    @property
    def api_socket(self) -> Path:
        """The agent's HTTP socket."""
        return self.run / "api.sock"

    @property
    def jobs(self) -> Path:
        """What jobs may use, whoever owns them; a directory of its own, to be mounted into containers."""
        return self.run / "jobs"

    @property
    def measure_socket(self) -> Path:
        """Where the agent tells job owners what their windows drew. Anybody may connect."""
        return self.jobs / "ask.sock"

    @property
    def beat_socket(self) -> Path:
        """Where jobs say how far they have come: datagrams, from anybody."""
        return self.jobs / "beat.sock"

    @property
    def power_socket(self) -> Path:
        """The power role's HTTP socket, on a management host."""
        return self.run / "power.sock"

    @property
    def power_lock(self) -> Path:
        """Held by the one power role of these directories."""
        return self.run / "power.lock"

    @property
    def power_record(self) -> Path:
        """What the power role has switched, a line an entry."""
        return self.state / "power.jsonl"

    @property
    def ring(self) -> Path:
        """The sample ring that the warden writes."""
        return self.run / "ring"

    @property
    def written(self) -> Path:
        """What wardens have written to power limits last."""
        return self.run / "written"

    @property
    def warden_lock(self) -> Path:
        """Held by the one warden of these directories."""
        return self.run / "warden.lock"

    @property
    def agent_lock(self) -> Path:
        """Held by the one agent of these directories."""
        return self.run / "agent.lock"

    @property
    def mesh(self) -> Path:
        """What this host holds in the mesh, a file for each domain. It speaks for one boot, like all that is here."""
        return self.run / "mesh"

    @property
    def journal(self) -> Path:
        """What each knob held before its first write: one file a knob."""
        return self.state / "journal"

    @property
    def warden_audit(self) -> Path:
        """The warden's audit log: a directory, of its own user alone."""
        return self.state / "audit/warden"

    @property
    def agent_audit(self) -> Path:
        """The agent's audit log: likewise, for the agent may be another user."""
        return self.state / "audit/agent"

    @property
    def power_audit(self) -> Path:
        """The power role's audit log."""
        return self.state / "audit/power"

    @property
    def curves(self) -> Path:
        """What the agent has learnt of jobs, for their next runs: its own."""
        return self.state / "curves.sqlite"

    @property
    def halt(self) -> Path:
        """While this file is there, no policy acts but the budget's. Its text says why."""
        return self.state / "halt"

    @property
    def budget(self) -> Path:
        """The budget in force, if there is one."""
        return self.state / "budget.json"
