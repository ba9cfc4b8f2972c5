"""What only a guest's own configuration, snapshots and agent tell, gathered bit by bit.

That costs up to three requests a guest, so a look goes on with a few of them where the last one
ended, and keeps notes. Whoever is in trouble is looked at again sooner; a guest that is off and
that its note says to start at boot is looked at anew before anybody is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.domain.access import Permissions
from pveops.domain.guest import Guest
from pveops.errors import PveopsError
from pveops.operations.findings import Finding
from pveops.operations.health import subject_of, tell_not_running
from pveops.units import DAY_S, HOUR_S, MINUTE_S, format_duration

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.operations.limits import Limits

COST = 3
"""Requests that a look at one guest may take."""
_ROUND_S = DAY_S
_TROUBLE_S = HOUR_S
_SUSPECT_S = 4 * MINUTE_S
_SETTLED_S = 15 * MINUTE_S
"""So long after its start a guest's agent may still be silent."""
_CONVINCED = 2
"""So many looks one after the other at which an agent was silent."""
_ASKING = ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor")
"""Any of them lets the agent be asked; the last one before 9.0."""
_SILENCE = ("guest agent is not running", "got timeout")
"""qemu-server Agent.pm: nobody answered a ping within three seconds."""
_UNMANAGED = frozenset({"", "ignored"})


class GuestNote(msgspec.Struct, frozen=True, array_like=True):
    """One guest, at the newest look. Times are seconds since the epoch.

    tried, read: 0: never. was_stopped: it was off then. created: 0: not known. snapshot: the
    oldest one, and snapshot_at when it was taken; 0: there is none. silent: how many looks one
    after the other its agent gave no answer.
    """

    tried: int = 0
    read: int = 0
    starts_on_boot: bool = False
    was_stopped: bool = False
    created: int = 0
    snapshot: str = ""
    snapshot_at: int = 0
    silent: int = 0


_NEW = GuestNote()


def choose_guests(
    guests: Iterable[Guest],
    notes: Mapping[int, GuestNote],
    gone: frozenset[str],
    now: int,
    room: int | None,
    limits: Limits,
) -> tuple[Guest, ...]:
    """Whom to look at: those in doubt or trouble and the others in turns, the longest due first.

    gone: nodes that do not answer. room: how many at most; None: all of them.
    """
    there = [guest for guest in guests if guest.node not in gone]
    if room is None:
        return tuple(there)
    urgent: list[tuple[int, int, Guest]] = []
    others: list[tuple[int, int, Guest]] = []
    for guest in there:
        note = notes.get(guest.vmid, _NEW)
        period = _period_of(guest, note, now, limits)
        if note.tried and now - note.tried < period:
            continue
        queue = urgent if note.tried and period < _ROUND_S else others
        queue.append((note.tried + period, guest.vmid, guest))
    turns = zip_longest(sorted(urgent), sorted(others))
    return tuple(each[2] for pair in turns for each in pair if each is not None)[:room]


def _period_of(guest: Guest, note: GuestNote, now: int, limits: Limits) -> int:
    is_doubtful = 0 < note.silent < _CONVINCED or _is_off_by_surprise(guest, note)
    if is_doubtful:
        return _SUSPECT_S
    return _TROUBLE_S if any(_check_guest(guest, note, now, limits)) else _ROUND_S


def _is_off_by_surprise(guest: Guest, note: GuestNote) -> bool:
    """Off, should be on, and nobody has read its configuration since it went off."""
    return guest.status == "stopped" and note.starts_on_boot and not note.was_stopped


class Reading(NamedTuple):
    """How notes are made. permissions: None: nobody knows, so everything is tried."""

    client: Client
    permissions: Permissions | None
    now: int

    def may_ask_agent(self, guest: Guest) -> bool:
        """Whether the token may talk to the guest's agent."""
        return self.permissions is None or any(
            self.permissions.allows(f"/vms/{guest.vmid}", privilege) for privilege in _ASKING
        )

    def take_note(self, guest: Guest, before: GuestNote | None) -> tuple[GuestNote, int]:
        """The note, and the one to three requests it took. What cannot be read is as it was."""
        from pveops.domain.guest import read_guest_config
        from pveops.domain.snapshot import read_snapshots

        note = msgspec.structs.replace(before or _NEW, tried=self.now)
        cost = 1
        try:
            config = read_guest_config(self.client, guest.ref)
            # Whoever has snapshots derives from one.
            cost += bool(config.get("parent"))
            taken = read_snapshots(self.client, guest.ref).all if config.get("parent") else ()
        except PveopsError:
            return note, cost
        oldest = min(taken, key=lambda each: each.snaptime, default=None)
        silent = 0
        if guest.kind == "qemu" and guest.status == "running" and _has_agent(config.get("agent")):
            is_asked = self._is_to_be_asked(guest)
            cost += is_asked
            silent = self._ask_agent(guest, note.silent) if is_asked else note.silent
        fresh = GuestNote(
            tried=self.now,
            read=self.now,
            starts_on_boot=config.starts_on_boot and not guest.is_template,
            was_stopped=guest.status == "stopped",
            created=config.created_at,
            snapshot=oldest.name if oldest else "",
            snapshot_at=oldest.snaptime if oldest else 0,
            silent=silent,
        )
        return fresh, cost

    def _is_to_be_asked(self, guest: Guest) -> bool:
        """Not while it starts, or somebody works on it."""
        is_busy = bool(guest.lock) or guest.uptime_s < _SETTLED_S
        return not is_busy and self.may_ask_agent(guest)

    def _ask_agent(self, guest: Guest, silent: int) -> int:
        """How many times it was silent now."""
        try:
            self.client.get(guest.ref.path("agent", "info"))
        except PveopsError as error:
            is_silent = any(word in error.message for word in _SILENCE)
            return silent + 1 if is_silent else silent
        return 0


def _has_agent(option: str) -> bool:
    """`1`, `enabled=1,fstrim_cloned_disks=1`."""
    words = [word.removeprefix("enabled=") for word in option.split(",")]
    return words[0] == "1" or "enabled=1" in option.split(",")


def check_guests(
    guests: Iterable[Guest], notes: Mapping[int, GuestNote], now: int, limits: Limits
) -> Iterator[Finding]:
    """What the notes say, of guests as they are now."""
    for guest in guests:
        note = notes.get(guest.vmid)
        if note is not None and note.read:
            yield from _check_guest(guest, note, now, limits)


def _check_guest(guest: Guest, note: GuestNote, now: int, limits: Limits) -> Iterator[Finding]:
    subject, vmid = subject_of(guest), guest.vmid
    is_off = guest.status == "stopped" and note.was_stopped
    if is_off and note.starts_on_boot and guest.hastate in _UNMANAGED:
        yield tell_not_running(guest)
    if note.silent >= _CONVINCED and guest.status == "running":
        text = f"the guest agent of {guest.name} is configured, and gives no answer"
        remedy = f"pve guest doctor {vmid}"
        yield Finding("guest.agent-silent", "warn", subject, text, "agent/info", remedy)
    age_s = now - note.snapshot_at
    if note.snapshot_at and limits.snapshot_days and age_s > limits.snapshot_days * DAY_S:
        text = f"the snapshot {note.snapshot} of {guest.name} is {format_duration(age_s)} old"
        yield Finding(
            "guest.snapshot-old", "warn", subject, text, "snapshot", f"pve snapshot list {vmid}"
        )


def count_unread(guests: Sequence[Guest], notes: Mapping[int, GuestNote]) -> int:
    """How many guests nobody has looked into yet."""
    return sum(not notes.get(guest.vmid, _NEW).read for guest in guests)


def list_denied(guests: Iterable[Guest], permissions: Permissions | None) -> Iterator[str]:
    """Blind spots: agents that the token may not ask."""
    if permissions is None:
        return
    denied = sum(
        guest.kind == "qemu"
        and not any(permissions.allows(f"/vms/{guest.vmid}", each) for each in _ASKING)
        for guest in guests
    )
    if denied:
        yield (
            f"whether the agents of {denied} VMs answer "
            "(needs VM.GuestAgent.Audit on /vms; VM.Monitor before 9.0)"
        )
