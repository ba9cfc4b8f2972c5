"""The figures of a guest: status, CPU, memory, disk, uptime, in PVE's names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pveops.sim.guest import Guest

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node

_MIB = 1 << 20
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"size=(\d+(?:\.\d+)?)([KMGT]?)")
_DEFAULT_ROOTFS = 4 << 30
"""PVE::LXC vmstatus: a root file system without a size counts as 4 GiB."""
_DISKS = re.compile(r"(?:scsi|virtio|sata|ide)\d+")
_ACCOUNTS = ("netin", "netout", "diskread", "diskwrite")


def guest_figures(cluster: Cluster, node: Node, guest: Guest) -> dict[str, Any]:
    """What pvestatd says of a guest in /cluster/resources."""
    now = cluster.timeline.now()
    memory = memory_bytes(guest)
    figures: dict[str, Any] = {
        "name": guest.name or f"{guest.noun}{guest.vmid}",
        "status": power_word(guest),
        "template": int(guest.is_template),
        "cpu": load_of(guest) if guest.is_running else 0,
        "maxcpu": cpus_of(guest, node),
        "mem": int(memory * 0.6) if guest.is_running else 0,
        "maxmem": memory,
        "disk": disk_used(guest),
        "maxdisk": disk_bytes(guest),
        "uptime": guest.uptime_s(now),
        **dict.fromkeys(_ACCOUNTS, 0),
    }
    if cluster.version.at_least("9.0"):
        figures["memhost"] = int(memory * 0.7) if guest.is_running else 0
    return figures


def power_word(guest: Guest) -> str:
    """The status in /cluster/resources: the QMP status of a VM."""
    return guest.process.qmpstatus if guest.process else "stopped"


def memory_bytes(guest: Guest) -> int:
    """`maxmem`: of a VM from the property string `memory`, both in MiB."""
    text = str(guest.config.get("memory", "512")).split(",")[0]
    return int(text.removeprefix("current=")) * _MIB


def cpus_of(guest: Guest, node: Node) -> int:
    """`cpus`: a container without `cores` has all of the node's."""
    if guest.kind == "lxc":
        return int(guest.config.get("cores") or node.cpus)
    total = int(guest.config.get("cores", 1)) * int(guest.config.get("sockets", 1))
    return int(guest.config.get("vcpus") or total)


def disk_bytes(guest: Guest) -> int:
    """`maxdisk`: the boot disk of a VM, the root file system of a container."""
    if guest.kind == "lxc":
        return size_in(str(guest.config.get("rootfs", ""))) or _DEFAULT_ROOTFS
    boot = str(guest.config.get("boot", "")).removeprefix("order=").split(";")
    for key in (*boot, *sorted(guest.config)):
        text = str(guest.config.get(key, ""))
        if _DISKS.fullmatch(key) and "media=cdrom" not in text:
            return size_in(text)
    return 0


def disk_used(guest: Guest) -> int:
    """`disk`: PVE does not know it of VMs."""
    return disk_bytes(guest) // 3 if guest.kind == "lxc" and guest.is_running else 0


def size_in(text: str) -> int:
    """The `size=` of a drive, in bytes."""
    match = _SIZE.search(text)
    return int(float(match[1]) * _SIZES.get(match[2], 1)) if match else 0


def load_of(guest: Guest) -> float:
    """A believable share of CPU, the same at each look."""
    if guest.process is None or guest.process.qmpstatus != "running":
        return 0.0
    return round(((guest.vmid * 37) % 40 + 1) / 200, 4)


def node_load(guests: int) -> float:
    """A believable share of a node's CPU by how many guests run on it."""
    return round(min(0.95, 0.02 + 0.015 * guests), 4)


def node_memory(node: Node, guests_bytes: int) -> int:
    """What is in use of a node's memory, by what its running guests may have."""
    return min(node.memory_bytes, int(guests_bytes * 0.7) + (2 << 30))
