"""vzdump: backups of guests with PVE's log lines (pve-manager VZDump.pm and its plugins)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pveops.sim import ha
from pveops.sim.archive import BackupVolume, backup_volumes, make_archive
from pveops.sim.guest import start_process
from pveops.sim.power import power_off
from pveops.sim.prune import mark_backups, parse_keep
from pveops.sim.refusal import ApiError
from pveops.sim.storage import Storage
from pveops.sim.tasks import AbortedError, Task, TaskError
from pveops.sim.volume import Volume

if TYPE_CHECKING:
    from pveops.sim.guest import Guest
    from pveops.sim.model import Node

_NOT_IN_COMMAND = ("id", "vmid", "starttime", "dow", "stdout", "enabled", "job-id")
_EXTENSIONS = {"zstd": "zst", "gzip": "gz", "1": "lzo", "lzo": "lzo"}
_READ_RATE = 2 << 30
"""Bytes a second that QEMU reads: most of a disk is empty."""
_WRITE_RATE = 200 << 20
"""Bytes a second that reach the storage."""
_SNAPSHOT_TYPES = frozenset({"zfspool", "rbd", "lvmthin", "btrfs"})
_DEFAULT_PROTECTED = 5
_LOCKWAIT_MIN = 180
_LOCK_POLL_S = 1.0


@dataclass(slots=True)
class BackupJob:
    """One run of vzdump on one node."""

    node: Node
    vmids: list[int]
    skipped: list[int]
    params: dict[str, Any]
    may_back_up: frozenset[int]
    """Guests for which the caller has VM.Backup."""
    notices: list[str]
    """What the notification system says at the end."""
    may_allocate: bool = False
    """The caller has Datastore.Allocate on the storage."""

    def run(self, task: Task) -> Generator[float, None, None]:
        """The worker's body."""
        storage = self._open_storage(task)
        yield from self._take_node(task)
        try:
            yield from self._back_up_all(task, storage)
        finally:
            self.node.vzdump_lock = None

    def _take_node(self, task: Task) -> Generator[float, None, None]:
        """One run at a time on a node; whoever waits for too long leaves without a last word."""
        holder = self.node.vzdump_lock
        if holder is not None and holder.is_running:
            task.log("INFO: trying to get global lock - waiting...")
            waited_s = 0.0
            while self.node.vzdump_lock is not None and self.node.vzdump_lock.is_running:
                if waited_s >= 60 * int(self.params.get("lockwait", _LOCKWAIT_MIN)):
                    task.log("ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout")
                    raise AbortedError
                yield _LOCK_POLL_S
                waited_s += _LOCK_POLL_S
            task.log("INFO: got global lock")
        self.node.vzdump_lock = task

    def _back_up_all(self, task: Task, storage: Storage) -> Generator[float, None, None]:
        task.log(f"INFO: starting new backup job: {command_line(self.params)}")
        if self.skipped:
            task.log(f"INFO: skip external VMs: {', '.join(map(str, sorted(self.skipped)))}")
        failed = 0
        for vmid in sorted(self.vmids):
            if vmid in self.node.cluster.guests and vmid not in self.may_back_up:
                if self.params.get("all"):
                    continue
                raise TaskError(f"Permission check failed (/vms/{vmid}, VM.Backup)")
            failed += not (yield from self._back_up(task, storage, vmid))
        how = "with errors" if failed else "successfully"
        task.log(f"INFO: Backup job finished {how}", *self.notices)
        if failed:
            raise TaskError("job errors")

    def _open_storage(self, task: Task) -> Storage:
        name = self.params.get("storage") or "local"
        storages = self.node.cluster.storages
        problems = []
        try:
            storage = storages.get_active(name, self.node)
        except ApiError as error:
            problems.append(f"could not activate storage '{name}': {error.message}")
        found = storages.definitions.get(name)
        if found is None:
            problems.append(
                f"could not get storage information for '{name}': storage '{name}' does not exist"
            )
        elif "backup" not in found.content:
            problems.append(
                f"could not get storage information for '{name}': "
                f"can't use storage '{name}' for backups - wrong content type"
            )
        if problems:
            task.log(*self.notices)
            raise TaskError("\n".join(problems))
        return storage

    def _back_up(self, task: Task, storage: Storage, vmid: int) -> Generator[float, None, bool]:
        """Back up one guest; whether that went well."""
        started_at = self.node.cluster.timeline.now()
        guest = self.node.cluster.guests.get(vmid)
        if guest is not None and guest.node != self.node.name:
            guest = None
        is_locked = False
        was_running = guest is not None and guest.is_running
        try:
            if guest is None:
                raise TaskError(f"unable to find VM '{vmid}'")
            self._check_mode(guest)
            self._check_limits(storage, guest)
            task.log(f"INFO: Starting Backup of VM {vmid} ({guest.kind})")
            task.log(f"INFO: Backup started at {_stamp(started_at)}")
            task.log(f"INFO: status = {'running' if guest.is_running else 'stopped'}")
            lock(guest)
            is_locked = True
            yield from self._archive(task, storage, guest, started_at)
        except (TaskError, ApiError, AbortedError) as error:
            text = _text_of(error)
            task.log(f"ERROR: Backup of VM {vmid} failed - {text}")
            task.log(f"INFO: Failed at {_stamp(self.node.cluster.timeline.now())}")
            if isinstance(error, AbortedError):
                task.log(f"ERROR: Backup job failed - {text}")
                raise TaskError(text) from error
            return False
        finally:
            if is_locked and guest is not None:
                guest.config.pop("lock", None)
                if was_running and not guest.is_running and self.node.is_online:
                    task.log("INFO: restarting vm")
                    start_process(self.node.cluster, self.node, guest)
        now = self.node.cluster.timeline.now()
        task.log(f"INFO: Finished Backup of VM {vmid} ({_duration(now - started_at)})")
        task.log(f"INFO: Backup finished at {_stamp(now)}")
        return True

    def _check_mode(self, guest: Guest) -> None:
        resource = ha.managed(self.node.cluster, guest)
        is_started = resource is not None and resource.state == "started"
        if self.params.get("mode") == "stop" and is_started:
            raise TaskError(
                "Cannot execute a backup with stop mode on a HA managed and enabled Service. "
                "Use snapshot mode or disable the Service."
            )

    def _check_limits(self, storage: Storage, guest: Guest) -> None:
        existing = self._backups_of(storage, guest)
        protected = sum(volume.is_protected for volume in existing)
        if self.params.get("protected"):
            default = -1 if self.may_allocate else _DEFAULT_PROTECTED
            limit = int(storage.options.get("max-protected-backups", default))
            if limit > -1 and protected >= limit:
                raise TaskError(
                    f"The number of protected backups per guest is limited to {limit} "
                    f"on storage '{storage.name}'"
                )
            return
        keep = self._keep(storage)
        limit = 0 if keep.get("keep-all") else sum(keep.values())
        if limit and not self.params.get("remove", 1) and len(existing) - protected >= limit:
            raise TaskError(
                f"There is a max backup limit of {limit} enforced by the target storage or the "
                "vzdump parameters. Either increase the limit or delete old backups."
            )

    def _keep(self, storage: Storage) -> dict[str, int]:
        text = self.params.get("prune-backups") or storage.options.get("prune-backups")
        return parse_keep(str(text or "keep-all=1"))

    def _backups_of(self, storage: Storage, guest: Guest) -> list[Volume]:
        volumes = self.node.cluster.storages.list_volumes(self.node, storage)
        return [
            volume
            for volume in volumes
            if volume.content == "backup"
            and volume.vmid == guest.vmid
            and volume.subtype == guest.kind
        ]

    def _archive(
        self, task: Task, storage: Storage, guest: Guest, started_at: float
    ) -> Generator[float, None, None]:
        mode = self.params.get("mode", "snapshot") if guest.is_running else "stop"
        volumes = backup_volumes(guest.kind, guest.config)
        if mode == "snapshot":
            self._log_contents(task, guest, volumes)
            if guest.kind == "lxc" and not self._has_snapshots(volumes):
                task.log("INFO: mode failure - some volumes do not support snapshots")
                task.log("INFO: trying 'suspend' mode instead")
                mode = "suspend"
        task.log(f"INFO: backup mode: {mode}")
        if self.params.get("bwlimit"):
            task.log(f"INFO: bandwidth limit: {self.params['bwlimit']} KiB/s")
        task.log(f"INFO: ionice priority: {self.params.get('ionice', 7)}")
        if mode != "snapshot":
            self._log_contents(task, guest, volumes)
        stopped_at = None
        if mode == "stop" and guest.is_running:
            stopped_at = self.node.cluster.timeline.now()
            yield from self._stop(task, guest)
        volume = self._new_volume(storage, guest, started_at)
        path = storage.path(volume.name)
        noun = "Proxmox Backup Server archive" if storage.type == "pbs" else "vzdump archive"
        target = volume.name.removeprefix("backup/") if storage.type == "pbs" else path
        if guest.kind == "qemu":
            if guest.snapshots:
                task.log("INFO: snapshots found (not included into backup)")
            task.log(f"INFO: creating {noun} '{target}'")
            yield from self._copy_vm(task, guest, volume, stopped_at)
        else:
            if mode == "suspend":
                yield from self._sync_ct(task, path)
            elif mode == "snapshot":
                task.log("INFO: create storage snapshot 'vzdump'")
            task.log(f"INFO: creating {noun} '{target}'")
            yield max(volume.size_bytes / _WRITE_RATE, 0.2)
            used = sum(disk.used_bytes for disk in volume.archive.disks)
            task.log(f"INFO: Total bytes written: {used} ({_binary(used)}, 723MiB/s)")
            if mode == "snapshot":
                task.log("INFO: cleanup temporary 'vzdump' snapshot")
            if stopped_at is not None:
                task.log("INFO: restarting vm")
                self._resume(task, guest, stopped_at)
        self._store(task, storage, guest, volume)

    def _stop(self, task: Task, guest: Guest) -> Generator[float, None, None]:
        """Shut the guest down cleanly; one that does not go down is not backed up."""
        task.log("INFO: stopping virtual guest")
        stopwait_s = 60 * int(self.params.get("stopwait", 10))
        needed_s = guest.temper.shutdown_s
        if needed_s is None or needed_s > stopwait_s:
            yield float(stopwait_s)
            tool = "qm" if guest.kind == "qemu" else "pct"
            raise TaskError(
                f"command '{tool} shutdown {guest.vmid} --skiplock --keepActive "
                f"--timeout {stopwait_s}' failed: exit code 255"
            )
        yield needed_s
        power_off(self.node.cluster, guest)

    def _resume(self, task: Task, guest: Guest, stopped_at: float) -> None:
        """The guest runs again, as soon as nothing of it is needed at rest."""
        start_process(self.node.cluster, self.node, guest)
        delay_s = int(self.node.cluster.timeline.now() - stopped_at)
        noun = "resuming VM again" if guest.kind == "qemu" else "guest is online again"
        task.log(f"INFO: {noun} after {delay_s or '<1'} seconds")

    def _log_contents(self, task: Task, guest: Guest, volumes: list[BackupVolume]) -> None:
        name = guest.config.get("name" if guest.kind == "qemu" else "hostname")
        if name:
            task.log(f"INFO: {'VM' if guest.kind == 'qemu' else 'CT'} Name: {name}")
        for volume in volumes:
            if guest.kind == "lxc":
                mount = f"{volume.key} ('{volume.options['mp']}')"
                if volume.is_included:
                    task.log(f"INFO: including mount point {mount} in backup")
                else:
                    task.log(
                        f"INFO: excluding volume mount point {mount} from backup ({volume.reason})"
                    )
            elif volume.is_included:
                size = volume.options.get("size", "")
                task.log(f"INFO: include disk '{volume.key}' '{volume.volid}' {size}".rstrip())
            else:
                task.log(f"INFO: exclude disk '{volume.key}' '{volume.volid}' ({volume.reason})")

    def _has_snapshots(self, volumes: list[BackupVolume]) -> bool:
        storages = self.node.cluster.storages
        return all(
            storages.get(volume.volid.partition(":")[0]).type in _SNAPSHOT_TYPES
            for volume in volumes
            if volume.is_included
        )

    def _new_volume(self, storage: Storage, guest: Guest, started_at: float) -> Volume:
        when = datetime.fromtimestamp(started_at, UTC)
        archive = make_archive(self.node, guest.kind, guest.vmid, guest.config, started_at)
        used = sum(disk.used_bytes for disk in archive.disks)
        total = sum(disk.size_bytes for disk in archive.disks)
        if storage.type == "pbs":
            kind = "vm" if guest.kind == "qemu" else "ct"
            name, format_ = f"backup/{kind}/{guest.vmid}/{when:%Y-%m-%dT%H:%M:%SZ}", f"pbs-{kind}"
            size = total
        else:
            format_ = "vma" if guest.kind == "qemu" else "tar"
            extension = _EXTENSIONS.get(str(self.params.get("compress", "0")))
            format_ += f".{extension}" if extension else ""
            name = f"backup/vzdump-{guest.kind}-{guest.vmid}-{when:%Y_%m_%d-%H_%M_%S}.{format_}"
            size = 8192 + total // 32768 + (used // 2 if extension else used)
        return Volume(
            storage=storage.name,
            name=name,
            content="backup",
            format=format_,
            size_bytes=size,
            used_bytes=size,
            ctime=int(started_at),
            vmid=guest.vmid,
            subtype=guest.kind,
            archive=archive,
        )

    def _copy_vm(
        self, task: Task, guest: Guest, volume: Volume, stopped_at: float | None
    ) -> Generator[float, None, None]:
        """stopped_at: when the VM was shut down for this; it runs again while it is copied."""
        total = sum(disk.size_bytes for disk in volume.archive.disks)
        was_running = guest.is_running
        if not volume.archive.disks:
            task.log("INFO: backup contains no disks", "INFO: starting diskless backup")
            yield 0.2
            if stopped_at is not None:
                self._resume(task, guest, stopped_at)
            return
        if not was_running:
            task.log("INFO: starting kvm to execute backup task")
        if self.node.version.at_least("9.0"):
            task.log("INFO: starting backup via QMP command")
        if was_running and str(guest.config.get("agent", "0")).startswith(("1", "enabled=1")):
            task.log("INFO: issuing guest-agent 'fs-freeze' command")
            task.log("INFO: issuing guest-agent 'fs-thaw' command")
        digits = f"{self.node.cluster.random.getrandbits(128):032x}"
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        task.log(f"INFO: started backup task '{'-'.join(parts)}'")
        if stopped_at is not None:
            self._resume(task, guest, stopped_at)
        try:
            yield from _copy(
                task, total, max(1.0, total / _READ_RATE, volume.size_bytes / _WRITE_RATE)
            )
        except AbortedError:
            task.log("ERROR: interrupted by signal", "INFO: aborting backup job")
            raise
        finally:
            if not guest.is_running:
                task.log("INFO: stopping kvm after backup task")

    def _sync_ct(self, task: Task, path: str) -> Generator[float, None, None]:
        temporary = re.sub(r"\.tar.*$", ".tmp", path)
        task.log(f"INFO: starting first sync /proc/{task.upid.pid}/root/ to {temporary}")
        yield 1.0
        task.log("INFO: first sync finished - transferred 2.09M bytes in 1s")
        task.log("INFO: suspending guest")
        task.log(f"INFO: starting final sync /proc/{task.upid.pid}/root/ to {temporary}")
        yield 0.5
        task.log("INFO: final sync finished - transferred 0 bytes in 0s")
        task.log("INFO: resuming guest", "INFO: guest is online again after <1 seconds")

    def _store(self, task: Task, storage: Storage, guest: Guest, volume: Volume) -> None:
        storages = self.node.cluster.storages
        if storages.usage(storage, self.node).avail < volume.size_bytes:
            task.log(
                "INFO: zstd: error 70 : Write error : cannot write block : No space left on device"
            )
            raise TaskError("vma_queue_write: write error - Broken pipe")
        storages.add_volume(self.node, volume)
        if storage.type != "pbs":
            task.log(f"INFO: archive file size: {_size(volume.size_bytes)}")
        template = self.params.get("notes-template")
        if template:
            task.log("INFO: adding notes to backup")
            volume.notes = _notes(template, self.node, guest)
        if self.params.get("protected"):
            task.log("INFO: marking backup as protected")
            volume.is_protected = True
        self._prune(task, storage, guest)

    def _prune(self, task: Task, storage: Storage, guest: Guest) -> None:
        keep = self._keep(storage)
        if keep.get("keep-all") or not self.params.get("remove", 1):
            return
        shown = ", ".join(f"{name}={count}" for name, count in sorted(keep.items()))
        task.log(f"INFO: prune older backups with retention: {shown}")
        marks = mark_backups(self._backups_of(storage, guest), keep)
        pruned = [row["volid"] for row in marks if row["mark"] == "remove"]
        for volid in pruned:
            task.log(f"INFO: removing backup '{volid}'")
            self.node.cluster.storages.free(self.node, volid)
        extra = " not covered by keep-retention policy" if pruned else ""
        task.log(f"INFO: pruned {len(pruned)} backup(s){extra}")


def lock(guest: Guest) -> None:
    """Take the guest's lock for a backup, or fail as lock_vm does."""
    held = guest.config.get("lock")
    if held:
        noun = "VM" if guest.kind == "qemu" else "CT"
        raise TaskError(f"{noun} is locked ({held})")
    guest.config["lock"] = "backup"


def command_line(params: Mapping[str, Any]) -> str:
    """The command that the first line of the log shows."""
    words = ["vzdump", *str(params.get("vmid") or "").replace(",", " ").split()]
    for name, value in params.items():
        if name not in _NOT_IN_COMMAND and value not in (None, ""):
            words += [f"--{name}", shlex.quote(str(value))]
    return " ".join(words)


def _copy(task: Task, total_bytes: int, duration_s: float) -> Generator[float, None, None]:
    """Report percents, a line each three seconds."""
    steps = max(1, int(duration_s / 3))
    for step in range(1, steps + 1):
        yield duration_s / steps
        done = total_bytes * step // steps
        elapsed = duration_s * step / steps
        rate = f"{_human(total_bytes / duration_s)}/s"
        task.log(
            f"INFO: {100 * step // steps:3d}% ({_human(done, 1)} of {_human(total_bytes, 1)}) "
            f"in {_span(elapsed)}, read: {rate}, write: 0 B/s"
        )
    task.log(f"INFO: backup is sparse: {_human(total_bytes)} (100%) total zero data")
    task.log(
        f"INFO: transferred {_human(total_bytes)} in {max(1, int(duration_s))} seconds "
        f"({_human(total_bytes / duration_s)}/s)"
    )


def _text_of(error: Exception) -> str:
    if isinstance(error, AbortedError):
        return "interrupted by signal"
    return error.message if isinstance(error, ApiError) else str(error)


def _notes(template: str, node: Node, guest: Guest) -> str:
    name = guest.config.get("name" if guest.kind == "qemu" else "hostname") or ""
    values = {
        "guestname": str(name),
        "vmid": str(guest.vmid),
        "node": node.name,
        "cluster": node.cluster.name or "standalone node",
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: values.get(match[1], match[0]), template)
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return " ".join(f"{value}{unit}" for value, unit in parts if value) or "0s"


def _human(size_bytes: float, digits: int = 2) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.{0 if unit == 'B' else digits}f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.{digits}f} TiB"


def _binary(size_bytes: float) -> str:
    return _human(size_bytes, 1).replace(" ", "")


def _size(size_bytes: int) -> str:
    """format_size of VZDump.pm."""
    if size_bytes < 1 << 20:
        return f"{size_bytes >> 10}KB"
    if size_bytes < 1 << 30:
        return f"{size_bytes >> 20}MB"
    return f"{size_bytes / (1 << 30):.2f}GB"
