"""From a request to a plan: resolve, gather, check, decide. Only reads.

Ask --resolve--> guests --gather--> facts --decide--> decisions --> Proposal
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.api.tasks import get_status
from pveops.domain.facts import Rules, Scene
from pveops.domain.guest import Guest
from pveops.domain.inventory import Inventory, read_inventory, read_membership
from pveops.domain.selection import Selector, resolve_guest, select_guests
from pveops.engine.call_check import check_calls
from pveops.engine.gate import Verdict, judge
from pveops.engine.past_moves import list_past_moves
from pveops.engine.past_stops import list_past_stops
from pveops.engine.pool import run_bounded
from pveops.engine.same_cluster import list_fingerprints
from pveops.engine.session import Session
from pveops.errors import (
    BusyError,
    ConflictError,
    LockedError,
    NodeUnreachableError,
    NoQuorumError,
    NotFoundError,
    PreflightError,
    PveopsError,
    UsageError,
)
from pveops.operations.catalog import get_operation
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.operation import Operation, Targets
from pveops.operations.plan import PLAN_FORMAT, Item, Plan, Scalar
from pveops.operations.startup import arrange, describe_stages
from pveops.operations.task import TaskFacts
from pveops.sanitize import sanitize_text, shell_word

if TYPE_CHECKING:
    from pveops.domain.guest_template import GuestTemplate

_MAX_REASON = 300
_AT_ONCE = frozenset({Targets.NEW, Targets.NODE, Targets.CLUSTER, Targets.OTHER})
"""What is found out about all together, instead of guest by guest."""

_CHOSEN_LATER = "auto"
"""The storage that `guest create` finds itself."""
_ERRORS_BY_FINDING: dict[str, type[PveopsError]] = {
    "guest.locked": LockedError,
    "guest.busy": BusyError,
    "guest.backup-running": BusyError,
    "node.busy": BusyError,
    "cluster.no-quorum": NoQuorumError,
}
"""Findings that are no flaw of the request: the same request may pass later."""


class Ask(NamedTuple):
    """What somebody wants: an operation, of guests by name or by selector, and why."""

    operation: str
    names: tuple[str, ...] = ()
    selector: Selector = Selector()
    params: Mapping[str, Scalar] = MappingProxyType({})
    reason: str = ""


class Proposal(NamedTuple):
    """What the request comes to. `plan` is None when every target is already so."""

    operation: Operation
    decisions: tuple[Decision, ...]
    plan: Plan | None
    verdict: Verdict | None


def propose(session: Session, ask: Ask) -> Proposal:
    """Decide a change of guests or tasks; nothing is stored and nothing is sent but GET.

    Raises NotFoundError, AmbiguousError, UsageError, and the error of the first finding that
    blocks (LockedError, BusyError, NoQuorumError, or PreflightError).
    """
    operation = get_operation(ask.operation)
    facts = _gather(session, operation, ask)
    decide = _load(operation.decides)
    decisions: tuple[Decision, ...] = tuple(
        decide(operation.id, fact, dict(ask.params)) for fact in facts
    )
    decisions = _with_common(operation, facts, decisions)
    _refuse_doubles(session, decisions)
    _refuse_blocked(decisions)
    items = arrange([decision.item for decision in decisions if decision.item is not None])
    if not items:
        return Proposal(operation, decisions, None, None)
    if operation.targets is Targets.NEW or "option" in ask.params:
        check_calls(session.reader, items)
    verdict = judge(session, operation, items, ask.params)
    plan = _plan(session, ask, decisions, items, verdict)
    return Proposal(operation, decisions, plan, verdict)


def _with_common(
    operation: Operation, facts: Sequence[object], decisions: tuple[Decision, ...]
) -> tuple[Decision, ...]:
    """What only all of them together show is told with the first."""
    if not operation.checks or len(decisions) < 2:
        return decisions
    found: Sequence[Finding] = tuple(_load(operation.checks)(facts))
    first, *rest = decisions
    return (first._replace(findings=(*found, *first.findings)), *rest)


def _resolve(inventory: Inventory, ask: Ask) -> tuple[Guest, ...]:
    if ask.names and not ask.selector.is_empty:
        raise UsageError("name guests or select them, not both")
    if ask.names:
        guests = {_resolve_one(inventory, ask, name) for name in ask.names}
        return tuple(sorted(guests))
    if ask.selector.is_empty:
        raise UsageError(
            "which guest?", hint="name it (`web01`, `101`, `pve1/web01`) or select with --tag"
        )
    guests_found = tuple(
        guest for guest in select_guests(inventory, ask.selector) if not guest.is_template
    )
    if not guests_found:
        raise NotFoundError(
            f"no guest fits the selector ({len(inventory.guests)} are visible)",
            hint="try the same selector with `pve guest list`",
        )
    return guests_found


def _resolve_one(inventory: Inventory, ask: Ask, name: str) -> Guest:
    """A name that no guest has may have been meant for something else."""
    try:
        return resolve_guest(inventory, name)
    except NotFoundError as error:
        meant = get_operation(ask.operation).second_word
        if meant and len(ask.names) > 1:
            raise NotFoundError(
                error.message,
                hint=f"was it meant as --{meant} {shell_word(name)}?",
                details=error.details,
            ) from error
        raise


def refuse_unreachable(inventory: Inventory, guests: Sequence[Guest]) -> None:
    """Raises NodeUnreachableError when the node of any of them does not answer."""
    down = [guest for guest in guests if guest.node in inventory.nodes_not_online]
    if down:
        labels = ", ".join(guest.ref.label for guest in down[:5])
        raise NodeUnreachableError(
            f"the node does not answer, so nobody knows the state of {labels}",
            hint="look at the nodes with `pve status`",
            details={"guests": [guest.vmid for guest in down]},
        )


def _gather(session: Session, operation: Operation, ask: Ask) -> Sequence[object]:
    """The facts about each target, in the order of the targets."""
    inventory = read_inventory(session.reader)
    if operation.targets is Targets.TASK:
        return [_gather_task(session, inventory, name) for name in dict.fromkeys(ask.names)]
    _refuse_unknown(inventory, operation, ask)
    read = _load(operation.reads)
    if operation.targets in _AT_ONCE:
        found: Sequence[object] = read(session.reader, _scene(session, inventory, ask))
        return found
    guests = _resolve(inventory, ask)
    refuse_unreachable(inventory, guests)
    scene = _scene(session, inventory, ask)
    nodes = [guest.node for guest in guests]
    return run_bounded(nodes, lambda index: read(session.reader, guests[index], scene))


def _refuse_unknown(inventory: Inventory, operation: Operation, ask: Ask) -> None:
    """Raises NotFoundError for a node or storage that no check can tell more about."""
    for param in operation.params:
        name = ask.params.get(param.name)
        if not name or param.type != "str" or param.is_configured:
            continue
        if param.name == "node" and inventory.nodes:
            inventory.get_node(str(name))
        if param.name == "storage" and inventory.storages and name != _CHOSEN_LATER:
            inventory.list_storages(str(name))


def _scene(session: Session, inventory: Inventory, ask: Ask) -> Scene:
    targets = get_operation(ask.operation).targets
    store, looks_back = session.store, targets in {Targets.NODE, Targets.CLUSTER}
    known_as = list_fingerprints(session) if looks_back else frozenset[str]()
    membership = read_membership(session.reader)
    return Scene(
        inventory=inventory,
        is_quorate=membership.is_quorate if membership else None,
        names=ask.names,
        params=ask.params,
        now=session.reader.server_time(),
        rules=_rules(session, inventory),
        reason=sanitize_text(ask.reason, _MAX_REASON),
        template=_template(session, ask),
        past_moves=list_past_moves(store, known_as) if targets is Targets.NODE else (),
        past_stops=list_past_stops(store, known_as) if targets is Targets.CLUSTER else (),
        local=membership.local if membership else "",
    )


def _template(session: Session, ask: Ask) -> GuestTemplate | None:
    name = ask.params.get("template")
    if not name:
        return None
    from pveops.config.guest_templates import load_template, template_folders

    own = session.templates_dir
    folders = template_folders(own) if own else template_folders(Path())[1:]
    return load_template(str(name), folders).template


def _rules(session: Session, inventory: Inventory) -> Rules:
    policy = session.policy
    why = {
        guest.vmid: policy.protected.why(str(guest.vmid), guest.name, guest.tags, guest.pool)
        for guest in inventory.guests
    }
    protected = {vmid: reason for vmid, reason in why.items() if reason}
    return Rules(policy.trash_days, protected)


def _gather_task(session: Session, inventory: Inventory, text: str) -> TaskFacts:
    """A task, and how the guest that it is about is marked."""
    status = get_status(session.reader, text)
    upid = status.upid
    about = next((guest for guest in inventory.guests if str(guest.vmid) == upid.id), None)
    return TaskFacts(
        upid=upid,
        is_running=status.is_running,
        exitstatus=status.exitstatus,
        tags=about.tags if about else (),
        pool=about.pool if about else "",
        read_at=int(session.reader.server_time()),
    )


def _load(place: str) -> Callable[..., Any]:
    """What a row of the catalogue names as `module:function`."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _refuse_doubles(session: Session, decisions: Sequence[Decision]) -> None:
    """A guest to be that is there already may be what another run of ours is making.

    Raises ConflictError.
    """
    for decision in decisions:
        if not decision.target.is_new or not blocks_among(decision.findings):
            continue
        run = session.store.find_lock(f"{session.cluster}/{decision.target.lock_key}")
        if run is not None:
            raise ConflictError(
                f"{run} is at work on {decision.target.name} already",
                hint=f"pve run wait {run}",
                details={"run": run},
            )


def _refuse_blocked(decisions: Sequence[Decision]) -> None:
    blocked = [decision for decision in decisions if blocks_among(decision.findings)]
    if not blocked:
        return
    # What is true of the whole cluster says more than what is true of one of its guests.
    worst = min(blocked, key=lambda each: blocks_among(each.findings)[0].subject != "cluster")
    first = blocks_among(worst.findings)[0]
    error = _error_for(blocked)
    label = worst.target.name if worst.target.is_new else worst.target.label
    more = f" (and {len(blocked) - 1} more guests are blocked)" if len(blocked) > 1 else ""
    findings = [finding for decision in decisions for finding in decision.findings]
    raise error(
        f"{label}: {first.message}{more}",
        hint=first.remedy,
        details={
            "findings": findings,
            "blocked": [d.target.id for d in blocked],
            "targets": [_verdict_of(decision) for decision in decisions],
        },
    )


def _error_for(blocked: Sequence[Decision]) -> type[PveopsError]:
    """What passes with time is told only when nothing else stands in the way."""
    codes = {blocks_among(decision.findings)[0].code for decision in blocked}
    kinds = {_ERRORS_BY_FINDING.get(code, PreflightError) for code in codes}
    return kinds.pop() if len(kinds) == 1 else PreflightError


def _verdict_of(decision: Decision) -> dict[str, str]:
    """What would become of one target, for the table of a request that is refused."""
    blocks = blocks_among(decision.findings)
    if blocks:
        verdict = f"blocked: {blocks[0].message}"
    else:
        verdict = decision.item.headline if decision.item else f"already {decision.state}"
    return {"id": decision.target.id, "name": decision.target.name, "verdict": verdict}


def _params_of(ask: Ask) -> dict[str, Scalar]:
    """As asked, with the node that an operation on a node is about."""
    if get_operation(ask.operation).targets is not Targets.NODE:
        return dict(ask.params)
    return {"node": ask.names[0], **ask.params}


def _plan(
    session: Session,
    ask: Ask,
    decisions: Sequence[Decision],
    items: tuple[Item, ...],
    verdict: Verdict,
) -> Plan:
    now = int(session.clock.now())
    findings: list[Finding] = []
    for decision in decisions:
        if decision.item is not None:
            findings.extend(finding for finding in decision.findings if finding not in findings)
    order = describe_stages(items) if ask.operation.startswith("guest.") else ""
    if order:
        findings.append(Finding("guest.startup-order", "info", "cluster", order))
    return Plan(
        format=PLAN_FORMAT,
        operation=ask.operation,
        profile=session.profile,
        cluster=session.cluster,
        params=_params_of(ask),
        items=items,
        tier=verdict.tier,
        tier_reasons=verdict.reasons,
        actor=session.actor.label,
        reason=sanitize_text(ask.reason, _MAX_REASON),
        created=now,
        expires=now + verdict.ttl_s,
        nonce=secrets.token_hex(8),
        findings=tuple(findings),
        skipped=tuple(d.target.label for d in decisions if d.is_already_so),
    )
