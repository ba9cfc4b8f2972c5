"""A whole look: the fast one, the slow ones that are due, and a few guests.

Beside what goes with nodes and storages a look takes at most twelve requests, however many
guests there are (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.domain.backup_survey import read_configured
from pveops.engine.pool import run_bounded
from pveops.errors import PveopsError
from pveops.monitor.alerts import Seen
from pveops.monitor.guest_notes import (
    COST,
    GuestNote,
    Reading,
    check_guests,
    choose_guests,
    count_unread,
    list_denied,
)
from pveops.monitor.parts import Part, Sight, SlowLook, tell_problems
from pveops.monitor.scan import Look, blind_spots, judge, lost, try_look
from pveops.monitor.slow_looks import Scene, list_slow_looks, needs_configured
from pveops.operations.findings import Finding
from pveops.operations.health_nodes import merge_skews
from pveops.operations.limits import LIMITS, Limits

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.access import Permissions
    from pveops.domain.guest import Guest

MOST_REQUESTS = 12
"""Of one look, beside those that go with nodes and storages."""


class Memory(NamedTuple):
    """What one look hands to the next."""

    parts: Mapping[str, Part]
    notes: Mapping[int, GuestNote]


NOTHING = Memory({}, {})


class Survey(NamedTuple):
    """What came of a whole look."""

    seen: Seen
    blind: tuple[str, ...]
    memory: Memory


def survey(
    client: Client,
    now: int,
    limits: Limits = LIMITS,
    memory: Memory = NOTHING,
    *,
    is_whole: bool = False,
) -> Survey:
    """Look at everything whose time has come; with `is_whole`, at everything, and every guest."""
    look = try_look(client)
    if isinstance(look, Finding):
        return Survey(*lost(look, now), memory)
    scene = _set_scene(client, look, now, limits)
    looks = list_slow_looks(scene)
    allowed, denied = _sort_out(scene, looks)
    due = [each for each in allowed if is_whole or each.is_due(memory.parts.get(each.key), now)]
    spent = look.requests
    is_configured_read = any(needs_configured(each.key) for each in due)
    # The list of storages, and the backup jobs.
    spent += is_configured_read + any(each.key == "backups" for each in due)
    room = None if is_whole else max(0, MOST_REQUESTS - spent)
    notes = _read_guests(Reading(client, scene.permissions, now), look, memory.notes, room, limits)
    scene = scene._replace(
        configured=read_configured(client) if is_configured_read else None,
        created={vmid: note.created for vmid, note in notes.items()},
    )
    parts = _read_parts(scene, due, looks, memory.parts)
    blind = (*blind_spots(look), *_blind(scene, looks, denied, parts, notes))
    return Survey(_judge_all(look, scene, parts, notes), blind, Memory(parts, notes))


def recall(client: Client, look: Look, now: int, limits: Limits, memory: Memory) -> Survey:
    """What a fast look comes to with what the slow ones saw before; nothing is asked."""
    scene = _set_scene(client, look, now, limits)
    looks = list_slow_looks(scene)
    allowed, denied = _sort_out(scene, looks)
    parts = {each.key: memory.parts[each.key] for each in looks if each.key in memory.parts}
    there = {guest.vmid for guest in scene.inventory.guests}
    notes = {vmid: note for vmid, note in memory.notes.items() if vmid in there}
    never = _tell_never([each for each in allowed if each.key not in parts])
    blind = (*blind_spots(look), *never, *_blind(scene, looks, denied, parts, notes))
    return Survey(_judge_all(look, scene, parts, notes), blind, memory)


def _tell_never(looks: list[SlowLook]) -> Iterator[str]:
    whats = dict.fromkeys(each.what for each in looks if not each.is_of_storage)
    courses = sum(each.is_of_storage for each in looks)
    told = (*whats, f"courses of {courses} storages") if courses else tuple(whats)
    if told:
        yield f"not looked at yet: {', '.join(told)} (pve monitor run)"


def _sort_out(scene: Scene, looks: tuple[SlowLook, ...]) -> tuple[list[SlowLook], list[SlowLook]]:
    """Of what can be looked at now: what the token may see, and what it may not."""
    gone = scene.inventory.nodes_not_online
    online = [each for each in looks if each.is_reachable and each.node not in gone]
    allowed = [each for each in online if _is_allowed(each, scene.permissions)]
    return allowed, [each for each in online if each not in allowed]


def _set_scene(client: Client, look: Look, now: int, limits: Limits) -> Scene:
    return Scene(
        client,
        look.health.view.inventory,
        look.health.permissions,
        None,
        {},
        limits,
        now,
    )


def _is_allowed(each: SlowLook, permissions: Permissions | None) -> bool:
    """What the token is going to be refused need not be asked."""
    if permissions is None or not each.needs:
        return True
    return any(permissions.allows(path, each.privilege) for path in each.needs)


def _read_parts(
    scene: Scene, due: list[SlowLook], looks: tuple[SlowLook, ...], before: Mapping[str, Part]
) -> dict[str, Part]:
    now = scene.now

    def read(index: int) -> Part:
        each = due[index]
        try:
            return Part(now, now, each.read(scene))
        except PveopsError as error:
            old = before.get(each.key, Part())
            return msgspec.structs.replace(old, tried=now, problem=error.message)

    fresh = run_bounded([each.node for each in due], read) if due else ()
    known = {each.key: before[each.key] for each in looks if each.key in before}
    return {**known, **{each.key: part for each, part in zip(due, fresh, strict=True)}}


def _read_guests(
    reading: Reading,
    look: Look,
    notes: Mapping[int, GuestNote],
    room: int | None,
    limits: Limits,
) -> dict[int, GuestNote]:
    """Look into guests as long as there is room for what one may cost; room: in requests."""
    inventory = look.health.view.inventory
    gone = frozenset(inventory.nodes_not_online)
    waiting = choose_guests(inventory.guests, notes, gone, reading.now, room, limits)
    fresh: dict[int, GuestNote] = {}
    while waiting and (room is None or room >= COST):
        count = len(waiting) if room is None else room // COST
        chosen, waiting = waiting[:count], waiting[count:]
        taken = run_bounded([guest.node for guest in chosen], _noting(reading, chosen, notes))
        fresh |= {guest.vmid: note for guest, (note, _) in zip(chosen, taken, strict=True)}
        room = None if room is None else room - sum(cost for _, cost in taken)
    known = {guest.vmid: notes[guest.vmid] for guest in inventory.guests if guest.vmid in notes}
    return known | fresh


def _noting(
    reading: Reading, chosen: tuple[Guest, ...], notes: Mapping[int, GuestNote]
) -> Callable[[int], tuple[GuestNote, int]]:
    return lambda index: reading.take_note(chosen[index], notes.get(chosen[index].vmid))


def _judge_all(
    look: Look, scene: Scene, parts: Mapping[str, Part], notes: Mapping[int, GuestNote]
) -> Seen:
    fast = judge(look, scene.now, scene.limits)
    sights = [part.sight for part in parts.values()]
    nodes = len(scene.inventory.nodes)
    found = [found for each in sights for found in each.findings]
    slow = merge_skews(found, nodes, scene.limits)
    guests = tuple(check_guests(scene.inventory.guests, notes, scene.now, scene.limits))
    return fast._replace(
        findings=(*fast.findings, *slow, *guests),
        held=(*fast.held, *(found for each in sights for found in each.held)),
        unseen=(*fast.unseen, *(pair for each in sights for pair in each.unseen)),
    )


def _blind(
    scene: Scene,
    looks: tuple[SlowLook, ...],
    denied: list[SlowLook],
    parts: Mapping[str, Part],
    notes: Mapping[int, GuestNote],
) -> Iterator[str]:
    whats: dict[str, list[SlowLook]] = {}
    for each in denied:
        whats.setdefault(each.what, []).append(each)
    for what, lacking in whats.items():
        first = lacking[0]
        path = first.needs[-1] if len(lacking) == 1 else first.needs[-1].rpartition("/")[0] or "/"
        yield f"{what} (needs {first.privilege} on {path})"
    yield from tell_problems(looks, parts)
    sights: list[Sight] = [part.sight for part in parts.values()]
    yield from (text for each in sights for text in each.blind)
    guests = scene.inventory.guests
    yield from list_denied(guests, scene.permissions)
    unread = count_unread(guests, notes)
    if unread:
        yield (
            f"snapshots, agents and onboot of {unread} of {len(guests)} guests, which were not "
            "looked into yet (pve monitor run --all)"
        )
