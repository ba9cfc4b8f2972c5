"""The worlds that the client is tried on.

A world is a way to reach a PVE API in a known state. Adding one (a simulated cluster, in process
or over HTTPS) means adding a function to WORLDS: every case of the suite then runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from pveops.api.client import Client
from pveops.clock import Clock, VirtualClock

from .recorded import VERSIONS, Replay, load_or_skip


class World(NamedTuple):
    """A PVE API, seen with four sets of credentials, and what is known to be there.

    The node `pve1` has the VM 100 and not the guest 999; `pve2` is a name behind which nothing
    listens.
    """

    root: Client
    """May do everything."""
    bob: Client
    """A user who may not see guest 100."""
    refused: Client
    """Credentials that the server does not take."""
    clock: Clock
    version: str
    finished: str
    """The UPID of a task that ended OK."""
    failed: str
    """The UPID of a task that ended with an error."""
    forgotten: str
    """A UPID of which the node has no log."""


Enter = Callable[[], AbstractContextManager[World]]


def replayed(version: str) -> Enter:
    """The recorded answers of one version."""

    @contextmanager
    def enter() -> Iterator[World]:
        clock = VirtualClock()
        forgotten = next(
            unquote(each.url.split("/")[6])
            for each in load_or_skip(version)
            if "no such task" in str(each.body) and each.url.endswith("/status")
        )
        ended = {
            each.body["data"]["exitstatus"] == "OK": each.body["data"]["upid"]
            for each in load_or_skip(version)
            if each.name.endswith("| task status")
            and each.answer["status"] == 200
            and each.credentials == "root"
            and each.body["data"]["exitstatus"] != "unexpected status"
        }
        yield World(
            root=Client(Replay(version, "root"), clock),
            bob=Client(Replay(version, "bob"), clock),
            refused=Client(Replay(version, "variant", frozenset({401})), clock),
            clock=clock,
            version=version,
            finished=ended[True],
            failed=ended[False],
            forgotten=forgotten,
        )

    return enter


WORLDS: dict[str, Enter] = {f"recorded {version}": replayed(version) for version in VERSIONS}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as world:
        yield world
