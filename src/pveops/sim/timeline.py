"""Virtual time: an ordered queue of due events that is worked off whenever somebody looks.

Nothing runs in the background. Each look at the cluster (a request, a control call) first
runs what has become due, in order, each event at its own moment; so a simulation gives the
same story whether time is scaled (a demo: an hour in a minute) or moved by hand (a test).
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

from pveops.clock import Clock, SystemClock


class Timeline(Clock):
    """The cluster's clock and event queue. Is a `Clock`: a client may wait on it.

    scale: virtual seconds that pass in one real second; 0: time stands still until `sleep`
        or `advance` moves it, and a sleeper moves it at once.
    """

    def __init__(self, start: float, scale: float = 0.0) -> None:
        self.lock = threading.RLock()
        """Guards the whole model. Never held while somebody waits."""
        self._scale = scale
        self._base = start
        self._start = start
        self._anchor = time.monotonic()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._current: float | None = None

    @property
    def scale(self) -> float:
        """Virtual seconds in a real one; 0 when time is moved by hand."""
        return self._scale

    def set_scale(self, scale: float) -> None:
        """Go on from now at another pace."""
        with self.lock:
            self._base, self._anchor = self._real_now(), time.monotonic()
            self._scale = scale

    def now(self) -> float:
        """Seconds since the epoch; inside an event, the moment it was due."""
        return self._current if self._current is not None else self._real_now()

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.now() - self._start

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Run `event` when `moment` (seconds since the epoch) has come."""
        heapq.heappush(self._events, (moment, next(self._order), event))

    def after(self, delay_s: float, event: Callable[[], None]) -> None:
        """Run `event` in `delay_s` virtual seconds."""
        self.at(self.now() + delay_s, event)

    def run_due(self) -> None:
        """Run everything that is due, in order. Call with the lock held."""
        if self._current is not None:
            return
        try:
            while self._events and self._events[0][0] <= self._real_now():
                moment, _, event = heapq.heappop(self._events)
                self._current = moment
                event()
        finally:
            self._current = None

    def advance(self, seconds: float) -> None:
        """Move the time by hand and run what became due."""
        with self.lock:
            target = self._real_now() + seconds
            while self._events and self._events[0][0] <= target:
                self._base += max(0.0, self._events[0][0] - self._real_now())
                self.run_due()
            self._base += max(0.0, target - self._real_now())
            self.run_due()

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` of virtual time: really, or, when time stands still, by moving it."""
        if self._scale > 0:
            SystemClock().sleep(seconds / self._scale)
        else:
            self.advance(seconds)

    def _real_now(self) -> float:
        return self._base + (time.monotonic() - self._anchor) * self._scale
