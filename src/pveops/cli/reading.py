"""Which commands only look: what a caller that may do nothing else is held to.

A face such as an agent's plugin asks with `--look-only`; the operation then is looked up here
before anything is read or sent.
"""

from __future__ import annotations

from pveops.errors import UsageError

_OF_THIS_MACHINE = frozenset(
    {
        *(f"access.{verb}" for verb in ("check", "grant-script")),
        *(f"audit.{verb}" for verb in ("verify", "show", "reconcile")),
        *(f"monitor.{verb}" for verb in ("status", "history")),
        *(f"graph.{verb}" for verb in ("guest", "node", "storage")),
        *(f"plan.{verb}" for verb in ("list", "show", "challenge")),
        *(f"policy.{verb}" for verb in ("show", "check")),
        *(f"run.{verb}" for verb in ("list", "show", "explain", "wait")),
        "doctor",
        "report",
        "secrets.status",
    }
)
"""What looks at plans, runs, records and settings; the catalogue has what looks at the cluster."""


def list_readings() -> frozenset[str]:
    """Every operation that changes nothing, neither in the cluster nor what is kept here."""
    from pveops.operations.catalog import OPERATIONS

    return _OF_THIS_MACHINE | {row.id for row in OPERATIONS if not row.is_change}


def check_reading(operation_id: str) -> None:
    """Raises UsageError for an operation that does more than look."""
    if operation_id not in list_readings():
        words = operation_id.replace(".", " ")
        raise UsageError(
            f"`{words}` does more than look, and only looking is allowed here",
            hint="ask for a change where changes are asked for; nothing was done",
        )
