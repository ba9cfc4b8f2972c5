"""What lies on this machine: files, token, policy, store, audit log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pveops.domain.token import SOON_DAYS
from pveops.operations.checkup.check import Check
from pveops.units import format_bytes

DAY_S = 86_400
_LARGE_BYTES = 512 << 20
_GROUP_OR_OTHERS = 0o077
_WRITABLE = 0o022


class FileFact(NamedTuple):
    """A file or folder that exists. is_private: nobody else should even read it."""

    path: str
    mode: int
    is_private: bool


ROTATE = "pve secrets rotate   # by a person, at a terminal"


class TokenFile(NamedTuple):
    """The token as it is stored, without its secret."""

    path: str
    token_id: str
    expires: int
    """Seconds since the epoch; 0: not known here."""
    problem: str = ""
    remedy: str = ""
    work_tree: str = ""
    """The git repository that it lies in; empty: none."""
    is_tracked: bool = False
    is_ignored: bool | None = None
    """None: git could not be asked."""
    tier: int = 0
    """For changes up to this tier; 0: for reading, or for everything."""
    command: str = ""
    """What gives it, where no file of ours holds it."""


class PolicyFact(NamedTuple):
    """The policy in force."""

    path: str
    digest: str
    exists: bool
    is_writable: bool
    """By the account that asks."""
    is_frozen: bool
    is_brokers: bool = False
    """The policy that counts lies with a broker; the one here decides nothing."""


class StoreFact(NamedTuple):
    """The store."""

    path: str
    problem: str
    size_bytes: int
    schema_version: int
    open_runs: tuple[str, ...]


class AuditFact(NamedTuple):
    """The audit log."""

    path: str
    records: int
    problem: str
    """Where the chain breaks; empty: nowhere."""
    is_torn: bool
    """Only the last line is unfinished."""
    has_quarantine: bool
    """Unfinished lines were set aside before."""
    is_writable: bool


def check_files(files: Sequence[FileFact]) -> Iterator[Check]:
    """Secrets and state are their owner's alone; nobody else writes rules."""
    found = False
    for each in files:
        forbidden = _GROUP_OR_OTHERS if each.is_private else _WRITABLE
        if each.mode & forbidden:
            found = True
            may = "read or change" if each.is_private else "change"
            mode = "go-rwx" if each.is_private else "go-w"
            message = f"others may {may} {each.path} (mode {each.mode & 0o777:04o})"
            yield Check("bad", "files.modes", message, f"chmod {mode} {each.path}")
    if files and not found:
        yield Check("ok", "files.modes", f"{len(files)} files and folders are closed to others")


def check_git(token: TokenFile) -> Iterator[Check]:
    """A secret in a repository is one `git push` away from everybody."""
    if not token.work_tree:
        return
    folder, _, name = token.path.rpartition("/")
    if token.is_tracked:
        message = f"the token is in the index of the git repository {token.work_tree}"
        fix = f"git -C {folder} rm --cached {name}   # and a new token, if it was ever pushed"
        yield Check("bad", "secrets.git", message, fix)
    elif token.is_ignored:
        message = f"the token lies in the git repository {token.work_tree}, which ignores it"
        yield Check("ok", "secrets.git", message)
    else:
        not_ = "does not ignore it" if token.is_ignored is False else "may not ignore it"
        message = f"the token lies in the git repository {token.work_tree}, which {not_}"
        yield Check("warn", "secrets.git", message, f"echo '*' > {folder}/.gitignore")


def check_token_file(token: TokenFile, now: float) -> Iterator[Check]:
    """Whether it can be used, and for how long by what was noted when it was stored."""
    yield from check_git(token)
    part = f"for changes up to tier {token.tier}: " if token.tier else ""
    if token.problem:
        yield Check("bad", "token.stored", f"{part}{token.problem}", token.remedy)
        return
    kept = f"given by {token.command}" if token.command else "encrypted"
    yield Check("ok", "token.stored", f"{part}{token.token_id}, {kept}, bound to the endpoints")
    if token.expires:
        what = f"the token for changes up to tier {token.tier}" if token.tier else "the token"
        yield check_expiry("token.expiry", what, token.expires, now)


def check_expiry(code: str, what: str, expires: int, now: float, fix: str = ROTATE) -> Check:
    """How long something that expires is still good; it is needed a day later, too."""
    left = expires - now
    if left <= 0:
        return Check("bad", code, f"{what} has expired", fix)
    message = f"{what} expires in {left / DAY_S:.0f} days"
    return (
        Check("warn", code, message, fix)
        if left < SOON_DAYS * DAY_S
        else Check("ok", code, message)
    )


def check_policy(policy: PolicyFact) -> Iterator[Check]:
    """A policy that its subject can edit is a note to itself, and is called one."""
    if policy.is_brokers:
        yield Check(
            "ok", "policy.file", "the broker's policy decides; the one here does not count"
        )
    elif not policy.exists:
        yield Check("ok", "policy.file", f"the default policy ({policy.digest}) is in force")
    elif not policy.is_writable:
        yield Check("ok", "policy.file", f"policy {policy.digest} in {policy.path}")
    if policy.is_writable and not policy.is_brokers:
        whose = f"policy {policy.digest}" if policy.exists else "a policy in place of the default"
        message = f"{whose} can be written by this account, so by an agent that runs as it"
        folder = policy.path.rpartition("/")[0]
        fix = f"let another account own {folder}; until then it is a reminder and no boundary"
        yield Check("warn", "policy.writable", message, fix)
    if policy.is_frozen:
        yield Check("warn", "policy.frozen", "all changes are frozen", "pve policy unfreeze")


def check_store(store: StoreFact) -> Iterator[Check]:
    """SQLite's own word, and what waits in it."""
    if store.problem:
        message = f"the store {store.path} is damaged: {store.problem}"
        fix = f"mv {store.path} {store.path}.broken   # open plans and runs are lost with it"
        yield Check("bad", "store.health", message, fix)
    else:
        facts = f"{format_bytes(store.size_bytes)}, schema {store.schema_version}"
        yield Check("ok", "store.health", f"the store {store.path} is whole ({facts})")
    if store.size_bytes > _LARGE_BYTES:
        message = f"the store {store.path} has {format_bytes(store.size_bytes)}"
        yield Check("warn", "store.size", message, f"sqlite3 {store.path} VACUUM")
    for run in store.open_runs:
        yield Check("warn", "run.open", f"{run} has not ended", f"pve run resume {run}")


def check_audit(audit: AuditFact) -> Iterator[Check]:
    """No record, no change: so a log that cannot be written stops everything."""
    if audit.is_torn:
        message = f"the last record of {audit.path} was cut short; the next one sets it aside"
        yield Check("warn", "audit.torn", message, "look for a crash, or a disk that was full")
    elif audit.problem:
        message = f"the audit log {audit.path} is not whole: {audit.problem}"
        yield Check("bad", "audit.chain", message, "pve audit verify")
    else:
        yield Check("ok", "audit.chain", f"the audit log is whole ({audit.records} records)")
    if audit.has_quarantine and not audit.is_torn:
        message = f"records that were cut short lie in {audit.path}.torn"
        fix = f"look at them, then: rm {audit.path}.torn"
        yield Check("warn", "audit.torn", message, fix)
    if not audit.is_writable:
        message = f"the audit log {audit.path} cannot be written, so nothing can be changed"
        yield Check("bad", "audit.writable", message, f"look at `ls -ld {audit.path}`")
