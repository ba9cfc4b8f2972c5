"""Facts of a day or a week, condensed for people. Pure.

Health, capacity, backups, changes by whom, tasks of others; what could not be seen is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pveops.api.tasks import OutcomeKind
from pveops.domain.rrd import Measured
from pveops.monitor.alerts import Alert, News
from pveops.monitor.book import Page
from pveops.monitor.forecast import Forecast, foresee
from pveops.monitor.gather import Facts, shared_once
from pveops.operations.findings import Severity
from pveops.units import DAY_S, format_duration

Level = Literal["good", "warn", "bad", "unknown"]
Points = tuple[tuple[int, float | None], ...]
_SOON_S = 60 * DAY_S
_SEVERITIES = ("block", "warn", "info")
_STALE_S = DAY_S
"""A monitor that has not looked for so long is not running."""

_RUNS = {
    OutcomeKind.OK: "ok",
    OutcomeKind.WARNINGS: "warnings",
    OutcomeKind.FAILED: "failed",
    OutcomeKind.RUNNING: "running",
    OutcomeKind.UNKNOWN: "unknown",
}


class Trouble(NamedTuple):
    """Something that is wrong now. since: as the monitor knows it; 0: it does not."""

    severity: Severity
    subject: str
    message: str
    remedy: str
    since: int
    is_acked: bool


class NodeLine(NamedTuple):
    """A node over the time. Shares are of 1; None: not known."""

    name: str
    status: str
    cpu_average: float | None
    cpu_busiest: float | None
    """Of the busiest `step_s`: what is kept are averages of such times."""
    step_s: int
    memory: float | None
    memory_bytes: int
    memory_points: Points
    cpu_points: Points


class StorageLine(NamedTuple):
    """A storage over the time. used_share: None: not known."""

    label: str
    used_bytes: int
    total_bytes: int
    used_share: float | None
    growth_bytes: float | None
    """Within the time of the digest."""
    forecast: Forecast | None
    points: Points

    @property
    def is_filling(self) -> bool:
        """It is full soon, and that can be relied on."""
        return (
            self.forecast is not None
            and self.forecast.is_sure
            and (self.forecast.seconds or 0) <= _SOON_S
        )


class Backups(NamedTuple):
    """states: how many guests are ok, old, none, unknown. bad: the guests that are not ok.

    runs: how many runs of vzdump ended well, failed, go on, or ended nobody knows how. unseen:
    where nobody could look. limit_s: what is older counts as old.
    """

    states: Mapping[str, int]
    bad: tuple[tuple[str, str, int | None], ...]
    """(guest, state, age of the newest in seconds), the worst first."""
    runs: Mapping[str, int]
    unseen: tuple[str, ...]
    limit_s: int

    @property
    def is_unknown(self) -> bool:
        """Whether there may be more wrong than is known."""
        return bool(self.unseen or self.states.get("unknown"))


class Change(NamedTuple):
    """What was done through us. at: seconds since the epoch."""

    at: float
    actor: str
    operation: str
    target: str
    result: str
    reason: str


class OthersTasks(NamedTuple):
    """Tasks of somebody that were not ours."""

    user: str
    tasks: int
    failed: int
    kinds: tuple[tuple[str, int], ...]


class Digest(NamedTuple):
    """Everything that is told. at: when; span_s: of how long."""

    cluster: str
    at: int
    span_s: int
    guests: Mapping[str, int]
    """How many by status."""
    troubles: tuple[Trouble, ...]
    events: Mapping[str, int]
    """What the monitor told in the time: raised, worse, cleared."""
    looked: int
    """When the monitor looked last; 0: never."""
    nodes: tuple[NodeLine, ...]
    storages: tuple[StorageLine, ...]
    backups: Backups | None
    changes: tuple[Change, ...] | None
    """The newest first; None: the audit log is not readable."""
    refused: int
    others: tuple[OthersTasks, ...]
    blind: tuple[str, ...]
    frame: str
    """Of how long the courses of nodes and storages are: `week`, `month`."""

    @property
    def level(self) -> Level:
        """How it is, in one word."""
        severities = {each.severity for each in self.troubles}
        if "block" in severities:
            return "bad"
        states = self.backups.states if self.backups else {}
        lacks_backups = bool(states.get("none") or states.get("old"))
        if "warn" in severities or lacks_backups or any(each.is_filling for each in self.storages):
            return "warn"
        is_unknown = self.backups is None or self.backups.is_unknown
        return "unknown" if self.blind or is_unknown else "good"


class Records(NamedTuple):
    """What our own books hold. audit: records; None: not readable."""

    page: Page
    """Of the monitor."""
    alerts: tuple[Alert, ...]
    """Those of the page, as they are after this look."""
    audit: Iterable[Mapping[str, Any]] | None
    auth_id: str
    """How our tasks are signed."""


def make_digest(
    facts: Facts,
    blind: Iterable[str],
    books: Records,
    profile: str,
    backup_limit_s: int,
) -> Digest:
    """The digest of a cluster. backup_limit_s: a backup that is older is too old."""
    membership = facts.look.health.view.membership
    changes, refused, ours = _list_changes(books, facts.since, profile)
    return Digest(
        cluster=(membership.cluster if membership else "") or profile,
        at=facts.now,
        span_s=facts.now - facts.since,
        guests=Counter(
            "template" if each.is_template else each.status for each in facts.inventory.guests
        ),
        troubles=tuple(_list_troubles(books)),
        events=_count_events(books.page.history, facts.since),
        looked=books.page.looked,
        nodes=_list_nodes(facts),
        storages=_list_storages(facts),
        backups=_judge_backups(facts, backup_limit_s),
        changes=changes,
        refused=refused,
        others=_count_others(facts, {books.auth_id, *ours}),
        blind=(*_tell_silence(books.page, facts.now), *blind, *_unread(facts, changes)),
        frame=facts.frame,
    )


# -- health --------------------------------------------------------------------------


def _list_troubles(books: Records) -> Iterable[Trouble]:
    """What is wrong now, the worst first, whether or not the monitor has told it."""
    known = {alert.id for alert in books.page.alerts}
    now_so = [alert for alert in books.alerts if not alert.gone]
    for each in sorted(
        now_so, key=lambda alert: (_SEVERITIES.index(alert.severity), alert.subject)
    ):
        yield Trouble(
            each.severity,
            each.subject,
            each.message,
            each.remedy,
            since=each.since if each.id in known else 0,
            is_acked=bool(each.acked),
        )


def _count_events(history: Iterable[News], since: int) -> Mapping[str, int]:
    return Counter(news.kind for news in history if news.at >= since)


# -- capacity ------------------------------------------------------------------------


def _list_nodes(facts: Facts) -> tuple[NodeLine, ...]:
    lines = []
    for node in facts.inventory.nodes:
        measured = facts.nodes.get(node.name)
        cpu = measured.since(facts.since).points("cpu") if measured else ()
        loads = [value for _, value in cpu]
        is_known = node.is_online and node.has_figures and node.maxmem_bytes > 0
        lines.append(
            NodeLine(
                node.name,
                node.status,
                sum(loads) / len(loads) if loads else None,
                max(loads, default=None),
                measured.step_s if measured else 0,
                node.mem_bytes / node.maxmem_bytes if is_known else None,
                node.maxmem_bytes,
                _shares(measured, "memused", "memtotal"),
                measured.series("cpu") if measured else (),
            )
        )
    return tuple(sorted(lines, key=_node_order))


def _node_order(line: NodeLine) -> tuple[bool, float, list[tuple[int, str]]]:
    """What is not online first, then the fullest memory; `pve2` before `pve10`."""
    return (line.status == "online", -round(line.memory or 0, 2), natural_key(line.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """For sorting as people do: numbers in names count as numbers."""
    parts = re.split(r"([0-9]{1,15})", name)
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)]


def _shares(measured: Measured | None, member: str, whole: str) -> Points:
    if measured is None:
        return ()
    sizes = measured.points(whole)
    size = sizes[-1][1] if sizes else 0.0
    return tuple(
        (at, None if value is None or not size else value / size)
        for at, value in measured.series(member)
    )


def _list_storages(facts: Facts) -> tuple[StorageLine, ...]:
    lines = []
    for each in shared_once(facts.inventory.storages):
        measured = facts.storages.get((each.node, each.storage))
        used = measured.since(facts.since).points("used") if measured else ()
        lines.append(
            StorageLine(
                each.label,
                each.used_bytes,
                each.total_bytes,
                each.used_share if each.has_figures else None,
                used[-1][1] - used[0][1] if used else None,
                foresee(measured, facts.now) if measured else None,
                _shares(measured, "used", "total"),
            )
        )
    return tuple(sorted(lines, key=_storage_order))


def _storage_order(line: StorageLine) -> tuple[bool, bool, float, list[tuple[int, str]]]:
    """What is not known first, then what is full soon, then the fullest."""
    fullness = -round(line.used_share or 0, 2)
    return (line.used_share is not None, not line.is_filling, fullness, natural_key(line.label))


# -- backups -------------------------------------------------------------------------


def _judge_backups(facts: Facts, limit_s: int) -> Backups | None:
    if facts.backups is None:
        return None
    rows = facts.backups.judge(limit_s=limit_s, now=facts.now)
    order = {"none": 0, "old": 1, "unknown": 2, "ok": 3}
    bad = sorted(
        (
            (f"{each.guest.vmid} {each.guest.name}".strip(), found.state, found.age_s)
            for each, found in rows
            if found.state != "ok"
        ),
        key=lambda row: (order[row[1]], -(row[2] or 0), natural_key(row[0])),
    )
    runs: Counter[str] = Counter()
    for task in _tasks(facts):
        if task.upid.type == "vzdump":
            runs[_RUNS[task.outcome]] += 1
    return Backups(
        states=Counter(found.state for _, found in rows),
        bad=tuple(bad),
        runs=runs,
        unseen=facts.backups.survey.unseen,
        limit_s=limit_s,
    )


# -- changes and tasks ---------------------------------------------------------------


def _list_changes(
    books: Records, since: int, profile: str
) -> tuple[tuple[Change, ...] | None, int, set[str]]:
    """What was done, how much was refused, and how our tasks are signed."""
    if books.audit is None:
        return None, 0, set()
    changes: list[Change] = []
    refused = 0
    ours: set[str] = set()
    for record in books.audit:
        if record.get("profile") not in {None, profile}:
            continue
        ours.add(str(record.get("auth_id") or ""))
        if float(record.get("at") or 0) < since:
            continue
        refused += record.get("kind") == "refused"
        if record.get("kind") in {"outcome", "policy"}:
            changes.append(_change_of(record))
    return tuple(reversed(changes)), refused, ours - {""}


def _change_of(record: Mapping[str, Any]) -> Change:
    target = record.get("target")
    about = ""
    if isinstance(target, dict):
        parts = (target.get("name") or target.get("id"), target.get("node"))
        about = " on ".join(str(part) for part in parts if part)
    return Change(
        at=float(record.get("at") or 0),
        actor=str(record.get("actor") or "unknown"),
        operation=str(record.get("operation") or ""),
        target=about,
        result=str(record.get("outcome") or record.get("error") or "done"),
        reason=str(record.get("reason") or ""),
    )


def _tasks(facts: Facts) -> Iterable[Any]:
    for tasks in facts.tasks.values():
        yield from (task for task in tasks if task.upid.starttime >= facts.since)


def _count_others(facts: Facts, ours: set[str]) -> tuple[OthersTasks, ...]:
    kinds: dict[str, Counter[str]] = {}
    failed: Counter[str] = Counter()
    for task in _tasks(facts):
        user = task.upid.user
        if user in ours:
            continue
        kinds.setdefault(user, Counter())[task.upid.type] += 1
        failed[user] += task.has_failed
    return tuple(
        OthersTasks(user, sum(found.values()), failed[user], tuple(found.most_common()))
        for user, found in sorted(kinds.items(), key=lambda item: -sum(item[1].values()))
    )


# -- what could not be seen ----------------------------------------------------------


def _tell_silence(page: Page, now: int) -> Iterable[str]:
    """What the monitor found counts as so; nobody has looked again when it does not run."""
    if page.looked and now - page.looked > _STALE_S:
        yield f"the monitor has not looked for {format_duration(now - page.looked)}"


def _unread(facts: Facts, changes: tuple[Change, ...] | None) -> Iterable[str]:
    missing = [node.name for node in facts.inventory.nodes if node.name not in facts.tasks]
    if missing:
        yield f"tasks of {_some(missing)}"
    if facts.backups is None:
        yield "backups could not be read"
    elif facts.backups.jobs is None:
        yield "backup jobs could not be read"
    if changes is None:
        yield "changes through pve: the records cannot be read from here"


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def tell_span(span_s: int) -> str:
    """`the last day`, `the last 7d`."""
    return "the last day" if span_s == DAY_S else f"the last {format_duration(span_s)}"
