"""What answers at the warden's socket while the driver has not let the warden take its GPUs over yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from eagent.errors import UnavailableError
from eagent.model import Budget
from eagent.wire import Message


class Waiting:
    """In the warden's place: refuses everything, with the reason, and says when there is nothing to wait for."""

    entered = True  # so that `tick` is called all the time
    wait_s: float | None = None

    def __init__(self, has_ended: Callable[[], bool], since_ns: int, clock: Callable[[], int]) -> None:
        """Waits since `since_ns`, by `clock`, until `has_ended`."""
        self._has_ended = has_ended
        self._since_ns = since_ns
        self._clock = clock
        self.at_end: Callable[[], None] = lambda: None  # called when there is nothing more to wait for

    def tick(self, now_ns: int) -> None:  # noqa: ARG002  # the warden's form
        """Look whether the driver has answered."""
        if self._has_ended():
            self.at_end()

    def _refuse(self) -> NoReturn:
        seconds = (self._clock() - self._since_ns) / 1e9
        raise UnavailableError(
            f"the driver has not answered the warden for {seconds:.0f} s: nothing is read and nothing is governed "
            "until it does; knobs stay as they are"
        )

    def hello(self) -> Message:
        """Nobody is here yet."""
        self._refuse()

    def status(self, now_ns: int) -> Message:  # noqa: ARG002
        """Nothing is known yet."""
        self._refuse()

    def lease(self, *_: object) -> Message:
        """Nothing can be held yet."""
        self._refuse()

    def release(self) -> Message:
        """Nothing can be given back yet."""
        self._refuse()

    def budget_set(self, budget: Budget) -> Message:  # noqa: ARG002
        """Nothing can be kept yet."""
        self._refuse()

    def budget_clear(self) -> Message:
        """What a budget holds can't be given back yet."""
        self._refuse()

    def yield_clear(self, *_: object) -> Message:
        """What somebody else has set can't be taken back yet."""
        self._refuse()

    def detach(self, *_: object) -> Message:
        """No GPU can be given up yet."""
        self._refuse()

    def attach(self, *_: object) -> Message:
        """No GPU can be taken yet."""
        self._refuse()

    def lock_again(self, *_: object) -> Message:
        """No clock can be locked yet."""
        self._refuse()
