"""Placing guests: never more than fits, the same each time, and a reason for each that stays."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pveops.workflows.allocator import Allocation, Mover, Room, allocate

GIB = 1 << 30
NODES = ("pve1", "pve2", "pve3")
STORAGES = ("fast", "slow", "shared")
SIZES = st.integers(0, 32).map(lambda count: count * GIB)


@st.composite
def movers(draw: st.DrawFn) -> list[Mover]:
    """Up to 14 guests with memory, disks, rules and roles."""
    count = draw(st.integers(0, 14))
    vmids = [100 + number for number in range(count)]
    return [
        Mover(
            vmid=vmid,
            memory_bytes=draw(SIZES),
            space=draw(st.dictionaries(st.sampled_from(STORAGES), SIZES, max_size=2)),
            refused=draw(st.dictionaries(st.sampled_from(NODES), st.just("no bridge"))),
            replicas=frozenset(draw(st.sets(st.sampled_from(NODES), max_size=1))),
            apart=frozenset(draw(st.sets(st.sampled_from([*vmids, 500]), max_size=2))) - {vmid},
            role=draw(st.sampled_from(["", "db", "web"])),
        )
        for vmid in vmids
    ]


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    """Up to three nodes; `shared` is one storage for all."""
    shared = draw(SIZES)
    names = draw(st.lists(st.sampled_from(NODES), unique=True, max_size=3))
    return [
        Room(
            node=name,
            memory_bytes=draw(st.one_of(st.none(), st.integers(-4, 96).map(lambda n: n * GIB))),
            promised_bytes=draw(SIZES),
            space={"fast": draw(SIZES), "slow": draw(SIZES), "shared": shared},
            shared=frozenset({"shared"}),
            vmids=frozenset(draw(st.sets(st.just(500)))),
            roles={"db": draw(st.integers(0, 2))},
        )
        for name in names
    ]


def check_fits(found: Allocation, guests: list[Mover], nodes: list[Room]) -> None:
    """What was placed on each node fits into what it had."""
    memory: Counter[str] = Counter()
    space: Counter[tuple[str, str]] = Counter()
    for mover in guests:
        node = found.placed.get(mover.vmid)
        if node is not None:
            memory[node] += mover.memory_bytes
            for storage, size in mover.space.items():
                space["" if storage == "shared" else node, storage] += size
    for room in nodes:
        assert memory[room.node] <= max(0, room.memory_bytes or 0)
        for storage, free in room.space.items():
            place = "" if storage == "shared" else room.node
            assert space[place, storage] <= free


@settings(max_examples=150, deadline=None)
@given(movers(), rooms(), st.integers(0, 2), st.booleans())
def test_nothing_is_ever_overfilled_and_everybody_is_accounted_for(
    guests: list[Mover], nodes: list[Room], spare: int, is_strict: bool
) -> None:
    found = allocate(guests, nodes, spare=spare, is_strict=is_strict)
    check_fits(found, guests, nodes)
    assert set(found.placed) | set(found.blocked) == {mover.vmid for mover in guests}
    assert not set(found.placed) & set(found.blocked)
    by_vmid = {mover.vmid: mover for mover in guests}
    there = {room.node: set(room.vmids) for room in nodes}
    for vmid, node in found.placed.items():
        assert node not in by_vmid[vmid].refused
        there[node].add(vmid)
    for reasons in found.blocked.values():
        assert reasons
        assert len(reasons) == max(1, len(nodes))
        assert all(reason.split(": ")[-1] for reason in reasons)


@settings(max_examples=100, deadline=None)
@given(movers(), rooms(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    guests: list[Mover], nodes: list[Room], chance: random.Random
) -> None:
    before = allocate(guests, nodes)
    chance.shuffle(guests)
    chance.shuffle(nodes)
    assert allocate(guests, nodes) == before


@settings(max_examples=100, deadline=None)
@given(movers(), rooms())
def test_guests_that_must_not_meet_do_not(guests: list[Mover], nodes: list[Room]) -> None:
    """Rules of HA name each guest in the other's set; here one naming the other is enough."""
    apart = {mover.vmid: set(mover.apart) for mover in guests}
    for mover in guests:
        for other in mover.apart & apart.keys():
            apart[other].add(mover.vmid)
    both = [mover._replace(apart=frozenset(apart[mover.vmid])) for mover in guests]
    found = allocate(both, nodes)
    there = {room.node: room.vmids for room in nodes}
    for vmid, node in found.placed.items():
        assert not apart[vmid] & there[node]
        others = {other for other, place in found.placed.items() if place == node}
        assert not apart[vmid] & others


@settings(max_examples=100, deadline=None)
@given(movers(), rooms(), st.integers(0, 2))
def test_a_spare_node_that_is_asked_for_strictly_is_never_used_up(
    guests: list[Mover], nodes: list[Room], spare: int
) -> None:
    """What fell short of it without any guest moving cannot be mended, and is not made worse."""
    empty = allocate((), nodes, spare=spare, is_strict=True)
    found = allocate(guests, nodes, spare=spare, is_strict=True)
    assert found.spare_short_bytes <= empty.spare_short_bytes
    needed = sum(mover.memory_bytes for mover in guests if mover.vmid in found.placed)
    if empty.spare_short_bytes:
        assert needed == 0


def test_what_has_few_choices_is_placed_first() -> None:
    guests = [
        Mover(101, 8 * GIB),
        Mover(102, 8 * GIB, refused={"pve1": "no bridge vmbr9"}),
    ]
    nodes = [Room("pve1", 8 * GIB), Room("pve2", 8 * GIB)]
    assert allocate(guests, nodes).placed == {101: "pve1", 102: "pve2"}


def test_the_stated_order_breaks_ties() -> None:
    nodes = [
        Room("pve1", 32 * GIB, roles={"db": 1}),
        Room("pve2", 16 * GIB),
        Room("pve3", 16 * GIB),
    ]
    guests = [
        Mover(101, GIB, replicas=frozenset({"pve3"}), role="db"),
        Mover(102, GIB, role="db"),
        Mover(103, GIB),
        Mover(104, 0),
    ]
    placed = allocate(guests, nodes).placed
    assert placed[101] == "pve3", "a replica counts first"
    assert placed[102] == "pve2", "then the fewest of the same role"
    assert placed[103] == "pve1", "then the most memory left"
    even = [Room("pve2", GIB), Room("pve1", GIB)]
    assert allocate([Mover(105, 0)], even).placed == {105: "pve1"}, "then the name"


def test_each_node_says_why_it_does_not_take_a_guest() -> None:
    guest = Mover(101, 8 * GIB, space={"fast": 40 * GIB}, refused={"pve1": "no bridge vmbr9"})
    nodes = [
        Room("pve1", 64 * GIB),
        Room("pve2", 4 * GIB),
        Room("pve3", 64 * GIB, space={"fast": 10 * GIB}),
        Room("pve4", None),
        Room("pve5", 64 * GIB),
    ]
    assert allocate([guest], nodes).blocked == {
        101: (
            "pve1: no bridge vmbr9",
            "pve2: 8.0 GiB of memory wanted, 4.0 GiB left",
            "pve3: 40 GiB of space on fast wanted, 10 GiB left",
            "pve4: its free memory is not known",
            "pve5: it has no fast of known free space",
        )
    }
    assert allocate([guest], []).blocked == {101: ("there is no other node to go to",)}


def test_space_on_a_shared_storage_is_spent_once() -> None:
    guests = [Mover(number, 0, space={"nfs": 6 * GIB}) for number in (101, 102)]
    nodes = [
        Room(name, GIB, space={"nfs": 10 * GIB}, shared=frozenset({"nfs"}))
        for name in ("pve1", "pve2")
    ]
    found = allocate(guests, nodes)
    assert len(found.placed) == 1
    assert len(found.blocked) == 1


def test_the_spare_node_is_told_or_kept() -> None:
    """Two nodes of 10 GiB, 4 in use on each: one may fail as long as 10 stay free in all."""
    nodes = [Room(name, 6 * GIB, promised_bytes=4 * GIB) for name in ("pve1", "pve2")]
    guests = [Mover(101, 2 * GIB), Mover(102, 2 * GIB)]
    assert allocate(guests, nodes).spare_short_bytes == 2 * GIB
    assert allocate(guests, nodes, spare=0).spare_short_bytes == 0
    strict = allocate(guests, nodes, is_strict=True)
    assert strict.placed == {101: "pve1"}
    assert "kept for a failing node" in strict.blocked[102][0]
