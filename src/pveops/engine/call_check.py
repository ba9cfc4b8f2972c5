"""Calls of a plan against the schema of the node that will get them, before anybody agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pveops.api.client import parse_version
from pveops.api.params import check_call
from pveops.api.port import api_path
from pveops.engine.new_guest import bind_id
from pveops.operations.plan import Call, Item
from pveops.schema import Facts

if TYPE_CHECKING:
    from pveops.api.client import Client


def check_calls(client: Client, items: Sequence[Item]) -> None:
    """One request a node, for its version: the nodes of a cluster may differ while it is upgraded.

    Raises ParameterError, or NotImplementedByServerError, for what the node would refuse.
    """
    known: dict[str, Facts] = {}
    for item in items:
        node = item.target.node
        if node not in known:
            version = parse_version(client.get(api_path("nodes", node, "version")))
            known[node] = Facts.open(version.text)
        for step in bind_id(item, item.target.id).steps:
            if isinstance(step, Call):
                check_call(known[node], step.method, step.path, step.params)
