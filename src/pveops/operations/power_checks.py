"""Preflight of the power verbs: what stands against, or should be known before.

Each check is a pure function of the facts. What PVE does in each case is told in its own
sources: API2/Qemu.pm and QemuServer.pm (qemu-server), API2/LXC/Status.pm (pve-container),
HA/Manager.pm (pve-ha-manager).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pveops.domain.facts import GuestFacts
from pveops.domain.guest import split_tags
from pveops.domain.trash import TRASH_TAG
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_lock, check_tasks, subject_of, worst_first
from pveops.operations.plan import Scalar
from pveops.sanitize import shell_word

PAUSED_STATES = frozenset({"paused", "suspended"})
_GRACEFUL = frozenset({"shutdown", "reboot"})
_NEEDS_RUNNING = frozenset({"reboot", "reset", "suspend"})
_INTERRUPTS = frozenset({"shutdown", "stop", "reboot", "reset", "suspend"})
_PERMITTED_LOCKS = {
    "start": frozenset({"suspended", "mounted"}),
    "stop": frozenset({"mounted"}),
    "suspend": frozenset({"backup"}),
    "resume": frozenset({"suspended", "backup"}),
}
"""Locks that PVE itself lets a verb pass (QemuServer.pm vm_start, vm_suspend; LXC.pm)."""


class PowerCase(NamedTuple):
    """One verb for one guest."""

    verb: str
    facts: GuestFacts
    params: dict[str, Scalar]

    @property
    def subject(self) -> str:
        """The guest as a finding names it."""
        return subject_of(self.facts)

    @property
    def name(self) -> str:
        """What the guest is called in a command."""
        return str(self.facts.guest.vmid)


def check_power(case: PowerCase) -> tuple[Finding, ...]:
    """Every finding, the blocking ones first."""
    return worst_first(finding for check in _CHECKS for finding in check(case))


def _check_template(case: PowerCase) -> Iterator[Finding]:
    if case.facts.state.is_template or case.facts.guest.is_template:
        yield Finding(
            "guest.template",
            "block",
            case.subject,
            "it is a template, and templates never run",
            remedy=f"clone it instead; look at it with `pve guest show {shell_word(case.name)}`",
        )


def _check_lock(case: PowerCase) -> Iterator[Finding]:
    return check_lock(case.facts, _PERMITTED_LOCKS.get(case.verb, frozenset()))


def _check_tasks(case: PowerCase) -> Iterator[Finding]:
    return check_tasks(case.facts, backup_blocks=case.verb in _INTERRUPTS)


def _check_quorum(case: PowerCase) -> Iterator[Finding]:
    quorate = case.facts.is_quorate
    if quorate is False:
        needs_it = case.verb in {"start", "resume"} or case.facts.state.is_ha_managed
        yield Finding(
            "cluster.no-quorum",
            "block" if needs_it else "warn",
            "cluster",
            "the cluster has no quorum"
            + (
                "; PVE starts no guest without it"
                if needs_it
                else "; the guest could not be started again until it is back"
            ),
            evidence="/cluster/status",
            remedy="look at the nodes with `pve status`",
        )
    elif quorate is None:
        yield Finding(
            "cluster.quorum-unknown",
            "info",
            "cluster",
            "the token may not see whether the cluster has quorum",
            evidence="/cluster/status needs Sys.Audit on /",
        )


def _check_state(case: PowerCase) -> Iterator[Finding]:
    state, verb = case.facts.state, case.verb
    if verb in _NEEDS_RUNNING and not state.is_running:
        yield Finding(
            "guest.not-running",
            "block",
            case.subject,
            f"it is {state.power}; there is nothing to {verb}",
            remedy=f"pve guest start {shell_word(case.name)}",
        )
    if verb == "resume" and not state.is_running and state.lock != "suspended":
        yield Finding(
            "guest.not-running",
            "block",
            case.subject,
            f"it is {state.power}, not paused",
            remedy=f"pve guest start {shell_word(case.name)}",
        )
    if verb == "start" and state.is_running and state.qmpstatus in PAUSED_STATES:
        yield Finding(
            "guest.paused",
            "block",
            case.subject,
            "it is paused, not stopped: a start would fail",
            remedy=f"pve guest resume {shell_word(case.name)}",
        )


def _check_paused(case: PowerCase) -> Iterator[Finding]:
    state = case.facts.state
    if case.verb not in _GRACEFUL or state.qmpstatus not in PAUSED_STATES:
        return
    forced = case.verb == "shutdown" and bool(case.params.get("force_after"))
    yield Finding(
        "guest.paused",
        "warn" if forced else "block",
        case.subject,
        "it is paused: PVE cuts its power instead of shutting it down"
        if forced
        else "it is paused and cannot shut down",
        remedy=f"`pve guest resume {shell_word(case.name)}` first, "
        f"or `pve guest stop {shell_word(case.name)}`",
    )


def _check_io_error(case: PowerCase) -> Iterator[Finding]:
    if case.facts.state.qmpstatus != "io-error":
        return
    yield Finding(
        "guest.io-error",
        "block" if case.verb in _GRACEFUL | {"start"} else "warn",
        case.subject,
        "it stands still because its storage failed or is full (io-error)",
        evidence="qmpstatus io-error",
        remedy=f"free space (`pve storage list`), then `pve guest resume {shell_word(case.name)}`",
    )


def _check_pending(case: PowerCase) -> Iterator[Finding]:
    pending = case.facts.pending
    if not pending:
        return
    keys = ", ".join(change.key for change in pending)
    yield Finding(
        "guest.pending-changes",
        "warn" if case.verb == "reboot" else "info",
        case.subject,
        f"changes of its configuration will take effect: {keys}",
        evidence="/pending",
        remedy=f"look at them with `pve guest show {shell_word(case.name)}`",
    )


def _check_agent(case: PowerCase) -> Iterator[Finding]:
    facts = case.facts
    if case.verb in _GRACEFUL and facts.guest.kind == "qemu" and not facts.state.has_agent:
        yield Finding(
            "guest.no-agent",
            "info",
            case.subject,
            "no guest agent is configured: PVE presses the ACPI power button, which the guest "
            "may ignore",
        )


def _check_ha(case: PowerCase) -> Iterator[Finding]:
    state = case.facts.state
    if not state.is_ha_managed:
        return
    if state.hastate == "error":
        yield Finding(
            "ha.error",
            "block",
            case.subject,
            "its HA resource is in state error; HA takes no request until that is fixed",
            evidence="hastate error",
            remedy=f"ha-manager set {case.subject.replace('/', ':')} --state disabled",
        )
    elif case.verb in {"start", "stop", "shutdown"}:
        tail = "; HA keeps it stopped until it is started again" if case.verb != "start" else ""
        forced = (
            "; HA cuts the power when the timeout has passed" if (case.verb == "shutdown") else ""
        )
        yield Finding(
            "ha.managed",
            "warn" if forced else "info",
            case.subject,
            f"it is managed by HA: the request is queued and carried out by HA{forced}{tail}",
            evidence=f"hastate {state.hastate or 'unknown'}",
        )
    elif case.verb == "suspend" and case.params.get("to_disk"):
        yield Finding(
            "ha.managed",
            "block",
            case.subject,
            "PVE does not hibernate guests that HA manages",
            remedy=f"pve guest shutdown {shell_word(case.name)}",
        )


def _check_trash(case: PowerCase) -> Iterator[Finding]:
    config = case.facts.config
    if case.verb == "start" and TRASH_TAG in split_tags(config.get("tags")):
        yield Finding(
            "guest.in-trash",
            "warn",
            case.subject,
            "it is in the trash: it can still be purged, and does not start with its node",
            remedy=f"pve guest undelete {shell_word(case.name)}",
        )


def _check_container_suspend(case: PowerCase) -> Iterator[Finding]:
    if case.verb in {"suspend", "resume"} and case.facts.guest.kind == "lxc":
        yield Finding(
            "guest.container-suspend",
            "warn",
            case.subject,
            "suspending containers is experimental in PVE and usually fails",
        )


def _check_power_cut(case: PowerCase) -> Iterator[Finding]:
    if case.verb in {"stop", "reset"} and case.facts.state.is_running:
        yield Finding(
            "guest.power-cut",
            "warn",
            case.subject,
            "what the guest has not written to its disks is lost",
            remedy=f"clean: `pve guest {'shutdown' if case.verb == 'stop' else 'reboot'} "
            f"{case.name}`",
        )


_CHECKS: tuple[Callable[[PowerCase], Iterator[Finding]], ...] = (
    _check_template,
    _check_lock,
    _check_tasks,
    _check_quorum,
    _check_state,
    _check_paused,
    _check_io_error,
    _check_pending,
    _check_agent,
    _check_ha,
    _check_trash,
    _check_container_suspend,
    _check_power_cut,
)
