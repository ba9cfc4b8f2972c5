"""Trying a backup: restored to a scratch guest, booted apart from everybody, and cleared away.

A pure decision. Only what it made itself is removed: the last look before that is at the mark.
"""

from __future__ import annotations

from pveops.domain.restore_facts import RestoreFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import subject_of, worst_first
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
from pveops.operations.restore import archive_guards, cards_of, restore_steps, unplugged
from pveops.operations.restore_checks import check_restore
from pveops.sanitize import shell_word
from pveops.units import format_duration

DRILL_TAG = "pveops-drill"
_MARK: dict[str, str | None] = {"tags": DRILL_TAG, "onboot": "0"}
_START_S = 300.0
_ALIVE_S = 240.0
_TASK_S = 600.0
_GRACE_S = 60.0
_MAX_NAME = 50


def decide_drill(_operation: str, facts: RestoreFacts, params: dict[str, Scalar]) -> Decision:
    """One guest's newest backup, tried."""
    base = facts.present
    label = base.guest.name if base else str(facts.backup.vmid)
    name = f"drill-{label}"[:_MAX_NAME].rstrip("-.")
    target = Target(kind=facts.kind, id=str(facts.vmid), name=name, node=facts.node, is_new=True)
    found = worst_first(
        finding
        for finding in check_restore(facts, {**params, "connected": True}, name)
        if finding.code != "guest.name-taken" or finding.severity == "block"
    )
    if name in facts.names:
        found = tuple(_left_over(finding, name) for finding in found)
    if blocks_among(found):
        return Decision(target, found)
    age = format_duration(max(0, facts.read_at - facts.backup.ctime))
    item = Item(
        target=target,
        headline=f"NEW FOR A WHILE, from the backup of {label}, {age} old",
        guards=archive_guards(facts),
        before={"exists": False, "backup": facts.backup.volid},
        steps=(
            *restore_steps(facts, params, name),
            *_apart_steps(facts),
            *_boot_steps(facts),
            *_clear_steps(facts, name),
        ),
        undo=f"pve guest delete {shell_word(name)} --without-backup",
    )
    remark = Finding(
        "drill.apart",
        "info",
        subject_of(base) if base else facts.backup.volid,
        f"it boots as {name} with its network cards disconnected, and is removed afterwards",
    )
    return Decision(target, (*found, remark), item)


def _left_over(finding: Finding, name: str) -> Finding:
    """A trial that broke off has left its guest behind."""
    if finding.code != "guest.name-taken":
        return finding
    return Finding(
        finding.code,
        "block",
        finding.subject,
        f"{name} is there still: an earlier trial broke off",
        remedy=f"pve guest delete {shell_word(name)} --without-backup",
    )


def _apart_steps(facts: RestoreFacts) -> tuple[Step, ...]:
    """Marked, and with the cables pulled, before it runs."""
    values = _MARK | {key: unplugged(text) for key, text in cards_of(facts).items()}
    gone = ["protection"] if facts.config.is_protected else []
    sent: dict[str, Scalar] = dict(values)
    if gone:
        sent["delete"] = ",".join(gone)
    call = Call(
        "PUT",
        f"/nodes/{facts.node}/{facts.kind}/{VMID}/config",
        sent,
        effect="B",
        does="mark it and pull the cables",
    )
    return call, WaitState("config.values", _GRACE_S, dict(values))


def _boot_steps(facts: RestoreFacts) -> tuple[Step, ...]:
    call = Call(
        "POST",
        f"/nodes/{facts.node}/{facts.kind}/{VMID}/status/start",
        effect="B",
        task_types=("qmstart", "vzstart"),
        does="start it",
    )
    return call, WaitTask(_START_S), WaitState("drill.alive", _ALIVE_S, is_verdict=True)


def _clear_steps(facts: RestoreFacts, name: str) -> tuple[Step, ...]:
    path = f"/nodes/{facts.node}/{facts.kind}/{VMID}"
    name_key = "name" if facts.kind == "qemu" else "hostname"
    stop = Call(
        "POST",
        f"{path}/status/stop",
        effect="B",
        task_types=("qmstop", "vzstop"),
        does="stop it",
    )
    destroy = Call(
        "DELETE",
        path,
        {"purge": True, "destroy-unreferenced-disks": False},
        effect="C",
        task_types=("qmdestroy", "vzdestroy"),
        does="remove it",
    )
    return (
        stop,
        WaitTask(_TASK_S),
        WaitState("power.stopped", _GRACE_S),
        WaitState("config.values", 0.0, {**_MARK, name_key: name}),
        destroy,
        WaitTask(_TASK_S),
        WaitState("guest.gone", _GRACE_S),
    )
