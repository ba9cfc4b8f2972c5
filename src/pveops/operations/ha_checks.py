"""What stands against changes of HA resources. Each check is a pure function of the facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pveops.domain.ha_facts import HaFacts
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_lock, check_quorum, check_tasks, subject_of


def check_add(facts: HaFacts, wanted: Mapping[str, str]) -> Iterator[Finding]:
    """For putting a guest under HA."""
    yield from _check_common(facts, f"ha-manager add {facts.sid} --state {wanted['state']}")
    subject = subject_of(facts.base)
    if facts.base.state.is_template:
        yield Finding("guest.template", "block", subject, "it is a template, and never runs")
    if wanted.get("group") and not facts.has_groups:
        yield Finding(
            "ha.no-groups",
            "block",
            subject,
            "this version of PVE has rules in place of groups",
            remedy="leave --group out, and make a rule in PVE's own interface",
        )
    if facts.local_storages:
        yield Finding(
            "ha.local-disks",
            "warn",
            subject,
            f"its disks on {', '.join(facts.local_storages)} are on its node alone: when that "
            "fails, HA cannot start it elsewhere, unless the disks are replicated",
            remedy="move them: `pve disk move`",
        )
    if wanted["state"] == "started" and not facts.base.state.is_running:
        yield Finding("ha.starts", "warn", subject, "HA will start it")
    yield from _check_stop(facts, wanted["state"])


def check_remove(facts: HaFacts) -> Iterator[Finding]:
    """For taking a guest out of HA."""
    yield from _check_common(facts, f"ha-manager remove {facts.sid}")
    subject = subject_of(facts.base)
    yield Finding(
        "ha.no-recovery",
        "warn",
        subject,
        "when its node fails it will not be started elsewhere; it stays as it is now",
    )
    names = ", ".join(rule.name for rule in facts.rules)
    if names:
        yield Finding(
            "ha.rules-lost",
            "warn",
            subject,
            f"it leaves the rules that name it: {names}",
            evidence="/cluster/ha/rules",
        )


def check_state(facts: HaFacts, state: str) -> Iterator[Finding]:
    """For saying what is wanted."""
    yield from _check_managed(facts)
    yield from _check_common(facts, f"ha-manager set {facts.sid} --state {state}")
    if facts.live is not None and facts.live.state == "error" and state != "disabled":
        yield Finding(
            "ha.error",
            "block",
            subject_of(facts.base),
            "it is in state error, and HA takes no request until that is cleared",
            evidence="/cluster/ha/status/current",
            remedy=f"pve ha reset {facts.base.guest.vmid}",
        )
    yield from _check_stop(facts, state)


def check_reset(facts: HaFacts) -> Iterator[Finding]:
    """For clearing an error: its cause comes back unless it is mended."""
    yield from _check_managed(facts)
    yield from _check_common(facts, f"ha-manager set {facts.sid} --state disabled")
    yield from check_lock(facts.base)
    yield from check_tasks(facts.base, backup_blocks=True)
    subject = subject_of(facts.base)
    failed = facts.failures[:1]
    if failed:
        yield Finding(
            "ha.cause",
            "warn",
            subject,
            f"it failed with: {failed[0].exitstatus}; unless that is mended it fails again",
            evidence=str(failed[0].upid),
            remedy=f"pve task log {failed[0].upid}",
        )
    else:
        yield Finding(
            "ha.cause-unknown",
            "warn",
            subject,
            "no failed task of the last day tells the cause; unless it is mended it fails again",
            remedy=f"pve guest doctor {facts.base.guest.vmid}",
        )


def _check_managed(facts: HaFacts) -> Iterator[Finding]:
    if facts.configured is None:
        yield Finding(
            "ha.unmanaged",
            "block",
            subject_of(facts.base),
            "HA does not manage it",
            remedy=f"pve ha add {facts.base.guest.vmid}",
        )


def _check_common(facts: HaFacts, command: str) -> Iterator[Finding]:
    yield from check_quorum(facts.base.is_quorate)
    if not facts.may_change:
        yield Finding(
            "access.missing",
            "block",
            subject_of(facts.base),
            "the token may not change HA resources: that takes Sys.Console on /, which also opens "
            "a shell on the nodes",
            evidence="/access/permissions",
            remedy=f"root on a node: `{command}`",
        )


def _check_stop(facts: HaFacts, state: str) -> Iterator[Finding]:
    if state in {"stopped", "disabled"} and facts.base.state.is_running:
        yield Finding(
            "ha.stops",
            "warn",
            subject_of(facts.base),
            "HA shuts it down, and cuts its power when that takes more than 60 s; it stays down "
            "until it is wanted again",
        )
    if state == "ignored":
        yield Finding(
            "ha.ignored",
            "warn",
            subject_of(facts.base),
            "HA does nothing for it any more, also when its node fails",
        )
