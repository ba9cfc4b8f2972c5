"""Consoles: VNC tickets and the ports on which a proxy waits for its one client."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from pveops.sim.refusal import ApiError

FIRST_PORT = 5900
LAST_PORT = 5999
WAIT_S = 10.0
"""How long a proxy waits for its client."""
GREETING = b"RFB 003.008\n"
"""With which a VNC server opens a conversation."""
_LIFE_S = 40.0


class _Claim(NamedTuple):
    user: str
    path: str
    port: int
    issued_at: float


@dataclass(slots=True)
class Consoles:
    """The console proxies of one node, and the tickets that open them."""

    ports: dict[int, str] = field(default_factory=dict)
    """The ACL path of the console behind each open port."""
    _tickets: dict[str, _Claim] = field(default_factory=dict)

    def open_port(self, path: str) -> int:
        """The lowest free port, now taken."""
        port = next(p for p in range(FIRST_PORT, LAST_PORT + 1) if p not in self.ports)
        self.ports[port] = path
        return port

    def close_port(self, port: int) -> None:
        """The proxy has gone."""
        self.ports.pop(port, None)

    def connect(self, port: int) -> bytes | None:
        """What the proxy's one client reads first; None: nobody listens there."""
        return GREETING if self.ports.pop(port, None) is not None else None

    def issue_ticket(self, random: Random, user: str, path: str, port: int, now: float) -> str:
        """A ticket for one user, one console and one port."""
        ticket = f"PVEVNC:{int(now):08X}::{random.getrandbits(256):064x}"
        self._tickets[ticket] = _Claim(user, path, port, now)
        return ticket

    def check_ticket(self, ticket: str, user: str, path: str, port: int, now: float) -> None:
        """401 unless the ticket is ours, for this, and young (verify_vnc_ticket).

        What precedes `PVEVNC:` is the password of the display and no part of the ticket.
        """
        _, mark, rest = ticket.rpartition("PVEVNC:")
        claim = self._tickets.get(mark + rest)
        is_valid = claim is not None and claim[:3] == (user, path, port)
        if not is_valid or claim is None or now - claim.issued_at > _LIFE_S:
            raise ApiError(401, "permission denied - invalid PVEVNC ticket")
