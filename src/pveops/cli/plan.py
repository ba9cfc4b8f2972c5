"""`pve plan`: plans that wait for a person's consent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing, Written
from pveops.cli.call import Call
from pveops.cli.cells import count_of, first_of
from pveops.cli.commands import Group, list_options
from pveops.errors import ConflictError

if TYPE_CHECKING:
    from pveops.engine.store import PlanRow
    from pveops.operations.plan import Plan

group = Group("plan", help="Plans: what would be done, waiting for a person's consent.")

_COLUMNS = (
    Column("id"),
    Column("state"),
    Column("operation"),
    Column("targets"),
    Column("tier", kind="number"),
    Column("expires", kind="time"),
    Column("run", is_sparse=True),
)
_FIELDS = (*(column.key for column in _COLUMNS), "created", "actor", "reason")


def follow_plan(call: Call, plan_id: str) -> None:
    """What is done about a plan is done with its own profile, unless the caller names one."""
    from pveops.operations.plan import decode_plan

    call.wiring.follow(decode_plan(call.wiring.store.get_plan(plan_id).json).profile)


def _state(row: PlanRow, now: float) -> str:
    return "expired" if row.state == "open" and now >= row.expires else row.state


@group.command("list", operation="plan.list")
@click.option("--all", "with_old", is_flag=True, help="Used, cancelled and expired ones, too.")
@list_options
@click.pass_obj
def list_plans(call: Call, with_old: bool) -> Answer:
    """List open plans; with --all every kept one."""
    from pveops.operations.plan import decode_plan

    now = call.clock.now()
    store = call.wiring.store
    shown = store.list_plans(500) if with_old else store.list_open_plans(now)[::-1]

    def item(row: PlanRow) -> dict[str, Any]:
        plan = decode_plan(row.json)
        return {
            "id": row.id,
            "state": _state(row, now),
            "operation": row.operation,
            "targets": first_of([each.target.id for each in plan.items]),
            "tier": plan.tier,
            "expires": row.expires,
            "run": row.run or "",
            "created": row.created,
            "actor": plan.actor,
            "reason": plan.reason,
        }

    noun = "kept" if with_old else "open"
    return Answer(
        count_of(len(shown), f"{noun} plan"), blocks=(Listing(shown, item, _FIELDS, _COLUMNS),)
    )


@group.command("show", operation="plan.show")
@click.argument("plan")
@click.pass_obj
def show_plan(call: Call, plan: str) -> Answer:
    """Show one plan whole: targets, steps, what is lost, what undoes it, findings."""
    from pveops.cli.changes import plan_card
    from pveops.operations.plan import decode_plan, plain
    from pveops.sanitize import neutralize_markup

    row = call.wiring.store.get_plan(plan)
    found = decode_plan(row.json)
    now = call.clock.now()
    state = _state(row, now)
    blocks = (
        Lines(tuple(plan_card(found, row.id, now).split("\n"))),
        Facts((("tier", "; ".join(found.tier_reasons)), ("run", row.run or ""))),
        Lines(tuple(_step_lines(found))),
    )
    head = call.wiring.audit.head().hash
    card = neutralize_markup(plan_card(found, row.id, now, head))
    next_ = (f"pve run show {row.run}",) if row.run else ()
    if state == "open":
        next_ = (f"pve-apply {row.id} --code CODE",)
    return Answer(
        f"{row.id} is {state}",
        plan=plain(found) | {"id": row.id, "state": state, "hash": row.hash, "card": card},
        findings=found.findings,
        blocks=blocks,
        next=next_,
    )


def _step_lines(plan: Plan) -> list[str]:
    from pveops.operations.plan import Call as CallStep
    from pveops.operations.plan import Note, WaitState, WaitTask

    lines = []
    for item in plan.items:
        lines.append(f"steps for {item.target.label}:")
        for step in item.steps:
            if isinstance(step, CallStep):
                given = " ".join(f"{name}={value}" for name, value in step.params.items())
                lines.append(f"  {step.method} {step.path} {given}".rstrip())
            elif isinstance(step, WaitTask):
                lines.append(f"  wait for its task, at most {step.timeout_s:g} s")
            elif isinstance(step, WaitState):
                lines.append(f"  read back: {step.state}, within {step.timeout_s:g} s")
            elif isinstance(step, Note):
                lines.append(f"  {step.text}")
    return lines


@group.command("cancel", operation="plan.cancel")
@click.argument("plan")
@click.pass_obj
def cancel_plan(call: Call, plan: str) -> Answer:
    """Cancel an open plan, so that nobody can apply it any more."""
    store = call.wiring.store
    row = store.get_plan(plan)
    if store.cancel_plan(row.id):
        return Answer(f"cancelled: {row.id}; it cannot be applied any more", data={"plan": row.id})
    row = store.get_plan(plan)
    if row.state == "cancelled":
        return Answer(f"already so: {row.id} is cancelled", data={"plan": row.id})
    raise ConflictError(
        f"{row.id} was applied already", hint=f"pve run show {row.run}", details={"run": row.run}
    )


@group.command("code", operation="plan.code")
@click.argument("plan")
@click.pass_obj
def send_code(call: Call, plan: str) -> Answer:
    """Send a fresh consent code for an open plan to the person; the one before is void."""
    from pveops.engine.apply import load_plan
    from pveops.engine.change import send_consent_code
    from pveops.errors import ConfigError, ConsentInvalidError, StalePlanError

    follow_plan(call, plan)
    session = call.wiring.session()
    row, found = load_plan(session, plan)
    state = _state(row, call.clock.now())
    if row.run:
        raise StalePlanError(f"{row.id} was applied already", hint=f"pve run show {row.run}")
    if state != "open":
        raise StalePlanError(f"{row.id} is {state}", hint="ask for the operation again")
    sent = send_consent_code(session, row, found)
    if sent == "signature":
        raise ConsentInvalidError(
            f"the policy asks for a signature to tier {found.tier}; no code is enough",
            hint=f"pve plan challenge {row.id}",
        )
    if sent == "no-sender":
        raise ConfigError(
            "no way to send a code is configured (consent.sender of the profile)",
            hint=f"a person at a terminal of this machine: pve-apply {row.id}",
        )
    return Answer(
        f"a fresh code for {row.id} was sent to the person",
        data={"plan": row.id},
        next=(f"pve-apply {row.id} --code CODE",),
    )


@group.command("challenge", operation="plan.challenge")
@click.argument("plan")
@click.pass_obj
def challenge(call: Call, plan: str) -> Written:
    """Print what a person signs to agree to a plan (level G4): these bytes, and nothing else."""
    from pveops.engine.apply import load_plan
    from pveops.engine.consent_signature import consent_text

    row, found = load_plan(call.wiring.session(), plan)
    return Written(consent_text(row, found).decode(), 0)


@group.command("approval-key", operation="plan.approval-key")
@click.option("--where", is_flag=True, help="Make none; only tell where it is.")
@click.pass_obj
def make_approval_key(call: Call, where: bool) -> Answer:
    """Make the key with which an agent's plugin signs approvals of its own prompt (level G2)."""
    import secrets

    from pveops.config.paths import create_private_file
    from pveops.errors import ConfigError

    file = call.wiring.paths.approval_key_file
    data = {"file": str(file)}
    if where and not file.exists():
        raise ConfigError("there is no approval key", hint="pve plan approval-key")
    if where:
        return Answer(f"it is {file}", data=data)
    if not create_private_file(file, f"{secrets.token_hex(32)}\n".encode()):
        return Answer(f"already so: {file} is there", data=data)
    return Answer(f"done: {file} is made; the plugin reads it", data=data)
