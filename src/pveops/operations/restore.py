"""Guests out of backups. Pure decisions.

To a new id that is the normal case: not started, with addresses of its own, its cables pulled, so
that it cannot meet the guest it is a copy of. Over the guest itself only on request, as what
cannot be undone.
"""

from __future__ import annotations

from pveops.domain.address import format_options, parse_options
from pveops.domain.guest import split_tags
from pveops.domain.guest_name import check_guest_name
from pveops.domain.restore_facts import RestoreFacts
from pveops.errors import NotFoundError, UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import archive_guard, guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import (
    VMID,
    Call,
    Item,
    Scalar,
    Step,
    Target,
    WaitState,
    WaitTask,
)
from pveops.operations.restore_checks import check_replace, check_restore, storage_of
from pveops.operations.subject import headline_of, target_of
from pveops.operations.vzdump import Backup, vzdump_steps
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_duration, format_size

_RESTORE_S = 86_400.0
_START_S = 300.0
_GRACE_S = 30.0
_ADDRESS_S = 120.0
_MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"})


def decide_restore(_operation: str, facts: RestoreFacts, params: dict[str, Scalar]) -> Decision:
    """`--replace` goes over the guest that has the vmid; everything else makes a new one."""
    if params.get("replace"):
        return _decide_replace(facts, params)
    key = "name" if facts.kind == "qemu" else "hostname"
    name = str(params.get("name") or f"{facts.config.get(key) or 'guest'}-restored")
    check_guest_name(name)
    target = Target(
        kind=facts.kind,
        id=str(facts.vmid),
        name=name,
        node=facts.node,
        tags=split_tags(facts.config.get("tags")),
        pool=str(params.get("pool") or ""),
        is_new=True,
    )
    found = worst_first(check_restore(facts, params, name))
    if blocks_among(found):
        return Decision(target, found)
    steps = (*restore_steps(facts, params, name), *_own_steps(facts, params))
    if params.get("start"):
        steps = (*steps, *_start_steps(facts))
    else:
        steps = (*steps, WaitState("guest.exists", _GRACE_S))
    item = Item(
        target=target,
        headline=f"NEW, from the backup {_age_of(facts)} old",
        guards=archive_guards(facts),
        before={"exists": False, "backup": facts.backup.volid},
        steps=steps,
        undo=f"pve guest delete {shell_word(name)}",
    )
    return Decision(target, found, item)


def _decide_replace(facts: RestoreFacts, params: dict[str, Scalar]) -> Decision:
    """Raises NotFoundError when nobody has the vmid, and UsageError for what fits a new guest."""
    if facts.present is None:
        raise NotFoundError(
            f"there is no guest {facts.backup.vmid} to replace",
            hint="restore without --replace, to a new id",
        )
    for word in ("name", "pool", "node", "connected"):
        if params.get(word):
            raise UsageError(f"--{word} is for a new guest", hint="leave it out with --replace")
    base, target = facts.present, target_of(facts.present)
    found = worst_first(check_replace(facts, params))
    if blocks_among(found) or facts.backup_storage is None:
        return Decision(target, found, state=base.state.power)
    fresh = Backup(
        base.guest, facts.backup_storage, "before it is replaced", facts.read_at, is_protected=True
    )
    guards = guest_guards(base.state, base.config) | archive_guards(facts)
    item = Item(
        target=target,
        headline=f"{headline_of(base)}, REPLACED by its backup {_age_of(facts)} old",
        guards=guards,
        before={"power": base.state.power, "backup": facts.backup.volid},
        steps=(*vzdump_steps(fresh), *_replace_steps(facts, params, tuple(guards))),
        losses=(
            f"everything on it now ({_told_disks(facts)}): PVE destroys disks and snapshots, then "
            "reads the backup",
        ),
        undo="",
        raises=("the present guest is destroyed before the backup is read",),
    )
    return Decision(target, found, item, state=base.state.power)


def archive_guards(facts: RestoreFacts) -> dict[str, Scalar]:
    """That the backup is the one that was looked at, as the node sees it that reads it."""
    return archive_guard(facts.node, facts.backup.volid, facts.backup.vmid, facts.backup)


def _age_of(facts: RestoreFacts) -> str:
    return format_duration(max(0, facts.read_at - facts.backup.ctime))


def _told_disks(facts: RestoreFacts) -> str:
    sizes = [
        f"{disk.slot} {format_size(disk.size_bytes)}"
        for disk in facts.present_disks
        if disk.size_bytes
    ]
    return ", ".join(sizes) or format_bytes(0)


# -- steps ------------------------------------------------------------------------


def restore_steps(facts: RestoreFacts, params: dict[str, Scalar], name: str) -> tuple[Step, ...]:
    """The call that makes a new guest of that name out of the backup."""
    sent = _source(facts, params)
    sent["unique"] = True
    sent["name" if facts.kind == "qemu" else "hostname"] = name
    if params.get("pool"):
        sent["pool"] = params["pool"]
    if params.get("live"):
        sent["live-restore"] = True
    call = Call(
        "POST",
        f"/nodes/{facts.node}/{facts.kind}",
        sent,
        effect="C",
        task_types=("qmrestore", "vzrestore"),
        does=f"restore to {name}",
        new_id="vmid",
    )
    return call, WaitTask(_RESTORE_S), WaitState("guest.exists", _GRACE_S)


def _replace_steps(
    facts: RestoreFacts, params: dict[str, Scalar], holds: tuple[str, ...]
) -> tuple[Step, ...]:
    """holds: what was done to the guest after its safety backup began would be in no backup."""
    sent = {**_source(facts, params), "vmid": facts.backup.vmid, "force": True}
    call = Call(
        "POST",
        f"/nodes/{facts.node}/{facts.kind}",
        sent,
        effect="C",
        task_types=("qmrestore", "vzrestore"),
        does="destroy it and restore the backup in its place",
        holds=holds,
    )
    return (
        call,
        WaitTask(_RESTORE_S),
        WaitState("guest.exists", _GRACE_S, holds_already=True),
    )


def _source(facts: RestoreFacts, params: dict[str, Scalar]) -> dict[str, Scalar]:
    """Archive and storage, by the words of either kind (API2/Qemu.pm, API2/LXC.pm create_vm)."""
    storage = storage_of(facts, params)
    sent: dict[str, Scalar] = {"storage": storage} if storage else {}
    if facts.kind == "qemu":
        return {"archive": facts.backup.volid, **sent}
    return {"ostemplate": facts.backup.volid, "restore": True, **sent}


def _own_steps(facts: RestoreFacts, params: dict[str, Scalar]) -> tuple[Step, ...]:
    """No start with the node, no protection, and the cables pulled."""
    values: dict[str, str | None] = {}
    if facts.config.starts_on_boot:
        values["onboot"] = "0"
    if facts.config.is_protected:
        values["protection"] = None
    if not params.get("connected"):
        values |= {key: unplugged(text) for key, text in cards_of(facts).items()}
    if not values:
        return ()
    sent: dict[str, Scalar] = {key: text for key, text in values.items() if text is not None}
    gone = [key for key, text in values.items() if text is None]
    if gone:
        sent["delete"] = ",".join(gone)
    words = ["pull the cables" if key.startswith("net") else f"{key} off" for key in values]
    call = Call(
        "PUT",
        f"/nodes/{facts.node}/{facts.kind}/{VMID}/config",
        sent,
        effect="B",
        does=", ".join(dict.fromkeys(words)),
    )
    return call, WaitState("config.values", _GRACE_S, dict(values))


def cards_of(facts: RestoreFacts) -> dict[str, str]:
    """The network cards in the archive."""
    return {
        key: str(value)
        for key, value in facts.config.values.items()
        if key.startswith("net") and key.removeprefix("net").isdecimal()
    }


def unplugged(text: str) -> str:
    """The card with its link down; without the archive's address, so that it gets a new one."""
    options = parse_options(text)
    kept = {key: value for key, value in options.items() if key not in {"hwaddr", "macaddr"}}
    for model in _MODELS & kept.keys():
        kept[model] = ""
    return format_options({**kept, "link_down": "1"})


def _start_steps(facts: RestoreFacts) -> tuple[Step, ...]:
    call = Call(
        "POST",
        f"/nodes/{facts.node}/{facts.kind}/{VMID}/status/start",
        effect="B",
        task_types=("qmstart", "vzstart"),
        does="start",
    )
    return call, WaitTask(_START_S), WaitState("power.running", _GRACE_S)
