"""Backup jobs: made, changed, switched on and off. Pure decisions.

PVE keeps no digest of a job (API2/Backup.pm), so the whole of it is compared right before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pveops.api.port import api_path
from pveops.domain.job import BackupJob, job_of_row, show_job_value
from pveops.domain.job_facts import JobFacts
from pveops.domain.keep import format_keep, keep_of
from pveops.errors import UsageError
from pveops.operations.backup_checks import MODES
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import job_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.job_checks import check_job, check_new_job, covered_by, reasons_to_raise
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState
from pveops.sanitize import shell_word

_GRACE_S = 30.0
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,49}")
_TEXTS = {
    "schedule": "schedule",
    "storage": "storage",
    "mode": "mode",
    "pool": "pool",
    "node": "node",
    "comment": "comment",
    "notes": "notes-template",
    "compress": "compress",
}
_SWITCHES = {"protected": "protected", "repeat_missed": "repeat-missed"}
_PROSE = frozenset({"comment", "notes-template"})
_UNSET = ("node", "comment", "notes-template", "exclude", "repeat-missed", "protected")
_FLAGS = {"schedule": "--schedule", "storage": "--storage", "mode": "--mode", "node": "--node"}


def decide_create(_operation: str, facts: JobFacts, params: dict[str, Scalar]) -> Decision:
    """A new job under the id that was chosen for it, so that a repetition cannot make two."""
    if not _ID.fullmatch(facts.id):
        raise UsageError(
            f"{facts.id!r} is no id for a job",
            hint="2 to 50 letters, digits, - and _, a letter first",
        )
    sent = _wanted(facts, params)
    for name in ("schedule", "storage"):
        if name not in sent:
            raise UsageError(f"when it is to run, and where to: --{name} is missing")
    if not any(key in sent for key in ("vmid", "all", "pool")):
        raise UsageError("whom does it take?", hint="--guest web01, --pool production, or --all")
    sent.setdefault("mode", "snapshot")
    sent.setdefault("compress", "zstd")
    sent["enabled"] = "0" if params.get("disabled") else "1"
    new = job_of_row({"id": facts.id, "type": "vzdump", **sent})
    found = worst_first(check_new_job(facts, new))
    target = _target(facts)
    if blocks_among(found):
        return Decision(target, found)
    call = Call("POST", "/cluster/backup", {"id": facts.id, **sent}, effect="C", does="create it")
    item = Item(
        target=target,
        headline=f"NEW JOB: {new.selection} to {new.storage}, {new.schedule}",
        guards=job_guards(None),
        before={"exists": False},
        steps=(call, WaitState("job.values", _GRACE_S, dict(sent))),
        undo=f"pve job disable {shell_word(facts.id)}",
        raises=reasons_to_raise(facts, new),
    )
    return Decision(target, found, item)


def decide_change(_operation: str, facts: JobFacts, params: dict[str, Scalar]) -> Decision:
    """Values that differ are set, and what was to be unset goes."""
    wanted: dict[str, str | None] = {**_wanted(facts, params)}
    wanted |= dict.fromkeys(_to_unset(params))
    if not wanted:
        raise UsageError("what is to change?", hint="pve job change --help")
    return _change(facts, wanted)


def decide_switch(operation: str, facts: JobFacts, _params: dict[str, Scalar]) -> Decision:
    """On or off."""
    return _change(facts, {"enabled": "1" if operation == "job.enable" else "0"})


def _change(facts: JobFacts, wanted: Mapping[str, str | None]) -> Decision:
    old = facts.job
    if old is None:
        raise UsageError(f"there is no job {facts.id}")
    values: dict[str, str | None] = {**_without_contrary(old, wanted), **wanted}
    changed = {key: text for key, text in values.items() if text != _shown(old, key)}
    target = _target(facts)
    state = f"{'enabled' if old.is_enabled else 'disabled'}, {old.selection} to {old.storage}"
    if not changed:
        return Decision(target, (), is_already_so=True, state=state)
    new = job_of_row(_merge(old, changed))
    found = worst_first(check_job(facts, new))
    if blocks_among(found):
        return Decision(target, found, state=state)
    sent: dict[str, Scalar] = {key: text for key, text in changed.items() if text is not None}
    gone = sorted(key for key, text in changed.items() if text is None)
    if gone:
        sent["delete"] = ",".join(gone)
    words = ", ".join(f"{key}={text}" if text else f"no {key}" for key, text in changed.items())
    call = Call(
        "PUT", api_path("cluster", "backup", facts.id), sent, effect="B", does=f"set {words}"
    )
    item = Item(
        target=target,
        headline=_headline(facts, old, new),
        guards=job_guards(old),
        before={key: _told(old, key) for key in changed},
        steps=(call, WaitState("job.values", _GRACE_S, dict(changed))),
        undo=_undo(old, changed),
        raises=reasons_to_raise(facts, new),
    )
    return Decision(target, found, item, state=state)


def _target(facts: JobFacts) -> Target:
    return Target(kind="job", id=facts.id, name=facts.id, node="")


def _headline(facts: JobFacts, old: BackupJob, new: BackupJob) -> str:
    before, after = covered_by(facts, old), covered_by(facts, new)
    if len(before) != len(after):
        return f"{len(before)} -> {len(after)} GUESTS: {new.selection} to {new.storage}"
    return f"{len(after)} guests to {new.storage}, {new.schedule}"


def _wanted(facts: JobFacts, params: Mapping[str, Scalar]) -> dict[str, str]:
    """The values that the parameters ask for, as PVE takes them. Raises UsageError."""
    values = {key: str(params[name]) for name, key in _TEXTS.items() if params.get(name)}
    values |= {
        key: "1" if params[name] == "on" else "0"
        for name, key in _SWITCHES.items()
        if params.get(name)
    }
    if values.get("mode", "snapshot") not in MODES:
        raise UsageError(f"{values['mode']!r} is no mode", hint=f"--mode {' or '.join(MODES)}")
    chosen = [name for name in ("guest", "all", "pool") if params.get(name)]
    if len(chosen) > 1:
        raise UsageError("--guest, --all and --pool are three ways; one of them")
    if facts.vmids:
        values["vmid"] = ",".join(map(str, facts.vmids))
    if params.get("all"):
        values["all"] = "1"
    if facts.excluded:
        if "vmid" in values or "pool" in values:
            raise UsageError("--exclude goes with --all")
        values["exclude"] = ",".join(map(str, facts.excluded))
    keep = keep_of(params)
    if keep and params.get("keep_all"):
        raise UsageError("--keep-all keeps everything; it goes with no other rule")
    if keep or params.get("keep_all"):
        values["prune-backups"] = format_keep(keep)
    return values


def _to_unset(params: Mapping[str, Scalar]) -> list[str]:
    keys = [key for key in str(params.get("unset") or "").split(",") if key]
    unknown = [key for key in keys if key not in _UNSET]
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)} cannot be unset", hint=f"these can: {', '.join(_UNSET)}"
        )
    return keys


def _without_contrary(old: BackupJob, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """What another selection takes the place of (API2/Backup.pm, update_job)."""
    if "vmid" in wanted:
        contrary: tuple[str, ...] = ("all", "exclude", "pool")
    elif wanted.get("all"):
        contrary = ("vmid", "pool")
    elif wanted.get("pool"):
        contrary = ("vmid", "all", "exclude")
    else:
        return {}
    return {key: None for key in contrary if key in old.values and key not in wanted}


def _shown(job: BackupJob, key: str) -> str | None:
    if key == "enabled":
        return "1" if job.is_enabled else "0"
    return show_job_value(key, job.values[key]) if key in job.values else None


def _told(job: BackupJob, key: str) -> str | None:
    """For records: prose of others by its length alone."""
    text = _shown(job, key)
    return f"{len(text)} characters" if text is not None and key in _PROSE else text


def _merge(old: BackupJob, changed: Mapping[str, str | None]) -> dict[str, object]:
    kept = {key: value for key, value in old.values.items() if key not in changed}
    return kept | {key: text for key, text in changed.items() if text is not None}


def _undo(old: BackupJob, changed: Mapping[str, str | None]) -> str:
    """The command that sets it back; empty where none of ours does."""
    if set(changed) == {"enabled"}:
        return f"pve job {'enable' if old.is_enabled else 'disable'} {old.id}"
    before = {key: _shown(old, key) for key in changed}
    if not set(before) <= set(_FLAGS) or not all(before.values()):
        return ""
    words = " ".join(f"{_FLAGS[key]} {shell_word(text or '')}" for key, text in before.items())
    return f"pve job change {shell_word(old.id)} {words}"
