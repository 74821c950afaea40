"""What jobs can ask the agent: what their windows drew, and for less power on what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eagent.agent.explanation import brief
from eagent.agent.hints import Hints
from eagent.agent.windows import Span, Windows
from eagent.wish import Wish

Json = dict[str, Any]


class Desk:
    """The service behind the jobs' socket."""

    def __init__(
        self,
        windows: Windows,
        hints: Hints,
        explain: Callable[[str], Json],
        count: Callable[[float, str, str, int, int], bool] = lambda *_: False,
    ) -> None:
        """A desk that asks these.

        Args:
            windows: What was drawn.
            hints: What is asked for.
            explain: Says why the knobs of a device stand where they stand.
            count: Takes a beat, and says whether it counts for a job.
        """
        self._explain = explain
        self._count = count
        self._windows = windows
        self._hints = hints

    async def windows(self, pid: int, uid: int, spans: Sequence[Span], names: Sequence[str]) -> Json:
        """The joules of windows; see `Windows.windows`."""
        return await self._windows.windows(pid, uid, spans, names)

    def set_hint(self, pid: int, uid: int, device: str, wish: Wish, for_s: float) -> Json:
        """Ask for less; see `Hints.set`. `knobs` is how they stand now, and who has set them so."""
        told = self._hints.set(pid, uid, device, wish, for_s)
        return {**told, "knobs": brief(self._explain(told["uuid"]))}

    def clear_hint(self, uid: int, device: str) -> None:
        """Ask no more; see `Hints.clear`."""
        self._hints.clear(uid, device)

    def beat(self, pid: int, uid: int, units: float, unit: str, name: str) -> Json:
        """Note that a job has done more; `counts`: it is one that holds a GPU here."""
        return {"counts": self._count(units, unit, name, pid, uid)}

    def standing(self) -> Json:
        """What jobs ask for, for the audit log."""
        return self._hints.told()
