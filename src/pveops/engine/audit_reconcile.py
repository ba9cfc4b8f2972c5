"""What PVE knows of our tokens that our own records do not, and what we began and never ended.

PVE's task lists are the second book: whoever has the token and calls PVE without us stands there.
Changes without a task, such as those of a configuration, leave none; that is said, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.api.tasks import TaskStatus, list_tasks
from pveops.domain.inventory import read_inventory
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.engine.session import Session

_MOST_TASKS = 5000


class OpenIntent(NamedTuple):
    """A call that was about to be sent, with no outcome after it."""

    seq: int
    at: float
    operation: str
    target: str
    run: str


class Reconciliation(NamedTuple):
    """What does not stand in both books.

    tasks: of our tokens, and known to nobody here. intents: begun, and never ended. unseen: node
    -> why its tasks are not known. looked_at: how many tasks of our tokens there are. auth_ids:
    the tokens whose tasks were looked for.
    """

    tasks: tuple[TaskStatus, ...]
    intents: tuple[OpenIntent, ...]
    unseen: dict[str, str]
    looked_at: int
    auth_ids: tuple[str, ...]


def reconcile(session: Session, tiers: Iterable[int], since: float) -> Reconciliation:
    """Compare both books. One request, and one for each node that answers.

    tiers: those of changes that the profile has tokens of their own for.
    """
    records = [record for record in session.audit.read() if record.get("kind") != "refused"]
    known = _upids_of(records) | session.store.known_upids()
    found: list[TaskStatus] = []
    unseen: dict[str, str] = {}
    ours = _find_own_ids(session, records, tiers, unseen)
    looked = 0
    for node in read_inventory(session.reader).nodes:
        if not node.is_online:
            unseen[node.name] = f"it is {node.status}"
            continue
        try:
            tasks = _read(session.reader, node.name, int(since))
        except PveopsError as error:
            unseen[node.name] = error.message
            continue
        mine = [task for task in tasks if task.upid.user in ours]
        looked += len(mine)
        found += [task for task in mine if str(task.upid) not in known]
        if len(tasks) >= _MOST_TASKS:
            unseen[node.name] = f"it has more than {_MOST_TASKS} tasks; ask for a shorter time"
    return Reconciliation(
        tasks=tuple(sorted(found, key=lambda task: task.upid.starttime)),
        intents=_open_intents(session, records, since),
        unseen=unseen,
        looked_at=looked,
        auth_ids=tuple(sorted(ours)),
    )


def _find_own_ids(
    session: Session,
    records: Iterable[dict[str, Any]],
    tiers: Iterable[int],
    unseen: dict[str, str],
) -> frozenset[str]:
    """How our tasks are signed, or were: each token of the profile, and each of its records."""
    ids = {session.auth_id}
    writer_id = session.writer_id or (lambda _tier: session.auth_id)
    for tier in tiers:
        try:
            ids.add(writer_id(tier))
        except PveopsError as error:
            unseen[f"the token for tier {tier}"] = error.message
    ids |= {
        str(record["auth_id"])
        for record in records
        if record.get("auth_id") and record.get("profile") == session.profile
    }
    return frozenset(ids)


def _read(client: Client, node: str, since: int) -> list[TaskStatus]:
    return list_tasks(client, node, since=since, source="all", limit=_MOST_TASKS)


def _upids_of(records: Iterable[dict[str, Any]]) -> frozenset[str]:
    return frozenset(str(record["upid"]) for record in records if record.get("upid"))


def _open_intents(
    session: Session, records: Iterable[dict[str, Any]], since: float
) -> tuple[OpenIntent, ...]:
    """By run and target; a run that is being carried out now is at its work."""
    left: dict[tuple[str, str], OpenIntent] = {}
    for record in records:
        target = record.get("target")
        if not isinstance(target, dict):
            continue
        key = (str(record.get("run")), f"{target.get('kind')}/{target.get('id')}")
        if record.get("kind") == "outcome":
            left.pop(key, None)
        elif record.get("kind") == "intent" and float(record.get("at") or 0) >= since:
            left[key] = OpenIntent(
                seq=int(record.get("seq") or 0),
                at=float(record.get("at") or 0),
                operation=str(record.get("operation") or ""),
                target=f"{key[1]} {target.get('name') or ''}".strip(),
                run=key[0],
            )
    return tuple(intent for intent in left.values() if not _is_at_work(session, intent.run))


def _is_at_work(session: Session, run_id: str) -> bool:
    from pveops.engine.process import is_carried

    try:
        run = session.store.get_run(run_id)
    except PveopsError:
        return False
    return run.state == "running" and is_carried(session.store.folder, run) is True
