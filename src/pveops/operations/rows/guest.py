"""Reading guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import ASK_AGENT, SEE_GUESTS, SEE_NODES, reading

_ASK_AGENT = (*SEE_GUESTS, ASK_AGENT)

ROWS: tuple[Operation, ...] = (
    reading(
        "guest.list",
        "guests with state and place, by selector",
        "pve guest list --tag prod",
        targets=Targets.GUESTS,
        privileges=SEE_GUESTS,
    ),
    reading(
        "guest.show",
        "one guest: state, configuration, pending changes, snapshots",
        "pve guest show web01",
        targets=Targets.ONE,
        privileges=SEE_GUESTS,
    ),
    reading(
        "guest.ip",
        "the addresses of a guest",
        "pve guest ip web01",
        targets=Targets.ONE,
        privileges=(*SEE_GUESTS, ASK_AGENT._replace(when="VMs")),
    ),
    reading(
        "guest.agent.ping",
        "whether a VM's guest agent answers",
        "pve guest agent ping web01",
        targets=Targets.ONE,
        privileges=_ASK_AGENT,
    ),
    reading(
        "guest.agent.info",
        "what a VM's guest agent tells of the system inside",
        "pve guest agent info web01",
        targets=Targets.ONE,
        privileges=_ASK_AGENT,
    ),
    reading(
        "guest.doctor",
        "what is wrong with a guest: lock, disks, snapshots, agent",
        "pve guest doctor web01",
        targets=Targets.ONE,
        privileges=(
            *SEE_GUESTS,
            Privilege("/vms/{vmid}", "VM.Config.Disk", when="leftover disks"),
            *SEE_NODES,
        ),
    ),
    Operation(
        "guest.exec",
        "run a command inside a VM that the policy lists",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.ONE,
        (*SEE_GUESTS, Privilege("/vms/{vmid}", "VM.GuestAgent.Unrestricted")),
        (
            Param("command", "argv", "the command and its words", is_argument=True),
            Param("timeout", "duration", "how long its end is waited for", 60, 1, 3600),
        ),
        kinds=("qemu",),
        example="pve guest exec web01 -- systemctl status nginx",
        decides="pveops.operations.guest_exec:decide_exec",
    ),
)
