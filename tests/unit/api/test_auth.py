"""Tokens and tickets, against a server written from what PVE's was seen to do."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest

from pveops.api.auth import (
    Authenticated,
    Challenge,
    Secret,
    TicketAuth,
    TokenAuth,
    parse_challenge,
)
from pveops.api.port import Request, Response
from pveops.clock import VirtualClock
from pveops.errors import (
    AuthenticationError,
    OutcomeUnknownError,
    TfaRequiredError,
    UnreachableError,
    UsageError,
)

GET = Request("GET", "/version")
POST = Request("POST", "/pools", (("poolid", "p1"),))
SKEW_S = 7200
"""The server's clock is two hours ahead of ours."""


class TicketServer:
    """Gives tickets and takes them, as pve-access-control does. Implements the transport port."""

    def __init__(self, clock: VirtualClock, *, needs_tfa: bool = False) -> None:
        self.clock = clock
        self.password = "right"
        self.needs_tfa = needs_tfa
        self.logins: list[dict[str, str]] = []
        self.served: list[Request] = []
        self.valid: set[str] = set()
        self.lock = threading.Lock()
        self.loses_logins = False

    def send(self, request: Request) -> Response:
        with self.lock:
            if request.path == "/access/ticket":
                return self._login(dict(request.params))
            self.served.append(request)
            headers = dict(request.headers)
            ticket = unquote(headers.get("Cookie", "").removeprefix("PVEAuthCookie="))
            is_in = ticket in self.valid
            if not request.is_read and headers.get("CSRFPreventionToken") != f"csrf-{ticket}":
                is_in = False
            return self._answer(200, {"data": "ok"}) if is_in else self._answer(401, None)

    def close(self) -> None:
        pass

    def _login(self, fields: dict[str, str]) -> Response:
        self.logins.append(fields)
        if self.loses_logins:
            raise OutcomeUnknownError("the answer was lost", details={"sent": True})
        password, challenge = fields["password"], fields.get("tfa-challenge")
        if challenge is not None:
            return self._ticket() if password == "totp:123456" else self._answer(401, None)
        if password in self.valid:
            return self._ticket()
        if password != self.password:
            return self._answer(401, {"data": None, "message": "authentication failure\n"})
        if self.needs_tfa:
            kinds = quote(json.dumps({"totp": True, "recovery": [0, 1], "yubico": False}))
            ticket = f"PVE:!tfa!{kinds}:{self._hex()}::half"
            data = {"ticket": ticket, "username": "anna@pve", "NeedTFA": 1}
            return self._answer(200, {"data": data | {"CSRFPreventionToken": "x"}})
        return self._ticket()

    def _hex(self) -> str:
        return f"{int(self.clock.now()) + SKEW_S:08X}"

    def _ticket(self) -> Response:
        ticket = f"PVE:anna@pve:{self._hex()}::sig+{len(self.logins)}/=="
        self.valid.add(ticket)
        data = {"ticket": ticket, "CSRFPreventionToken": f"csrf-{ticket}", "username": "anna@pve"}
        return self._answer(200, {"data": data})

    def _answer(self, status: int, body: Any) -> Response:
        import email.utils

        date = email.utils.formatdate(self.clock.now() + SKEW_S, usegmt=True)
        raw = b"" if body is None else json.dumps(body).encode()
        return Response(status, "", {"date": date}, raw)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> TicketServer:
    return TicketServer(clock)


Enter = Callable[..., Authenticated]


@pytest.fixture
def enter(server: TicketServer, clock: VirtualClock) -> Enter:
    def enter(password: str = "right", **options: Any) -> Authenticated:
        auth = TicketAuth("anna@pve", Secret(password), clock, **options)
        return Authenticated(server, auth)

    return enter


def test_a_token_goes_in_the_authorization_header_of_every_request(server: TicketServer) -> None:
    transport = Authenticated(server, TokenAuth("ops@pve!agent", Secret("aa-bb")))
    transport.send(GET)
    transport.send(POST)
    expected = (("Authorization", "PVEAPIToken=ops@pve!agent=aa-bb"),)
    assert [request.headers for request in server.served] == [expected, expected]


def test_a_refused_token_is_not_tried_again(server: TicketServer) -> None:
    """Each 401 costs 3 s."""
    transport = Authenticated(server, TokenAuth("ops@pve!agent", Secret("aa-bb")))
    assert transport.send(GET).status == 401
    assert len(server.served) == 1


@pytest.mark.parametrize("token_id", ["", "ops@pve", "ops!agent", "a b@pve!x", "ops@pve!x:y"])
def test_what_is_no_token_id_is_refused(token_id: str) -> None:
    with pytest.raises(UsageError):
        TokenAuth(token_id, Secret("aa"))


@pytest.mark.parametrize("secret", ["", "a b", "a\r\nX: y", "a;b"])
def test_what_is_no_token_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        TokenAuth("ops@pve!agent", Secret(secret))
    assert not secret or secret not in str(caught.value)


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hush")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}", f"{secret!r}"]
    assert not any("hush" in text for text in shown)
    assert "hush" not in repr(vars(TokenAuth("ops@pve!agent", secret)))
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_ticket_is_got_once_and_used_with_a_csrf_token_for_writes(
    enter: Enter, server: TicketServer
) -> None:
    transport = enter()
    assert [transport.send(request).status for request in (GET, POST, GET)] == [200, 200, 200]
    assert len(server.logins) == 1
    reads = [dict(request.headers) for request in server.served if request.is_read]
    assert all("CSRFPreventionToken" not in headers for headers in reads)
    assert all('"' not in headers["Cookie"] for headers in reads)


def test_a_ticket_is_renewed_after_an_hour_by_the_servers_clock(
    enter: Enter, server: TicketServer, clock: VirtualClock
) -> None:
    transport = enter()
    transport.send(GET)
    clock.sleep(3590)
    transport.send(GET)
    assert len(server.logins) == 1
    clock.sleep(20)
    transport.send(GET)
    assert len(server.logins) == 2
    assert server.logins[1]["password"].startswith("PVE:anna@pve:")


def test_a_ticket_that_cannot_be_renewed_is_replaced_by_a_login(
    enter: Enter, server: TicketServer, clock: VirtualClock
) -> None:
    transport = enter()
    transport.send(GET)
    server.valid.clear()
    clock.sleep(9000)
    assert transport.send(GET).status == 200
    assert [fields["password"][:4] for fields in server.logins] == ["righ", "PVE:", "righ"]


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_refused_ticket_is_replaced_once_and_the_request_sent_again(
    enter: Enter, server: TicketServer, request_: Request
) -> None:
    """A 401 was executed by nobody, so a write may go again too."""
    transport = enter()
    transport.send(GET)
    server.valid.clear()
    assert transport.send(request_).status == 200
    assert len(server.logins) == 2
    assert len(server.served) == 3


def test_a_wrong_password_is_sent_once_however_often_we_are_asked(
    enter: Enter, server: TicketServer
) -> None:
    transport = enter("wrong")
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            transport.send(GET)
    assert len(server.logins) == 1


def test_many_threads_log_in_once(enter: Enter, server: TicketServer) -> None:
    transport = enter()
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait(5)
        transport.send(POST)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(server.logins) == 1
    assert len(server.served) == 8


def test_a_second_factor_is_asked_for_and_answered(server: TicketServer, enter: Enter) -> None:
    server.needs_tfa = True
    asked: list[Challenge] = []

    def answer(challenge: Challenge) -> Secret:
        asked.append(challenge)
        return Secret("totp:123456")

    assert enter(answer_challenge=answer).send(GET).status == 200
    assert asked == [("anna@pve", ("recovery", "totp"))]
    assert server.logins[1]["tfa-challenge"].startswith("PVE:!tfa!")


def test_a_wrong_second_factor_is_never_sent_again(server: TicketServer, enter: Enter) -> None:
    """Eight wrong codes disable a user's TOTP (pve-access-control)."""
    server.needs_tfa = True
    transport = enter(answer_challenge=lambda _: Secret("totp:000000"))
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            transport.send(GET)
    assert len(server.logins) == 2


def test_without_anybody_to_ask_a_second_factor_is_named(
    server: TicketServer, enter: Enter
) -> None:
    server.needs_tfa = True
    with pytest.raises(TfaRequiredError) as caught:
        enter().send(GET)
    assert caught.value.details["challenge"] == ["recovery", "totp"]


def test_a_factor_that_was_not_offered_is_not_sent(server: TicketServer, enter: Enter) -> None:
    server.needs_tfa = True
    with pytest.raises(TfaRequiredError):
        enter(answer_challenge=lambda _: Secret("yubico:xyz")).send(GET)
    assert len(server.logins) == 1


def test_a_lost_login_is_no_unknown_outcome(server: TicketServer, enter: Enter) -> None:
    """Nothing of the request itself was sent."""
    server.loses_logins = True
    with pytest.raises(UnreachableError) as caught:
        enter().send(POST)
    assert caught.value.details["sent"] is False
    assert server.served == []


@pytest.mark.parametrize("ticket", ["", "PVE:anna@pve:65A1B2C3::sig", "PVE:!tfa!%7Bx:65A1B2C3::s"])
def test_a_ticket_without_a_challenge_offers_nothing(ticket: str) -> None:
    assert parse_challenge(ticket) == ()
