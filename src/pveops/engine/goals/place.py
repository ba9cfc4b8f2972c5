"""Where a guest is, and what its node says of it now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.guest import GuestRef, GuestState, read_guest_state
from pveops.domain.inventory import read_inventory
from pveops.domain.rows import int_of, rows_of, text_of
from pveops.engine.goals.sight import Sight, Sought
from pveops.errors import NotFoundError, PveopsError, UnreachableError
from pveops.operations.plan import Scalar
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.operations.plan import Target


def ref_of(target: Target) -> GuestRef:
    """The guest that a target is."""
    kind = "lxc" if target.kind == "lxc" else "qemu"
    return GuestRef(int(target.id), kind, target.node, target.name)  # type: ignore[arg-type]


def read_where_it_is(client: Client, ref: GuestRef) -> GuestState:
    """The state, on the node where the guest is now: HA may have started it elsewhere.

    Raises NotFoundError when no node has it, UnreachableError when its node does not answer.
    """
    try:
        return read_guest_state(client, ref)
    except (NotFoundError, UnreachableError):
        for guest in read_inventory(client).guests:
            if guest.vmid == ref.vmid and guest.node != ref.node:
                return read_guest_state(client, guest.ref)
        raise


def look_on_node(client: Client, sought: Sought) -> Sight:
    """One look at a guest that was to move.

    `expect`: `node`; `runs`; `storages` and `left`, where copies and sources of disks lie;
    `is_queued`: HA moves it, some time after the call.

    Reached when the guest is there, unlocked, and in the state that it was in before. The word
    says where it really is, what was left behind, and what to do next: the text of a failed
    migration tells none of that (AbstractMigrate.pm).
    """
    wanted, ref = str(sought.expect["node"]), ref_of(sought.target)
    state = read_where_it_is(client, ref._replace(node=wanted))
    node, power = state.ref.node, state.power
    after: dict[str, Scalar] = {"power": power, "uptime_s": state.uptime_s, "node": node}
    is_there = node == wanted and not state.lock
    is_reached = is_there and power == sought.before.get("power")
    word = f"{power} on {node}" + (f", locked ({state.lock})" if state.lock else "")
    if state.lock:
        after["lock"] = state.lock
    other, names = (ref.node, "left") if node == wanted else (wanted, "storages")
    is_moving = state.lock and sought.expect.get("is_queued")
    storages = "" if is_moving else str(sought.expect.get(names) or "")
    left = tuple(_list_volumes(client, other, ref.vmid, storages))
    remarks = []
    if left:
        after["left"] = ",".join(left)
        remarks.append(f"left on {other}: {', '.join(left)}")
    if not is_reached:
        remarks.append(_unlocking(state) if state.lock else _next_step(sought, state))
    told = "; ".join(filter(None, remarks))
    return Sight(is_reached, f"{word} ({told})" if told else word, after)


def look_for_take_up(client: Client, sought: Sought) -> Sight:
    """`expect`: `node`. Reached once HA is seen to move the guest, or has moved it.

    The manager drops a request that it cannot follow, such as one for a node that is not online,
    with a word in the system log alone (pve-ha-manager Manager.pm), so that nothing ever happens.
    """
    wanted = str(sought.expect["node"])
    state = read_where_it_is(client, ref_of(sought.target)._replace(node=wanted))
    is_moving = state.lock == "migrate" or state.hastate in {"migrate", "relocate"}
    after: dict[str, Scalar] = {"power": state.power, "node": state.ref.node}
    return Sight(
        is_moving or state.ref.node == wanted, f"{state.power} on {state.ref.node}", after
    )


def _unlocking(state: GuestState) -> str:
    tool = "qm" if state.ref.kind == "qemu" else "pct"
    return (
        f"when no task of it runs any more (`pve task list --guest {state.ref.vmid}`), root on "
        f"{state.ref.node} can unlock it: `{tool} unlock {state.ref.vmid}`"
    )


def _next_step(sought: Sought, state: GuestState) -> str:
    vmid, before = state.ref.vmid, sought.before.get("power")
    if state.ref.node != sought.expect["node"]:
        if not state.is_running and sought.expect.get("runs"):
            return f"it ran before: `pve guest start {vmid}`"
        node = shell_word(str(sought.expect["node"]))
        return f"it can be asked for again: `pve guest migrate {vmid} {node}`"
    if state.is_running and before == "running":
        return f"let it go on: `pve guest resume {vmid}`"
    if not state.is_running and sought.expect.get("runs"):
        return f"it ran before: `pve guest start {vmid}`"
    return ""


def _list_volumes(client: Client, node: str, vmid: int, storages: str) -> Iterator[str]:
    """The guest's volumes on local storages of a node; what cannot be asked is left out."""
    for storage in filter(None, storages.split(",")):
        path = api_path("nodes", node, "storage", storage, "content")
        try:
            rows = rows_of(client.get(path, {"vmid": vmid}))
        except PveopsError:
            continue
        kinds = {"images", "rootdir"}
        yield from (
            text_of(row, "volid")
            for row in rows
            if int_of(row, "vmid") == vmid and text_of(row, "content") in kinds
        )
