"""What makes a guest stay where it is, whatever the target; or should be known before.

What PVE does in each case: AbstractMigrate.pm (pve-guest-common), QemuMigrate.pm (qemu-server),
LXC/Migrate.pm (pve-container). Each check is a pure function of the facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pveops.domain.move import LocalVolume, MoveFacts
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.operations.move_choice import MoveChoice, changes_storage, method_of

_KEEPS_SNAPSHOTS = frozenset({"zfspool", "btrfs"})


def check_guest(facts: MoveFacts, choice: MoveChoice) -> Iterator[Finding]:
    """Every finding about the guest itself."""
    yield from check_stored_change(facts.base)
    for check in _CHECKS:
        yield from check(facts, choice)


def _block(facts: MoveFacts, code: str, message: str, remedy: str = "", seen: str = "") -> Finding:
    return Finding(code, "block", subject_of(facts.base), message, seen, remedy)


def _check_method(facts: MoveFacts, choice: MoveChoice) -> Iterator[Finding]:
    vmid, method = facts.base.guest.vmid, method_of(facts)
    if method == "restart" and not choice.may_restart:
        yield _block(
            facts,
            "move.container-runs",
            "containers cannot move while they run: it would be stopped, moved and started again",
            "agree to its downtime with --restart (evacuations: --allow-restart), or "
            f"`pve guest shutdown {vmid}`",
        )
    if method == "live" and choice.wants == "offline":
        yield _block(
            facts,
            "move.runs",
            "it runs, and PVE moves a running VM only while it runs",
            f"`pve guest shutdown {vmid}` first, or leave out --offline",
        )
    if method == "offline" and choice.wants == "online":
        yield Finding(
            "move.stopped",
            "info",
            subject_of(facts.base),
            f"it is {facts.base.state.power}, so there is nothing to move while it runs",
        )


def _check_state(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    if facts.base.state.qmpstatus == "io-error":
        vmid = facts.base.guest.vmid
        yield _block(
            facts,
            "guest.io-error",
            "it stands still because its storage failed or is full (io-error): what it holds in "
            "memory could not be written",
            f"free space (`pve storage list`), then `pve guest resume {vmid}`",
            "qmpstatus io-error",
        )


def _check_devices(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    found, vmid, node = facts.preconditions, facts.base.guest.vmid, facts.base.guest.node
    if found is None:
        # PVE tells nothing of a locked guest, and the lock is told already.
        if facts.base.guest.kind == "qemu" and not facts.base.state.lock:
            yield Finding(
                "move.unchecked",
                "warn",
                subject_of(facts.base),
                "PVE did not tell what the VM uses of its node (devices, storages)",
                evidence="GET migrate",
            )
        return
    if found.local_resources:
        keys = ", ".join(found.local_resources)
        yield _block(
            facts,
            "move.local-device",
            f"it uses devices of {node}: {keys}",
            f"shut it down and take them out (`qm set {vmid} --delete {keys.replace(' ', '')}`), "
            f"or leave it on {node}",
            "GET migrate: local_resources",
        )
    fixed = [key for key, may_run in found.mapped.items() if not may_run]
    if fixed and facts.base.state.is_running:
        yield _block(
            facts,
            "move.mapped-device",
            f"its mapped devices cannot be moved while it runs: {', '.join(fixed)}",
            f"`pve guest shutdown {vmid}` first: a stopped VM takes its mappings along",
            "GET migrate: mapped-resource-info",
        )


def _check_drives(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    vmid, node = facts.base.guest.vmid, facts.base.guest.node
    for volume in facts.volumes:
        if volume.is_cdrom and not volume.is_generated:
            yield _block(
                facts,
                "move.local-iso",
                f"{volume.slot} holds an ISO image that only {node} has: {volume.volid}",
                f"eject it: `qm set {vmid} --{volume.slot} none,media=cdrom` on {node}",
            )
    for key, value in sorted(facts.base.config.values.items()):
        first = str(value).partition(",")[0]
        if facts.base.guest.kind == "qemu" and first == "cdrom":
            yield _block(
                facts, "move.local-cdrom", f"{key} is the drive of {node} itself", "eject it"
            )
        is_mount = facts.base.guest.kind == "lxc" and key[:2] == "mp" and first.startswith("/")
        if is_mount and "shared=1" not in str(value).split(","):
            yield _block(
                facts,
                "move.bind-mount",
                f"{key} is a directory or device of {node}: {first}",
                f"when every node has the same there, say so: `shared=1` on {key}; else leave "
                f"the container on {node}",
            )


def _check_snapshots(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    """Local disks take their snapshots along only stopped, and only on some storages."""
    local = [volume for volume in facts.volumes if not volume.is_cdrom]
    if not facts.snapshots or not local:
        return
    names, vmid = ", ".join(facts.snapshots), facts.base.guest.vmid
    remedy = f"delete them (`pve snapshot list {vmid}`), or move the disks to a shared storage"
    if method_of(facts) == "live":
        yield _block(
            facts,
            "move.snapshots",
            "PVE moves no disks with snapshots while the VM runs",
            f"`pve guest shutdown {vmid}` first where the storage can (ZFS, qcow2); else {remedy}",
            f"snapshots: {names}",
        )
        return
    stuck = [volume.volid for volume in local if not _keeps_snapshots(facts, volume)]
    if stuck:
        yield _block(
            facts,
            "move.snapshots",
            f"the snapshots of {', '.join(stuck)} cannot leave their storage",
            remedy,
            f"snapshots: {names}",
        )


def _keeps_snapshots(facts: MoveFacts, volume: LocalVolume) -> bool:
    sheet = facts.scene.sheets.get(facts.base.guest.node)
    storage = sheet.find_storage(volume.storage) if sheet else None
    return volume.volid.endswith(".qcow2") or (
        storage is not None and storage.type in _KEEPS_SNAPSHOTS
    )


def _check_clones(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    for volume in facts.volumes:
        base, slash, _ = volume.volid.partition(":")[2].rpartition("/")
        if slash and "base" in base:
            yield _block(
                facts,
                "move.linked-clone",
                f"{volume.volid} is a linked clone; its template's disk stays on "
                f"{facts.base.guest.node}",
                "make a full clone of it, or keep template and clones on a shared storage",
            )
    if facts.clones:
        yield _block(
            facts,
            "move.template-in-use",
            f"linked clones need its disks: {', '.join(facts.clones)}",
            "leave the template where its clones are",
        )


def _check_ha(facts: MoveFacts, choice: MoveChoice) -> Iterator[Finding]:
    state, subject = facts.base.state, subject_of(facts.base)
    if not state.is_ha_managed:
        return
    sid = f"{'vm' if facts.base.guest.kind == 'qemu' else 'ct'}:{facts.base.guest.vmid}"
    if state.hastate == "error":
        yield _block(
            facts,
            "ha.error",
            "its HA resource is in state error; HA takes no request until that is fixed",
            f"ha-manager set {sid} --state disabled",
            "hastate error",
        )
    if changes_storage(facts, choice):
        yield _block(
            facts,
            "ha.no-storage",
            "it is managed by HA, which moves guests to storages of the same name only",
            f"leave out --target-storage, or take it out of HA: `ha-manager remove {sid}`",
        )
    yield Finding(
        "ha.managed",
        "info",
        subject,
        "it is managed by HA: the request is queued, and HA moves it"
        + ("; bwlimit does not reach HA" if choice.limit_kib else ""),
        evidence=f"hastate {state.hastate or 'unknown'}",
    )
    dependents = facts.preconditions.dependents if facts.preconditions else ()
    if dependents:
        yield Finding(
            "ha.dependents",
            "warn",
            subject,
            f"an HA rule keeps it together with {', '.join(dependents)}: HA moves them along",
            evidence="GET migrate: dependent-ha-resources",
        )


def _check_backups(facts: MoveFacts, _choice: MoveChoice) -> Iterator[Finding]:
    for upid in facts.scene.backups:
        yield Finding(
            "guest.backup-running",
            "warn",
            f"node/{facts.base.guest.node}",
            f"a backup runs on {facts.base.guest.node}; it fails for guests that have left",
            evidence=upid,
            remedy=f"wait for it: `pve task wait {upid}`",
        )


_CHECKS: tuple[Callable[[MoveFacts, MoveChoice], Iterator[Finding]], ...] = (
    _check_method,
    _check_state,
    _check_devices,
    _check_drives,
    _check_snapshots,
    _check_clones,
    _check_ha,
    _check_backups,
)
