"""`pve backup audit` and `pve backup why`: who has no recent backup, and what went wrong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, list_options
from pveops.cli.selectors import selector_options

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.backup_history import BackupHistory
    from pveops.domain.inventory import Inventory
    from pveops.operations.backup_audit import Audit
    from pveops.operations.backup_coverage import Coverage, CoverageFacts
    from pveops.operations.backup_failures import Failure, Outcome

_DAY_S = 86_400
_HISTORY_S = 7 * _DAY_S
_MAX_GAPS = 4
_MAX_LINE = 400
_AUDIT = (
    Column("vmid"),
    Column("name"),
    Column("kind", common="qemu"),
    Column("state", common="ok"),
    Column("age_s", "newest", kind="duration"),
    Column("storage"),
    Column("size_bytes", "size", kind="bytes"),
    Column("verification", "verified", is_sparse=True),
    Column("is_protected", "protected", kind="flag", is_sparse=True),
    Column("coverage", "jobs"),
    Column("last", common="ok"),
    Column("remarks", is_sparse=True),
    Column("node", is_wide=True),
    Column("volid", is_wide=True),
)
_AUDIT_FIELDS = (
    *("vmid", "name", "kind", "node", "is_template", "state", "age_s", "ctime", "storage"),
    *(
        "volid",
        "size_bytes",
        "verification",
        "is_protected",
        "jobs",
        "coverage",
        "idle_jobs",
        "last",
    ),
    *("strangers", "broken", "left_out", "why", "remarks"),
)
_WHY = (
    Column("vmid"),
    Column("name"),
    Column("node"),
    Column("age_s", "ago", kind="duration"),
    Column("cause"),
    Column("words", "what"),
    Column("covered", "backup since"),
    Column("upid", is_wide=True),
)
_WHY_FIELDS = (*(column.key for column in _WHY), "starttime", "fix")


def _seconds(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    from pveops.cli.verbs import parse_duration

    seconds = parse_duration(text) if text is not None else None
    if text is not None and not seconds:
        raise click.BadParameter("write 2d, 36h or 90m", context, option)
    return seconds


@click.command("audit", cls=Command, operation="backup.audit")
@click.argument("guests", nargs=-1, metavar="[GUEST]...")
@click.option(
    "--older-than",
    "limit_s",
    metavar="DURATION",
    default="2d",
    callback=_seconds,
    help="What counts as too old. [2d]",
)
@click.option("--bad", is_flag=True, help="Only those that are not ok.")
@selector_options
@list_options
@click.pass_obj
def audit(
    call: Call, /, guests: tuple[str, ...], limit_s: int, bad: bool, **options: Any
) -> Answer:
    """Tell of each guest its newest backup, the enabled jobs that take it, and the last result.

    `none` and `old` are said only when every place could be seen, else it is `unknown`. A backup
    that is older than the guest, or of the other kind, is another guest's and does not count.
    """
    from pveops.cli.selectors import selector_of
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest, select_guests
    from pveops.engine.pool import run_bounded
    from pveops.operations.backup_audit import read_audit
    from pveops.operations.backup_coverage import RANK

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    chosen = select_guests(inventory, selector_of(options))
    if guests:
        named = {resolve_guest(inventory, name) for name in guests}
        chosen = tuple(guest for guest in chosen if guest in named)
    now = int(reader.server_time())
    found = read_audit(reader, inventory, chosen, run_bounded, since=now - _HISTORY_S)
    rows = list(found.judge(limit_s=limit_s, now=now))
    rows.sort(key=lambda row: (RANK[row[1].state], -(row[1].age_s or 0), row[0].guest.vmid))
    shown = [row for row in rows if not bad or row[1].state != "ok"]
    return Answer(
        _audit_verdict(rows, found),
        beside={"older_than_s": limit_s, "unknown": list(_gaps(found))},
        blocks=(
            Listing(
                shown,
                audit_item,
                _AUDIT_FIELDS,
                _AUDIT,
                usual="ok",
                is_usual=None if guests else _is_fine,
            ),
        ),
        next=_audit_next(rows),
    )


def _is_fine(row: tuple[CoverageFacts, Coverage]) -> bool:
    """Nothing about it needs a look: a recent backup, and no remark on it."""
    facts, coverage = row
    return coverage.state == "ok" and coverage.last in {"", "ok"} and not _remarks(facts, coverage)


def audit_item(row: tuple[CoverageFacts, Coverage]) -> dict[str, Any]:
    """One guest of the audit."""
    facts, coverage = row
    guest, newest = facts.guest, coverage.newest
    return {
        "vmid": guest.vmid,
        "name": guest.name,
        "kind": guest.kind,
        "node": guest.node,
        "is_template": guest.is_template,
        "state": coverage.state,
        "age_s": coverage.age_s,
        "ctime": newest.ctime if newest else None,
        "storage": newest.storage if newest else None,
        "volid": newest.volid if newest else None,
        "size_bytes": (newest.size_bytes or None) if newest else None,
        "verification": newest.verification if newest else "",
        "is_protected": newest.is_protected if newest else None,
        "jobs": None if coverage.jobs is None else list(coverage.jobs),
        "coverage": _coverage(coverage),
        "idle_jobs": list(coverage.idle_jobs),
        "last": coverage.last or "unknown",
        "strangers": coverage.strangers,
        "broken": coverage.broken,
        "left_out": list(facts.left_out),
        "why": list(coverage.why),
        "remarks": "; ".join(_remarks(facts, coverage)),
    }


def _coverage(coverage: Coverage) -> str:
    if coverage.jobs is None:
        return "unknown"
    return ",".join(coverage.jobs) or "none"


def _remarks(facts: CoverageFacts, coverage: Coverage) -> list[str]:
    found = ["template"] if facts.guest.is_template else []
    found += list(coverage.idle_jobs)
    if coverage.strangers:
        found.append(f"{coverage.strangers} of another guest with that vmid")
    if coverage.broken:
        found.append(f"{coverage.broken} failed verification")
    if facts.left_out:
        found.append(f"without {','.join(facts.left_out)}")
    return found


def _gaps(found: Audit) -> dict[str, None]:
    return dict.fromkeys(gap for each in found.facts for gap in each.gaps)


def _audit_verdict(rows: list[tuple[CoverageFacts, Coverage]], found: Audit) -> str:
    counts: Counter[str] = Counter(coverage.state for _, coverage in rows)
    words = {
        "ok": "ok",
        "old": "too old",
        "none": "without any",
        "unknown": "unknown",
    }
    parts = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    verdict = f"{count_of(len(rows), 'guest')}: {', '.join(parts) or 'nothing to tell'}"
    gaps = list(_gaps(found))
    if gaps:
        more = f" and {len(gaps) - _MAX_GAPS} more" if len(gaps) > _MAX_GAPS else ""
        verdict += f"; not seen: {', '.join(gaps[:_MAX_GAPS])}{more}"
    if found.hides_guests:
        verdict += "; there may be guests that this token does not see"
    if found.jobs is None:
        verdict += "; jobs cannot be read (Sys.Audit on /)"
    if found.history is not None and found.history.unseen:
        verdict += f"; last results in part: {found.history.unseen[0]}"
    return verdict


def _audit_next(rows: list[tuple[CoverageFacts, Coverage]]) -> tuple[str, ...]:
    bad = [
        str(facts.guest.vmid)
        for facts, coverage in rows
        if coverage.state in {"none", "old"} and not facts.guest.is_template
    ]
    failed = any(c.last not in {"", "ok", "running"} for _, c in rows)
    commands = [f"pve backup run {' '.join(bad[:_MAX_GAPS])}"] if bad else []
    return (*commands, *(("pve backup why",) if failed else ()))


@click.command("why", cls=Command, operation="backup.why")
@click.option(
    "--since",
    "since_s",
    metavar="DURATION",
    default="1d",
    callback=_seconds,
    help="How far back. [1d]",
)
@list_options
@click.pass_obj
def why(call: Call, since_s: int) -> Answer:
    """Tell which guests the last backups missed, with the log's own line and the kind of cause.

    Then whether a good backup was made since, and what to do. Nothing is changed.
    """
    from pveops.domain.access import read_permissions
    from pveops.domain.backup_history import read_history
    from pveops.domain.inventory import read_inventory
    from pveops.operations.backup_failures import explain, propose_commands

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    now = int(reader.server_time())
    history = read_history(reader, inventory, read_permissions(reader), now - since_s)
    outcome = explain(history, inventory.guests, _coverage_since(reader, inventory, history, now))

    def item(failure: Failure) -> dict[str, Any]:
        return _why_item(failure, now)

    framed, lines = _log_lines(outcome)
    return Answer(
        _why_verdict(outcome, history, since_s),
        beside={"unknown": list(history.unseen), "untrusted": {"lines": lines}},
        blocks=(Listing(outcome.failures, item, _WHY_FIELDS, _WHY), *framed),
        next=propose_commands(outcome),
        has_free_text=bool(lines),
    )


def _coverage_since(
    client: Client, inventory: Inventory, history: BackupHistory, now: int
) -> dict[int, Coverage]:
    """Of each guest that failed: whether it has a good backup that was begun since."""
    from pveops.engine.pool import run_bounded
    from pveops.operations.backup_audit import read_audit
    from pveops.operations.backup_coverage import judge_coverage
    from pveops.operations.backup_failures import failed_vmids

    failed = failed_vmids(history)
    guests = [guest for guest in inventory.guests if guest.vmid in failed]
    if not guests:
        return {}
    found = read_audit(client, inventory, guests, run_bounded, since=None)
    return {
        facts.guest.vmid: judge_coverage(
            facts, limit_s=max(0, now - failed[facts.guest.vmid]), now=now
        )
        for facts in found.facts
    }


def _why_item(failure: Failure, now: int) -> dict[str, Any]:
    covered = {True: "yes", False: "no", None: "unknown"}[failure.is_covered]
    return {
        "vmid": failure.vmid,
        "name": failure.guest.name if failure.guest else None,
        "node": failure.run.node,
        "age_s": max(0, now - failure.run.starttime),
        "starttime": failure.run.starttime,
        "cause": failure.cause.code,
        "words": failure.cause.words,
        "covered": covered,
        "upid": failure.run.upid,
        "fix": failure.cause.fix,
    }


def _why_verdict(outcome: Outcome, history: BackupHistory, since_s: int) -> str:
    from pveops.units import format_duration

    guests = [each for each in outcome.failures if each.vmid is not None]
    whole = len(outcome.failures) - len(guests)
    runs = count_of(len(history.runs), "run")
    verdict = f"{count_of(len(guests), 'guest')} missed in {runs} of {format_duration(since_s)}"
    bare = sum(each.is_covered is not True for each in guests)
    if guests:
        verdict += f", {bare} without a known backup since"
    if whole:
        verdict += f"; {count_of(whole, 'run')} failed as a whole"
    verdict += f"; {count_of(outcome.done, 'guest')} backed up"
    if outcome.repaired:
        verdict += f", {outcome.repaired} of them at a later try"
    if outcome.running:
        verdict += f"; {count_of(outcome.running, 'run')} going on"
    if history.unseen:
        verdict += f"; not seen: {', '.join(history.unseen)}"
    return verdict


def _log_lines(outcome: Outcome) -> tuple[tuple[Lines, ...], list[str]]:
    """The logs' own words, as text that others may have a hand in."""
    from pveops.sanitize import frame_untrusted

    lines = [f"{each.vmid or each.run.node}: {each.line[:_MAX_LINE]}" for each in outcome.failures]
    if not lines:
        return (), []
    framed = frame_untrusted("\n".join(lines), "the lines of the logs")
    return (Lines(tuple(framed.split("\n"))),), lines
