"""API tokens at rest: armoured age files, each bound to the endpoints and trust it is for.

The identity that decrypts them lies in another folder. That protects copies of the secrets
folder (backups, repositories, conversations). It does not protect from a program that runs as
the same user, which can read both.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.config.paths import Paths, make_private_dir, write_private_file
from pveops.config.profiles import Profile, binding_of
from pveops.errors import SecretError
from pveops.redact import register_secret

if TYPE_CHECKING:
    import pyrage

_FORMAT = 1
_MAX_BYTES = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
PROTECTS = (
    "encrypted at rest: protects copies of the secrets folder, not from programs of this user"
)


class StoredToken(msgspec.Struct, frozen=True):
    """The payload of a secret file."""

    format: int
    profile: str
    binding: str
    """The endpoints and trust that the token may be sent to."""
    token_id: str
    """`user@realm!name`."""
    secret: str
    created: int
    expires: int = 0
    """Seconds since the epoch; 0: never, or not known."""

    def __repr__(self) -> str:
        return f"StoredToken({self.token_id}, secret hidden)"

    __str__ = __repr__


def load_token(paths: Paths, profile_name: str, profile: Profile, now: float) -> StoredToken:
    """The profile's token.

    Raises SecretError when it is missing, readable by others, does not decrypt, is expired, or is
    bound to other endpoints than the profile's.
    """
    path = paths.secrets_dir / profile.token_file
    sealed = _read_private(path, "the token", f"pve secrets add --profile {profile_name}")
    token = _open(sealed, paths.identity_file, path)
    register_secret(token.secret)
    if token.binding != binding_of(paths, profile) or token.profile != profile_name:
        raise SecretError(
            f"the token {token.token_id} was stored for other endpoints or another trust than the "
            f"profile {profile_name!r} has now; it will not be sent there",
            hint=f"if the change was yours: `pve secrets add --profile {profile_name}`",
        )
    if token.expires and now >= token.expires:
        import time

        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(token.expires))
        raise SecretError(
            f"the token {token.token_id} expired on {when}",
            hint=f"make a new one in PVE, then `pve secrets add --profile {profile_name}`",
        )
    return token


def save_token(
    paths: Paths,
    profile_name: str,
    profile: Profile,
    token_id: str,
    secret: str,
    *,
    now: float,
    expires: int = 0,
) -> Path:
    """Encrypt and keep a token; the one before it is kept as `.prev`. Gives the file's path.

    The identity is made at the first use. Raises SecretError.
    """
    register_secret(secret)
    token = StoredToken(
        format=_FORMAT,
        profile=profile_name,
        binding=binding_of(paths, profile),
        token_id=token_id,
        secret=secret,
        created=int(now),
        expires=expires,
    )
    path = paths.secrets_dir / profile.token_file
    _prepare_folder(paths)
    sealed = _seal(msgspec.json.encode(token), paths.identity_file)
    if path.exists():
        write_private_file(path.with_name(f"{path.name}.prev"), path.read_bytes())
    write_private_file(path, sealed)
    return path


def _prepare_folder(paths: Paths) -> None:
    folder = paths.secrets_dir
    if folder.resolve() in paths.identity_file.resolve().parents:
        raise SecretError(
            f"the identity {paths.identity_file} would lie in the folder of the secrets it opens",
            hint="set PVE_HOME or XDG_CONFIG_HOME so that they are apart",
        )
    make_private_dir(folder)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_private_file(ignore, b"*\n")


def _read_private(path: Path, what: str, remedy: str) -> bytes:
    """The content of a file that is the owner's alone, and no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise SecretError(f"{what} {path} does not exist", hint=f"`{remedy}`") from error
    except OSError as error:
        raise SecretError(
            f"{what} {path} cannot be opened (is it a link?): {error.strerror}",
            hint=f"make it a plain file of yours, or `{remedy}`",
        ) from error
    try:
        facts = os.fstat(descriptor)
        if facts.st_mode & _OTHERS:
            raise SecretError(
                f"{what} {path} can be read by others (mode {facts.st_mode & 0o777:04o})",
                hint=f"`chmod 600 {path}`, and think about who may have read it",
            )
        if facts.st_uid not in {os.getuid(), 0}:
            raise SecretError(f"{what} {path} belongs to another user", hint=f"`{remedy}`")
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def _seal(payload: bytes, identity_file: Path) -> bytes:
    import pyrage

    if not identity_file.exists():
        identity = pyrage.x25519.Identity.generate()
        text = f"# opens the secrets of pveops; keep it out of backups of them\n{identity}\n"
        write_private_file(identity_file, text.encode())
    recipient = _identity(identity_file).to_public()
    sealed: bytes = pyrage.encrypt(payload, [recipient], armored=True)
    return sealed


def _identity(path: Path) -> pyrage.x25519.Identity:
    import pyrage

    text = _read_private(path, "the identity file", "pve secrets add").decode(errors="replace")
    for line in text.splitlines():
        if line.startswith("AGE-SECRET-KEY-"):
            register_secret(line.strip())
            try:
                return pyrage.x25519.Identity.from_str(line.strip())
            except pyrage.IdentityError:
                break
    raise SecretError(
        f"the identity file {path} holds no age identity",
        hint="restore it, or store the token anew with `pve secrets add`",
    )


def _open(sealed: bytes, identity_file: Path, path: Path) -> StoredToken:
    import pyrage

    identity = _identity(identity_file)
    try:
        payload = pyrage.decrypt(sealed, [identity])
        token = msgspec.json.decode(payload, type=StoredToken)
    except (pyrage.DecryptError, msgspec.DecodeError, ValueError) as error:
        raise SecretError(
            f"the token {path} does not open with the identity {identity_file}: {error}",
            hint="store it anew with `pve secrets add`",
        ) from error
    if token.format != _FORMAT:
        raise SecretError(f"the token {path} was written by another version of pveops")
    return token


class SecretStatus(NamedTuple):
    """What is known of a stored token, without its secret."""

    path: str
    token_id: str
    created: int
    expires: int
    identity: str
    is_tracked_by_git: bool


def secret_status(paths: Paths, profile_name: str, profile: Profile, now: float) -> SecretStatus:
    """The facts for `pve secrets status`. Raises as `load_token`."""
    token = load_token(paths, profile_name, profile, now)
    path = paths.secrets_dir / profile.token_file
    return SecretStatus(
        str(path),
        token.token_id,
        token.created,
        token.expires,
        str(paths.identity_file),
        is_tracked_by_git(path),
    )


def is_tracked_by_git(path: Path) -> bool:
    """Whether a repository around the file has it in its index."""
    import shutil
    import subprocess

    git = shutil.which("git")
    if git is None or not path.exists():
        return False
    done = subprocess.run(
        [git, "-C", str(path.parent), "ls-files", "--error-unmatch", path.name],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
