"""What the suite is given to try the client on."""

from __future__ import annotations

from typing import NamedTuple

from pveops.api.client import Client
from pveops.clock import Clock


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
