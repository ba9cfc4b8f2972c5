"""The end of a volume that nobody needs: an ISO, a template, a disk that was left over. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.api.port import api_path
from pveops.domain.volume_facts import DeletionFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import use_guard
from pveops.operations.guest_checks import check_quorum, worst_first
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState, WaitTask
from pveops.sanitize import shell_word
from pveops.units import format_bytes

_DELETE_S = 3600.0
_GRACE_S = 30.0
_DISKS = frozenset({"images", "rootdir"})


def decide_delete(_operation: str, facts: DeletionFacts, _params: dict[str, Scalar]) -> Decision:
    """`storage.delete`."""
    volume = facts.volume
    name = volume.volid.rpartition("/")[2].rpartition(":")[2]
    target = Target(kind="volume", id=volume.volid, name=name, node=facts.node)
    found = worst_first(_check(facts))
    if blocks_among(found):
        return Decision(target, found)
    path = api_path("nodes", facts.node, "storage", facts.storage, "content", volume.volid)
    owner = f"{volume.vmid}@" if volume.vmid else ""
    call = Call(
        "DELETE",
        path,
        effect="B",
        task_types=("imgdel",),
        does=f"delete {volume.volid}",
        task_id=f"{owner}{facts.storage}",
    )
    expect: dict[str, Scalar] = {
        "storage": facts.storage,
        "content": volume.content,
        "volid": volume.volid,
    }
    size = format_bytes(volume.size_bytes)
    item = Item(
        target=target,
        headline=f"{size} of {volume.content}, used by nobody",
        guards=use_guard(facts.storage, volume.volid, facts.uses),
        before={"exists": True, "size_bytes": volume.size_bytes},
        steps=(call, WaitTask(_DELETE_S), WaitState("volume.absent", _GRACE_S, expect)),
        losses=(f"{volume.volid} ({size})",),
    )
    return Decision(target, found, item)


def _check(facts: DeletionFacts) -> Iterator[Finding]:
    volume, subject = facts.volume, f"volume/{facts.volume.volid}"
    yield from check_quorum(facts.is_quorate)
    if volume.content == "backup":
        remedy = f"pve backup delete {shell_word(volume.volid)}"
        yield Finding("volume.backup", "block", subject, "it is a backup", remedy=remedy)
        return
    if volume.is_protected:
        yield Finding("volume.protected", "block", subject, "it is protected")
    yield from _check_use(facts, subject)
    yield from _check_sight(facts, subject)
    # A disk that somebody uses was not left over by anybody.
    if volume.content in _DISKS and not facts.uses:
        yield _of_nobody(facts, subject)


def _check_use(facts: DeletionFacts, subject: str) -> Iterator[Finding]:
    for use in facts.uses:
        yield Finding(
            "volume.used",
            "block",
            subject,
            f"{use.name or '(no name)'} ({use.vmid}) uses it: {use.key}",
            evidence="the guest's configuration",
            remedy=f"take it out first: `pve guest show {use.vmid}`",
        )
    if facts.clones:
        yield Finding(
            "volume.has-clones",
            "block",
            subject,
            f"linked clones need it: {', '.join(facts.clones[:5])}",
            evidence="the storage's list",
        )


def _check_sight(facts: DeletionFacts, subject: str) -> Iterator[Finding]:
    if facts.unread:
        yield Finding(
            "volume.use-unknown",
            "block",
            subject,
            f"nobody knows whether these use it: {', '.join(facts.unread[:5])}",
            remedy="look at the nodes with `pve status`",
        )
    if not facts.sees_all_guests:
        yield Finding(
            "guests.unseen",
            "block",
            subject,
            "the token does not see every guest, and one of the others may use it",
            evidence="/access/permissions: VM.Audit on /vms",
            remedy="grant VM.Audit on /vms to the token and its user (`pve doctor`)",
        )


def _of_nobody(facts: DeletionFacts, subject: str) -> Finding:
    vmid = facts.volume.vmid
    if facts.owner:
        return Finding(
            "volume.of-guest",
            "warn",
            subject,
            f"by its name it belongs to {facts.owner}, which does not name it: left over by a "
            "move, or taken out by hand",
            remedy=f"pve guest doctor {vmid}",
        )
    return Finding(
        "volume.orphan",
        "warn",
        subject,
        f"there is no guest {vmid}: it may be all that is left of one",
    )
