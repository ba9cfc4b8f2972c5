"""Asking the person at the terminal; nobody else is ever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.operations.catalog import get_operation
from pveops.operations.operation import Tier

if TYPE_CHECKING:
    from pveops.cli.call import Call
    from pveops.engine.change import Confirm
    from pveops.engine.gate import Verdict
    from pveops.operations.plan import Plan


def confirm_at_terminal(call: Call) -> Confirm:
    """A `Confirm` that shows the plan and reads one line; an empty one means "no"."""

    def confirm(plan: Plan, plan_id: str, _verdict: Verdict) -> str | None:
        from pveops.cli.changes import plan_card
        from pveops.redact import redact

        call.stderr.write(redact(plan_card(plan, plan_id, call.clock.now())) + "\n")
        return call.ask(_question(plan)) or None

    return confirm


def _question(plan: Plan) -> str:
    if plan.tier < Tier.IRREVERSIBLE:
        return "type yes to do it"
    is_final = get_operation(plan.operation).tier >= Tier.IRREVERSIBLE
    why = "this cannot be undone" if is_final else "this is held one tier higher"
    if len(plan.items) == 1:
        return f"{why}: type the name of the guest ({plan.items[0].target.name})"
    return f"{why}: type the number of targets ({len(plan.items)})"
