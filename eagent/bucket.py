"""A token bucket: how much a peer may say before it has to wait, and how fast that comes back."""

from __future__ import annotations


class Bucket:
    """Full at first. In any stretch of t seconds no more than `burst + t * rate_per_s` is taken out of it."""

    __slots__ = ("_at_ns", "_burst", "_level", "_rate_per_ns")

    def __init__(self, rate_per_s: float, burst: float, now_ns: int) -> None:
        """A bucket of `burst` tokens into which `rate_per_s` run each second."""
        self._rate_per_ns = rate_per_s / 1e9
        self._burst = burst
        self._level = burst
        self._at_ns = now_ns

    def take(self, now_ns: int, tokens: float = 1.0) -> bool:
        """Take out that many, or none if fewer are in it. What asks for more than `burst` never gets it."""
        if now_ns > self._at_ns:
            self._level = min(self._burst, self._level + (now_ns - self._at_ns) * self._rate_per_ns)
            self._at_ns = now_ns
        if self._level < tokens:
            return False
        self._level -= tokens
        return True
