"""What stands against a clone, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pveops.domain.address import parse_interface, static_addresses
from pveops.domain.clone_facts import CloneFacts
from pveops.domain.storage import Storage
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.sanitize import shell_word
from pveops.units import format_bytes

_THIN = frozenset({"lvmthin", "rbd", "zfspool", "btrfs"})
_CLOUD_INIT = ("ciuser", "cipassword", "sshkeys", "nameserver", "searchdomain", "cicustom")


class CloneCase(NamedTuple):
    """One clone, with what was asked for it."""

    facts: CloneFacts
    name: str
    address: str
    """With its prefix; `dhcp`; or empty: not asked for."""
    gateway: str
    is_full: bool
    storage: str
    node: str
    pool: str
    snapname: str
    starts: bool

    @property
    def subject(self) -> str:
        """The source as a finding names it."""
        return subject_of(self.facts.source.base)

    @property
    def source_id(self) -> int:
        """The vmid of the source."""
        return self.facts.source.base.guest.vmid


def check_clone(case: CloneCase) -> Iterator[Finding]:
    """Every finding about one clone."""
    yield from check_stored_change(case.facts.source.base)
    yield from _check_name(case)
    yield from _check_source(case)
    yield from _check_place(case)
    yield from _check_space(case)
    yield from _check_memory(case)
    yield from _check_address(case)
    yield from _check_identity(case)


def _block(case: CloneCase, code: str, message: str, remedy: str = "") -> Finding:
    return Finding(code, "block", case.subject, message, remedy=remedy)


def _check_name(case: CloneCase) -> Iterator[Finding]:
    if case.name in case.facts.source.names:
        yield _block(
            case,
            "guest.name-taken",
            f"there is a guest called {case.name} already",
            f"pve guest show {shell_word(case.name)}",
        )


def _check_source(case: CloneCase) -> Iterator[Finding]:
    source = case.facts.source
    base = source.base
    if case.snapname and case.snapname not in source.snapshots:
        names = ", ".join(source.snapshots) or "none"
        yield _block(
            case, "snapshot.missing", f"it has no snapshot {case.snapname!r}", f"it has: {names}"
        )
    if not case.is_full and not base.state.is_template:
        yield _block(
            case,
            "clone.not-linkable",
            "only templates have linked clones",
            "leave out --linked-clone",
        )
    elif not case.is_full and source.can_clone is False:
        yield _block(
            case,
            "clone.not-linkable",
            "the storage of its disks makes no linked clones",
            "make a full clone with --full-clone",
        )
    if case.is_full and source.can_copy is False:
        yield _block(case, "clone.not-copyable", "its disks cannot be copied as they are")
    if base.guest.kind == "lxc" and base.state.is_running and case.is_full and not case.snapname:
        yield _block(
            case,
            "clone.container-runs",
            "a running container is cloned from a snapshot only",
            f"pve snapshot create {case.source_id} --snapname clone, then add --snapname clone",
        )
    if base.guest.kind == "qemu" and base.state.is_running and not case.snapname:
        yield Finding(
            "clone.running",
            "warn",
            case.subject,
            "it runs: its clones begin as after a power cut",
            remedy="clone a snapshot of it, or shut it down first",
        )


def _check_place(case: CloneCase) -> Iterator[Finding]:
    source = case.facts.source
    if source.node is None:
        yield _block(case, "node.missing", f"there is no node {case.node!r}", "pve node list")
    if case.pool and case.pool not in source.pools:
        known = ", ".join(source.pools) or "none visible"
        yield _block(case, "pool.missing", f"there is no pool {case.pool!r}", f"pools: {known}")
    if source.node is not None and case.node != source.base.guest.node:
        yield from _check_reach(case)
    if case.storage and _find(case, case.storage) is None:
        content = _content(case)
        names = ", ".join(s.storage for s in source.storages if content in s.content)
        yield _block(
            case,
            "storage.missing",
            f"{case.node} has no available storage {case.storage!r} for disks",
            f"storages there: {names}",
        )


def _check_reach(case: CloneCase) -> Iterator[Finding]:
    """Disks that another node cannot reach make no clone there (assert_storage_access)."""
    source = case.facts.source
    shared = {storage.storage for storage in source.storages if storage.is_shared}
    local = sorted({disk.storage for disk in source.disks if disk.storage} - shared)
    if local:
        yield _block(
            case,
            "clone.local-disks",
            f"{case.node} does not reach its disks on {', '.join(local)}",
            "clone on its own node, and migrate the clone",
        )


def _content(case: CloneCase) -> str:
    return "images" if case.facts.source.base.guest.kind == "qemu" else "rootdir"


def _find(case: CloneCase, name: str) -> Storage | None:
    return next(
        (
            storage
            for storage in case.facts.source.storages
            if storage.storage == name
            and storage.status == "available"
            and _content(case) in storage.content
        ),
        None,
    )


def _check_space(case: CloneCase) -> Iterator[Finding]:
    """Room for all clones, not for this one alone."""
    source = case.facts.source
    if not case.is_full:
        yield Finding(
            "clone.linked",
            "info",
            case.subject,
            "linked clones need the template for good, and grow with what is written",
        )
        return
    needs: dict[str, int] = {}
    for disk in source.disks:
        if disk.storage and not disk.is_unused:
            place = case.storage or disk.storage
            needs[place] = needs.get(place, 0) + (disk.size_bytes or 0) * source.copies
    for name, need in needs.items():
        storage = _find(case, name)
        if storage is None or not storage.has_figures:
            yield Finding(
                "storage.unknown", "warn", case.subject, f"the free space of {name} is not known"
            )
            continue
        free = storage.total_bytes - storage.used_bytes
        if need > free:
            yield Finding(
                "storage.too-small",
                "warn" if storage.type in _THIN else "block",
                case.subject,
                f"{source.copies} full clones have {format_bytes(need)}, and {name} has "
                f"{format_bytes(free)} free",
                remedy="--storage for another one; see `pve storage list`",
            )


def _check_memory(case: CloneCase) -> Iterator[Finding]:
    source = case.facts.source
    node = source.node
    if not case.starts or node is None or not node.has_figures:
        return
    need = source.base.guest.maxmem_bytes * source.copies
    free = node.maxmem_bytes - node.mem_bytes
    if need > free:
        yield Finding(
            "node.memory",
            "warn",
            case.subject,
            f"{source.copies} clones may use {format_bytes(need)} of memory, and {node.name} has "
            f"{format_bytes(free)} free",
        )


def _check_address(case: CloneCase) -> Iterator[Finding]:
    source = case.facts.source
    interface = parse_interface(case.address)
    if case.address and source.base.guest.kind == "qemu" and not has_cloud_init(case):
        yield _block(
            case,
            "address.no-cloud-init",
            "it has no cloud-init drive, so nothing tells a clone its address",
            "leave out --ip, or give the source a drive: `ide2=STORAGE:cloudinit`",
        )
    if interface is not None:
        owner = source.addresses.get(str(interface.ip))
        if owner:
            yield _block(
                case,
                "address.taken",
                f"{interface.ip} is configured for {owner} already",
                "choose another one with --ip",
            )
        if source.unseen:
            yield Finding(
                "address.unknown",
                "warn",
                case.subject,
                f"whether {len(source.unseen)} guests have the address is not known: their "
                "configuration cannot be read",
            )
        yield from _check_gateway(case)
    fixed = list(static_addresses(source.base.guest.kind, source.base.config))
    if fixed and not case.address:
        yield Finding(
            "address.dropped",
            "warn",
            case.subject,
            f"its fixed address ({', '.join(fixed)}) is not taken over; the clone asks DHCP",
            remedy="--ip for one of its own",
        )


def _check_gateway(case: CloneCase) -> Iterator[Finding]:
    interface, gateway = parse_interface(case.address), parse_interface(f"{case.gateway}/32")
    if not case.gateway or interface is None:
        return
    if gateway is None or gateway.ip not in interface.network:
        yield _block(
            case,
            "address.gateway",
            f"the gateway {case.gateway} is not in the network of {case.address}",
        )


def has_cloud_init(case: CloneCase) -> bool:
    """Whether the source has a drive from which cloud-init reads."""
    values = case.facts.source.base.config.values.values()
    return any("cloudinit" in str(value) for value in values)


def _check_identity(case: CloneCase) -> Iterator[Finding]:
    base = case.facts.source.base
    kept = [key for key in _CLOUD_INIT if base.config.get(key)]
    if kept:
        yield Finding(
            "clone.cloud-init",
            "info",
            case.subject,
            f"taken over as they are: {', '.join(kept)}",
        )
    if not has_cloud_init(case):
        yield Finding(
            "clone.identity",
            "info",
            case.subject,
            "no cloud-init drive: its clones have its machine-id and SSH host keys, unless it was "
            "prepared inside",
            remedy="inside each clone: empty /etc/machine-id, remove /etc/ssh/ssh_host_*, "
            "`dpkg-reconfigure openssh-server`, reboot",
        )
