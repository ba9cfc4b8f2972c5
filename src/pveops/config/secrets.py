"""API tokens at rest: armoured age files, each bound to the endpoints and trust it is for.

The identity that decrypts them lies in another folder. What that protects against, and what
not, is said by `PROTECTS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.config.paths import Paths, create_private_file, make_private_dir, write_private_file
from pveops.config.private_files import is_tracked_by_git, read_private_file
from pveops.config.profiles import Profile, describe_binding, fingerprint_binding
from pveops.errors import ConfigError, SecretError
from pveops.redact import register_secret
from pveops.units import format_utc

if TYPE_CHECKING:
    import pyrage

_FORMAT = 1
_ARMOUR_END = b"-----END AGE ENCRYPTED FILE-----"
PROTECTS = (
    "encrypted at rest: a copy of the secrets folder (backup, repository, conversation) gives "
    "nothing away without the identity file; a program that runs as this user, and root, can "
    "read both"
)


class StoredToken(NamedTuple):
    """The payload of a secret file."""

    format: int
    cluster: str
    """The profile it was stored for."""
    bound: tuple[str, ...]
    """Where it may be sent, and what proves that place, as `describe_binding` says it."""
    token_id: str
    """`user@realm!name`."""
    secret: str
    created: int
    expires: int = 0
    """Seconds since the epoch; 0: never, or not known."""

    @property
    def binding(self) -> str:
        """`bound` as one short fingerprint."""
        return fingerprint_binding(self.bound)

    def __repr__(self) -> str:
        return f"StoredToken({self.token_id}, secret hidden)"


def load_token(
    paths: Paths, profile_name: str, profile: Profile, now: float, tier: int = 0
) -> StoredToken:
    """The profile's token: the one for reading, or that for changes of a tier.

    Raises ConfigError where there is none for the tier, or where the command that should give
    it does not. Raises SecretError when it is missing, open to others, in a git index, does not
    decrypt, is bound to another place than the profile names now, or has expired.
    """
    profile = _with_token_for(profile, tier)
    if profile.token_command:
        token = _ask_command(paths, profile_name, profile, tier)
        _check_expiry(token, now, "store it where the command finds it")
        return token
    path = paths.secrets_dir / profile.token_file
    again = _again(profile_name)
    sealed = read_private_file(path, "the token", again)
    _refuse_tracked(path)
    token = _unseal(sealed, _identity_file(paths, profile), path, again)
    register_secret(token.secret)
    _check_binding(token, profile_name, describe_binding(paths, profile))
    _check_expiry(token, now, again)
    return token


def _with_token_for(profile: Profile, tier: int) -> Profile:
    chosen = profile.token_for(tier)
    if chosen is None:
        raise ConfigError(
            f"the profile has no token for changes of tier {tier}, and so cannot make them",
            hint="add one under `tokens` in config.yaml, if such changes shall be made from here",
        )
    return profile.of_token(chosen)


def _ask_command(paths: Paths, profile_name: str, profile: Profile, tier: int) -> StoredToken:
    from pveops.config.resolver import resolve_token

    bound = describe_binding(paths, profile)
    given = resolve_token(profile.token_command, profile_name, tier)
    if given.bound != fingerprint_binding(bound):
        raise SecretError(
            f"the token {given.token_id} is kept for another place and is not sent",
            hint="if the place is right, the record has to say so: `pve secrets status`",
        )
    return StoredToken(
        _FORMAT, profile_name, bound, given.token_id, given.secret, 0, given.expires
    )


def _check_expiry(token: StoredToken, now: float, again: str) -> None:
    if token.expires and now >= token.expires:
        raise SecretError(
            f"the token {token.token_id} expired on {_date(token.expires)}",
            hint=f"make a new one in PVE, then {again}",
        )


def save_token(
    paths: Paths,
    profile_name: str,
    profile: Profile,
    token_id: str,
    secret: str,
    *,
    now: float,
    expires: int = 0,
    tier: int = 0,
) -> Path:
    """Encrypt and keep a token; the one before it is kept as `.prev`. Gives the file's path.

    The identity is made at the first use. Raises SecretError.
    """
    register_secret(secret)
    profile = _with_token_for(profile, tier)
    if profile.token_command:
        raise ConfigError(
            f"the profile gets this token from the command {profile.token_command[0]}",
            hint="store it where that command finds it, or take `secret` out of config.yaml",
        )
    bound = describe_binding(paths, profile)
    token = StoredToken(_FORMAT, profile_name, bound, token_id, secret, int(now), expires)
    path = paths.secrets_dir / profile.token_file
    identity_file = _identity_file(paths, profile)
    _prepare_folder(paths.secrets_dir)
    _refuse_tracked(path)
    sealed = _seal(json.dumps(token._asdict()).encode(), identity_file)
    if path.is_symlink() or path.exists():
        before = read_private_file(path, "the token", _again(profile_name))
        write_private_file(path.with_name(f"{path.name}.prev"), before)
    write_private_file(path, sealed)
    return path


class SecretStatus(NamedTuple):
    """What is known of a stored token, without its secret."""

    path: str
    identity: str
    problem: str = ""
    """Why the token cannot be used; empty: it can."""
    remedy: str = ""
    token_id: str = ""
    """Empty where the file could not be opened."""
    created: int = 0
    expires: int = 0
    """Seconds since the epoch; 0: never, or not known."""
    bound: tuple[str, ...] = ()
    is_tracked_by_git: bool = False
    binding: str = ""
    """Endpoints and trust as a fingerprint, for the record of a vault."""


def secret_status(paths: Paths, profile_name: str, profile: Profile, now: float) -> SecretStatus:
    """The facts about the profile's own token; what would make `load_token` fail is one, too."""
    if profile.token_command:
        return _command_status(paths, profile_name, profile, now)
    path = paths.secrets_dir / profile.token_file
    status = SecretStatus(
        str(path),
        profile.identity_file or str(paths.identity_file),
        is_tracked_by_git=is_tracked_by_git(path),
        binding=fingerprint_binding(describe_binding(paths, profile)),
    )
    try:
        sealed = read_private_file(path, "the token", _again(profile_name))
        identity_file = _identity_file(paths, profile)
        token = _unseal(sealed, identity_file, path, _again(profile_name))
        status = status._replace(
            token_id=token.token_id,
            created=token.created,
            expires=token.expires,
            bound=token.bound,
        )
        load_token(paths, profile_name, profile, now)
    except SecretError as error:
        return status._replace(problem=error.message, remedy=error.hint)
    return status


def list_secret_statuses(
    paths: Paths, profile_name: str, profile: Profile, now: float
) -> tuple[tuple[int, SecretStatus], ...]:
    """(tier, facts) for each token of the profile; tier 0 is the one for reading."""
    return tuple(
        (each.tier, secret_status(paths, profile_name, profile.of_token(each), now))
        for each in profile.list_tokens()
    )


def _command_status(paths: Paths, name: str, profile: Profile, now: float) -> SecretStatus:
    binding = fingerprint_binding(describe_binding(paths, profile))
    status = SecretStatus(f"command {profile.token_command[0]}", "", binding=binding)
    try:
        token = load_token(paths, name, profile, now)
    except ConfigError as error:
        return status._replace(problem=error.message, remedy=error.hint)
    return status._replace(token_id=token.token_id, expires=token.expires, bound=token.bound)


def _again(profile_name: str) -> str:
    return f"store it with `pve secrets add --profile {profile_name}`"


def _date(seconds: int) -> str:
    return format_utc(seconds, "%Y-%m-%d %H:%M UTC")


def _identity_file(paths: Paths, profile: Profile) -> Path:
    """What decrypts the profile's token. Raises SecretError when it lies beside what it opens."""
    chosen = Path(profile.identity_file).expanduser() if profile.identity_file else None
    path = chosen or paths.identity_file
    real = path.parent.resolve()
    for folder in (paths.secrets_dir.resolve(), paths.data_dir.resolve()):
        if folder == real or folder in real.parents:
            raise SecretError(
                f"the identity file {path} lies in {folder}, with the secrets that it opens",
                hint="name another place in config.yaml: identity_file: /PATH/identity.txt",
            )
    return path


def _prepare_folder(folder: Path) -> None:
    make_private_dir(folder)
    create_private_file(folder / ".gitignore", b"*\n")


def _refuse_tracked(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}.prev")):
        if is_tracked_by_git(each):
            raise SecretError(
                f"the token {each} is in a git repository's index and would be committed",
                hint=f"`git -C {each.parent} rm --cached {each.name}`; if it was ever pushed, "
                "make a new token in PVE",
            )


def _check_binding(token: StoredToken, profile_name: str, bound: tuple[str, ...]) -> None:
    """Refuse a token that was stored for another place, saying how the places differ."""
    differences = [f"{phrase} is new" for phrase in bound if phrase not in token.bound]
    differences += [f"{phrase} is gone" for phrase in token.bound if phrase not in bound]
    if token.cluster != profile_name:
        differences.insert(0, f"it is the token of profile {token.cluster}")
    if differences:
        raise SecretError(
            f"the token {token.token_id} was stored for another place and is not sent: "
            f"{'; '.join(differences)}",
            hint=f"if the change was yours: `pve secrets add --profile {profile_name}`; if not, "
            "find out who edited config.yaml",
            details={"differences": differences},
        )


def _seal(payload: bytes, identity_file: Path) -> bytes:
    import pyrage

    if not identity_file.exists():
        identity = pyrage.x25519.Identity.generate()
        text = f"# opens the secrets of pveops; keep it away from them\n{identity}\n"
        create_private_file(identity_file, text.encode())
    recipient = _read_identity(identity_file, "").to_public()
    sealed: bytes = pyrage.encrypt(payload, [recipient], armored=True)
    return sealed


def _read_identity(path: Path, again: str) -> pyrage.x25519.Identity:
    import pyrage

    remedy = f"bring it back from where you keep it, or {again or 'move it away'}"
    text = read_private_file(path, "the identity file", remedy).decode("ascii", "replace")
    for line in map(str.strip, text.splitlines()):
        if line.startswith("AGE-SECRET-KEY-"):
            register_secret(line)
            try:
                return pyrage.x25519.Identity.from_str(line)
            except pyrage.IdentityError:
                break
    raise SecretError(f"the identity file {path} holds no age identity", hint=remedy)


def _unseal(sealed: bytes, identity_file: Path, path: Path, again: str) -> StoredToken:
    import pyrage

    identity = _read_identity(identity_file, again)
    if _ARMOUR_END not in sealed:
        before = path.with_name(f"{path.name}.prev")
        raise SecretError(
            f"the token {path} is cut short or no age file",
            hint=f"{again}; the one before it may be in {before}",
        )
    try:
        payload = pyrage.decrypt(sealed, [identity])
    except pyrage.DecryptError as error:
        said = str(error)
        reason = f"does not open with the identity {identity_file}: {said}"
        raise SecretError(
            f"the token {path} {reason}",
            hint=f"bring back the identity that it was stored with, or {again}",
        ) from error
    token = _parse_payload(payload)
    if token is None:
        raise SecretError(f"the token {path} was written by another version", hint=again)
    return token


def _parse_payload(payload: bytes) -> StoredToken | None:
    try:
        fields: dict[str, Any] = json.loads(payload)
        token = StoredToken(**{**fields, "bound": tuple(map(str, fields["bound"]))})
    except (ValueError, TypeError, KeyError):
        return None
    texts = (token.cluster, token.token_id, token.secret)
    numbers = (token.created, token.expires)
    is_whole = all(isinstance(each, str) for each in texts)
    is_whole = is_whole and all(isinstance(each, int) for each in numbers)
    return token if is_whole and token.format == _FORMAT else None
