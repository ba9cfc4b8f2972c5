"""What HA's rules (groups before 9.0) and replication say about where guests belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import Row, flag_of, int_of, rows_of, text_of
from pveops.errors import AccessError, RejectedError, UnreachableError

if TYPE_CHECKING:
    from pveops.api.client import Client

RuleKind = Literal["nodes", "together", "apart"]


class Rule(NamedTuple):
    """One rule of HA.

    nodes: where the guests belong, with priorities (higher wins); for `nodes` rules only.
    is_strict: nowhere else at all. fails_back: HA moves a guest to a node of higher priority as
    soon as that is online.
    """

    name: str
    kind: RuleKind
    vmids: frozenset[int]
    nodes: Mapping[str, int] = {}
    is_strict: bool = False
    fails_back: bool = True


class ReplicaJob(NamedTuple):
    """A replication job: the guest's disks are copied to `target` again and again."""

    id: str
    vmid: int
    target: str
    fail_count: int


def read_rules(client: Client) -> tuple[Rule, ...] | None:
    """One request for 9.0 and later, three for older ones. None: the token may not see them."""
    try:
        return rules_of(rows_of(client.get("/cluster/ha/rules")))
    except AccessError:
        return None
    except RejectedError:
        pass
    try:
        groups = rows_of(client.get("/cluster/ha/groups"))
        resources = rows_of(client.get("/cluster/ha/resources"))
    except (AccessError, RejectedError):
        return None
    return rules_of_groups(groups, resources)


def rules_of(rows: Iterable[Row]) -> tuple[Rule, ...]:
    """The rows of /cluster/ha/rules that are in force (PVE/HA/Rules/*.pm)."""
    found = []
    for row in rows:
        if flag_of(row, "disable"):
            continue
        vmids = _vmids(text_of(row, "resources"))
        name = text_of(row, "rule")
        if text_of(row, "type") == "node-affinity":
            nodes = _nodes(text_of(row, "nodes"))
            found.append(Rule(name, "nodes", vmids, nodes, flag_of(row, "strict")))
        else:
            is_apart = text_of(row, "affinity") == "negative"
            found.append(Rule(name, "apart" if is_apart else "together", vmids))
    return tuple(sorted(found, key=lambda rule: rule.name))


def rules_of_groups(groups: Iterable[Row], resources: Iterable[Row]) -> tuple[Rule, ...]:
    """Groups, which resources name one by one (PVE/HA/Groups.pm)."""
    members: dict[str, set[int]] = {}
    for row in resources:
        members.setdefault(text_of(row, "group"), set()).update(_vmids(text_of(row, "sid")))
    return tuple(
        Rule(
            text_of(row, "group"),
            "nodes",
            frozenset(members[text_of(row, "group")]),
            _nodes(text_of(row, "nodes")),
            flag_of(row, "restricted"),
            not flag_of(row, "nofailback"),
        )
        for row in groups
        if text_of(row, "group") in members
    )


def _vmids(text: str) -> frozenset[int]:
    """`vm:101,ct:200`."""
    numbers = (word.strip().rpartition(":")[2] for word in text.split(","))
    return frozenset(int(number) for number in numbers if number.isdecimal())


def _nodes(text: str) -> dict[str, int]:
    """`pve1:2,pve2`; without a number it is 0."""
    nodes = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, priority = word.partition(":")
        nodes[name] = int(priority) if priority.isdecimal() else 0
    return nodes


def read_replica_jobs(client: Client, node: str) -> tuple[ReplicaJob, ...] | None:
    """The jobs of guests on the node. One request. None: it could not be read."""
    try:
        rows = rows_of(client.get(api_path("nodes", node, "replication")))
    except (AccessError, RejectedError, UnreachableError):
        return None
    return tuple(
        ReplicaJob(
            text_of(row, "id"),
            int_of(row, "guest"),
            text_of(row, "target"),
            int_of(row, "fail_count"),
        )
        for row in rows
    )
