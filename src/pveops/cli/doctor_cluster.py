"""What `pve doctor` finds out about the cluster, the way to it, and the token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pveops.cli.call import Call
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.port import Transport
    from pveops.domain.access import Permissions
    from pveops.operations.checkup.check import Check
    from pveops.operations.checkup.cluster import EndpointFact, NodeFact


def check_cluster(call: Call) -> Iterator[Check]:
    """Endpoints, clocks, versions. Raises what asking the version raises."""
    from pveops.domain.inventory import read_inventory, read_membership
    from pveops.operations.checkup.cluster import ReachFact, check_reach

    reader = call.wiring.reader
    version = reader.version().text
    membership = read_membership(reader)
    names = [node.name for node in read_inventory(reader).nodes]
    yield from check_reach(
        ReachFact(
            version=version,
            endpoints=[_ask_endpoint(call, *each) for each in call.wiring.connection.endpoints],
            nodes=[_ask_node(call, name) for name in names],
            addresses=membership.addresses if membership else {},
            profile=call.wiring.connection.profile,
        )
    )


def _ask_endpoint(call: Call, address: str, transport: Transport) -> EndpointFact:
    """Each by itself: a failover hides those that are down."""
    from pveops.api.client import Client
    from pveops.api.decorators import ReadOnly
    from pveops.operations.checkup.cluster import EndpointFact

    try:
        Client(ReadOnly(transport), call.clock).version()
    except PveopsError as error:
        return EndpointFact(address, error.message, error.hint)
    return EndpointFact(address)


def _ask_node(call: Call, name: str) -> NodeFact:
    """Its own version and clock. The clock takes Sys.Audit, so it may stay unknown."""
    from pveops.domain.node_clock import read_ahead_s
    from pveops.domain.rows import object_of, text_of
    from pveops.errors import AccessError
    from pveops.operations.checkup.cluster import NodeFact

    reader = call.wiring.reader
    try:
        version = text_of(object_of(reader.get(f"/nodes/{name}/version")), "version")
    except PveopsError as error:
        return NodeFact(name, problem=error.message)
    try:
        ahead_s = read_ahead_s(reader, name)
    except AccessError:
        return NodeFact(name, version)
    except PveopsError as error:
        return NodeFact(name, version, problem=error.message)
    return NodeFact(name, version, ahead_s)


def check_token(call: Call, tell: Callable[[Permissions], None]) -> Iterator[Check]:
    """The token as PVE sees it; its privileges are told as soon as they are known."""
    from pveops.cli.doctor_local import stored_expiry
    from pveops.domain.access import read_access_tree, read_account, read_permissions
    from pveops.operations.checkup.token import AccessFact, check_access

    reader, auth_id = call.wiring.reader, call.wiring.connection.auth_id
    permissions = read_permissions(reader)
    tell(permissions)
    fact = AccessFact(
        auth_id=auth_id,
        permissions=permissions,
        tree=read_access_tree(reader),
        account=read_account(reader, auth_id),
        stored_expires=stored_expiry(call),
        may_change=_may_change(call),
    )
    yield from check_access(fact, call.clock.now())


def _may_change(call: Call) -> bool:
    """Whether the policy lets anybody change anything, with or without consent."""
    actors = call.wiring.policy.actors
    return any(
        rules.action(tier) != "deny"
        for rules in (actors.person, actors.agent, actors.unattended)
        for tier in (1, 2, 3)
    )


def check_levels(call: Call, permissions: Permissions | None) -> Iterator[Check]:
    """The levels of consent in force."""
    from pveops.cli.doctor_local import read_broker, read_policy
    from pveops.engine.senders import find_flaw
    from pveops.operations.checkup.consent import ConsentFact, check_consent

    wiring = call.wiring
    rules = wiring.policy.consent
    sender = wiring.connection.consent
    flaw = find_flaw(sender)
    yield from check_consent(
        ConsentFact(
            has_channel=sender.is_set and not flaw,
            channel_flaw=flaw,
            has_receipts=rules.receipts and wiring.paths.approval_key_file.exists(),
            has_signers=bool(rules.allowed_signers),
            least=(rules.min_level.tier2, rules.min_level.tier3),
            asks_at_terminal=rules.terminal,
            asks_at_terminal_tier3=rules.terminal_tier3,
            permissions=permissions,
            release=wiring.reader.version().text if permissions is not None else "",
            is_policy_writable=read_policy(call).is_writable,
            broker=read_broker(call),
        )
    )
