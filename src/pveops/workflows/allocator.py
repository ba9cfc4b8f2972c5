"""Which guest goes to which node. Pure, and the same for the same input in any order.

Guests are placed one after the other: those with the fewest nodes to choose from first, then the
largest by memory, then by disks, then by vmid. Of the nodes that can take a guest, these decide,
in this order: it has a replica of the guest; it has the fewest guests of the same role; the most
memory is left there afterwards; its name. Nothing is moved out of the way for another guest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pveops.units import format_bytes


class Mover(NamedTuple):
    """A guest that is to go somewhere.

    memory_bytes: what it may take there; 0 when it is stopped. space: bytes by storage of the
    target. refused: node -> why it can never go there. apart: vmids that it must not meet.
    role: guests of the same role rather go to different nodes; empty: it has none.
    """

    vmid: int
    memory_bytes: int
    space: Mapping[str, int] = {}
    refused: Mapping[str, str] = {}
    replicas: frozenset[str] = frozenset()
    apart: frozenset[int] = frozenset()
    role: str = ""


class Room(NamedTuple):
    """A node that guests can go to, with what it has before any has come.

    memory_bytes: promised to nobody; None: not known, so nothing that runs goes there.
    promised_bytes: what its own guests may take. space: free bytes by storage.
    shared: storages whose free space is the same on each node. roles: role -> guests of it.
    """

    node: str
    memory_bytes: int | None
    promised_bytes: int = 0
    space: Mapping[str, int] = {}
    shared: frozenset[str] = frozenset()
    vmids: frozenset[int] = frozenset()
    roles: Mapping[str, int] = {}


class Allocation(NamedTuple):
    """What came of it; each mover is either placed or blocked.

    blocked: vmid -> one reason a node, `pve3: ...`, never empty.
    spare_short_bytes: so much memory is missing for as many nodes to fail as asked for; 0: their
    guests would fit into what the others have left.
    """

    placed: Mapping[int, str]
    blocked: Mapping[int, tuple[str, ...]]
    spare_short_bytes: int


def allocate(
    movers: Iterable[Mover], rooms: Iterable[Room], *, spare: int = 1, is_strict: bool = False
) -> Allocation:
    """Place every guest that fits, and say of each other one why no node takes it.

    spare: how many of the nodes may fail afterwards with what ran on them still fitting into the
    others' memory, taken together. is_strict: guests that would use that up stay; otherwise it is
    only told.
    """
    board = _Board(sorted(rooms, key=lambda room: room.node), spare, is_strict=is_strict)
    placed: dict[int, str] = {}
    blocked: dict[int, tuple[str, ...]] = {}
    for mover in sorted(movers, key=board.rank):
        reasons = {name: board.refuse(mover, name) for name in board.names}
        choice = [name for name, reason in reasons.items() if not reason]
        if choice:
            node = min(choice, key=lambda name: board.preference(mover, name))
            board.take(mover, node)
            placed[mover.vmid] = node
        else:
            told = tuple(f"{name}: {reason}" for name, reason in reasons.items())
            blocked[mover.vmid] = told or ("there is no other node to go to",)
    return Allocation(placed, blocked, board.spare_short_bytes)


class _Board:
    """What is left while guests are being placed."""

    def __init__(self, rooms: list[Room], spare: int, *, is_strict: bool) -> None:
        self.names = tuple(room.node for room in rooms)
        self._rooms = {room.node: room for room in rooms}
        self._memory = {room.node: room.memory_bytes for room in rooms}
        self._space = {room.node: dict(room.space) for room in rooms}
        self._vmids = {room.node: set(room.vmids) for room in rooms}
        self._roles = {room.node: dict(room.roles) for room in rooms}
        self._is_strict = is_strict
        whole = sorted((_whole(room) for room in rooms), reverse=True)
        self._kept_free = sum(whole[: max(0, spare)])

    def rank(self, mover: Mover) -> tuple[int, int, int, int]:
        """The order in which guests are placed."""
        choices = sum(name not in mover.refused for name in self.names)
        return choices, -mover.memory_bytes, -sum(mover.space.values()), mover.vmid

    def preference(self, mover: Mover, node: str) -> tuple[bool, int, int, str]:
        """The order in which nodes are chosen: the least comes first."""
        crowd = self._roles[node].get(mover.role, 0) if mover.role else 0
        left = (self._memory[node] or 0) - mover.memory_bytes
        return node not in mover.replicas, crowd, -left, node

    def refuse(self, mover: Mover, node: str) -> str:
        """Why the guest cannot go there now; empty when it can."""
        if node in mover.refused:
            return mover.refused[node]
        others = sorted(self._vmids[node] & mover.apart)
        if others:
            return f"a rule keeps it apart from {', '.join(map(str, others))}"
        return self._refuse_memory(mover, node) or self._refuse_space(mover, node)

    def _refuse_memory(self, mover: Mover, node: str) -> str:
        if not mover.memory_bytes:
            return ""
        left = self._memory[node]
        if left is None:
            return "its free memory is not known"
        if mover.memory_bytes > left:
            return _short(mover.memory_bytes, "memory", left)
        if self._is_strict and mover.memory_bytes > self._free_bytes - self._kept_free:
            return "it would use up the memory that is kept for a failing node"
        return ""

    def _refuse_space(self, mover: Mover, node: str) -> str:
        for storage, size in sorted(mover.space.items()):
            left = self._space[node].get(storage)
            if left is None:
                return f"it has no {storage} of known free space"
            if size > left:
                return _short(size, f"space on {storage}", left)
        return ""

    def take(self, mover: Mover, node: str) -> None:
        """The guest goes there."""
        left = self._memory[node]
        if left is not None:
            self._memory[node] = left - mover.memory_bytes
        for storage, size in mover.space.items():
            is_shared = storage in self._rooms[node].shared
            for name in self.names if is_shared else (node,):
                if storage in self._space[name]:
                    self._space[name][storage] -= size
        self._vmids[node].add(mover.vmid)
        if mover.role:
            self._roles[node][mover.role] = self._roles[node].get(mover.role, 0) + 1

    @property
    def _free_bytes(self) -> int:
        return sum(max(0, left or 0) for left in self._memory.values())

    @property
    def spare_short_bytes(self) -> int:
        """What is missing for the spare nodes."""
        return max(0, self._kept_free - self._free_bytes)


def _whole(room: Room) -> int:
    """All that a node has for guests: what it loses when it fails, and others would need."""
    return room.promised_bytes + max(0, room.memory_bytes or 0)


def _short(wanted: int, what: str, left: int) -> str:
    return f"{format_bytes(wanted)} of {what} wanted, {format_bytes(max(0, left))} left"
