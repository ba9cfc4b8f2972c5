"""Logging in as a person: the password, and the second factor, asked for and never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.errors import ConfigError

if TYPE_CHECKING:
    from pveops.api.auth import Challenge, Secret, TicketAuth
    from pveops.cli.call import Call


def ask_password(call: Call, user: str) -> TicketAuth:
    """An identity that logs in when it is first needed. Raises ConfigError without a terminal."""
    from pveops.api.auth import TicketAuth

    if not call.is_person:
        raise ConfigError(
            f"the profile logs in as {user}, whose password is asked for at a terminal",
            hint="use a profile with an API token: `pve secrets add`",
        )

    def answer(challenge: Challenge) -> Secret:
        kind = "totp" if "totp" in challenge.kinds else "recovery"
        return _ask(f"{kind} of {challenge.user}", prefix=f"{kind}:")

    return TicketAuth(user, _ask(f"password of {user}"), call.clock, answer)


def _ask(question: str, prefix: str = "") -> Secret:
    """Typed at the terminal, without an echo."""
    from getpass import getpass

    from pveops.api.auth import Secret
    from pveops.redact import register_secret

    typed = getpass(f"{question}: ")
    register_secret(typed)
    return Secret(prefix + typed)
