"""Guests: VMs (`qemu`) and containers (`lxc`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import Row, flag_of, float_of, int_of, object_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client

Kind = Literal["qemu", "lxc"]

UNKNOWN = "unknown"
"""The status of a guest whose node does not answer: nobody knows, whatever the row says."""


class GuestRef(NamedTuple):
    """Which guest: enough to address it, and to notice when another one took its place."""

    vmid: int
    kind: Kind
    node: str
    name: str

    @property
    def label(self) -> str:
        """As people read it: `web01 (VM 101 on pve1)`."""
        noun = "VM" if self.kind == "qemu" else "CT"
        return f"{self.name or '(no name)'} ({noun} {self.vmid} on {self.node})"

    def path(self, *rest: str) -> str:
        """The API path of the guest, or of something below it."""
        return api_path("nodes", self.node, self.kind, self.vmid, *rest)


class Guest(NamedTuple):
    """One row of /cluster/resources: cheap, up to 20 s old, config-derived members are current.

    status: as PVE broadcast it (`running`, `stopped`, `paused`, `io-error`, ...), or `unknown`
        when the guest's node is not online, because PVE repeats the last word of a dead node for
        five minutes (pve-cluster status.c).
    """

    vmid: int
    kind: Kind
    node: str
    name: str
    status: str
    reported_status: str
    """What the row said, before doubt."""
    tags: tuple[str, ...]
    pool: str
    lock: str
    is_template: bool
    hastate: str
    """Empty when the guest is not managed by HA."""
    cpu: float
    """Share of `maxcpu` in use."""
    maxcpu: float
    mem_bytes: int
    maxmem_bytes: int
    disk_bytes: int
    """Always 0 for VMs: PVE does not know."""
    maxdisk_bytes: int
    uptime_s: int

    @property
    def ref(self) -> GuestRef:
        """The reference to this guest."""
        return GuestRef(self.vmid, self.kind, self.node, self.name)


def guest_of_row(row: Row, online_nodes: frozenset[str]) -> Guest:
    """A guest from its row in /cluster/resources."""
    node = text_of(row, "node")
    reported = text_of(row, "status", UNKNOWN)
    return Guest(
        vmid=int_of(row, "vmid"),
        kind="lxc" if row.get("type") == "lxc" else "qemu",
        node=node,
        name=text_of(row, "name"),
        status=reported if node in online_nodes else UNKNOWN,
        reported_status=reported,
        tags=split_tags(text_of(row, "tags")),
        pool=text_of(row, "pool"),
        lock=text_of(row, "lock"),
        is_template=flag_of(row, "template"),
        hastate=text_of(row, "hastate"),
        cpu=float_of(row, "cpu"),
        maxcpu=float_of(row, "maxcpu"),
        mem_bytes=int_of(row, "mem"),
        maxmem_bytes=int_of(row, "maxmem"),
        disk_bytes=int_of(row, "disk"),
        maxdisk_bytes=int_of(row, "maxdisk"),
        uptime_s=int_of(row, "uptime"),
    )


def split_tags(text: str) -> tuple[str, ...]:
    """A tag list as PVE stores it: separated by `;`, older versions by `,` or space."""
    for separator in ", ":
        text = text.replace(separator, ";")
    return tuple(tag for tag in text.split(";") if tag)


class GuestState(NamedTuple):
    """What the guest's node says of it right now (`status/current`)."""

    ref: GuestRef
    status: str
    """`running` or `stopped`: whether the process exists."""
    qmpstatus: str
    """VMs: `running`, `paused`, `io-error`, `prelaunch`, ...; containers: as `status`."""
    lock: str
    uptime_s: int
    pid: int
    is_ha_managed: bool
    hastate: str
    has_agent: bool
    """VMs: the guest agent is configured; nobody asked whether it answers."""
    is_template: bool

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self.status == "running"

    @property
    def power(self) -> str:
        """The one word for people: `paused` and `io-error` tell more than `running`."""
        return self.qmpstatus if self.is_running and self.qmpstatus else self.status


def read_guest_state(client: Client, ref: GuestRef) -> GuestState:
    """Ask the guest's node. One request.

    Raises NotFoundError when the guest is not on that node (any more).
    """
    row = object_of(client.get(ref.path("status", "current")))
    ha = object_of(row.get("ha"))
    return GuestState(
        ref=ref._replace(name=text_of(row, "name", ref.name)),
        status=text_of(row, "status", UNKNOWN),
        qmpstatus=text_of(row, "qmpstatus") or text_of(row, "status", UNKNOWN),
        lock=text_of(row, "lock"),
        uptime_s=int_of(row, "uptime"),
        pid=int_of(row, "pid"),
        is_ha_managed=flag_of(ha, "managed"),
        hastate=text_of(ha, "state"),
        has_agent=flag_of(row, "agent"),
        is_template=flag_of(row, "template"),
    )


class GuestConfig(NamedTuple):
    """The guest's configuration, as stored."""

    digest: str
    identity: str
    """What tells this guest from a later one with the same vmid: the SMBIOS uuid and creation
    time of a VM, the root volume of a container; as a short hash, since nobody reads it."""
    values: Row

    def get(self, key: str) -> str:
        """A value as text; empty when it is not set."""
        return text_of(self.values, key)

    @property
    def is_protected(self) -> bool:
        """PVE's own `protection` flag."""
        return flag_of(self.values, "protection")

    @property
    def created_at(self) -> int:
        """Seconds since the epoch, as PVE notes it of VMs; 0 when it is not known."""
        _, _, rest = self.get("meta").partition("ctime=")
        digits = rest.partition(",")[0]
        return int(digits) if digits.isdecimal() else 0

    @property
    def starts_on_boot(self) -> bool:
        """PVE's `onboot` flag."""
        return flag_of(self.values, "onboot")


def read_guest_config(client: Client, ref: GuestRef) -> GuestConfig:
    """Read the configuration with pending values in it, as PVE answers it. One request."""
    values = object_of(client.get(ref.path("config")))
    return GuestConfig(text_of(values, "digest"), _identity(ref.kind, values), values)


def _identity(kind: Kind, values: Row) -> str:
    import hashlib

    keys = ("smbios1", "meta", "vmgenid") if kind == "qemu" else ("rootfs", "hostname")
    known = "|".join(text_of(values, key) for key in keys if key in values)
    return hashlib.sha256(known.encode()).hexdigest()[:12] if known else ""


class PendingChange(NamedTuple):
    """A configuration value that waits for the guest's next full stop and start."""

    key: str
    current: str
    pending: str
    """Empty when the key is going to be removed."""
    is_removal: bool


def read_pending_changes(client: Client, ref: GuestRef) -> tuple[PendingChange, ...]:
    """What a reboot through the API would apply. One request."""
    return pending_changes_of(rows_of(client.get(ref.path("pending"))))


def pending_changes_of(rows: Iterable[Row]) -> tuple[PendingChange, ...]:
    """The rows of `/pending` that have something pending."""
    return tuple(
        PendingChange(
            text_of(row, "key"),
            text_of(row, "value"),
            text_of(row, "pending"),
            bool(int_of(row, "delete")),
        )
        for row in rows
        if "pending" in row or int_of(row, "delete")
    )


def disks_of(kind: Kind, values: Row) -> dict[str, str]:
    """The drive slots and their volumes, CD-ROMs and cloud-init drives left out."""
    prefixes = (
        ("scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "unused")
        if kind == "qemu"
        else ("rootfs", "mp", "unused")
    )
    disks: dict[str, str] = {}
    for key, value in values.items():
        slot = key.rstrip("0123456789")
        if slot not in prefixes or (key == slot and key != "rootfs"):
            continue
        text = str(value)
        if "media=cdrom" not in text:
            disks[key] = text
    return disks


def config_without_digest(values: Row) -> dict[str, Any]:
    """The configuration as a plain dictionary, without PVE's checksum."""
    return {key: value for key, value in values.items() if key != "digest"}
