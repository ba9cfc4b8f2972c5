"""Requests that are not whole yet."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pveops.broker.intake import READ_S, UNREAD_PER_ACCOUNT, Incoming, make_room
from pveops.broker.peer import Peer
from pveops.cli.broker_message import HEAD
from pveops.clock import VirtualClock
from pveops.errors import ProtocolError

BODY = b'{"program": "pve"}'


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_request_comes_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    incoming = Incoming(ours, Peer(1, 2, 3), VirtualClock())
    assert incoming.read() is None
    assert incoming.is_empty
    for piece in (HEAD.pack(len(BODY))[:2], HEAD.pack(len(BODY))[2:], BODY[:5]):
        theirs.sendall(piece)
        assert incoming.read() is None
        assert not incoming.is_empty
    theirs.sendall(BODY[5:])
    assert incoming.read() == BODY


def test_half_a_request_has_its_time_and_no_more(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    clock = VirtualClock()
    incoming = Incoming(ours, Peer(1, 2, 3), clock)
    theirs.sendall(HEAD.pack(len(BODY)))
    clock.sleep(READ_S - 0.1)
    # A byte now and then buys nobody more time.
    theirs.sendall(BODY[:1])
    assert incoming.read() is None
    assert not incoming.is_late
    clock.sleep(0.1)
    assert incoming.is_late


def test_who_leaves_in_the_middle_is_told_apart(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    incoming = Incoming(ours, Peer(1, 2, 3), VirtualClock())
    theirs.sendall(HEAD.pack(len(BODY)) + BODY[:3])
    theirs.close()
    with pytest.raises(ProtocolError, match="in the middle"):
        incoming.read()


def test_the_oldest_of_an_account_gives_way_to_its_own(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    clock = VirtualClock()
    others = [Incoming(pair[0], Peer(1, 7, 7), clock)]
    own = [Incoming(pair[0], Peer(n, 8, 8), clock) for n in range(UNREAD_PER_ACCOUNT)]
    waiting = [*others, *own]
    assert make_room(waiting, 8) is own[0]
    assert make_room(waiting, 7) is None
