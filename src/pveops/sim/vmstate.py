"""The volume that the memory of a VM is saved to: for a snapshot, or while it is suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.sim.figures import memory_bytes
from pveops.sim.guest_volumes import list_volumes
from pveops.sim.volume import Volume, announce_format

if TYPE_CHECKING:
    from pveops.sim.guest import Guest
    from pveops.sim.model import Node
    from pveops.sim.tasks import Task

_RESERVE = 500 << 20
"""Room beside twice the memory (QemuConfig.pm __snapshot_save_vmstate)."""


def state_storage(node: Node, guest: Guest) -> str:
    """Where the state goes: the option, else a storage of the VM, a shared one first."""
    chosen = guest.config.get("vmstatestorage")
    if chosen:
        return str(chosen)
    storages = node.cluster.storages
    names = [
        volume.volid.partition(":")[0]
        for volume in list_volumes(guest.kind, guest.config)
        if volume.is_on_storage and not volume.is_cdrom
    ]
    known = [name for name in names if name in storages.definitions]
    shared = next((name for name in known if storages.get(name).is_shared), None)
    return shared or (known[0] if known else "local")


def allocate_state(
    task: Task, node: Node, guest: Guest, label: str, storage: str | None = None
) -> Volume:
    """Make the volume `vm-100-LABEL`, twice the memory and half a GiB in size."""
    memory = memory_bytes(guest)
    volume = node.cluster.storages.allocate_disk(
        node,
        storage or state_storage(node, guest),
        guest.vmid,
        2 * memory + _RESERVE,
        "raw",
        label=label,
    )
    announce_format(task.log, node.cluster.storages.get(volume.storage), volume)
    volume.used_bytes = memory // 4
    return volume
