"""What stands against a new guest on a node, or should be known before."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from pveops.domain.address import parse_interface
from pveops.domain.create_facts import CreateFacts, Place
from pveops.operations.findings import Finding
from pveops.sanitize import shell_word
from pveops.units import format_bytes

_THIN = frozenset({"lvmthin", "rbd", "zfspool", "btrfs"})


class NewGuest(NamedTuple):
    """A guest to be, on one node."""

    facts: CreateFacts
    place: Place
    values: dict[str, str]
    pool: str
    need_bytes: int
    """What its disks may come to."""


def check_new_guest(guest: NewGuest) -> Iterator[Finding]:
    """Every finding about that guest on that node."""
    yield from _check_name(guest)
    yield from _check_cluster(guest)
    yield from _check_size(guest)
    yield from _check_storages(guest)
    yield from _check_bridges(guest)
    yield from _check_access(guest)


def _block(guest: NewGuest, code: str, message: str, remedy: str = "") -> Finding:
    return Finding(code, "block", guest.place.node.name, message, remedy=remedy)


def _check_name(guest: NewGuest) -> Iterator[Finding]:
    name = guest.facts.name
    if name in guest.facts.names:
        yield _block(
            guest,
            "guest.name-taken",
            f"there is a guest called {name} already",
            f"pve guest show {shell_word(name)}",
        )


def _check_cluster(guest: NewGuest) -> Iterator[Finding]:
    facts = guest.facts
    if facts.is_quorate is False:
        yield _block(
            guest,
            "cluster.no-quorum",
            "the cluster has no quorum: nothing can be made without it",
            "look at the nodes with `pve status`",
        )
    if guest.pool and guest.pool not in facts.pools:
        known = ", ".join(facts.pools) or "none visible"
        yield _block(guest, "pool.missing", f"there is no pool {guest.pool!r}", f"pools: {known}")


def _check_size(guest: NewGuest) -> Iterator[Finding]:
    node = guest.place.node
    if not node.has_figures:
        yield Finding(
            "node.unknown", "warn", node.name, f"memory and CPUs of {node.name} are not visible"
        )
        return
    memory = int(guest.values.get("memory") or 0) << 20
    if memory > node.maxmem_bytes:
        yield _block(
            guest,
            "node.memory",
            f"{format_bytes(memory)} of memory are more than {node.name} has "
            f"({format_bytes(node.maxmem_bytes)})",
        )
    elif memory > node.maxmem_bytes - node.mem_bytes:
        free = format_bytes(max(0, node.maxmem_bytes - node.mem_bytes))
        yield Finding(
            "node.memory",
            "warn",
            node.name,
            f"{format_bytes(memory)} of memory are wanted, and {node.name} has {free} free",
        )
    cores = int(guest.values.get("cores") or 0)
    if cores > node.maxcpu:
        yield _block(
            guest, "node.cpu", f"{cores} cores are more than the {node.maxcpu:g} of {node.name}"
        )


def _check_storages(guest: NewGuest) -> Iterator[Finding]:
    place = guest.place
    for name, variable in guest.facts.template.of_type("storage").items():
        wanted = guest.values[name]
        takers = [each for each in place.storages if variable.content in each.content]
        names = ", ".join(each.storage for each in takers) or "none"
        storage = next((each for each in takers if each.storage == wanted), None)
        if not wanted:
            yield _block(
                guest,
                "storage.none",
                f"no storage of {place.node.name} has {format_bytes(guest.need_bytes)} free for "
                f"{variable.content}",
                f"those for it: {names}; see `pve storage list`",
            )
        elif storage is None or storage.status != "available":
            yield _block(
                guest,
                "storage.missing",
                f"{place.node.name} has no available storage {wanted!r} for {variable.content}",
                f"those for it: {names}",
            )
        elif not storage.has_figures:
            yield Finding(
                "storage.unknown", "warn", wanted, f"the free space of {wanted} is not known"
            )
        elif guest.need_bytes > storage.total_bytes - storage.used_bytes:
            free = format_bytes(max(0, storage.total_bytes - storage.used_bytes))
            yield Finding(
                "storage.too-small",
                "warn" if storage.type in _THIN else "block",
                wanted,
                f"{format_bytes(guest.need_bytes)} are wanted, and {wanted} has {free} free",
                remedy="--storage for another one; see `pve storage list`",
            )


def _check_bridges(guest: NewGuest) -> Iterator[Finding]:
    bridges, node = guest.place.bridges, guest.place.node.name
    for name in guest.facts.template.of_type("bridge"):
        wanted = guest.values[name]
        if bridges is None:
            yield Finding(
                "bridge.unknown", "warn", node, f"whether {node} has {wanted} is not visible"
            )
        elif wanted not in bridges:
            yield _block(
                guest,
                "bridge.missing",
                f"{node} has no bridge or vnet {wanted!r}",
                f"there are {', '.join(bridges) or 'none'}",
            )


def _check_access(guest: NewGuest) -> Iterator[Finding]:
    variables, values = guest.facts.template.variables, guest.values
    if "ssh_keys" in variables and not values.get("ssh_keys"):
        yield Finding(
            "create.no-key",
            "warn",
            guest.facts.name,
            "no SSH key is given: nobody can log in over the network",
            remedy="--ssh-keys ~/.ssh/id_ed25519.pub",
        )
    interface, gateway = parse_interface(values.get("ip", "")), values.get("gateway", "")
    if interface is None and gateway:
        yield _block(guest, "address.gateway", "a gateway goes with a fixed address only")
    elif interface is not None and not gateway:
        yield Finding(
            "address.no-gateway",
            "warn",
            guest.facts.name,
            "without a gateway it reaches its own network only",
            remedy="--gateway ADDRESS",
        )
    elif interface is not None:
        host = parse_interface(f"{gateway}/{interface.max_prefixlen}")
        if host is None or host.ip not in interface.network:
            yield _block(
                guest,
                "address.gateway",
                f"the gateway {gateway} is not in the network of {interface}",
            )


def missing_file(facts: CreateFacts, place: Place, name: str, wanted: str) -> Finding:
    """An image, ISO or container template that is not there, and how to get it."""
    variable = facts.template.variables[name]
    node = place.node.name
    takers = [each.storage for each in place.storages if variable.content in each.content]
    unseen = f" (not seen: {', '.join(place.unseen)})" if place.unseen else ""
    if not takers:
        return Finding(
            "file.no-storage",
            "block",
            node,
            f"no storage of {node} takes {variable.content} files",
            remedy=f"a person adds the content type {variable.content} to one, such as `local`",
        )
    return Finding(
        "file.missing",
        "block",
        node,
        f"{node} has no {wanted} ({variable.help}){unseen}",
        remedy=_how_to_get(facts, place, name, wanted, takers[0]),
    )


def _how_to_get(facts: CreateFacts, place: Place, name: str, wanted: str, storage: str) -> str:
    variable = facts.template.variables[name]
    words = ["pve", "storage", "download", storage, "--node", place.node.name]
    words += ["--content", variable.content]
    offered = next(
        (
            each
            for each in facts.appliances
            if any(fnmatchcase(each.file, pattern) for pattern in wanted.split())
        ),
        None,
    )
    if offered is not None:
        words += ["--url", offered.url, "--filename", offered.file]
        words += ["--checksum", offered.sha512, "--checksum-algorithm", "sha512"]
        return shlex.join(words)
    if variable.url:
        words += ["--url", variable.url]
        words += ["--filename", variable.file] if variable.file else []
        return f"{shlex.join(words)} --checksum SUM --checksum-algorithm sha512"
    if variable.content == "vztmpl":
        return f"as root on {place.node.name}: pveam update && pveam available; then ask again"
    return f"upload it to {storage} of {place.node.name}, or name another with --set {name}="
