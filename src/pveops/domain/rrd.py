"""Measured series: what PVE's round-robin databases (`rrddata`) remember.

A row is one step of time with the members that were measured in it. A member that is missing was
not measured, because the guest was off, the node down or the database younger than that: it is
unknown, and never zero. `cpu` and `iowait` are shares of 1, memory and space are bytes, traffic is
bytes a second (PVE counts, the database derives), `pressure*` is percent.

Steps and reach differ: 8.x keeps 70 rows of each timeframe, which makes a day of half hours and a
month of half days; 9.x a day of minutes and a month of half hours (`PVE::RRD`, pve-access and
pve-manager). A node that was upgraded answers rows of both, the old ones first, so the step may
change within one answer, and moments may come twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pveops.domain.rows import Row, rows_of
from pveops.errors import RejectedError
from pveops.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from pveops.api.client import Client

Timeframe = Literal["hour", "day", "week", "month", "year"]
Consolidation = Literal["AVERAGE", "MAX"]
Point = tuple[int, float]

REACH_S: dict[Timeframe, int] = {
    "hour": HOUR_S,
    "day": DAY_S,
    "week": 7 * DAY_S,
    "month": 30 * DAY_S,
    "year": 360 * DAY_S,
}
"""How far back each timeframe goes on every version that is known."""
_LARGEST = 1 << 62
_NO_DATABASE = "RRD error"


class Measured(NamedTuple):
    """The rows of one answer, the oldest first, each moment once.

    times: seconds since the epoch. rows: what was measured in the step that begins there.
    """

    times: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def members(self) -> frozenset[str]:
        """Everything that was measured at least once."""
        return frozenset(
            name
            for row in self.rows
            for name, value in row.items()
            if name != "time" and number_of(value) is not None
        )

    def series(self, member: str) -> tuple[tuple[int, float | None], ...]:
        """The member at each moment; None: it was not measured."""
        return tuple(
            (time, number_of(row.get(member)))
            for time, row in zip(self.times, self.rows, strict=True)
        )

    def points(self, member: str) -> tuple[Point, ...]:
        """The moments at which the member was measured."""
        return tuple((time, value) for time, value in self.series(member) if value is not None)

    def since(self, moment: float) -> Measured:
        """What was measured at that moment or later."""
        kept = [index for index, time in enumerate(self.times) if time >= moment]
        return Measured(
            tuple(self.times[index] for index in kept), tuple(self.rows[index] for index in kept)
        )

    @property
    def step_s(self) -> int:
        """The usual distance of two moments, in seconds; 0 when there are fewer than two."""
        return step_of(self.times)


NOTHING = Measured((), ())


def timeframe_for(span_s: float) -> Timeframe:
    """The finest timeframe that reaches back so far; the longest when none does."""
    return next((name for name, reach in REACH_S.items() if span_s <= reach), "year")


def node_path(node: str) -> str:
    """Where a node's series are; a node that is down has them on each other node."""
    return f"/nodes/{node}/rrddata"


def guest_path(node: str, kind: str, vmid: int) -> str:
    """Where a guest's series are; kind: `qemu` or `lxc`."""
    return f"/nodes/{node}/{kind}/{vmid}/rrddata"


def storage_path(node: str, storage: str) -> str:
    """Where a storage's series are, as that node measured them."""
    return f"/nodes/{node}/storage/{storage}/rrddata"


def read_measured(
    client: Client, path: str, timeframe: Timeframe, cf: Consolidation = "AVERAGE"
) -> Measured:
    """One request. A thing that has no database yet was never measured: no rows, no error.

    Raises what the API raises: AccessError, UnreachableError, RejectedError.
    """
    try:
        data = client.get(path, {"timeframe": timeframe, "cf": cf})
    except RejectedError as error:
        if _NO_DATABASE in error.message or _NO_DATABASE in str(error.details.get("server", "")):
            return NOTHING
        raise
    return measured_of(rows_of(data))


def measured_of(rows: Iterable[Row]) -> Measured:
    """Sort the rows by time. Of two for one moment the later in the answer fills what is known."""
    by_time: dict[int, dict[str, Any]] = {}
    for row in rows:
        moment = number_of(row.get("time"))
        if moment is not None and moment > 0:
            by_time.setdefault(int(moment), {}).update(row)
    times = tuple(sorted(by_time))
    return Measured(times, tuple(by_time[time] for time in times))


def number_of(value: Any) -> float | None:
    """The value as a number; None when it is none, or none that could have been measured."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= _LARGEST else None


def step_of(times: Sequence[int]) -> int:
    """The median distance of neighbours, in seconds; 0 when there are fewer than two."""
    steps = sorted(later - sooner for sooner, later in pairwise(times))
    return steps[len(steps) // 2] if steps else 0
