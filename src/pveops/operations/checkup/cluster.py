"""The way to the cluster, and what its nodes tell of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pveops.domain.node_clock import SKEW_BAD_S, SKEW_WARN_S, describe_skew
from pveops.operations.checkup.check import Check
from pveops.sanitize import shell_word


class EndpointFact(NamedTuple):
    """One endpoint of the profile. problem: why it does not answer; empty: it does."""

    address: str
    problem: str = ""
    hint: str = ""


class NodeFact(NamedTuple):
    """What one node told."""

    name: str
    version: str = ""
    """Empty: it did not tell."""
    ahead_s: float | None = None
    """How far its clock is ahead of this machine's; None: it did not tell."""
    problem: str = ""


class ReachFact(NamedTuple):
    """The whole of it."""

    version: str
    endpoints: Sequence[EndpointFact]
    nodes: Sequence[NodeFact]
    addresses: Mapping[str, str]
    """The cluster's own addresses by node; empty: not known, or a single node."""
    profile: str


def check_reach(fact: ReachFact) -> Iterator[Check]:
    """Endpoints, clocks and versions."""
    yield Check("ok", "api.reach", f"PVE {fact.version} answers and takes the token")
    yield from _check_endpoints(fact)
    yield from _check_nodes(fact.nodes)
    yield from _check_clocks(fact.nodes)
    yield from _check_versions(fact.nodes)


def _check_endpoints(fact: ReachFact) -> Iterator[Check]:
    down = [each for each in fact.endpoints if each.problem]
    for each in down:
        message = f"the endpoint {each.address} does not do: {each.problem}"
        yield Check("warn", "api.endpoint", message, each.hint or "pve node list")
    if fact.endpoints and not down:
        names = ", ".join(each.address for each in fact.endpoints)
        yield Check("ok", "api.endpoint", f"every endpoint answers: {names}")
    if len(fact.addresses) > max(1, len(fact.endpoints)):
        # A cluster of several nodes that is asked by one of them alone is lost with it.
        nodes = ", ".join(f"{node} {ip}" for node, ip in sorted(fact.addresses.items()))
        message = f"{len(fact.endpoints)} of {len(fact.addresses)} nodes are endpoints"
        fix = f"pve init HOST... --name {fact.profile} --replace, with all of: {nodes}"
        yield Check("warn", "api.endpoints", message, fix)


def _check_nodes(nodes: Sequence[NodeFact]) -> Iterator[Check]:
    for node in nodes:
        if node.problem:
            message = f"{node.name}: {node.problem}"
            yield Check("warn", "cluster.node", message, f"pve node show {shell_word(node.name)}")


def _check_clocks(nodes: Sequence[NodeFact]) -> Iterator[Check]:
    known = [(node, node.ahead_s) for node in nodes if node.ahead_s is not None]
    is_wrong = False
    for node, ahead_s in known:
        if abs(ahead_s) <= SKEW_WARN_S:
            continue
        is_wrong = True
        message = describe_skew(node.name, ahead_s)
        fix = f"set both by NTP: on {node.name} `chronyc tracking`, here `timedatectl`"
        yield Check("bad" if abs(ahead_s) > SKEW_BAD_S else "warn", "clock.skew", message, fix)
    if known and not is_wrong:
        names = ", ".join(node.name for node, _ in known)
        yield Check("ok", "clock.skew", f"the clocks agree: {names}")


def _check_versions(nodes: Sequence[NodeFact]) -> Iterator[Check]:
    by_version: dict[str, list[str]] = {}
    for node in nodes:
        if node.version:
            by_version.setdefault(node.version, []).append(node.name)
    if len(by_version) == 1:
        (version,) = by_version
        yield Check("ok", "cluster.versions", f"every node that told runs PVE {version}")
    elif by_version:
        told = ", ".join(
            f"{version} on {', '.join(names)}" for version, names in sorted(by_version.items())
        )
        message = f"versions differ, so that guests may not move back: {told}"
        yield Check("warn", "cluster.versions", message, "upgrade the older nodes")
