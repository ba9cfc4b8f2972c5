"""Guards: the facts that justify a plan, as fields that can be compared one by one."""

from __future__ import annotations

from pveops.domain.guest import GuestConfig, GuestState
from pveops.operations.plan import Scalar


def guest_guards(state: GuestState, config: GuestConfig) -> dict[str, Scalar]:
    """What must not have changed about a guest between its plan and the first call."""
    return {
        "name": state.ref.name,
        "status": state.status,
        "qmpstatus": state.qmpstatus,
        "lock": state.lock,
        "pid": state.pid,
        "is_ha_managed": state.is_ha_managed,
        "identity": config.identity,
        "digest": config.digest,
    }
