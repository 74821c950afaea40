"""Windows of one name, added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from eagent.joules import Joules


@dataclass(frozen=True, slots=True)
class Summary:
    """All windows of one name. Joules are the sum over the `known` ones of them."""

    name: str
    count: int = 0
    seconds: float = 0.0  # of all, in each other or not
    known: int = 0  # whose joules are known
    known_s: float = 0.0
    energy_j: float | None = None
    half_width_j: float = 0.0  # the sum of theirs: errors of windows that repeat need not cancel
    gain_j: float = 0.0
    simulated: bool = False
    why: str = ""  # some of them have no joules, for the first of them

    def __str__(self) -> str:
        """For a person."""
        text = f"{self.name or 'windows without a name'}: {self.count} in {self.seconds:.3f} s"
        if self.energy_j is None:
            return f"{text}, no joules: {self.why}"
        kind = " simulated" if self.simulated else ""
        text = f"{text}, {self.energy_j:.2f} J +- {self.half_width_j:.2f} J{kind}"
        return f"{text} of {self.known} of them; others: {self.why}" if self.known < self.count else text

    def plus(self, windows: Sequence[tuple[float, Joules]]) -> Summary:
        """With these windows more: the seconds and the joules of each."""
        known = [(seconds, told, told.energy_j) for seconds, told in windows if not told.why]
        return replace(
            self,
            count=self.count + len(windows),
            seconds=self.seconds + sum(seconds for seconds, _ in windows),
            known=self.known + len(known),
            known_s=self.known_s + sum(seconds for seconds, _, _ in known),
            energy_j=(self.energy_j or 0.0) + sum(joules or 0.0 for _, _, joules in known) if known else self.energy_j,
            half_width_j=self.half_width_j + sum(told.half_width_j or 0.0 for _, told, _ in known),
            gain_j=self.gain_j + sum(told.gain_j or 0.0 for _, told, _ in known),
            simulated=self.simulated or any(told.simulated for _, told, _ in known),
            why=self.why or next((told.why for _, told in windows if told.why), ""),
        )


LOST = Joules(why="so many windows ended before anybody asked that this one was let go")


@dataclass(slots=True)
class Tally:
    """The summaries of a process so far. Who uses it holds its lock."""

    _of: dict[str, Summary] = field(default_factory=dict)

    def add(self, windows: Iterable[tuple[str, float, Joules]]) -> None:
        """Take windows in: name, seconds, joules."""
        of: dict[str, list[tuple[float, Joules]]] = {}
        for name, seconds, joules in windows:
            of.setdefault(name, []).append((seconds, joules))
        for name, each in of.items():
            self._of[name] = self._of.get(name, Summary(name)).plus(each)

    def clear(self) -> None:
        """Forget all."""
        self._of.clear()

    def summaries(self, unknown: Sequence[tuple[str, float]], why: str) -> tuple[Summary, ...]:
        """One for each name, by name; windows that nobody could be asked for are in it, for the reason `why`."""
        whole = Tally(dict(self._of))
        whole.add((name, seconds, Joules(why=why or "it ended just now")) for name, seconds in unknown)
        return tuple(whole._of[name] for name in sorted(whole._of))
