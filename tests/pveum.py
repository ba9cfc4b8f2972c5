"""What `pveum` does with the commands that pveops prints, on a simulated cluster, as root.

Each is sent to the method that the command calls (pve-access-control, PVE/CLI/pveum.pm), so a
command with a mistake in it is refused as PVE would refuse it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pveops.api.auth import Authenticated, Secret, TicketAuth
from pveops.api.client import Client
from pveops.domain.rows import rows_of
from pveops.errors import PveopsError
from pveops.sim.inprocess import InProcess
from tests.world import SimTransport, World, join_world

_FUNCTION = re.compile(r"role\(\) \{ .* \}")


class Pveum:
    """A root shell on a node, for the lines of one script."""

    def __init__(self, world: World) -> None:
        transport = SimTransport(InProcess(world.cluster, "pve1"), "pve1")
        auth = TicketAuth("root@pam", Secret(world.seed.root_password), world.cluster.timeline)
        self._root = Client(Authenticated(transport, auth), world.cluster.timeline)
        self._has_function = False
        self.tokens: dict[str, str] = {}
        """The secrets that it was shown, by token id."""

    def run(self, lines: Iterable[str]) -> Pveum:
        """Carry out a script; comments are left out."""
        for line in lines:
            text = line.strip()
            if _FUNCTION.fullmatch(text):
                self._has_function = True
            elif text and not text.startswith("#"):
                self._carry_out(shlex.split(text, comments=True))
        return self

    def _carry_out(self, words: list[str]) -> None:
        if words[0] == "role":
            assert self._has_function
            try:
                self._carry_out(["pveum", "role", "add", words[1], "--privs", words[2]])
            except PveopsError:
                self._carry_out(["pveum", "role", "modify", words[1], "--privs", words[2]])
            return
        assert words[0] == "pveum", words
        names, options = _take_apart(words[1:])
        match names:
            case ["role", "add", role]:
                self._root.write("POST", "/access/roles", {"roleid": role, **options})
            case ["role", "modify", role]:
                self._root.write("PUT", f"/access/roles/{role}", options)
            case ["user", "add", user]:
                self._add_user(user, options)
            case ["user", "token", "add", user, name]:
                made = self._root.write("POST", f"/access/users/{user}/token/{name}", options)
                assert isinstance(made, dict)
                self.tokens[str(made["full-tokenid"])] = str(made["value"])
            case ["acl", "modify", path]:
                self._root.write("PUT", "/access/acl", {"path": path, **options})
            case ["acl", "delete", path]:
                self._root.write("PUT", "/access/acl", {"path": path, "delete": 1, **options})
            case _:
                raise AssertionError(f"no such command: {shlex.join(words)}")

    def _add_user(self, user: str, options: dict[str, Any]) -> None:
        """A shell goes on after `already exists`."""
        there = {row["userid"] for row in rows_of(self._root.get("/access/users"))}
        if user not in there:
            self._root.write("POST", "/access/users", {"userid": user, **options})


def _take_apart(words: list[str]) -> tuple[list[str], dict[str, str]]:
    names, options = [], {}
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            options[word[2:]] = next(rest)
        else:
            names.append(word)
    return names, options


def join_as(world: World, folder: Path, pveum: Pveum) -> World:
    """A session on the same cluster with the token that was made."""
    ((token_id, secret),) = pveum.tokens.items()
    return join_world(folder, world.seed._replace(token_id=token_id, token_secret=secret))
