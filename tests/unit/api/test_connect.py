"""The usual stack of transports, over real TLS connections on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pveops.api.auth import Secret, TokenAuth
from pveops.api.client import Client
from pveops.api.connect import connect
from pveops.api.endpoint import Endpoint, trust_authority, trust_pin
from pveops.clock import VirtualClock
from pveops.errors import AuthenticationError, ConfigError, TlsError, WriteNotAllowedError

if TYPE_CHECKING:
    from .conftest import Certificate, Mint, Server

AUTH = TokenAuth("ops@pve!agent", Secret("-".join(["aa"] * 5)))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def enter(clock: VirtualClock) -> Iterator[Callable[..., Client]]:
    """Makes clients and closes them at the end."""
    with ExitStack() as stack:

        def enter(*endpoints: Endpoint, **options: Any) -> Client:
            client = connect(endpoints, AUTH, clock, **options)
            stack.callback(client.close)
            return client

        yield enter


def test_a_read_goes_out_with_the_token(
    endpoint: Endpoint, server: Server, enter: Callable[..., Client]
) -> None:
    server.script = lambda handler: handler.answer_data(handler.headers["Authorization"])
    lines: list[str] = []
    client = enter(endpoint, trace=lines.append)
    assert client.get("/version") == "PVEAPIToken=ops@pve!agent=aa-aa-aa-aa-aa"
    assert len(lines) == 1
    assert "aa-aa" not in lines[0]


def test_only_a_client_that_may_write_writes(
    endpoint: Endpoint, server: Server, enter: Callable[..., Client]
) -> None:
    with pytest.raises(WriteNotAllowedError):
        enter(endpoint).write("POST", "/pools", {"poolid": "p1"})
    assert server.seen == []
    enter(endpoint, may_write=True).write("POST", "/pools", {"poolid": "p1"})
    assert [seen.body for seen in server.seen] == [b"poolid=p1"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_endpoint_that_is_down_is_passed_over_and_the_good_one_remembered(
    endpoint: Endpoint, authority: Certificate, enter: Callable[..., Client], method: str
) -> None:
    told: list[str] = []
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        down = Endpoint("127.0.0.1", reserved.getsockname()[1], trust_authority(authority.pem))
        client = enter(down, endpoint, may_write=True, remember=told.append)
        client.get("/version") if method == "GET" else client.write("POST", "/pools")
    assert told == [endpoint.authority]


def test_a_token_goes_to_no_endpoint_that_is_not_trusted(
    serve: Callable[[Certificate], Server],
    mint: Mint,
    leaf: Certificate,
    enter: Callable[..., Client],
) -> None:
    """The one that is trusted does not exist; the other must not get the token for that."""
    impostor = serve(mint.leaf("other-node", mint.authority("evil-ca"), "IP:127.0.0.1"))
    with pytest.raises(TlsError):
        enter(impostor.endpoint(trust_pin(leaf.fingerprint))).get("/version")
    assert impostor.seen == []


def test_a_refused_token_is_an_authentication_error_after_one_request(
    endpoint: Endpoint, server: Server, enter: Callable[..., Client]
) -> None:
    server.script = lambda handler: handler.answer(401, b"", Connection="close")
    with pytest.raises(AuthenticationError):
        enter(endpoint).get("/version")
    assert len(server.seen) == 1


def test_no_endpoint_is_a_fault_of_the_configuration(clock: VirtualClock) -> None:
    with pytest.raises(ConfigError):
        connect([], AUTH, clock)
