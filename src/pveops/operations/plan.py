"""Plans: what exactly would be done, to whom, and why that is right, as one hashable value.

A plan's id is a prefix of the SHA-256 of its canonical JSON, so a plan cannot be changed
and keep its id, and consent to an id is consent to every byte of it. A plan holds no secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pveops.errors import StoreError
from pveops.operations.findings import Finding
from pveops.sanitize import sanitize_text, shell_word

PLAN_FORMAT = 2
_ID_LENGTH = 12
_MAX_NAME = 100

Scalar = str | int | float | bool | None


NO_ID = "-"
VMID = "{vmid}"
"""In paths of an item that makes a guest: the id that the guest gets."""


class Call(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """Send one request. The only step that can change anything."""

    method: str
    path: str
    params: Mapping[str, Scalar | tuple[str, ...]] = {}
    effect: str = "C"
    task_types: tuple[str, ...] = ()
    """What the task it starts may be called; empty for calls without a task."""
    does: str = ""
    """What it does, in a few words, such as `set onboot=0`; empty: the operation's own verb."""
    new_id: str = ""
    """The parameter that carries the id of the guest that the call makes (`vmid`, `newid`). When
    that id was taken meanwhile, another free one is used: PVE reserves none."""
    task_node: str = ""
    """Where its task runs, when that is not the target's node."""
    task_id: str = ""
    """The id that its task carries, when that is not the target's; NO_ID: it carries none."""
    file: str = ""
    """A local file that goes along, by its whole path."""
    file_bytes: int = 0
    is_late: bool = False
    """Its effect shows only after a while, and no task tells of it: that the state is as before
    does not mean that the call was lost."""
    holds: tuple[str, ...] = ()
    """Guards that have to hold right before it, too, when it is not the first call: those that
    the calls before it leave as they are."""


class WaitTask(msgspec.Struct, frozen=True, tag="wait-task"):
    """Wait for the task of the call before."""

    timeout_s: float


class WaitState(msgspec.Struct, frozen=True, tag="wait-state", omit_defaults=True):
    """Read the target back until it is as wanted; this, and no task, makes it "done".

    state: a name in `engine.goals`, such as `power.stopped`. expect: what the goal is about, such
    as the values of a configuration. Each call is followed by one before the next call.
    """

    state: str
    timeout_s: float
    expect: dict[str, Scalar] = {}
    is_optional: bool = False
    """Waited for, and told; but the item is done without it, too."""
    is_verdict: bool = False
    """What the item comes to. The steps after it clear away, and are carried out in any case."""
    holds_already: bool = False
    """The target looked like that before, too, so that a look tells nothing about the call."""


class Note(msgspec.Struct, frozen=True, tag="note"):
    """A remark for the reader of the plan."""

    text: str


Step = Call | WaitTask | WaitState | Note


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom an item is about, and what tells it from another in its place."""

    kind: str
    """`qemu`, `lxc`, `task`, `volume`, or `job`."""
    id: str
    """The vmid, the UPID, the volume id, the job's id."""
    name: str
    node: str
    """Empty for what belongs to the whole cluster."""
    identity: str = ""
    digest: str = ""
    tags: tuple[str, ...] = ()
    pool: str = ""
    is_new: bool = False
    """The guest does not exist yet; `id` is the free one that was found."""

    @property
    def label(self) -> str:
        """As people read it: on one line, whatever others have called it."""
        name = sanitize_text(self.name, _MAX_NAME)
        noun = {"qemu": "VM", "lxc": "CT"}.get(self.kind)
        if self.kind == "node":
            return f"node {name}"
        if noun is None and self.kind == name:
            return f"the {name}"
        if noun is None:
            return f"{self.kind} {name}{f' on {self.node}' if self.node else ''}"
        return f"{name or '(no name)'} ({noun} {self.id} on {self.node})"

    @property
    def show(self) -> str:
        """The command that shows it as it is now."""
        if self.kind in {"qemu", "lxc"}:
            return f"pve guest show {shell_word(self.id)}"
        return f"pve node show {shell_word(self.id)}" if self.kind == "node" else "pve status"

    @property
    def lock_key(self) -> str:
        """What two runs must not work on at the same time. A guest to be is known by its name."""
        if self.is_new:
            return f"new/{self.name or self.id}"
        return f"{self.kind}/{self.id}"


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is done to one target."""

    target: Target
    headline: str
    """The most important fact first: `RUNNING 41d`."""
    guards: dict[str, Scalar]
    """Facts that justify the steps, read again field by field before the first call; before later
    ones those that `Call.holds` names."""
    before: dict[str, Scalar]
    """The state that the audit log keeps."""
    steps: tuple[Step, ...]
    losses: tuple[str, ...] = ()
    """What is gone afterwards, in words; empty: nothing."""
    undo: str = ""
    """The command that takes it back; empty: nothing does."""
    raises: tuple[str, ...] = ()
    """Why this needs more consent than the operation usually does: one tier higher."""
    source: Target | None = None
    """The guest that a new one is made from; the guards are about it."""
    members: tuple[Target, ...] = ()
    """The guests that a pool gains or loses, as they are."""
    stage: int = 0
    """Begun only when every item of a lower stage has ended; those of one stage go together."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole of what a person consents to."""

    format: int
    operation: str
    profile: str
    cluster: str
    """Where it holds: the profile's endpoints and trust, as a short fingerprint."""
    params: dict[str, Scalar]
    items: tuple[Item, ...]
    tier: int
    """With all escalations."""
    tier_reasons: tuple[str, ...]
    actor: str
    reason: str
    created: int
    """Seconds since the epoch."""
    expires: int
    nonce: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()
    """Targets that are already so, by label."""


def canonical_json(plan: Plan) -> bytes:
    """The one byte sequence of a plan: sorted members, no spaces."""
    return msgspec.json.encode(plan, order="sorted")


def plan_hash(encoded: bytes) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(encoded).hexdigest()


def plan_id(encoded: bytes) -> str:
    """`pl_` and the first hex digits of the hash."""
    return "pl_" + plan_hash(encoded)[:_ID_LENGTH]


def decode_plan(encoded: bytes) -> Plan:
    """A plan from its canonical JSON. Raises StoreError when it is none, or of another format."""
    try:
        plan = msgspec.json.decode(encoded, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored plan cannot be read: {error}") from error
    if plan.format != PLAN_FORMAT or canonical_json(plan) != encoded:
        raise StoreError("a stored plan was made by another version of pveops, or was changed")
    return plan


def plain(value: Any) -> Any:
    """Structs as plain dictionaries and lists, for output."""
    return msgspec.to_builtins(value)
