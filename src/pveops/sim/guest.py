"""Guests: their configuration files, and their processes.

The file belongs to /etc/pve and lies in the folder of the node that owns the guest; the process
runs on that node and dies with it. What is inside the guest is told by `Temper`: how long its
system takes to boot and to shut down, and whether its agent answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pveops.sim.guest_volumes import (
    add_unused,
    is_in_use,
    is_owned,
    is_volume_key,
    parse_volume,
)
from pveops.sim.refusal import die

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node
    from pveops.sim.tasks import Task

Kind = Literal["qemu", "lxc"]

FLOCK_TIMEOUT_S = 10.0
_FLOCK_STEP_S = 0.5


@dataclass(slots=True)
class Temper:
    """How the system inside a guest behaves."""

    boot_s: float = 8.0
    shutdown_s: float | None = 4.0
    """None: it ignores the power button and the agent's request."""
    agent: Literal["answers", "hangs", "absent"] = "absent"


@dataclass(slots=True)
class Process:
    """A running guest. `config` is what it was started with."""

    pid: int
    started_at: float
    config: dict[str, Any]
    qmpstatus: str = "running"
    asked_to_stop_at: float | None = None
    """When the system inside was last asked to shut down."""


@dataclass(slots=True)
class Guest:
    """One VM or container."""

    vmid: int
    kind: Kind
    node: str
    """Whose folder holds the configuration file."""
    config: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    pending_deletes: dict[str, bool] = field(default_factory=dict)
    """Key -> whether the removal is forced."""
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    temper: Temper = field(default_factory=Temper)
    process: Process | None = None
    created_at: float = 0.0
    """Seconds since the epoch; 0: longer ago than anything that is measured."""
    runs: list[tuple[float, float]] = field(default_factory=list)
    """When it ran before: beginning and end of each run that is over, oldest first."""
    seed: dict[str, Any] | None = None
    """Options of cloud-init that its drive was last written with; None: never written."""
    inside: dict[str, Any] = field(default_factory=dict)
    """What the guest agent made inside: files by path, processes by id."""
    flock: Task | None = None
    """The worker that holds the guest's file lock."""

    @property
    def lock(self) -> str:
        """The lock in the configuration; empty when there is none."""
        return str(self.config.get("lock") or "")

    @property
    def name(self) -> str:
        """The name of a VM, the host name of a container."""
        return str(self.config.get("name" if self.kind == "qemu" else "hostname") or "")

    @property
    def is_template(self) -> bool:
        """Converted to a template."""
        return bool(self.config.get("template"))

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self.process is not None

    @property
    def noun(self) -> str:
        """As PVE's texts call it."""
        return "VM" if self.kind == "qemu" else "CT"

    @property
    def config_path(self) -> str:
        """The configuration file below /etc/pve."""
        return config_path(self.node, self.kind, self.vmid)

    @property
    def flock_path(self) -> str:
        """The file lock on the node."""
        if self.kind == "qemu":
            return f"/var/lock/qemu-server/lock-{self.vmid}.conf"
        return f"/run/lock/lxc/pve-config-{self.vmid}.lock"

    @property
    def digest(self) -> str:
        """SHA-1 over the whole file, snapshots and pending section included."""
        text = repr(
            (
                sorted(self.config.items()),
                sorted(self.pending.items()),
                sorted(self.pending_deletes.items()),
                sorted((name, sorted(snap.items())) for name, snap in self.snapshots.items()),
            )
        )
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def check_lock(self, *allowed: str) -> None:
        """`VM is locked (backup)`, unless the lock is none or one of `allowed`."""
        if self.lock and self.lock not in allowed:
            raise die(f"{self.noun} is locked ({self.lock})")

    def uptime_s(self, now: float) -> int:
        """Seconds since the process was started."""
        return int(now - self.process.started_at) if self.process else 0

    def end_process(self, now: float) -> None:
        """The process is gone; that it ran is remembered."""
        if self.process is not None:
            self.runs.append((self.process.started_at, now))
        self.process = None

    def is_flocked(self) -> bool:
        """Whether a living worker holds the file lock."""
        return self.flock is not None and self.flock.is_running


def config_path(node: str, kind: str, vmid: int) -> str:
    """The configuration file of a guest below /etc/pve."""
    return f"nodes/{node}/{'qemu-server' if kind == 'qemu' else 'lxc'}/{vmid}.conf"


def wait_for_flock(
    guest: Guest, holder: Task | None, timeout_s: float = FLOCK_TIMEOUT_S
) -> Generator[float, None, None]:
    """Take the guest's file lock for a worker, or only wait until it is free.

    Raises 500 `can't lock file ... - got timeout` when it is held for longer.
    """
    waited = 0.0
    while guest.is_flocked() and guest.flock is not holder:
        if waited >= timeout_s:
            raise die(f"can't lock file '{guest.flock_path}' - got timeout")
        yield _FLOCK_STEP_S
        waited += _FLOCK_STEP_S
    if holder is not None:
        guest.flock = holder


def release_flock(guest: Guest, holder: Task) -> None:
    """Let go of the file lock, if `holder` has it."""
    if guest.flock is holder:
        guest.flock = None


def start_process(cluster: Cluster, node: Node, guest: Guest) -> None:
    """The guest runs from now on, with what was pending applied."""
    apply_pending(cluster, guest)
    resume_process(cluster, node, guest)


def resume_process(cluster: Cluster, node: Node, guest: Guest) -> None:
    """The guest runs from now on as its configuration stands."""
    guest.process = Process(node.next_pid(), cluster.timeline.now(), dict(guest.config))


def apply_pending(cluster: Cluster, guest: Guest) -> None:
    """What waited for a full stop takes effect."""
    for key, is_forced in list(guest.pending_deletes.items()):
        drop_option(cluster, guest, key, force=is_forced)
    for key, value in guest.pending.items():
        replace_option(guest, key, value)
    guest.pending.clear()
    guest.pending_deletes.clear()


def drop_option(cluster: Cluster, guest: Guest, key: str, *, force: bool = False) -> None:
    """Take an option out; a volume becomes unused, or, with `force`, is destroyed."""
    value = guest.config.pop(key, None)
    if value is None or not is_volume_key(guest.kind, key):
        return
    volume = parse_volume(guest.kind, key, str(value))
    if not volume.is_on_storage or not is_owned(cluster.storages, guest, volume.volid):
        return
    is_generated = volume.is_cdrom
    if not (force or is_generated):
        add_unused(guest.config, volume.volid)
    elif not is_in_use(guest, volume.volid):
        cluster.storages.free(cluster.nodes[guest.node], volume.volid)


def replace_option(guest: Guest, key: str, value: Any) -> None:
    """Set an option; the volume that it named before becomes unused."""
    old = guest.config.get(key)
    guest.config[key] = value
    if old is None or not is_volume_key(guest.kind, key):
        return
    before = parse_volume(guest.kind, key, str(old))
    after = parse_volume(guest.kind, key, str(value))
    if before.is_on_storage and not before.is_cdrom and before.volid != after.volid:
        add_unused(guest.config, before.volid)


def shown_config(guest: Guest, *, current: bool = False) -> dict[str, Any]:
    """The configuration as GET answers it: with pending values unless `current`."""
    shown = dict(guest.config)
    if not current:
        for key in guest.pending_deletes:
            shown.pop(key, None)
        shown.update(guest.pending)
    shown["digest"] = guest.digest
    return shown
