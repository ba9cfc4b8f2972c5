"""From when on something of a cluster's state is told."""

from __future__ import annotations

from typing import NamedTuple

_SHARE_MARGIN = 0.02
_LOAD_MARGIN = 0.1
_DAYS_MARGIN = 1.5
_CLOCK_MARGIN = 0.8


class Limits(NamedTuple):
    """Shares of 1 where nothing else is said. A limit of 0 days switches its check off.

    memory, cpu: of a node. pressure: how much of the time a node's work stands still for want of
    CPU, disks or memory (PSI, since 9.0). filling_days: a storage that will be full sooner.
    """

    nearly_full: float = 0.85
    full: float = 0.95
    memory: float = 0.95
    cpu: float = 0.9
    pressure: float = 0.4
    filling_days: float = 7
    certificate_days: float = 14
    snapshot_days: float = 14
    backup_days: float = 2
    clock_s: float = 5

    @property
    def io_wait(self) -> float:
        """Before 9.0 there is no PSI, and CPUs that wait for disks stand for it."""
        return self.pressure / 2

    def eased(self) -> Limits:
        """Lower ones, that keep what was told already from flapping."""
        return self._replace(
            nearly_full=max(0.0, self.nearly_full - _SHARE_MARGIN),
            full=max(0.0, self.full - _SHARE_MARGIN),
            memory=max(0.0, self.memory - _SHARE_MARGIN),
            cpu=max(0.0, self.cpu - _LOAD_MARGIN),
            pressure=max(0.0, self.pressure - _LOAD_MARGIN),
            filling_days=self.filling_days * _DAYS_MARGIN,
            clock_s=self.clock_s * _CLOCK_MARGIN,
        )


LIMITS = Limits()
