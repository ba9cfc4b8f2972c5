"""The only place that knows the time and that waits.

Everything that needs either takes a `Clock`, so that tests run on a virtual one.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that stands still unless it is told to go on; sleeping moves it at once."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self._now = now
        self._start = now

    def now(self) -> float:
        """Seconds since the epoch, as far as this clock was moved."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._now - self._start

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        self._now += max(0.0, seconds)
