"""What makes a node no place for a guest, or should be known before it goes there.

PVE's own check looks at configurations alone (GET migrate): that a node is offline, a storage
inactive or full, a bridge missing, shows when the move fails, or at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pveops.domain.move import MoveFacts
from pveops.domain.node_sheet import NodeSheet
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import subject_of
from pveops.operations.move_choice import MoveChoice, method_of
from pveops.sanitize import shell_word
from pveops.units import format_bytes

_THIN = frozenset({"lvmthin", "rbd", "zfspool"})
_BASELINE = frozenset({"", "kvm64", "qemu64", "x86-64-v2", "x86-64-v2-AES"})
"""CPU types that every node of the last ten years offers."""
_EXACT = frozenset({"host", "max"})


def check_place(facts: MoveFacts, choice: MoveChoice) -> Iterator[Finding]:
    """Every finding about the target."""
    sheet = facts.scene.sheets[choice.target]
    if not sheet.is_online:
        yield Finding(
            "node.not-online",
            "block",
            f"node/{sheet.name}",
            f"{sheet.name} is not online",
            evidence="/cluster/resources",
            remedy="look at the nodes with `pve status`",
        )
        return
    for check in _CHECKS:
        yield from check(facts, choice, sheet)


def _finding(
    facts: MoveFacts, code: str, message: str, remedy: str = "", *, blocks: bool = True
) -> Finding:
    severity = "block" if blocks else "warn"
    return Finding(code, severity, subject_of(facts.base), message, remedy=remedy)  # type: ignore[arg-type]


def _check_pve(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    """What PVE says. Of storages it knows the configuration only; see `_check_storages`."""
    found = facts.preconditions
    for reason in found.against.get(sheet.name, ()) if found else ():
        if "no storage" not in reason:
            yield _finding(facts, "move.not-allowed", f"{sheet.name}: {reason}")


def _check_storages(facts: MoveFacts, choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    local = {volume.volid for volume in facts.volumes}
    names = {disk.storage for disk in facts.disks if disk.storage and disk.volid not in local}
    for name in sorted(names):
        storage = sheet.find_storage(name)
        if storage is None or storage.status != "available":
            yield _finding(
                facts,
                "storage.missing",
                f"{name}, where its disks are, is not available on {sheet.name}",
                f"pve storage show {shell_word(name)}",
            )
    yield from _check_room(facts, choice, sheet)


def _check_room(facts: MoveFacts, choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    content = "images" if facts.base.guest.kind == "qemu" else "rootdir"
    for name, wanted in sorted(space_needed(facts, choice).items()):
        storage = sheet.find_storage(name)
        if storage is None or storage.status != "available" or content not in storage.content:
            usable = [
                each.storage
                for each in sheet.storages
                if each.status == "available" and content in each.content
            ]
            yield _finding(
                facts,
                "storage.missing",
                f"{sheet.name} has no available storage {name!r} that takes its disks",
                f"--target-storage: {', '.join(usable) or 'there is none'}",
            )
        elif not storage.has_figures:
            text = f"the free space of {name} on {sheet.name} is not known"
            yield _finding(facts, "storage.unknown", text, blocks=False)
        elif wanted > storage.total_bytes - storage.used_bytes:
            free = max(0, storage.total_bytes - storage.used_bytes)
            yield _finding(
                facts,
                "storage.too-small",
                f"{format_bytes(wanted)} have to go to {name} on {sheet.name}, which has "
                f"{format_bytes(free)} free",
                f"pve storage show {shell_word(name)}",
                blocks=storage.type not in _THIN or free == 0,
            )


def space_needed(facts: MoveFacts, choice: MoveChoice) -> dict[str, int]:
    """Bytes by storage of the target."""
    needed: dict[str, int] = {}
    for volume in facts.volumes:
        if not volume.is_cdrom or volume.is_generated:
            name = choice.storage_for(volume)
            needed[name] = needed.get(name, 0) + volume.size_bytes
    return needed


def bridges_of(facts: MoveFacts) -> tuple[str, ...]:
    """What the guest's network cards are connected to."""
    found: set[str] = set()
    for key, value in facts.base.config.values.items():
        if key.startswith("net"):
            parts = str(value).split(",")
            found.update(part[7:] for part in parts if part.startswith("bridge="))
    return tuple(sorted(found))


def _check_bridges(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    wanted = bridges_of(facts)
    if not wanted:
        return
    if sheet.bridges is None:
        text = f"the bridges of {sheet.name} are not known"
        yield _finding(facts, "network.unknown", text, blocks=False)
        return
    missing = [name for name in wanted if name not in sheet.bridges]
    if missing:
        yield _finding(
            facts,
            "network.missing",
            f"{sheet.name} has no {', '.join(missing)}: it could not run there",
            f"make the bridge on {sheet.name}, or choose another node",
        )


def _check_cpu(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    """A guest that has seen a processor goes on to use what that can."""
    kind = facts.base.config.get("cpu").partition(",")[0].removeprefix("cputype=")
    source = facts.scene.sheets.get(facts.base.guest.node)
    if method_of(facts) != "live" or kind in _BASELINE or source is None:
        return
    if source.cpu and source.cpu == sheet.cpu:
        return
    is_known = bool(source.cpu and sheet.cpu)
    what = f"{source.cpu_model} and {sheet.cpu_model}" if is_known else "not both known"
    blocks = is_known and kind in _EXACT
    yield _finding(
        facts,
        "cpu.differs",
        f"its CPU type is {kind}, and the processors differ ({what}): "
        + ("it may crash after the move" if blocks else "it may miss features there"),
        f"shut it down and move it then, or give it a common type: "
        f"`pve guest shutdown {facts.base.guest.vmid}`",
        blocks=blocks,
    )


def _check_memory(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    if not facts.base.state.is_running:
        return
    wanted, room = facts.base.guest.maxmem_bytes, sheet.room_bytes
    if room is None or sheet.memory_bytes is None:
        text = f"the free memory of {sheet.name} is not known"
        yield _finding(facts, "memory.unknown", text, blocks=False)
        return
    if wanted <= room:
        return
    free = sheet.memory_bytes - sheet.used_bytes
    is_full = facts.base.guest.mem_bytes > free or wanted > sheet.memory_bytes
    yield _finding(
        facts,
        "memory.short",
        f"it may take {format_bytes(wanted)}; {sheet.name} has {format_bytes(max(0, room))} that "
        f"no other guest was promised ({format_bytes(max(0, free))} unused now)",
        "choose another node: `pve node list`",
        blocks=is_full,
    )


def _check_version(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    """QEMU takes over what an older one sent, and not what a newer one did."""
    source = facts.scene.sheets.get(facts.base.guest.node)
    if source is None or not source.version or not sheet.version:
        return
    if sheet.version[:2] < source.version[:2] and facts.base.guest.kind == "qemu":
        old, new = (".".join(map(str, each.version)) for each in (sheet, source))
        is_live = method_of(facts) == "live"
        yield _finding(
            facts,
            "version.older",
            f"{sheet.name} has PVE {old}, older than {new} of {source.name}: "
            + ("a running VM cannot go back" if is_live else "it may not start there"),
            f"bring {sheet.name} to {new} first",
            blocks=is_live,
        )


def _check_replication(
    facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet
) -> Iterator[Finding]:
    jobs = [j for j in facts.scene.replicas or () if j.vmid == facts.base.guest.vmid]
    if not jobs:
        return
    targets = sorted({job.target for job in jobs})
    if sheet.name not in targets:
        yield _finding(
            facts,
            "replication.elsewhere",
            f"its replicas are on {', '.join(targets)}, not on {sheet.name}",
            f"move it to {targets[0]}",
            blocks=method_of(facts) == "live",
        )
    for job in jobs:
        if job.fail_count:
            text = f"replication {job.id} to {job.target} has failed {job.fail_count} times"
            yield _finding(facts, "replication.failing", text, blocks=False)


def _check_rules(facts: MoveFacts, _choice: MoveChoice, sheet: NodeSheet) -> Iterator[Finding]:
    """Where HA wants the guest; a node of higher priority gets it back at once."""
    if not facts.base.state.is_ha_managed:
        return
    if facts.scene.rules is None:
        text = "the token may not see HA's rules, so nobody checked them"
        yield _finding(facts, "ha.rules-unknown", text, blocks=False)
        return
    source, vmid = facts.base.guest.node, facts.base.guest.vmid
    for rule in facts.scene.rules:
        if rule.kind != "nodes" or vmid not in rule.vmids:
            continue
        there, here = rule.nodes.get(sheet.name), rule.nodes.get(source, -1)
        if there is None and rule.is_strict:
            yield _finding(
                facts,
                "ha.not-allowed",
                f"HA's rule {rule.name} keeps it on {', '.join(sorted(rule.nodes))}",
            )
        elif rule.fails_back and here > (-1 if there is None else there):
            yield _finding(
                facts,
                "ha.fails-back",
                f"HA's rule {rule.name} prefers {source}, and moves it back there at once",
                f"as root on a node: `ha-manager crm-command node-maintenance enable {source}`",
                blocks=False,
            )


_CHECKS: tuple[Callable[[MoveFacts, MoveChoice, NodeSheet], Iterator[Finding]], ...] = (
    _check_pve,
    _check_storages,
    _check_bridges,
    _check_cpu,
    _check_memory,
    _check_version,
    _check_replication,
    _check_rules,
)
