"""Who we are: API tokens, and tickets with their second factors.

Facts of pve-access-control and pve-http-server that decide here: a 401 is held back for 3 s, so
a ticket is renewed by its age and not by a refusal; a ticket is valid on every node of the
cluster for 2 hours; it is renewed by giving it as the password; a refused 401 means that
nothing was executed, so the request may be sent again after a new login; wrong second factors
lock a user out, so one is never sent twice.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote

from pveops.api.classify import decode
from pveops.api.httpdate import parse_http_date
from pveops.api.port import Pairs, Request, Response, Transport
from pveops.clock import Clock
from pveops.errors import (
    AccessError,
    AuthenticationError,
    OutcomeUnknownError,
    ProtocolError,
    TfaRequiredError,
    UnreachableError,
    UsageError,
)

TICKET_PATH = "/access/ticket"
RENEW_AGE_S = 3600
"""Half of a ticket's life."""

_ID = r"[^\s:/!@]+(?:@[^\s:/!@]+)*@[A-Za-z][A-Za-z0-9.\-_]*![A-Za-z][\w.\-]*"
_PRINTABLE = r"[!-:<-~]+"
_TICKET_TIME = r":([0-9A-Fa-f]{8,})::"
_CHALLENGE = r"PVE:!tfa!(?P<json>.*):[0-9A-Fa-f]{8,}::"
_ANSWERABLE = ("totp", "recovery")


class Secret:
    """A text that shows itself only to who asks for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


class Auth(Protocol):
    """What `Authenticated` needs to know of an identity."""

    def headers(self, transport: Transport, request: Request) -> Pairs:
        """The headers that prove us; may log in over `transport` first."""

    def recover(self, transport: Transport, used: Pairs) -> bool:
        """After a 401 to the headers `used`: whether other ones can be had now."""


class Authenticated:
    """Proves us on each request, and once more after a ticket was refused."""

    def __init__(self, transport: Transport, auth: Auth) -> None:
        self._transport = transport
        self._auth = auth

    def send(self, request: Request) -> Response:
        """Send with our credentials. A login that is needed first may raise AccessError."""
        used = self._auth.headers(self._transport, request)
        response = self._transport.send(request._replace(headers=request.headers + used))
        if response.status == 401 and self._auth.recover(self._transport, used):
            again = self._auth.headers(self._transport, request)
            response = self._transport.send(request._replace(headers=request.headers + again))
        return response

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()


class TokenAuth:
    """An API token: `user@realm!name` and its secret."""

    def __init__(self, token_id: str, secret: Secret) -> None:
        """Raise UsageError for an id or a secret that PVE could not have made."""
        if re.fullmatch(_ID, token_id) is None:
            raise UsageError(f"{token_id!r} is no token id", hint="it looks like `ops@pve!agent`")
        if re.fullmatch(_PRINTABLE, secret.reveal()) is None:
            raise UsageError(f"the secret of {token_id} has characters that no token has")
        # The server unescapes the header's value and ends it at a semicolon.
        name = quote(token_id, safe="@!$&'()*+,=~-._")
        self.token_id = token_id
        self._header = Secret(f"PVEAPIToken={name}={quote(secret.reveal(), safe='-._~')}")

    def headers(self, transport: Transport, request: Request) -> Pairs:  # noqa: ARG002
        """The token's header; needs no login and no CSRF token."""
        return (("Authorization", self._header.reveal()),)

    def recover(self, transport: Transport, used: Pairs) -> bool:  # noqa: ARG002
        """A refused token stays refused."""
        return False


class Challenge(NamedTuple):
    """A second factor is wanted. `kinds`: totp, recovery, webauthn, u2f, yubico."""

    user: str
    kinds: tuple[str, ...]


class _Ticket(NamedTuple):
    text: str
    csrf: str
    user: str
    issued_at: float
    """By the server's clock, read from the ticket."""


class TicketAuth:
    """A user with a password, and perhaps a second factor. Safe to share between threads.

    answer_challenge: gives `totp:123456` or `recovery:KEY` for a Challenge; it is asked once
        for each login. Without it a second factor raises TfaRequiredError.
    """

    def __init__(
        self,
        user: str,
        password: Secret,
        clock: Clock,
        answer_challenge: Callable[[Challenge], Secret] | None = None,
    ) -> None:
        if "@" not in user or any(char.isspace() for char in user):
            raise UsageError(f"{user!r} is no user", hint="it looks like `anna@pve`")
        self._user = user
        self._password = password
        self._clock = clock
        self._answer_challenge = answer_challenge
        self._lock = threading.RLock()
        self._ticket: _Ticket | None = None
        self._server_offset_s: float | None = None
        self._refusal: AccessError | None = None

    def headers(self, transport: Transport, request: Request) -> Pairs:
        """The cookie, and for writes the CSRF token. Logs in or renews when it is time.

        Raises AuthenticationError, TfaRequiredError, UnreachableError, TlsError.
        """
        with self._lock:
            ticket = self._ticket
            if ticket is None:
                ticket = self._login(transport)
            elif self._age(ticket) > RENEW_AGE_S:
                ticket = self._renew(transport, ticket)
        cookie = (("Cookie", f"PVEAuthCookie={quote(ticket.text, safe='')}"),)
        return cookie if request.is_read else (*cookie, ("CSRFPreventionToken", ticket.csrf))

    def recover(self, transport: Transport, used: Pairs) -> bool:
        """Log in anew, unless another thread already did."""
        with self._lock:
            if self._ticket is not None and used[0][1].endswith(quote(self._ticket.text, safe="")):
                self._ticket = None
                self._login(transport)
            return True

    def _age(self, ticket: _Ticket) -> float:
        if self._server_offset_s is None:
            return self._clock.now() - ticket.issued_at
        return self._clock.monotonic() + self._server_offset_s - ticket.issued_at

    def _renew(self, transport: Transport, ticket: _Ticket) -> _Ticket:
        """A ticket is its own password, for as long as it lives."""
        try:
            data = self._ask(transport, (("username", ticket.user), ("password", ticket.text)))
        except AuthenticationError:
            return self._login(transport)
        return self._accept(data)

    def _login(self, transport: Transport) -> _Ticket:
        """Log in with the password. What was refused once is not tried again."""
        if self._refusal is not None:
            raise self._refusal
        try:
            fields = (("username", self._user), ("password", self._password.reveal()))
            data = self._ask(transport, fields)
            if data.get("NeedTFA"):
                data = self._ask(transport, self._second_step(data))
            return self._accept(data)
        except AccessError as error:
            self._refusal = error
            raise

    def _second_step(self, data: dict[str, Any]) -> Pairs:
        ticket = str(data.get("ticket", ""))
        challenge = Challenge(self._user, parse_challenge(ticket))
        wanted = {"challenge": list(challenge.kinds)}
        if self._answer_challenge is None:
            raise TfaRequiredError(
                f"{self._user} needs a second factor: {', '.join(challenge.kinds)}",
                details=wanted,
            )
        answer = self._answer_challenge(challenge).reveal()
        kind = answer.partition(":")[0]
        if kind not in challenge.kinds or kind not in _ANSWERABLE:
            raise TfaRequiredError(
                f"{self._user} cannot answer with {kind or 'nothing'}", details=wanted
            )
        return (("username", self._user), ("password", answer), ("tfa-challenge", ticket))

    def _ask(self, transport: Transport, fields: Pairs) -> dict[str, Any]:
        request = Request("POST", TICKET_PATH, (*fields, ("new-format", "1")))
        try:
            response = transport.send(request)
            data = decode(request, response).data
        except OutcomeUnknownError as error:
            # A login changes nothing, so an unknown one is only an unanswered one.
            raise UnreachableError(
                f"the login was not answered: {error.message}", details={"sent": False}
            ) from error
        date = parse_http_date(response.headers.get("date", ""))
        if date is not None:
            self._server_offset_s = date - self._clock.monotonic()
        if not isinstance(data, dict):
            raise ProtocolError("the login was answered without a ticket")
        return data

    def _accept(self, data: dict[str, Any]) -> _Ticket:
        text, csrf = str(data.get("ticket", "")), str(data.get("CSRFPreventionToken", ""))
        issued = re.search(_TICKET_TIME, text)
        if issued is None or not csrf:
            raise ProtocolError("the login was answered without a ticket")
        user = str(data.get("username", "")) or self._user
        self._ticket = _Ticket(text, csrf, user, float(int(issued[1], 16)))
        return self._ticket


def parse_challenge(ticket: str) -> tuple[str, ...]:
    """The kinds of second factors that a half-ticket offers: totp, recovery, webauthn, ..."""
    import json

    match = re.match(_CHALLENGE, ticket)
    try:
        offered = json.loads(unquote(match["json"])) if match else {}
    except ValueError:
        offered = {}
    return tuple(sorted(kind for kind, value in offered.items() if value)) if offered else ()
