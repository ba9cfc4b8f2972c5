"""Reading and writing through one client."""

from __future__ import annotations

import json

import pytest

from pveops.api.client import Client, Version, parse_version
from pveops.api.port import Request, Response
from pveops.clock import VirtualClock
from pveops.errors import LockedError, ProtocolError, UsageError


class One:
    """A transport with one answer."""

    def __init__(self, data: object, status: int = 200, reason: str = "OK") -> None:
        headers = {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}
        self.response = Response(status, reason, headers, json.dumps({"data": data}).encode())
        self.seen: list[Request] = []

    def send(self, request: Request) -> Response:
        self.seen.append(request)
        return self.response

    def close(self) -> None:
        pass


def test_a_read_gives_data_with_its_parameters_encoded() -> None:
    transport = One([1, 2])
    assert Client(transport, VirtualClock()).get("/x", {"full": True, "none": None}) == [1, 2]
    assert transport.seen == [Request("GET", "/x", (("full", "1"),))]


def test_a_write_is_one_of_three_methods() -> None:
    transport = One(None)
    client = Client(transport, VirtualClock())
    for method in ("POST", "PUT", "DELETE"):
        client.write(method, "/x")
    for method in ("GET", "PATCH", "post"):
        with pytest.raises(UsageError):
            client.write(method, "/x")
    assert len(transport.seen) == 3


def test_escapes_in_names_do_not_come_through() -> None:
    """Whoever may name a guest may write to the reader's terminal otherwise."""
    client = Client(One({"name": "web\x1b[2J\u202e01"}), VirtualClock())
    assert client.get("/x") == {"name": "web01"}


def test_escapes_in_errors_do_not_come_through() -> None:
    client = Client(One(None, 500, "VM is locked (backup)\x1b[31m"), VirtualClock())
    with pytest.raises(LockedError) as caught:
        client.get("/x")
    assert "\x1b" not in caught.value.message + caught.value.details["server"]


def test_the_version_is_asked_once() -> None:
    transport = One({"version": "9.2.11", "release": "9.2", "repoid": "x"})
    client = Client(transport, VirtualClock())
    assert client.version() == client.version() == Version("9.2.11", "9.2", 9, 2)
    assert len(transport.seen) == 1


@pytest.mark.parametrize("data", [None, [], {}, {"version": "x"}, {"version": "nine.two"}])
def test_a_version_that_is_none_is_a_protocol_error(data: object) -> None:
    with pytest.raises(ProtocolError):
        parse_version(data)  # type: ignore[arg-type]


def test_an_old_version_has_a_dash_in_it() -> None:
    assert parse_version({"version": "7.4-20", "release": "7.4"})[2:] == (7, 4)


def test_the_servers_time_goes_on_from_its_last_answer() -> None:
    clock = VirtualClock()
    client = Client(One(None), clock)
    assert client.server_time() == clock.now()
    client.get("/x")
    clock.sleep(5)
    assert client.server_time() == 784111777.0 + 5
