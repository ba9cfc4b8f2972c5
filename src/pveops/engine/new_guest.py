"""Items that make a guest: their id is known only when PVE has taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pveops.errors import ProtocolError
from pveops.operations.plan import VMID, Call, Item, Step

if TYPE_CHECKING:
    from pveops.api.client import Client


def bind_id(item: Item, vmid: str) -> Item:
    """An item of a plan with that id in its target and calls; items of existing guests as is."""
    if not item.target.is_new:
        return item
    steps = tuple(_bind_step(step, vmid) for step in item.steps)
    target = msgspec.structs.replace(item.target, id=vmid)
    return msgspec.structs.replace(item, target=target, steps=steps)


def _bind_step(step: Step, vmid: str) -> Step:
    if not isinstance(step, Call):
        return step
    params = {**step.params, step.new_id: int(vmid)} if step.new_id else step.params
    return msgspec.structs.replace(step, path=step.path.replace(VMID, vmid), params=params)


def pick_free_id(client: Client) -> str:
    """The lowest free id. PVE reserves nothing (PVE::API2::Cluster, nextid). One request."""
    answer = str(client.get("/cluster/nextid"))
    if not answer.isdecimal():
        raise ProtocolError(f"/cluster/nextid answers {answer!r}, which is no id")
    return answer
