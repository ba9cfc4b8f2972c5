"""Privileges and shapes that several rows share."""

from __future__ import annotations

from pveops.operations.operation import Operation, Privilege

SEE_GUESTS = (Privilege("/vms/{vmid}", "VM.Audit"),)
SEE_NODES = (Privilege("/nodes/{node}", "Sys.Audit"),)
SEE_STORAGES = (Privilege("/storage/{storage}", "Datastore.Audit"),)
SEE_POOLS = (Privilege("/pool/{pool}", "Pool.Audit"),)
SEE_CLUSTER = (Privilege("/", "Sys.Audit"),)
"""Membership, quorum, HA, jobs."""
SET_NOOUT = Privilege("/", "Sys.Modify", when="Ceph's noout flag")
ASK_AGENT = Privilege(
    "/vms/{vmid}", "VM.GuestAgent.Audit", instead=("VM.GuestAgent.Unrestricted",)
)
USE_BRIDGE = Privilege("/sdn/zones/{zone}/{bridge}", "SDN.Use", when="network cards")


def reading(operation_id: str, summary: str, example: str = "", **rest: object) -> Operation:
    """A row of tier 0, which changes nothing."""
    return Operation(operation_id, summary, example=example, **rest)  # type: ignore[arg-type]
