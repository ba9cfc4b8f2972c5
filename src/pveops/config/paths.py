"""Where things lie: `$PVE_HOME`, or the XDG folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
    def templates_dir(self) -> Path:
        """The user's own templates for guests."""
        return self.config_dir / "templates"

    @property
    def secrets_dir(self) -> Path:
        """The encrypted tokens."""
        return self.data_dir / "secrets"

    @property
    def approval_key_file(self) -> Path:
        """With what an agent's plugin signs the approvals of its own prompt."""
        return self.data_dir / "secrets" / "approval.key"

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
    """Create the folder, and those above it that are missing, for their owner alone."""
    missing = []
    folder = path
    while not folder.exists() and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    try:
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(20, "it is no folder")
    except OSError as error:
        raise ConfigError(
            f"the folder {path} cannot be made: {error.strerror}", hint=f"look at {path.parent}"
        ) from error


def write_private_file(path: Path, content: bytes) -> None:
    """Replace the file at once, mode 0600, on disk when this returns. Raises ConfigError."""
    _place(path, content, lambda temporary: temporary.replace(path))


def write_public_file(path: Path, content: bytes) -> None:
    """As `write_private_file`, in a folder of others, and for everybody to read: mode 0644.

    Nothing that somebody put into that folder is written through. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        _write_new(temporary, content, 0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def move_private_file(source: Path, path: Path) -> None:
    """Put one file in the place of another at once, on disk when this returns."""
    try:
        source.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be replaced: {error.strerror}", hint=f"look at `ls -ld {path.parent}`"
        ) from error


def create_private_file(path: Path, content: bytes) -> bool:
    """As `write_private_file`, but never in place of a file; whether it was made by this call."""
    if path.exists():
        return False

    def link(temporary: Path) -> None:
        path.hardlink_to(temporary)
        temporary.unlink()

    try:
        _place(path, content, link)
    except ConfigError:
        if path.exists():
            return False
        raise
    return True


def _place(path: Path, content: bytes, settle: Callable[[Path], object]) -> None:
    make_private_dir(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        _write_new(temporary, content)
        settle(temporary)
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", hint=f"look at `ls -ld {path.parent}`"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
