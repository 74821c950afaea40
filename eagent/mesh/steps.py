"""The effects of the action under way, in their order: each is released when the one before it is done."""

from __future__ import annotations

from collections import deque

from eagent.errors import RefusedError
from eagent.mesh.effects import Awaited, Effect, Lower, Raise, Store


class Steps:
    """One action at a time. What need not be awaited is released together with what comes before it."""

    def __init__(self) -> None:
        """No action is under way."""
        self.awaited: Awaited | None = None
        self._rest: deque[Effect] = deque()

    def begin(self, *effects: Effect) -> list[Effect]:
        """Begin an action; returns what of it is released now."""
        self._rest.extend(effects)
        return self.proceed()

    def done(self, effect: Awaited) -> None:
        """Hear that the awaited effect is completed; `proceed` releases what follows.

        Raises:
            RefusedError: it is not the one that is awaited.
        """
        if effect != self.awaited:
            raise RefusedError(f"{effect.domain}: {type(effect).__name__} was told done and is not awaited")
        self.awaited = None

    def proceed(self) -> list[Effect]:
        """What is released next: up to the first effect that must be awaited."""
        released: list[Effect] = []
        while self._rest and self.awaited is None:
            step = self._rest.popleft()
            released.append(step)
            if isinstance(step, Lower | Store | Raise):
                self.awaited = step
        return released

    def drop(self, effect: Awaited) -> None:
        """Hear that an effect did not come about: if it is the awaited one, the rest of its action is dropped."""
        if effect == self.awaited:
            self.awaited = None
            self._rest.clear()
