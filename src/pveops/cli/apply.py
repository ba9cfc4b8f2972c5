"""`pve-apply`: carry out one plan that a person has agreed to, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Written
from pveops.cli.call import Call
from pveops.cli.commands import Command, wait_option
from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.cli.detach import OnClaimed
    from pveops.engine.approve import Consent
    from pveops.engine.session import Session

_MAX_CODE = 200
_MAX_SIGNATURE = 16_384


@click.command(
    "pve-apply",
    cls=Command,
    operation="apply",
    examples=(
        "pve-apply pl_1a2b3c4d5e6f --code ABCD-EFGH",
        "echo ABCD-EFGH | pve-apply pl_1a2b3c4d5e6f --code -",
        "pve-apply pl_1a2b3c4d5e6f --signature challenge.sig",
    ),
)
@click.argument("plan")
@click.option("--code", metavar="CODE", help="The code that the person got; `-` reads stdin.")
@click.option(
    "--signature",
    metavar="FILE",
    help="A signature of what `pve plan challenge` prints; `-` reads stdin.",
)
@click.option(
    "--receipt", metavar="-", help="A receipt of an agent's own prompt, on stdin.", hidden=True
)
@wait_option
@click.option("--version", is_flag=True, help="The version, and nothing else.", hidden=True)
@click.pass_obj
def command(
    call: Call,
    plan: str,
    code: str | None,
    signature: str | None,
    receipt: str | None,
    version: bool,
) -> Answer | Written:
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
    given = _given(call, code, signature, receipt)
    from pveops.cli.detach import carry

    def work(claimed: OnClaimed) -> Answer:
        from pveops.cli.changes import answer_of_receipt
        from pveops.cli.plan import follow_plan
        from pveops.engine.apply import apply_plan

        follow_plan(call, plan)
        session = call.wiring.session()
        consent = given or _consent(call, session, plan)
        return answer_of_receipt(apply_plan(session, plan, consent, claimed))

    return carry(call, work)


def _given(
    call: Call, code: str | None, signature: str | None, receipt: str | None
) -> Consent | None:
    """The consent that came along, if any did. Raises UsageError for more than one."""
    from pveops.engine.approve import Consent

    if sum(each is not None for each in (code, signature, receipt)) > 1:
        raise UsageError("--code, --signature and --receipt are three ways; one of them")
    if code is not None:
        return Consent("code", code)
    if receipt is not None:
        if receipt != "-":
            raise UsageError("a receipt comes on standard input: --receipt -")
        return Consent("receipt", call.stdin.readline(_MAX_SIGNATURE).strip())
    if signature is not None:
        return Consent("signature", _read_signature(call, signature))
    return None


def _read_signature(call: Call, place: str) -> str:
    if place == "-":
        return call.stdin.read(_MAX_SIGNATURE)
    if call.served is not None:
        raise UsageError(call.served.no_files, hint="pve-apply PLAN --signature - < FILE")
    try:
        with Path(place).open(encoding="ascii", errors="replace") as file:
            return file.read(_MAX_SIGNATURE)
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from error


def _consent(call: Call, session: Session, plan_id: str) -> Consent:
    """What the person types; what nobody has to agree to goes as it is."""
    from pveops.engine.apply import load_plan
    from pveops.engine.approve import Consent
    from pveops.engine.gate import judge_plan

    row, plan = load_plan(session, plan_id)
    verdict = judge_plan(session, plan)
    if row.state == "open" and verdict.action == "consent" and verdict.terminal_is_enough:
        from pveops.cli.confirm import confirm_at_terminal

        typed = confirm_at_terminal(call)(plan, row.id, verdict)
        return Consent("terminal", typed or "")
    return Consent("grant" if verdict.is_granted else "policy")
