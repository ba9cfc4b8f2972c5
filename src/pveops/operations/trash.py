"""Deleting guests so that they can be brought back, and bringing them back. Pure decisions.

`guest delete` destroys nothing: it sees to a backup, shuts the guest down, keeps it from starting
with its node, and marks it. What destroys is `guest purge`.
"""

from __future__ import annotations

from pveops.domain.backup import roomiest
from pveops.domain.config_text import normal_value
from pveops.domain.facts import GuestFacts
from pveops.domain.guest import split_tags
from pveops.domain.storage import Storage
from pveops.domain.trash import (
    TRASH_TAG,
    TrashFacts,
    TrashMark,
    erase_mark,
    mark_of,
    parse_mark,
    write_mark,
)
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import Call, Item, Scalar, Step, WaitState
from pveops.operations.power import power_steps
from pveops.operations.subject import headline_of, target_of
from pveops.operations.trash_checks import check_delete, check_undelete, fresh_backup
from pveops.operations.vzdump import Backup, vzdump_steps
from pveops.units import format_duration

_GRACE_S = 30.0


def decide_delete(_operation: str, facts: TrashFacts, params: dict[str, Scalar]) -> Decision:
    """Into the trash: backup, shutdown, no start with the node, tag and note."""
    base, target = facts.base, target_of(facts.base)
    if _is_in_trash(base) and not base.state.is_running and not base.config.starts_on_boot:
        return Decision(target, (), is_already_so=True, state="in the trash")
    is_waived = bool(params.get("without_backup"))
    storage = None if is_waived or fresh_backup(facts) else roomiest(facts.backup_storages)
    found = worst_first(check_delete(facts, params, storage))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    item = Item(
        target=target,
        headline=headline_of(base),
        guards=guest_guards(base.state, base.config),
        before={
            "power": base.state.power,
            "onboot": base.config.starts_on_boot,
            "tags": ";".join(base.guest.tags),
        },
        steps=(
            *(_backup_steps(base, storage) if storage else ()),
            *(_shutdown_steps(base, params) if base.state.is_running else ()),
            *_mark_steps(base),
        ),
        undo=f"pve guest undelete {base.guest.vmid}",
        raises=("no backup is made first",) if is_waived and not fresh_backup(facts) else (),
    )
    return Decision(target, found, item, state=base.state.power)


def decide_undelete(_operation: str, facts: GuestFacts, params: dict[str, Scalar]) -> Decision:
    """Out of the trash, as it was; running again only when that is asked for."""
    target, starts = target_of(facts), bool(params.get("start"))
    if not _is_in_trash(facts) and mark_of(facts.config) is None:
        state = "not in the trash"
        if starts and not facts.state.is_running:
            state += f", but {facts.state.power} (`pve guest start {facts.guest.vmid}`)"
        return Decision(target, (), is_already_so=True, state=state)
    found = worst_first(check_undelete(facts, starts=starts))
    if blocks_among(found):
        return Decision(target, found, state=facts.state.power)
    steps = _unmark_steps(facts)
    if starts and not facts.state.is_running:
        steps = (*steps, *power_steps("start", facts, {}, does="start"))
    item = Item(
        target=target,
        headline=f"{headline_of(facts)}, {_since(facts)}",
        guards=guest_guards(facts.state, facts.config),
        before={"tags": ";".join(facts.guest.tags), "onboot": facts.config.starts_on_boot},
        steps=steps,
        undo=f"pve guest delete {facts.guest.vmid}",
    )
    return Decision(target, found, item, state=facts.state.power)


# -- steps ------------------------------------------------------------------------


def _backup_steps(facts: GuestFacts, storage: Storage) -> tuple[Step, ...]:
    """A backup that nothing prunes."""
    note = "before pve guest delete"
    return vzdump_steps(Backup(facts.guest, storage, note, facts.read_at, is_protected=True))


def _shutdown_steps(facts: GuestFacts, params: dict[str, Scalar]) -> tuple[Step, ...]:
    wanted: dict[str, Scalar] = {
        key: params[key] for key in ("timeout", "force_after") if key in params
    }
    return power_steps("shutdown", facts, wanted, does="shut down")


def _mark_steps(facts: GuestFacts) -> tuple[Step, ...]:
    old = parse_mark(facts.config.get("description"))
    mark = old or TrashMark(facts.read_at, facts.config.starts_on_boot, facts.state.power)
    notes = normal_value("description", facts.config.get("description"))
    tags = {*split_tags(facts.config.get("tags")), TRASH_TAG}
    values: dict[str, str | None] = {
        "onboot": "0",
        "tags": ";".join(sorted(tags)),
        "description": write_mark(notes, mark, facts.guest.vmid),
    }
    return _put(facts, values, "mark as deleted", "trash.marked")


def _unmark_steps(facts: GuestFacts) -> tuple[Step, ...]:
    mark = mark_of(facts.config)
    notes = erase_mark(normal_value("description", facts.config.get("description")))
    tags = set(split_tags(facts.config.get("tags"))) - {TRASH_TAG}
    values: dict[str, str | None] = {"tags": ";".join(sorted(tags)) or None}
    if mark is not None:
        values |= {"description": notes or None, "onboot": str(int(mark.started_on_boot))}
    return _put(facts, values, "take the mark away", "trash.unmarked")


def _put(
    facts: GuestFacts, values: dict[str, str | None], does: str, goal: str
) -> tuple[Step, ...]:
    sent: dict[str, Scalar] = {key: text for key, text in values.items() if text is not None}
    gone = [key for key, text in values.items() if text is None and facts.config.get(key)]
    if gone:
        sent["delete"] = ",".join(gone)
    sent["digest"] = facts.config.digest
    call = Call("PUT", facts.guest.ref.path("config"), sent, effect="B", does=does)
    return call, WaitState(goal, _GRACE_S, dict(values))


def _is_in_trash(facts: GuestFacts) -> bool:
    return TRASH_TAG in split_tags(facts.config.get("tags"))


def _since(facts: GuestFacts) -> str:
    mark = mark_of(facts.config)
    if mark is None:
        return "in the trash, nobody knows since when"
    return f"deleted {format_duration(max(0, facts.read_at - mark.deleted_at))} ago"
