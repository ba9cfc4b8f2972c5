"""Goals about guests that are restored on trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import read_guest_state
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.errors import PveopsError
from pveops.operations.plan import Scalar
from pveops.units import format_duration

if TYPE_CHECKING:
    from pveops.api.client import Client

_RUNS_S = 45


def _look_for_life(client: Client, sought: Sought) -> Sight:
    """Reached when its agent answers; without one, when it has run for three quarters of a minute.

    A VM whose disks hold nothing runs on, too: that is all that can be seen from outside, and the
    words say so.
    """
    ref = ref_of(sought.target)
    state = read_guest_state(client, ref)
    after: dict[str, Scalar] = {"power": state.power, "uptime_s": state.uptime_s}
    if not state.is_running or state.qmpstatus not in {"running", ""}:
        return Sight(False, f"not running ({state.power})", after)
    up = format_duration(state.uptime_s)
    if ref.kind == "lxc" or not state.has_agent:
        asked = "it is a container" if ref.kind == "lxc" else "no agent to ask"
        return Sight(state.uptime_s >= _RUNS_S, f"up for {up} ({asked})", after)
    try:
        client.get(ref.path("agent", "info"))
    except PveopsError:
        return Sight(False, f"up for {up}, but its guest agent does not answer", after)
    return Sight(True, f"bootable: its guest agent answered after {up}", after)


GOALS: dict[str, Look] = {"drill.alive": _look_for_life}
