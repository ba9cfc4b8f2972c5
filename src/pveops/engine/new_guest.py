"""Items that make a guest: their id is known only when PVE has taken it."""

from __future__ import annotations

import msgspec

from pveops.operations.plan import VMID, Call, Item, Step


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
