"""The HTTPS transport against a real TLS server on loopback."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest

from pveops.api.endpoint import Endpoint, trust_authority
from pveops.api.https import HttpsTransport
from pveops.api.port import Request
from pveops.clock import VirtualClock
from pveops.errors import OutcomeUnknownError, UnreachableError, UsageError

if TYPE_CHECKING:
    from .conftest import Certificate, Handler, Server

GET = Request("GET", "/version")
POST = Request("POST", "/nodes/pve1/qemu/100/status/start")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def transport(endpoint: Endpoint, clock: VirtualClock) -> Iterator[HttpsTransport]:
    transport = HttpsTransport(endpoint, clock=clock, read_timeout_s=5)
    yield transport
    transport.close()


def test_a_get_has_its_parameters_in_the_query(transport: HttpsTransport, server: Server) -> None:
    transport.send(GET._replace(params=(("a", "x=1;y"), ("b", "+1 G"))))
    (seen,) = server.seen
    assert seen.path == "/api2/json/version?a=x%3D1%3By&b=%2B1%20G"
    assert seen.body == b""
    assert "content-length" not in seen.headers


def test_a_delete_has_no_body(transport: HttpsTransport, server: Server) -> None:
    """A body on DELETE is a 501 (pve-http-server AnyEvent.pm)."""
    transport.send(Request("DELETE", "/pools/p1", (("force", "1"),)))
    (seen,) = server.seen
    assert (seen.path, seen.body) == ("/api2/json/pools/p1?force=1", b"")
    assert "content-type" not in seen.headers


def test_a_post_carries_a_form_with_repeated_keys(
    transport: HttpsTransport, server: Server
) -> None:
    pairs = (("command", "ls"), ("command", "-l"), ("net0", "virtio=AA,bridge=vmbr0"))
    transport.send(POST._replace(params=pairs))
    (seen,) = server.seen
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"virtio%3DAA" in seen.body
    assert tuple(parse_qsl(seen.body.decode())) == pairs


def test_nothing_is_expected_or_kept_beside_the_request(
    transport: HttpsTransport, server: Server
) -> None:
    server.script = lambda handler: handler.answer(200, Set_Cookie="PVEAuthCookie=x")
    transport.send(POST)
    transport.send(POST)
    for seen in server.seen:
        assert not {"expect", "cookie", "transfer-encoding"} & seen.headers.keys()


def test_one_connection_serves_many_requests(transport: HttpsTransport, server: Server) -> None:
    for _ in range(10):
        transport.send(GET)
        transport.send(POST)
    assert {seen.connection for seen in server.seen} == {1}


def test_a_connection_is_left_after_a_hundred_requests(
    transport: HttpsTransport, server: Server
) -> None:
    """The limit is pveproxy's own."""
    for _ in range(101):
        transport.send(GET)
    assert [seen.connection for seen in server.seen] == [1] * 100 + [2]


def test_a_connection_idle_for_more_than_four_seconds_is_left(
    transport: HttpsTransport, server: Server, clock: VirtualClock
) -> None:
    """After 5 s pveproxy closes it."""
    transport.send(GET)
    clock.sleep(3.9)
    transport.send(GET)
    clock.sleep(4.1)
    transport.send(GET)
    assert [seen.connection for seen in server.seen] == [1, 1, 2]


def test_a_connection_that_the_server_closed_is_noticed_before_a_write(
    transport: HttpsTransport, server: Server
) -> None:
    def answer_and_hang_up(handler: Handler) -> None:
        handler.answer()
        handler.hang_up()

    server.script = answer_and_hang_up
    for _ in range(5):
        transport.send(GET)
    assert len(server.seen) == 5


def test_close_and_keep_alive_together_keep_a_read_and_not_a_write(
    transport: HttpsTransport, server: Server
) -> None:
    """Proxied answers of PVE carry both headers."""
    server.script = lambda handler: handler.answer(200, Connection=["close", "Keep-Alive"])
    transport.send(GET)
    server.script = lambda handler: handler.answer()
    transport.send(POST)
    assert [seen.connection for seen in server.seen][1] == 2


def test_an_error_status_is_an_answer(transport: HttpsTransport, server: Server) -> None:
    server.script = lambda handler: handler.answer(500, b"", Connection="close")
    response = transport.send(POST)
    assert (response.status, response.body) == (500, b"")
    assert response.endpoint == f"127.0.0.1:{server.server_port}"


def test_a_redirect_is_not_followed(transport: HttpsTransport, server: Server) -> None:
    server.script = lambda handler: handler.answer(301, b"", Location="https://127.0.0.1/")
    assert transport.send(GET).status == 301
    assert len(server.seen) == 1


def test_a_compressed_answer_is_inflated(transport: HttpsTransport, server: Server) -> None:
    """PVE compresses some logs even when not asked to."""
    body = b'{"data":"' + b"x" * 5000 + b'"}'
    server.script = lambda handler: handler.answer(
        200, gzip.compress(body), Content_Encoding="gzip"
    )
    assert transport.send(GET).body == body


def test_a_write_without_an_answer_is_of_unknown_outcome_and_sent_once(
    transport: HttpsTransport, server: Server
) -> None:
    server.script = lambda handler: handler.hang_up()
    with pytest.raises(OutcomeUnknownError) as caught:
        transport.send(POST)
    assert caught.value.details["sent"] is True
    assert len(server.seen) == 1


def test_a_write_with_half_an_answer_is_of_unknown_outcome(
    transport: HttpsTransport, server: Server
) -> None:
    def half(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        handler.hang_up()

    server.script = half
    with pytest.raises(OutcomeUnknownError):
        transport.send(POST)


def test_a_read_without_an_answer_is_unreachable_after_it_was_sent(
    transport: HttpsTransport, server: Server
) -> None:
    server.script = lambda handler: handler.hang_up()
    with pytest.raises(UnreachableError) as caught:
        transport.send(GET)
    assert caught.value.details["sent"] is True


def test_a_read_on_a_kept_connection_that_died_is_read_anew(
    transport: HttpsTransport, server: Server
) -> None:
    transport.send(GET)
    server.script = lambda handler: (
        handler.hang_up() if len(server.seen) == 2 else handler.answer_data(7)
    )
    assert transport.send(GET).body == b'{"data": 7}'
    assert [seen.connection for seen in server.seen] == [1, 1, 2]


def test_a_write_on_a_kept_connection_that_died_is_not_sent_again(
    transport: HttpsTransport, server: Server
) -> None:
    transport.send(POST)
    server.script = lambda handler: handler.hang_up()
    with pytest.raises(OutcomeUnknownError):
        transport.send(POST)
    assert len(server.seen) == 2


def test_what_is_no_http_is_quoted_without_its_escapes(
    transport: HttpsTransport, server: Server
) -> None:
    def babble(handler: Handler) -> None:
        handler.wfile.write(b"SSH-2.0 \x1b[2Jsurprise" + b"x" * 5000 + b"\r\n")
        handler.hang_up()

    server.script = babble
    with pytest.raises(UnreachableError, match=r"SSH-2\.0 surprise") as caught:
        transport.send(GET)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


def test_an_answer_too_late_is_lost(endpoint: Endpoint, server: Server) -> None:
    server.script = lambda handler: handler.rfile.read(1) and None
    transport = HttpsTransport(endpoint)
    with pytest.raises(OutcomeUnknownError):
        transport.send(POST._replace(read_timeout_s=0.05))


def test_a_closed_port_is_known_to_have_got_nothing(authority: Certificate) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        endpoint = Endpoint("127.0.0.1", port, trust_authority(authority.pem))
        with pytest.raises(UnreachableError) as caught:
            HttpsTransport(endpoint).send(POST)
    assert caught.value.details["sent"] is False


def test_the_environments_proxies_and_netrc_are_not_read(
    transport: HttpsTransport,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport.send(GET)
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize("path", ["version", "/a b", "/a\r\nX: y", "/\u00e4", ""])
def test_a_path_that_is_not_encoded_is_refused(transport: HttpsTransport, path: str) -> None:
    with pytest.raises(UsageError):
        transport.send(Request("GET", path))


def test_a_header_cannot_start_another_line(transport: HttpsTransport, server: Server) -> None:
    with pytest.raises(UsageError):
        transport.send(GET._replace(headers=(("Authorization", "x\r\nCookie: y"),)))
    assert server.seen == []


def test_threads_share_a_transport_and_never_an_answer(endpoint: Endpoint, server: Server) -> None:
    server.script = lambda handler: handler.answer_data(handler.path)
    transport = HttpsTransport(endpoint)

    def ask(number: int) -> bool:
        path = f"/nodes/n{number}"
        return f'"/api2/json{path}"'.encode() in transport.send(Request("GET", path)).body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    transport.close()
    assert max(seen.connection for seen in server.seen) <= 20
