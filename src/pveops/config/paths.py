"""Where things lie: `$PVE_HOME`, or the XDG folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pveops.errors import ConfigError

_NAME = "pveops"


class Paths(NamedTuple):
    """Every file and folder that pveops reads or writes.

    With `$PVE_HOME` all of it lies there but the identity file: what decrypts a secret never lies
    in the folder that holds the secret.
    """

    config_dir: Path
    data_dir: Path
    state_dir: Path
    identity_file: Path

    @property
    def config_file(self) -> Path:
        """The profiles."""
        return self.config_dir / "config.yaml"

    @property
    def policy_file(self) -> Path:
        """Who may do what."""
        return self.config_dir / "policy.yaml"

    @property
    def secrets_dir(self) -> Path:
        """The encrypted tokens."""
        return self.data_dir / "secrets"

    @property
    def store_file(self) -> Path:
        """Plans, consents, runs."""
        return self.state_dir / "store.sqlite3"

    @property
    def audit_file(self) -> Path:
        """The audit log."""
        return self.state_dir / "logs" / "audit.jsonl"

    @property
    def crash_file(self) -> Path:
        """Where the traceback of a bug of ours goes."""
        return self.state_dir / "logs" / "crash.log"

    @property
    def freeze_file(self) -> Path:
        """While it exists, nothing is changed."""
        return self.state_dir / "freeze"

    @property
    def config_cache_file(self) -> Path:
        """What was read from `config_file`, for a quick start; may be deleted at any time."""
        return self.state_dir / "cache" / "config.json"

    @property
    def schema_dir(self) -> Path:
        """Copies of a cluster's own schema."""
        return self.data_dir / "schema"


def find_paths(environ: Mapping[str, str]) -> Paths:
    """The locations for a process with these variables."""
    home = Path(environ.get("HOME") or Path.home())
    config_home = _xdg(environ, "XDG_CONFIG_HOME", home / ".config")
    identity = config_home / _NAME / "identity.txt"
    root = environ.get("PVE_HOME")
    if root:
        base = Path(root).expanduser()
        if not base.is_absolute():
            raise ConfigError(
                f"PVE_HOME is {root!r}, which is no absolute path",
                hint="set PVE_HOME to a folder that begins with /",
            )
        return Paths(base, base, base, identity)
    return Paths(
        config_home / _NAME,
        _xdg(environ, "XDG_DATA_HOME", home / ".local" / "share") / _NAME,
        _xdg(environ, "XDG_STATE_HOME", home / ".local" / "state") / _NAME,
        identity,
    )


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    value = environ.get(name)
    return Path(value) if value and value.startswith("/") else default


def make_private_dir(path: Path) -> None:
    """Create the folder, for its owner alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {path} cannot be made: {error}") from error


def write_private_file(path: Path, content: bytes) -> None:
    """Replace the file at once, mode 0600, on disk when this returns."""
    make_private_dir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error}") from error
