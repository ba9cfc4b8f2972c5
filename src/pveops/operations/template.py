"""Turning a guest into a template, for good."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.disk import DiskFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import check_stored_change, subject_of, worst_first
from pveops.operations.plan import Call, Item, Scalar, WaitState, WaitTask
from pveops.operations.subject import headline_of, target_of
from pveops.sanitize import shell_word

_WITH_BASES = frozenset({"dir", "nfs", "cifs", "btrfs", "lvmthin", "zfspool", "rbd"})
"""Storages that make base images; PVE leaves a volume on any other as it is."""
_TASK_S = 900.0
_GRACE_S = 30.0


def decide_convert(_operation: str, facts: DiskFacts, _params: dict[str, Scalar]) -> Decision:
    """The disks become read-only bases; only a full clone of it can ever run again.

    (API2/Qemu.pm template, API2/LXC.pm template)
    """
    base, target = facts.base, target_of(facts.base)
    if base.state.is_template:
        return Decision(target, (), is_already_so=True, state="a template")
    found = worst_first(_check(facts))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    steps = (
        Call(
            "POST",
            base.guest.ref.path("template"),
            effect="C",
            task_types=("qmtemplate", "vztemplate"),
            does="convert to template",
        ),
        WaitTask(_TASK_S),
        WaitState("guest.template", _GRACE_S, {"bases": ",".join(_convertible(facts))}),
    )
    item = Item(
        target=target,
        headline=headline_of(base),
        guards=guest_guards(base.state, base.config),
        before={"is_template": False},
        steps=steps,
        losses=("the guest itself: a template never runs again, only clones of it do",),
    )
    return Decision(target, found, item, state=base.state.power)


def _convertible(facts: DiskFacts) -> list[str]:
    types = {storage.storage: storage.type for storage in facts.storages}
    return [
        disk.slot
        for disk in facts.disks
        if not disk.is_unused and types.get(disk.storage) in _WITH_BASES
    ]


def _check(facts: DiskFacts) -> Iterator[Finding]:
    base, subject = facts.base, subject_of(facts.base)
    yield from check_stored_change(base)
    if base.state.is_running:
        yield Finding(
            "guest.runs",
            "block",
            subject,
            "it runs; only a stopped guest becomes a template",
            remedy=f"pve guest shutdown {base.guest.vmid}",
        )
    if facts.snapshots:
        yield Finding(
            "guest.has-snapshots",
            "block",
            subject,
            f"it has snapshots: {', '.join(facts.snapshots)}",
            remedy=f"pve snapshot delete {base.guest.vmid} {shell_word(facts.snapshots[-1])}",
        )
    if base.state.is_ha_managed:
        yield Finding("guest.ha", "warn", subject, "HA manages it and would try to start it")
    if not base.config.get("ipconfig0") and base.guest.kind == "qemu":
        yield Finding(
            "template.identity",
            "info",
            subject,
            "it has no cloud-init: clones share machine-id and SSH host keys unless it was "
            "prepared inside",
        )
