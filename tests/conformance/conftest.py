"""The worlds that the client is tried on.

A world is a way to reach a PVE API in a known state. Adding one (a simulated cluster, in process
or over HTTPS) means adding a function to WORLDS: every case of the suite then runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from urllib.parse import unquote

import pytest

from pveops.api.client import Client
from pveops.clock import VirtualClock

from .recorded import VERSIONS, Replay, load_or_skip
from .simulated import in_process, over_https
from .world import World

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
for _version in ("8.4", "9.0", "9.1", "9.2"):
    WORLDS[f"simulated {_version}"] = partial(in_process, _version)
for _version in ("8.4", "9.2"):
    WORLDS[f"simulated {_version} by CA"] = partial(over_https, _version, is_pinned=False)
    WORLDS[f"simulated {_version} by pin"] = partial(over_https, _version, is_pinned=True)


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as world:
        yield world
