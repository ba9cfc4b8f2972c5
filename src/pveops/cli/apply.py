"""`pve-apply`: carry out one plan that a person has agreed to, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Written
from pveops.cli.call import Call
from pveops.cli.commands import Command, wait_option
from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.cli.detach import OnClaimed
    from pveops.engine.apply import Consent
    from pveops.engine.session import Session

_MAX_CODE = 200


@click.command(
    "pve-apply",
    cls=Command,
    operation="apply",
    examples=(
        "pve-apply pl_1a2b3c4d5e6f --code ABCD-EFGH",
        "echo ABCD-EFGH | pve-apply pl_1a2b3c4d5e6f --code -",
    ),
)
@click.argument("plan")
@click.option("--code", metavar="CODE", help="The code that the person got; `-` reads stdin.")
@wait_option
@click.option("--version", is_flag=True, help="The version, and nothing else.", hidden=True)
@click.pass_obj
def command(call: Call, plan: str, code: str | None, version: bool) -> Answer | Written:
    """Carry out PLAN (`pl_...`), once.

    The code comes from the person who agreed, out of the message about exactly this plan. A
    person at a terminal is shown the plan and asked in place instead, where the policy allows it.
    """
    del version
    if code == "-":
        code = call.stdin.readline(_MAX_CODE).strip()
    if code is not None:
        from pveops.redact import register_secret

        code = code.strip()
        if not code:
            raise UsageError("the code is empty", hint=f"pve-apply {plan} --code CODE")
        register_secret(code)
    from pveops.cli.detach import carry

    def work(claimed: OnClaimed) -> Answer:
        from pveops.cli.changes import answer_of_receipt
        from pveops.engine.apply import apply_plan

        session = call.wiring.session()
        consent = _consent(call, session, plan, code)
        return answer_of_receipt(apply_plan(session, plan, consent, claimed))

    return carry(call, work)


def _consent(call: Call, session: Session, plan_id: str, code: str | None) -> Consent:
    """The code, or what the person types; what nobody has to agree to goes as it is."""
    from pveops.engine.apply import Consent, load_plan
    from pveops.engine.gate import judge_plan

    if code is not None:
        return Consent("code", code)
    row, plan = load_plan(session, plan_id)
    verdict = judge_plan(session, plan)
    if row.state == "open" and verdict.action == "consent" and verdict.terminal_is_enough:
        from pveops.cli.confirm import confirm_at_terminal

        typed = confirm_at_terminal(call)(plan, row.id, verdict)
        return Consent("terminal", typed or "")
    return Consent("policy")
