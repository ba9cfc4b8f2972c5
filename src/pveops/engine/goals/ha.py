"""Goals about HA resources: what is configured, and what the manager makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.ha import read_ha, read_resource, sid_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar, Target

if TYPE_CHECKING:
    from pveops.api.client import Client


def _sid(target: Target) -> str:
    return sid_of(target.kind, int(target.id))


def _look_at_options(client: Client, sought: Sought) -> Sight:
    """`expect`: option -> the text that it has to have."""
    resource = read_resource(client, _sid(sought.target))
    if resource is None:
        return Sight(False, "not under HA", {"ha": None})
    off = [key for key, value in sought.expect.items() if resource.get(key) != str(value)]
    word = f"wanted {resource['state']} by HA" + (f", but for {', '.join(off)}" if off else "")
    return Sight(not off, word, {"ha": resource["state"]})


def _look_for_absence(client: Client, sought: Sought) -> Sight:
    is_absent = read_resource(client, _sid(sought.target)) is None
    after: dict[str, Scalar] = {"ha": None if is_absent else "managed"}
    return Sight(is_absent, "not under HA" if is_absent else "under HA", after)


def _look_at_manager(client: Client, sought: Sought) -> Sight:
    """`expect`: `states` (by comma), one of which the manager has to be in with it."""
    sid, wanted = _sid(sought.target), str(sought.expect["states"]).split(",")
    found = next((each for each in read_ha(client).resources if each.sid == sid), None)
    state = found.state if found else "gone"
    return Sight(state in wanted, f"{state} in HA", {"ha": state})


GOALS: dict[str, Look] = {
    "ha.configured": _look_at_options,
    "ha.absent": _look_for_absence,
    "ha.settled": _look_at_manager,
}
