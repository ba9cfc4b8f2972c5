"""Slow looks: what costs a request for each node or storage, and is not read at every look.

Each has a period. What it found stays in the book, and counts as so until it is looked at again:
a part that could not be read, or that lies on a dead node, is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.operations.findings import Finding
from pveops.units import HOUR_S, MINUTE_S

if TYPE_CHECKING:
    from pveops.monitor.slow_looks import Scene

_SLACK_S = 30
"""Schedulers are some seconds early or late."""
_AGAIN_S = 30 * MINUTE_S
"""What could not be read is tried again after this, or its period, if that is shorter."""


class Sight(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one slow look saw: as `alerts.Seen`, for its own families."""

    findings: tuple[Finding, ...] = ()
    held: tuple[Finding, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()
    blind: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest sight of one slow look.

    read, tried: when, in seconds since the epoch; 0: never. problem: why the last try failed.
    """

    read: int = 0
    tried: int = 0
    sight: Sight = Sight()
    problem: str = ""


class SlowLook(NamedTuple):
    """One thing to read.

    key: what it is remembered by, `drives/pve1`. what: in words, for blind spots. node: where the
    request goes. needs: the paths on one of which the privilege has to hold. is_reachable: False:
    it is known to give no answer now. is_of_storage: one of many of its kind.
    """

    key: str
    what: str
    node: str
    period_s: int
    read: Callable[[Scene], Sight]
    needs: tuple[str, ...] = ()
    privilege: str = ""
    is_reachable: bool = True
    is_of_storage: bool = False

    def is_due(self, part: Part | None, now: int) -> bool:
        """Whether it is time."""
        if part is None:
            return True
        if part.problem:
            return now - part.tried >= min(self.period_s, _AGAIN_S) - _SLACK_S
        return now - part.read >= self.period_s - _SLACK_S


LOAD_S = 10 * MINUTE_S
CLOCK_S = HOUR_S
BACKUPS_S = HOUR_S
DRIVES_S = POOLS_S = FORECAST_S = 6 * HOUR_S
CERTIFICATES_S = 12 * HOUR_S
UPDATES_S = 24 * HOUR_S


def merge_parts(mine: Mapping[str, Part], theirs: Mapping[str, Part]) -> dict[str, Part]:
    """Of two runs at once the newer sight of each part counts; those that only `theirs` has go."""
    return {
        key: max(part, theirs.get(key, part), key=lambda each: each.tried)
        for key, part in mine.items()
    }


def tell_problems(looks: Iterable[SlowLook], parts: Mapping[str, Part]) -> Iterator[str]:
    """Blind spots: what failed, with the places together."""
    places: dict[tuple[str, str], list[str]] = {}
    for look in looks:
        part = parts.get(look.key)
        if part is not None and part.problem:
            places.setdefault((look.what, part.problem), []).append(look.node)
    for (what, problem), nodes in sorted(places.items()):
        yield f"{what} of {', '.join(sorted(set(nodes)))}: {problem}"
