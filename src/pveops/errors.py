"""Every way in which pveops can fail, as one tree.

Each class carries a stable `code` (machines compare it), the `exit_code` of the
commands, a `retry` verdict, and each instance a `hint`: the next command or fact.

    PveopsError
    ├── UsageError                 2
    ├── ConsentRequiredError       3
    ├── RefusedError               4   PolicyRefusedError, FrozenError, PreflightError,
    │                                  ConsentInvalidError, WriteNotAllowedError
    ├── NotFoundError              5   AmbiguousError, UnsupportedError
    ├── AccessError                6   AuthenticationError, TfaRequiredError,
    │                                  PermissionDeniedError, RootOnlyError
    ├── ConfigError                7   SecretError, TlsError, AuditError, StoreError
    ├── PendingError               8
    ├── ConflictError              9   LockedError, BusyError, StalePlanError, ExistsError,
    │                                  DigestError, GuestStateError
    ├── TaskFailedError           10
    ├── PartialError              11
    ├── UnreachableError          12   NodeUnreachableError, NoQuorumError
    ├── OutcomeUnknownError       13
    ├── RejectedError             14   ParameterError, NotImplementedByServerError, ProtocolError
    └── InternalError              1
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class Retry(StrEnum):
    """What a caller may do after an error."""

    NEVER = "never"
    """Repeating the same thing gives the same answer, or is dangerous."""
    LATER = "later"
    """Nothing happened; the same thing may work in a while."""
    AFTER_FIX = "after-fix"
    """Nothing happened; somebody has to change something first."""
    PROBE = "probe"
    """Nobody knows whether it happened: look at the cluster, never repeat blindly."""


class PveopsError(Exception):
    """The root. `message` says what failed and why; `hint` is a command or a fact.

    details: JSON-like facts for machines (the server's whole text is under `server`).
    """

    code: ClassVar[str] = "E_INTERNAL"
    exit_code: ClassVar[int] = 1
    retry: ClassVar[Retry] = Retry.NEVER
    default_hint: ClassVar[str] = ""

    def __init__(
        self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.details: dict[str, Any] = dict(details or {})


class InternalError(PveopsError):
    """A bug of ours."""

    default_hint = "this is a bug in pveops; run `pve doctor` and report it with --json output"


class UsageError(PveopsError):
    """The command line, or a value in it, makes no sense."""

    code = "E_USAGE"
    exit_code = 2
    retry = Retry.AFTER_FIX


class ConsentRequiredError(PveopsError):
    """A plan was stored; a person has to agree to it. Nothing changed."""

    code = "E_CONSENT"
    exit_code = 3
    retry = Retry.AFTER_FIX


class RefusedError(PveopsError):
    """Refused before anything was sent."""

    code = "E_REFUSED"
    exit_code = 4
    retry = Retry.AFTER_FIX


class PolicyRefusedError(RefusedError):
    """The policy does not allow it, for anybody or for this caller."""

    code = "E_POLICY"


class FrozenError(RefusedError):
    """`pve policy freeze` is in force."""

    code = "E_FROZEN"
    default_hint = "a person lifts it with `pve policy unfreeze`"


class PreflightError(RefusedError):
    """A finding of severity `block` stands against the operation."""

    code = "E_PREFLIGHT"


class ConsentInvalidError(RefusedError):
    """A code or receipt is wrong, expired, spent, or for another plan."""

    code = "E_CONSENT_INVALID"


class WriteNotAllowedError(RefusedError):
    """Something other than GET was asked of a read-only transport."""

    code = "E_READ_ONLY"


class NotFoundError(PveopsError):
    """The named thing does not exist, or the token may not see it."""

    code = "E_NOT_FOUND"
    exit_code = 5
    retry = Retry.AFTER_FIX


class AmbiguousError(NotFoundError):
    """The name fits several things; `details["candidates"]` lists them."""

    code = "E_AMBIGUOUS"


class UnsupportedError(NotFoundError):
    """This kind of guest, or this version of PVE, has no such operation."""

    code = "E_UNSUPPORTED"


class AccessError(PveopsError):
    """PVE did not accept who we are or what we may do."""

    code = "E_ACCESS"
    exit_code = 6
    retry = Retry.AFTER_FIX


class AuthenticationError(AccessError):
    """401: ticket, token or password not accepted."""

    code = "E_AUTH"
    default_hint = "check the stored token with `pve doctor`; replace it with `pve secrets add`"


class TfaRequiredError(AccessError):
    """The password was right; a second factor is wanted (`details["challenge"]`: its kinds)."""

    code = "E_TFA"


class PermissionDeniedError(AccessError):
    """403: a privilege is missing; `details` names `path` and `privileges` where PVE told them."""

    code = "E_PERMISSION"
    default_hint = "pve access check"


class RootOnlyError(AccessError):
    """PVE allows this to root@pam with a ticket only; no token can ever do it."""

    code = "E_ROOT_ONLY"


class ConfigError(PveopsError):
    """The configuration, policy or state on this machine is missing or wrong."""

    code = "E_CONFIG"
    exit_code = 7
    retry = Retry.AFTER_FIX


class SecretError(ConfigError):
    """A secret or its identity file is missing, readable by others, or does not decrypt."""

    code = "E_SECRET"


class TlsError(ConfigError):
    """The server is not the one that was trusted; no credential was sent."""

    code = "E_TLS"


class StoreError(ConfigError):
    """The local store cannot be read or written."""

    code = "E_STORE"


class AuditError(ConfigError):
    """The audit log cannot be written or is not whole: no record, no change."""

    code = "E_AUDIT"
    default_hint = "run `pve audit verify`"


class PendingError(PveopsError):
    """Nothing failed; it is still going on. `details["run"]` is the run's id."""

    code = "E_PENDING"
    exit_code = 8
    retry = Retry.LATER


class ConflictError(PveopsError):
    """The world is not as the operation needs it."""

    code = "E_CONFLICT"
    exit_code = 9
    retry = Retry.AFTER_FIX


class LockedError(ConflictError):
    """The guest's configuration holds a lock; `details["lock"]` names it."""

    code = "E_LOCKED"
    retry = Retry.LATER


class BusyError(ConflictError):
    """A short lock was not got in time; nothing was done, and it may be tried again."""

    code = "E_BUSY"
    retry = Retry.LATER


class StalePlanError(ConflictError):
    """What the plan was made from has changed; `details["changed"]` names the fields."""

    code = "E_PLAN_STALE"


class ExistsError(ConflictError):
    """The id or name is taken."""

    code = "E_EXISTS"


class DigestError(ConflictError):
    """The configuration was changed by somebody else since it was read."""

    code = "E_DIGEST"


class GuestStateError(ConflictError):
    """The guest is running, stopped or paused, and the call needs another state."""

    code = "E_STATE"


class TaskFailedError(PveopsError):
    """A task ended with an error; `details` has `upid`, `exitstatus` and the end of the log."""

    code = "E_TASK_FAILED"
    exit_code = 10


class PartialError(PveopsError):
    """Some targets are done and some are not; `details["items"]` tells which."""

    code = "E_PARTIAL"
    exit_code = 11


class UnreachableError(PveopsError):
    """No endpoint answered; nothing was sent that could have changed anything."""

    code = "E_UNREACHABLE"
    exit_code = 12
    retry = Retry.LATER


class NodeUnreachableError(UnreachableError):
    """595: the cluster answers, the node does not; nothing was executed."""

    code = "E_NODE_UNREACHABLE"


class NoQuorumError(UnreachableError):
    """The cluster has no quorum; its configuration cannot be written."""

    code = "E_NO_QUORUM"


class OutcomeUnknownError(PveopsError):
    """Sent, and no trustworthy answer: it may have happened. Never repeat it blindly."""

    code = "E_UNKNOWN"
    exit_code = 13
    retry = Retry.PROBE
    default_hint = "do not repeat the command; look at the guest and its tasks first"


class RejectedError(PveopsError):
    """PVE said no, in words that fit no other class."""

    code = "E_REJECTED"
    exit_code = 14


class ParameterError(RejectedError):
    """A parameter is unknown, malformed or out of range; `details["errors"]` is by name."""

    code = "E_PARAMETER"
    retry = Retry.AFTER_FIX


class NotImplementedByServerError(RejectedError):
    """501: this version of PVE has no such method, or the path is misspelt."""

    code = "E_NOT_IMPLEMENTED"


class ProtocolError(RejectedError):
    """The answer is not what a PVE API sends (HTML, truncated JSON, no envelope)."""

    code = "E_PROTOCOL"
