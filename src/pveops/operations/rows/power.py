"""The power verbs of guests."""

from __future__ import annotations

from pveops.operations.operation import (
    READ_STATE,
    Effect,
    Operation,
    Param,
    Privilege,
    Targets,
    Tier,
)

_POWER = (Privilege("/vms/{vmid}", "VM.PowerMgmt"), Privilege("/vms/{vmid}", "VM.Audit"))
_DECIDE_POWER = "pveops.operations.power:decide_power"
_READ_PENDING = "pveops.domain.facts:read_guest_facts_with_pending"
"""For what makes a guest start from scratch, so that pending changes take effect."""
TIMEOUT = Param(
    "timeout",
    "duration",
    "how long PVE waits for the guest before it gives up",
    default=60,
    minimum=1,
    maximum=7200,
)


def _power(
    verb: str,
    summary: str,
    tier: int,
    effect: Effect,
    params: tuple[Param, ...] = (),
    kinds: tuple[str, ...] = ("qemu", "lxc"),
    reads: str = READ_STATE,
    leaves_all: bool = False,
) -> Operation:
    return Operation(
        f"guest.{verb}",
        summary,
        tier,
        effect,
        Targets.GUESTS,
        _POWER,
        params,
        kinds,
        f"pve guest {verb} web01",
        _DECIDE_POWER,
        reads,
        leaves_all=leaves_all,
    )


ROWS: tuple[Operation, ...] = (
    _power("start", "start guests", Tier.REVERSIBLE, Effect.REPEATABLE, reads=_READ_PENDING),
    _power(
        "shutdown",
        "shut guests down cleanly",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (
            TIMEOUT,
            Param("force_after", "bool", "cut the power when the timeout has passed", False),
        ),
    ),
    _power("stop", "cut the power of guests at once", Tier.DISRUPTIVE, Effect.REPEATABLE),
    _power(
        "reboot",
        "shut guests down cleanly and start them again, applying pending changes",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (TIMEOUT,),
        reads=_READ_PENDING,
        leaves_all=True,
    ),
    _power(
        "reset",
        "press the reset button of VMs",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        kinds=("qemu",),
    ),
    _power(
        "suspend",
        "pause guests in memory, or VMs to disk",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (Param("to_disk", "bool", "write the memory to disk and power off", False, None, None),),
    ),
    _power("resume", "let paused or hibernated guests go on", Tier.REVERSIBLE, Effect.REPEATABLE),
)
