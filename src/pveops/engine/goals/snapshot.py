"""Goals about snapshots: there and whole, gone, or rolled back to. `expect`: `name`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import read_guest_state
from pveops.domain.snapshot import read_snapshots
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought, count_gone

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_snapshot(client: Client, sought: Sought) -> Sight:
    """Reached when it is listed, no task left it half-way, and the guest's lock is gone."""
    name = str(sought.expect["name"])
    snapshot = read_snapshots(client, ref_of(sought.target)).find(name)
    if snapshot is None:
        return Sight(False, f"without snapshot {name}", {"snapshot": None})
    lock = read_guest_state(client, ref_of(sought.target)).lock
    word = f"left half-way in {snapshot.state}" if snapshot.state else f"snapshotted as {name}"
    if lock:
        word = f"locked ({lock})"
    return Sight(not snapshot.state and not lock, word, {"snapshot": name, "lock": lock})


def _look_for_absence(client: Client, sought: Sought) -> Sight:
    """`all`: the names of all that went, by comma, when this is the last of them."""
    name = str(sought.expect["name"])
    snapshot = read_snapshots(client, ref_of(sought.target)).find(name)
    if snapshot is None:
        told = str(sought.expect.get("all") or "")
        word = count_gone("snapshot", told) if told else f"without snapshot {name}"
        return Sight(True, word, {"snapshot": None})
    return Sight(False, f"with snapshot {name}", {"snapshot": name, "snapstate": snapshot.state})


def _look_for_rollback(client: Client, sought: Sought) -> Sight:
    """Reached when the present derives from the snapshot and the lock is gone.

    Only the task tells a rollback from a state that derived from the same snapshot before.
    """
    name = str(sought.expect["name"])
    parent = read_snapshots(client, ref_of(sought.target)).parent
    state = read_guest_state(client, ref_of(sought.target))
    after = {"parent": parent, "power": state.power, "lock": state.lock}
    if parent != name:
        return Sight(False, f"derived from {parent or 'no snapshot'}", dict(after))
    word = f"locked ({state.lock})" if state.lock else f"rolled back to {name}, {state.power}"
    return Sight(not state.lock, word, dict(after))


GOALS: dict[str, Look] = {
    "snapshot.present": _look_for_snapshot,
    "snapshot.absent": _look_for_absence,
    "snapshot.rolled-back": _look_for_rollback,
}
