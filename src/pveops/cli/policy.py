"""`pve policy`: who may do what, and the brake for everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.errors import PolicyRefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from pveops.config.policy import Policy
    from pveops.engine.gate import Verdict

group = Group("policy", help="The policy: who may do what, and the brake for everything.")


@group.command("show", operation="policy.show")
@click.pass_obj
def show_policy(call: Call) -> Answer:
    """Show the policy in force, and whether changes are frozen."""
    from pveops.operations.plan import plain

    wiring = call.wiring
    policy = wiring.policy
    is_frozen = wiring.paths.freeze_file.exists()
    place = wiring.paths.policy_file
    source = str(place) if place.exists() else f"the default policy; {place} does not exist"
    by_actor = tuple(
        (actor, ", ".join(f"tier {number} {rules.action(number)}" for number in (1, 2, 3)))
        for actor, rules in (
            ("person", policy.actors.person),
            ("agent", policy.actors.agent),
            ("unattended", policy.actors.unattended),
        )
    )
    rules = (
        ("operations", ", ".join(f"{name} {act}" for name, act in policy.operations.items())),
        ("protected tags", ", ".join(policy.protected.tags)),
        ("protected pools", ", ".join(policy.protected.pools)),
        ("protected vmids", ", ".join(map(str, policy.protected.vmids))),
        ("protected names", ", ".join(policy.protected.names)),
        ("targets before one tier up", str(policy.max_targets)),
        ("pools to make guests in", ", ".join(policy.create_pools)),
        (
            "commands inside guests",
            "; ".join(text for rule in policy.guest_commands for text in rule.commands),
        ),
        ("days in the trash", str(policy.trash_days)),
        ("changes at once per hour", str(policy.max_changes_per_hour)),
        ("asked in place at a terminal", "yes" if policy.consent.terminal else "no"),
        ("hours", _hours(policy)),
        ("standing grants", _grants(call)),
        ("who signs", policy.consent.allowed_signers),
    )
    state = "FROZEN: no change is carried out" if is_frozen else "changes are not frozen"
    return Answer(
        f"{state}; policy {policy.digest} from {source}",
        data={"is_frozen": is_frozen, "digest": policy.digest, "policy": plain(policy)},
        blocks=(Facts(by_actor), Facts(rules), Lines((_whose(call, place),))),
        next=(_unfreezing(call),) if is_frozen else (),
    )


def _hours(policy: Policy) -> str:
    hours = policy.hours
    if hours is None:
        return ""
    return f"{hours.start} to {hours.end} {hours.zone}, {' '.join(hours.days)}"


def _grants(call: Call) -> str:
    from pveops.engine.grants import usable_grants

    policy = call.wiring.policy
    usable, why = usable_grants(policy, call.wiring.paths.policy_file)
    told = [f"{', '.join(grant.operations)} until {grant.until}" for grant in usable]
    return "; ".join(told) or why


@group.command(
    "check",
    operation="policy.check",
    examples=("pve policy check guest.stop web01 --as agent",),
)
@click.argument("operation")
@click.argument("guests", nargs=-1)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["person", "agent", "unattended"]),
    help="Who asks; without, the caller of this.",
)
@click.pass_obj
def check_policy(call: Call, operation: str, guests: tuple[str, ...], kind: str | None) -> Answer:
    """Tell line by line what the policy says of an operation, to whom, and about whom.

    Reads and changes nothing in the cluster; what an operation's own checks would find is not
    part of it.
    """
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest
    from pveops.engine.gate import judge_guests
    from pveops.operations.catalog import get_operation
    from pveops.operations.operation import Targets
    from pveops.operations.plan import Target

    row, session = get_operation(operation), call.wiring.session()
    actor = session.actor._replace(kind=kind or session.actor.kind)  # type: ignore[arg-type]
    inventory = read_inventory(session.reader) if guests else None
    if inventory and row.targets is Targets.NODE:
        nodes = [inventory.get_node(name).name for name in guests]
        targets = [Target("node", name, name, name) for name in nodes]
    else:
        found = [resolve_guest(inventory, name) for name in guests] if inventory else []
        targets = [
            Target(g.kind, str(g.vmid), g.name, g.node, tags=g.tags, pool=g.pool) for g in found
        ]
    if not row.is_change:
        return Answer(f"at once: {row.id} only looks, and the policy says nothing about that")
    verdict = judge_guests(session, row, targets, actor)
    lines = explain(call, verdict, row.tier, actor.kind)
    word = {"at_once": "at once", "consent": "after consent", "deny": "denied"}[verdict.action]
    return Answer(
        f"{word}: {row.id} by {actor.kind}, tier {verdict.tier}",
        data={
            "operation": row.id,
            "actor": actor.kind,
            "action": verdict.action,
            "tier": verdict.tier,
            "reasons": list(verdict.reasons),
            "level": session.policy.consent.level_for(verdict.tier),
        },
        blocks=(Lines(lines),),
    )


def explain(call: Call, verdict: Verdict, tier: int, kind: str) -> tuple[str, ...]:
    """The decision in the order in which it was made."""
    policy, file = call.wiring.policy, call.wiring.paths.policy_file
    rules = getattr(policy.actors, kind)
    lines = [f"tier {tier} by the catalogue"]
    up = "one tier up: "
    lines += [
        f"{'' if reason == verdict.on_grant else up}{reason}"
        for reason in verdict.reasons[1:]
        if verdict.tier > tier
    ]
    lines += [reason for reason in verdict.reasons[1:] if verdict.tier <= tier]
    if verdict.tier:
        lines.append(
            f"for a caller of kind {kind}, tier {verdict.tier}: {rules.action(verdict.tier)}"
        )
    if verdict.action == "consent":
        level = policy.consent.level_for(verdict.tier)
        lines.append(f"consent of level {level} or stronger; a plan is valid {verdict.ttl_s} s")
        if verdict.terminal_is_enough:
            lines.append("at this terminal a person is asked in place")
    lines.append(_whose(call, file))
    return tuple(lines)


def _whose(call: Call, file: Path) -> str:
    """Who may change the rules: a policy that the caller can write binds only the well-meaning."""
    import os

    if call.is_brokered:
        return f"the policy is the broker's ({file}); its clients cannot write it"
    place = file if file.exists() else next(p for p in file.parents if p.exists())
    if os.access(place, os.W_OK):
        return f"the caller's own account can write {file}: it binds whoever means well"
    return f"the caller's account cannot write {file}"


@group.command("freeze", operation="policy.freeze")
@click.pass_obj
def freeze(call: Call) -> Answer:
    """Stop every change at once. Anybody may; only a person lifts it."""
    from pveops.config.paths import write_private_file

    wiring = call.wiring
    path = wiring.paths.freeze_file
    if path.exists():
        return Answer("already so: changes are frozen", data={"is_frozen": True})
    why = call.options.reason
    note = f"{call.clock.now():.0f} {call.actor.label} {why}\n"
    write_private_file(path, note.encode())
    _record(call, "freeze")
    return Answer(
        "frozen: no change is carried out until a person lifts it; what is running goes on",
        changed=False,
        data={"is_frozen": True},
        next=(_unfreezing(call),),
    )


@group.command("unfreeze", operation="policy.unfreeze")
@click.pass_obj
def unfreeze(call: Call) -> Answer:
    """Let changes through again. For a person at a terminal only; with a broker, for root."""
    path = call.wiring.paths.freeze_file
    if not path.exists():
        return Answer("already so: changes are not frozen", data={"is_frozen": False})
    _check_may_unfreeze(call)
    _record(call, "unfreeze")
    path.unlink(missing_ok=True)
    return Answer("changes are let through again", data={"is_frozen": False})


def _unfreezing(call: Call) -> str:
    """Who may do it is told with it."""
    who = "root, on the broker's machine" if call.is_brokered else "a person, at a terminal"
    return f"pve policy unfreeze   # {who}"


def _check_may_unfreeze(call: Call) -> None:
    if call.is_brokered:
        # Whose name it is, the kernel told the broker.
        if call.actor.os_user != "root":
            raise PolicyRefusedError(
                "only root lifts the freeze of a broker", hint="ask your human to do it"
            )
        return
    if not call.is_person:
        raise PolicyRefusedError(
            "only a person at a terminal lifts the freeze", hint="ask your human to do it"
        )
    if call.ask("type unfreeze to let changes through") != "unfreeze":
        raise PolicyRefusedError("not confirmed; changes stay frozen")


def _record(call: Call, what: str) -> None:
    call.wiring.audit.append(
        "policy",
        {
            "operation": f"policy.{what}",
            "actor": call.actor.label,
            "asserted": dict(call.actor.asserted),
            "reason": call.options.reason,
        },
    )
