"""What is wrong now, a line a subject: told while it is so, and in the log when it begins and when it ends."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from eagent.errors import EagentError

log = logging.getLogger(__name__)


class Problems:
    """The lines that stand, by their subjects, in the order in which they came up."""

    def __init__(self) -> None:
        """Nothing is wrong."""
        self._lines: dict[str, str] = {}

    def lines(self) -> tuple[str, ...]:
        """All that is wrong now."""
        return tuple(self._lines.values())

    def of(self, subject: str) -> str | None:
        """What is wrong with it; None: nothing."""
        return self._lines.get(subject)

    def mind(self, subject: str, problem: str | None) -> None:
        """Take note of how it is with a subject; None: it is well."""
        if problem is None:
            if self._lines.pop(subject, None) is not None:
                log.info("%s: well again", subject)
            return
        if subject not in self._lines:
            log.warning("%s: %s", subject, problem)
        self._lines[subject] = problem

    @contextlib.contextmanager
    def minding(self, subject: str) -> Iterator[None]:
        """Turn an error of ours into a line about `subject`, and its absence into none."""
        try:
            yield
        except EagentError as problem:
            self.mind(subject, str(problem))
        else:
            self.mind(subject, None)
