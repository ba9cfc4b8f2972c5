"""Pools: made, filled, emptied, removed. Pure decisions.

A pool is more than a label: permissions on /pool/NAME reach its guests, and backup jobs may take
whoever belongs to it. Both are told before anything changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pveops.domain.guest import Guest
from pveops.domain.pool import PoolFacts
from pveops.errors import UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import pool_guard
from pveops.operations.guest_checks import check_quorum, worst_first
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState
from pveops.sanitize import shell_word

_GRACE_S = 30.0
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z][A-Za-z0-9_.-]*){0,2}")
"""Up to three levels (PVE::AccessControl, verify_poolname)."""


def decide_create(_operation: str, facts: PoolFacts, params: dict[str, Scalar]) -> Decision:
    """`pool.create`."""
    if not _NAME.fullmatch(facts.name):
        raise UsageError(
            f"{facts.name!r} is no name for a pool",
            hint="letters, digits, - _ and ., a letter first; / for one inside another",
        )
    if facts.pool is not None:
        return Decision(_target(facts), (), is_already_so=True, state="there")
    sent: dict[str, Scalar] = {"poolid": facts.name}
    if params.get("comment"):
        sent["comment"] = params["comment"]
    call = Call("POST", "/pools", sent, effect="B", does="create it")
    goal = WaitState("pool.there", _GRACE_S, {"exists": True})
    undo = f"pve pool delete {shell_word(facts.name)}"
    return _decided(facts, check_quorum(facts.is_quorate), "NEW POOL", (call, goal), undo)


def decide_delete(_operation: str, facts: PoolFacts, _params: dict[str, Scalar]) -> Decision:
    """`pool.delete`: of an empty pool; nothing else is taken by PVE."""
    call = Call("DELETE", "/pools", {"poolid": facts.name}, effect="B", does="delete it")
    goal = WaitState("pool.there", _GRACE_S, {"exists": False})
    undo = f"pve pool create {shell_word(facts.name)}"
    return _decided(facts, _check_delete(facts), "EMPTY POOL", (call, goal), undo)


def decide_members(operation: str, facts: PoolFacts, params: dict[str, Scalar]) -> Decision:
    """`pool.add` and `pool.remove`: those that are not so already."""
    adds = operation == "pool.add"
    pool = facts.pool
    if pool is None:
        raise UsageError(f"there is no pool {facts.name!r}")
    if not facts.named and not facts.storages:
        raise UsageError("whom?", hint=f"pve {operation.replace('.', ' ')} POOL GUEST...")
    guests = [guest for guest in facts.named if (guest.vmid in pool.vmids) is not adds]
    storages = [name for name in facts.storages if (name in pool.storages) is not adds]
    if not guests and not storages:
        state = "as wanted: " + ("all belong to it" if adds else "none belongs to it")
        return Decision(_target(facts), (), is_already_so=True, state=state)
    moves = adds and bool(params.get("move"))
    found = _check_members(facts, guests, adds=adds, moves=moves)
    sent: dict[str, Scalar] = {"poolid": facts.name}
    if guests:
        sent["vms"] = ",".join(str(guest.vmid) for guest in guests)
    if storages:
        sent["storage"] = ",".join(storages)
    if not adds:
        sent["delete"] = True
    if moves and any(guest.pool for guest in guests):
        sent["allow-move"] = True
    names = ", ".join((*(guest.name or str(guest.vmid) for guest in guests), *storages))
    call = Call("PUT", "/pools", sent, effect="B", does=f"{'add' if adds else 'remove'} {names}")
    vmids = ",".join(str(guest.vmid) for guest in guests)
    goal = WaitState(
        "pool.members",
        _GRACE_S,
        {"vmids": vmids, "storages": ",".join(storages), "are_in": adds},
    )
    undo = _undo(facts, guests, storages, adds=adds)
    headline = f"{'GAINS' if adds else 'LOSES'} {names}"
    decision = _decided(facts, found, headline, (call, goal), undo)
    return _with_members(decision, guests, _uncovered(facts, guests, adds=adds))


def _undo(facts: PoolFacts, guests: list[Guest], storages: list[str], *, adds: bool) -> str:
    """One command, where one does it: guests may have come from other pools."""
    if adds and any(guest.pool for guest in guests):
        return ""
    words = [str(guest.vmid) for guest in guests]
    words += [f"--storage {name}" for name in storages]
    return f"pve pool {'remove' if adds else 'add'} {facts.name} {' '.join(words)}"


def _with_members(decision: Decision, guests: list[Guest], reason: str) -> Decision:
    import msgspec

    if decision.item is None:
        return decision
    members = tuple(
        Target(guest.kind, str(guest.vmid), guest.name, guest.node, pool=guest.pool)
        for guest in guests
    )
    raises = (reason,) if reason else ()
    item = msgspec.structs.replace(decision.item, members=members, raises=raises)
    return decision._replace(item=item)


def _check_members(
    facts: PoolFacts, guests: list[Guest], *, adds: bool, moves: bool
) -> Iterator[Finding]:
    yield from check_quorum(facts.is_quorate)
    subject = f"pool/{facts.name}"
    for name in facts.unknown_storages:
        yield Finding(
            "storage.unknown",
            "block",
            subject,
            f"there is no storage {name!r}",
            remedy="pve storage list",
        )
    if adds:
        for guest in guests:
            if guest.pool and not moves:
                yield Finding(
                    "pool.elsewhere",
                    "block",
                    subject,
                    f"{guest.ref.label} belongs to the pool {guest.pool}; a guest is in one",
                    remedy=f"--move takes it out of {guest.pool}",
                )
    yield Finding(
        "pool.permissions",
        "info",
        subject,
        f"whoever has rights on /pool/{facts.name} "
        + ("gets them on these" if adds else "loses them on these"),
        evidence="pveum acl list",
    )
    lost = _uncovered(facts, guests, adds=adds)
    if lost:
        yield Finding("pool.backups-lost", "warn", subject, lost, evidence="/cluster/backup")
    if facts.jobs is None:
        yield Finding(
            "pool.jobs-unknown",
            "warn",
            subject,
            "the token may not see which backup jobs take the guests of a pool",
            evidence="/cluster/backup needs Sys.Audit on /",
        )


def _uncovered(facts: PoolFacts, guests: list[Guest], *, adds: bool) -> str:
    """Who leaves the pool of a backup job that takes it."""
    left = {guest.pool for guest in guests if guest.pool} if adds else {facts.name}
    jobs = [job for job in facts.jobs or () if job.is_enabled and job.pool in left]
    if not jobs:
        return ""
    out = [g.name or str(g.vmid) for g in guests if g.pool in {job.pool for job in jobs}]
    if not out:
        return ""
    names = ", ".join(job.id for job in jobs)
    return f"the backup job {names} takes a pool, and will not take {', '.join(out)} any more"


def _check_delete(facts: PoolFacts) -> Iterator[Finding]:
    yield from check_quorum(facts.is_quorate)
    pool, subject = facts.pool, f"pool/{facts.name}"
    if pool is not None and (pool.vmids or pool.storages):
        members = ", ".join(map(str, (*sorted(pool.vmids), *sorted(pool.storages))))
        yield Finding(
            "pool.not-empty",
            "block",
            subject,
            f"it is not empty: {members}",
            remedy=f"pve pool remove {shell_word(facts.name)} "
            + (" ".join(map(str, sorted(pool.vmids))) or "--storage ..."),
        )
    for job in facts.jobs or ():
        if job.pool == facts.name:
            yield Finding(
                "pool.job",
                "block",
                subject,
                f"the backup job {job.id} takes this pool, and would fail",
                evidence="/cluster/backup",
                remedy=f"pve job change {shell_word(job.id)} --help",
            )


def _decided(
    facts: PoolFacts,
    checks: Iterator[Finding],
    headline: str,
    steps: tuple[Call, WaitState],
    undo: str,
) -> Decision:
    found = worst_first(checks)
    target = _target(facts)
    if blocks_among(found):
        return Decision(target, found, state="there" if facts.pool else "not there")
    item = Item(
        target=target,
        headline=headline,
        guards=pool_guard(facts.pool),
        before={"members": len(facts.pool.vmids) if facts.pool else None},
        steps=steps,
        undo=undo,
    )
    return Decision(target, found, item)


def _target(facts: PoolFacts) -> Target:
    return Target(kind="pool", id=facts.name, name=facts.name, node="")
