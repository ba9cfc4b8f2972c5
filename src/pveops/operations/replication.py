"""Replication jobs: one more copy, now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.api.port import api_path
from pveops.domain.replication import SyncFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState

_SYNC_S = 3600.0


def decide_run(_operation: str, facts: SyncFacts, _params: dict[str, Scalar]) -> Decision:
    """`replication.run`: done when a newer copy is there."""
    job = facts.job
    target = Target(kind="replication", id=job.id, name=job.id, node=job.source)
    found = worst_first(_check(facts))
    if blocks_among(found):
        return Decision(target, found, state=f"of {facts.name}")
    path = api_path("nodes", job.source, "replication", job.id, "schedule_now")
    item = Item(
        target=target,
        headline=f"{facts.name} to {job.target}",
        guards={},
        before={"last_sync": job.last_sync, "last_try": job.last_try},
        steps=(
            Call("POST", path, {}, effect="B", does="have it run", is_late=True),
            WaitState("replication.synced", _SYNC_S, {"source": job.source}),
        ),
    )
    return Decision(target, found, item)


def _check(facts: SyncFacts) -> Iterator[Finding]:
    job, subject = facts.job, f"replication/{facts.job.id}"
    if job.last_sync is None:
        yield Finding(
            "replication.unknown",
            "block",
            subject,
            f"{job.source} does not tell the state of its jobs",
            remedy="look at the nodes with `pve status`",
        )
    if not job.is_enabled:
        yield Finding("replication.disabled", "block", subject, "it is disabled")
    if not facts.target_is_online:
        yield Finding(
            "replication.target-offline",
            "block",
            subject,
            f"{job.target} is not online, and takes no copy",
            remedy="look at the nodes with `pve status`",
        )
    if job.is_failing:
        yield Finding(
            "replication.failing",
            "warn",
            subject,
            f"its last run failed: {job.error}",
            evidence=f"/nodes/{job.source}/replication",
        )
