"""The policy: how much consent a change needs, by who asks, what, and of whom.

A missing file is the default policy of this module. A person at a terminal is asked in place;
an agent plans and a person consents; what may be lost for good always takes a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from pveops.config.documents import find_line, parse_document, read_document, suggest
from pveops.errors import ConfigError
from pveops.ids import MAX_VMID, MIN_VMID

Action = Literal["at_once", "consent", "deny"]
StrictAction = Literal["consent", "deny"]
Level = Literal["G1", "G2", "G4"]
"""How strong a consent is: G1 is given at the terminal, G2 with a code from another channel, G4
with a signature made on another machine. G3 is no way of consenting: it is the broker."""

_TIERS = ("tier1", "tier2", "tier3")
_FINAL = 3
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86_400

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FilePath = Annotated[str, msgspec.Meta(pattern=r"^(/.*)?$")]
Moment = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Vmid = Annotated[int, msgspec.Meta(ge=MIN_VMID, le=MAX_VMID)]
PlanSeconds = Annotated[int, msgspec.Meta(ge=60, le=_DAY_S)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class TierActions(_Part, frozen=True):
    """What one kind of caller may do, by tier. Reading is always allowed."""

    tier1: Action = "at_once"
    tier2: Action = "consent"
    tier3: StrictAction = "consent"

    def action(self, tier: int) -> Action:
        """The action for a tier from 1 to 3."""
        action: Action = getattr(self, _TIERS[tier - 1])
        return action


class Actors(_Part, frozen=True):
    """By who asks. `unattended` is held one tier higher, so its tier 2 is everybody's tier 1."""

    person: TierActions = TierActions()
    agent: TierActions = TierActions()
    unattended: TierActions = TierActions(tier3="deny")


class Protected(_Part, frozen=True):
    """Guests that are held one tier higher."""

    tags: tuple[Text, ...] = ("prod", "production")
    """Upper and lower case are one, as PVE has it unless told otherwise."""
    pools: tuple[Text, ...] = ()
    """With the pools nested in them."""
    vmids: tuple[Vmid, ...] = ()
    names: tuple[Text, ...] = ()
    """Patterns with `*` and `?`; upper and lower case are one."""

    def why(self, vmid: str, name: str, tags: tuple[str, ...], pool: str) -> str:
        """Which rule protects the guest; empty: none."""
        for tag in tags:
            if tag.lower() in {each.lower() for each in self.tags}:
                return f"the tag {tag!r} is protected"
        for each in self.pools:
            if pool == each or pool.startswith(f"{each}/"):
                return f"the pool {pool!r} is protected"
        if vmid in {str(number) for number in self.vmids}:
            return f"the vmid {vmid} is protected"
        for pattern in self.names:
            if fnmatchcase(name.lower(), pattern.lower()):
                return f"the name pattern {pattern!r} is protected"
        return ""


class MinLevels(_Part, frozen=True):
    """The weakest way of consenting that is enough, by tier."""

    tier2: Level = "G1"
    tier3: Level = "G1"

    def __post_init__(self) -> None:
        if self.tier3 < self.tier2:
            raise ValueError("tier3 takes no weaker consent than tier2")


class GuestCommands(_Part, frozen=True):
    """Commands that may be asked for inside some VMs, by `guest exec`."""

    commands: tuple[Text, ...]
    """Patterns, compared word by word: `*` is one word, at the end any further ones."""
    names: tuple[Text, ...] = ()
    """Patterns with `*` and `?`; upper and lower case are one."""
    tags: tuple[Text, ...] = ()
    vmids: tuple[Vmid, ...] = ()

    def allows(self, vmid: str, name: str, tags: tuple[str, ...], words: Sequence[str]) -> bool:
        """Whether these words may be run in that guest."""
        is_guest = (
            vmid in {str(number) for number in self.vmids}
            or any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.names)
            or bool({tag.lower() for tag in tags} & {tag.lower() for tag in self.tags})
        )
        return is_guest and any(_fits(pattern.split(), words) for pattern in self.commands)


def _fits(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if pattern and pattern[-1] == "*":
        pattern, words = pattern[:-1], words[: len(pattern) - 1]
    return len(pattern) == len(words) and all(
        part in {"*", word} for part, word in zip(pattern, words, strict=True)
    )


class ConsentRules(_Part, frozen=True):
    """How consent is given."""

    ttl_s: Annotated[int, msgspec.Meta(ge=30, le=_DAY_S)] = 600
    """How long a code is valid."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    allow_terminal: bool = True
    """Whether a person at a terminal may agree in place (level G1)."""
    min_level: MinLevels = MinLevels()
    allowed_signers: FilePath = ""
    """A file of OpenSSH's form (`ssh-keygen -Y`, ALLOWED SIGNERS) with whose signatures count."""
    max_open: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    """How many plans of one caller, who is no person, may wait for consent at a time."""
    max_messages_per_hour: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 30
    """How many messages with codes go out within an hour, whoever asks."""
    receipts: bool = True
    """Whether approvals count that an agent's own prompt gave, through the plugin (level G2)."""

    def __post_init__(self) -> None:
        if "G4" in {self.min_level.tier2, self.min_level.tier3} and not self.allowed_signers:
            raise ValueError("a min_level of G4 needs allowed_signers")

    def level_for(self, tier: int) -> Level:
        """The weakest way that is enough for a tier."""
        return self.min_level.tier3 if tier >= _FINAL else self.min_level.tier2

    @property
    def terminal(self) -> bool:
        """Whether G1 is enough for what is disruptive."""
        return self.allow_terminal and self.min_level.tier2 == "G1"

    @property
    def terminal_tier3(self) -> bool:
        """Whether G1 is enough for what cannot be undone."""
        return self.allow_terminal and self.min_level.tier3 == "G1"


class Hours(_Part, frozen=True):
    """When callers that are no person may change things as usual; at other times it takes more."""

    start: Moment = "00:00"
    end: Moment = "23:59"
    """Up to and with this minute; before `start`: over midnight."""
    days: tuple[Day, ...] = _DAYS  # type: ignore[assignment]
    zone: Text = "UTC"

    def __post_init__(self) -> None:
        zone_of(self.zone)

    def covers(self, now: float) -> bool:
        """Whether that moment (seconds since the epoch) is within them."""
        moment = datetime.fromtimestamp(now, zone_of(self.zone))
        minute = f"{moment:%H:%M}"
        if self.start <= self.end:
            return self.start <= minute <= self.end and _DAYS[moment.weekday()] in self.days
        # The part after midnight belongs to the day before.
        day = moment if minute >= self.start else moment - timedelta(days=1)
        is_in = minute >= self.start or minute <= self.end
        return is_in and _DAYS[day.weekday()] in self.days


def zone_of(name: str) -> ZoneInfo:
    """Raises ValueError for a zone that is not known."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


class Grant(_Part, frozen=True):
    """What a person agreed to ahead of time: named tier-2 work, of named guests, for a while."""

    operations: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    until: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    """The last day, in UTC."""
    guests: Protected = Protected(tags=())
    actors: tuple[Literal["agent", "unattended"], ...] = ("agent", "unattended")
    max_targets: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    per_day: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10

    def __post_init__(self) -> None:
        chosen = self.guests
        if not (chosen.tags or chosen.pools or chosen.vmids or chosen.names):
            raise ValueError("a grant names guests: tags, pools, vmids or names")
        try:
            datetime.strptime(self.until, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise ValueError(f"{self.until!r} is no day") from None

    def is_valid(self, now: float) -> bool:
        """Whether its last day has not passed."""
        last = datetime.strptime(self.until, "%Y-%m-%d").replace(tzinfo=UTC)
        return now < last.timestamp() + _DAY_S


class AuditRules(_Part, frozen=True):
    """Where the audit log goes beside its file."""

    anchor: Annotated[str, msgspec.Meta(pattern=r"^(syslog|/.+)?$")] = ""
    """`syslog`, or a file at another place, for the head of the log after each record."""
    required: bool = False
    """Whether nothing is changed while the head does not get there."""
    max_mib: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 16
    """How large a part of the log grows before the next is begun."""


class Policy(_Part, frozen=True):
    """The whole policy."""

    actors: Actors = Actors()
    operations: dict[str, StrictAction] = {}
    """By operation id, for every caller; can only be stricter than the tier is."""
    protected: Protected = Protected()
    max_targets: Annotated[int, msgspec.Meta(ge=1)] = 5
    """More targets than this are held one tier higher."""
    max_changes_per_hour: Annotated[int, msgspec.Meta(ge=0)] = 60
    """After so many changes at once, callers that are no person are held one tier higher."""
    create_pools: tuple[Text, ...] = ()
    """Where guests may be made at tier 1, nested pools included; elsewhere it is tier 2."""
    guest_commands: tuple[GuestCommands, ...] = ()
    """What `guest exec` may be asked for; nothing else is ever run inside a guest."""
    hours: Hours | None = None
    """Outside of them, callers that are no person are held one tier higher."""
    grants: tuple[Grant, ...] = ()
    trash_days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 7
    """How long a deleted guest stays in the trash before it can be purged."""
    audit: AuditRules = AuditRules()
    plan_ttl_s: PlanSeconds = 3600
    plan_ttl_tier3_s: PlanSeconds = 900
    consent: ConsentRules = ConsentRules()

    def allows_command(
        self, vmid: str, name: str, tags: tuple[str, ...], words: Sequence[str]
    ) -> bool:
        """Whether a person has listed that command for that guest."""
        return any(rule.allows(vmid, name, tags, words) for rule in self.guest_commands)

    def allows_creation_in(self, pool: str) -> bool:
        """Whether guests may be made in that pool at tier 1."""
        return any(pool == each or pool.startswith(f"{each}/") for each in self.create_pools)

    @property
    def digest(self) -> str:
        """A short hash, for records."""
        import hashlib

        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


def load_policy(path: Path, known_operations: frozenset[str]) -> Policy:
    """The policy in force. Raises ConfigError with the line of the mistake.

    A policy that cannot be read never falls back to the default one.
    """
    content = read_document(path, "the policy")
    if content is None:
        return Policy()
    label = f"the policy {path}"
    if not content.strip():
        raise ConfigError(
            f"{label} is empty", hint="bring it back, or delete it to use the default policy"
        )
    policy = parse_document(content, Policy, label)
    granted = [name for grant in policy.grants for name in grant.operations]
    for name in (*policy.operations, *granted):
        if name not in known_operations:
            place = "operations" if name in policy.operations else "grants"
            line = find_line(content, place, name)
            raise ConfigError(
                f"{label}, line {line}: there is no operation {name!r}"
                f"{suggest(name, tuple(sorted(known_operations)))}",
                hint="`pve --help` and its groups name them: `pve guest stop` is guest.stop",
            )
    return policy
