"""A client from endpoints and credentials: the transports in their usual order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import random

from pveops.api.auth import Auth, Authenticated
from pveops.api.client import Client
from pveops.api.decorators import Failover, ReadOnly, RetryReads, Trace
from pveops.api.endpoint import Endpoint
from pveops.api.https import HttpsTransport
from pveops.api.port import Transport
from pveops.clock import Clock
from pveops.errors import ConfigError


def connect(
    endpoints: Sequence[Endpoint],
    auth: Auth,
    clock: Clock,
    *,
    may_write: bool = False,
    last_good: str = "",
    remember: Callable[[str], None] | None = None,
    trace: Callable[[str], None] | None = None,
) -> Client:
    """A client of the cluster behind `endpoints`. Nothing is sent yet.

    may_write: for the executor alone; any other client refuses everything but GET.
    last_good, remember: the `Endpoint.authority` to try first, and who is told of a new one.
    trace: takes a line for each request that goes out, logins included.

    Raises ConfigError without an endpoint.
    """
    if not endpoints:
        raise ConfigError("the profile names no endpoint", hint="add one with `pve init`")
    transport: Transport = Failover(
        [(each.authority, HttpsTransport(each, clock=clock)) for each in endpoints],
        clock,
        last_good=last_good,
        remember=remember,
    )
    if trace is not None:
        transport = Trace(transport, clock, trace)
    transport = RetryReads(Authenticated(transport, auth), clock, random)
    return Client(transport if may_write else ReadOnly(transport), clock)
