"""What `pve doctor` finds out about this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pveops.cli.call import Call
from pveops.operations.checkup.check import Check
from pveops.operations.checkup.local import (
    AuditFact,
    FileFact,
    PolicyFact,
    StoreFact,
    TokenFile,
    check_token_file,
)

if TYPE_CHECKING:
    from pveops.config.paths import Paths
    from pveops.config.profiles import Profile, TierToken
    from pveops.operations.checkup.consent import Broker

_BROKER_S = 3.0
_HOW = {
    "ca": "the cluster's CA alone (survives renewed certificates)",
    "pin": "the fingerprint of each certificate (a renewed one has to be pinned anew)",
    "system": "this machine's CAs, any of which could vouch for another server",
}


def check_configuration(call: Call) -> Iterator[Check]:
    """The profile, its trust, and its token. Raises ConfigError."""
    from pveops.config.profiles import choose_profile

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    yield Check("ok", "config.profile", f"profile {name!r} in {paths.config_file}")
    if profile.pvesh:
        yield Check("ok", "config.pvesh", "runs on a node as root; no token is used")
        return
    yield Check("ok", "tls.trust", f"servers are verified by {_HOW[profile.trust]}")
    for token in profile.list_tokens() if not profile.user else ():
        yield from check_token_file(_read_token(call, name, profile, token), call.clock.now())


def _read_token(call: Call, name: str, profile: Profile, token: TierToken) -> TokenFile:
    from pveops.config.secrets import secret_status
    from pveops.config.work_tree import find_work_tree, is_ignored

    own = profile.of_token(token)
    found = secret_status(call.wiring.paths, name, own, call.clock.now())
    path = Path(found.path)
    tree = find_work_tree(path) if not token.command else None
    return TokenFile(
        path=found.path,
        token_id=found.token_id,
        expires=found.expires,
        problem=found.problem,
        remedy=found.remedy,
        work_tree=str(tree) if tree else "",
        is_tracked=found.is_tracked_by_git,
        is_ignored=is_ignored(path) if tree else None,
        tier=token.tier,
        command=token.command[0] if token.command else "",
    )


def stored_expiry(call: Call) -> int:
    """When the stored token expires, by what was noted with it; 0: not known."""
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import secret_status

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    if profile.pvesh or profile.user:
        return 0
    return secret_status(paths, name, profile, call.clock.now()).expires


def list_files(call: Call) -> list[FileFact]:
    """Those of our files and folders that exist."""
    paths = call.wiring.paths
    private = (paths.secrets_dir, *_secret_files(paths), *_state_files(paths))
    rules = (paths.config_dir, paths.config_file, paths.policy_file)
    return [
        FileFact(str(path), path.stat().st_mode, is_private)
        for group, is_private in ((private, True), (rules, False))
        for path in group
        if path.exists()
    ]


def _secret_files(paths: Paths) -> tuple[Path, ...]:
    tokens = sorted(paths.secrets_dir.glob("*.txt*")) if paths.secrets_dir.is_dir() else []
    return (*tokens, paths.identity_file)


def _state_files(paths: Paths) -> tuple[Path, ...]:
    return (paths.store_file, paths.audit_file, paths.approval_key_file)


def read_broker(call: Call) -> Broker | None:
    """The broker of the profile, and whether it is somebody else's; None: there is none."""
    import socket

    from pveops.config.profiles import choose_profile
    from pveops.operations.checkup.consent import Broker

    path = choose_profile(call.wiring.paths, call.options.profile)[1].broker_socket
    if not path:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_BROKER_S)
            connection.connect(path)
        return Broker(path, "", Path(path).stat().st_uid != os.geteuid())
    except OSError as error:
        return Broker(path, f"{path}: {error.strerror or error}", False)


def read_policy(call: Call) -> PolicyFact:
    """The policy in force. Raises ConfigError."""
    from pveops.config.profiles import load_config
    from pveops.errors import ConfigError

    paths = call.wiring.paths
    path = paths.policy_file
    try:
        config = load_config(paths)
    except ConfigError:
        config = None  # told by itself
    wanted = call.options.profile or (config.default if config else "")
    profile = config.profiles.get(wanted) if config else None
    return PolicyFact(
        path=str(path),
        digest=call.wiring.policy.digest,
        exists=path.exists(),
        is_writable=_is_writable(path) or _is_writable(path.parent),
        is_frozen=paths.freeze_file.exists(),
        is_brokers=bool(profile and profile.broker_socket),
    )


def _is_writable(path: Path) -> bool:
    """By this account, or to be made by it where it does not exist."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK)


def read_store(call: Call) -> StoreFact:
    """The store, checked whole. Raises StoreError."""
    store = call.wiring.store
    health = store.examine()
    return StoreFact(
        path=str(call.wiring.paths.store_file),
        problem=health.problem,
        size_bytes=health.size_bytes,
        schema_version=health.schema_version,
        open_runs=tuple(run.id for run in store.list_runs() if run.state == "running"),
    )


def read_audit(call: Call) -> AuditFact:
    """The audit log, its chain recomputed. Raises AuditError."""
    path = call.wiring.paths.audit_file
    verdict = call.wiring.audit.verify()
    return AuditFact(
        path=str(path),
        records=verdict.records,
        problem=verdict.problem,
        is_torn=verdict.is_torn,
        has_quarantine=path.with_name(f"{path.name}.torn").exists(),
        is_writable=_is_writable(path),
    )
