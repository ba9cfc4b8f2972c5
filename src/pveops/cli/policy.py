"""`pve policy`: who may do what, and the brake for everything."""

from __future__ import annotations

import click

from pveops.cli.answer import Answer, Facts
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.errors import PolicyRefusedError

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
    )
    state = "FROZEN: no change is carried out" if is_frozen else "changes are not frozen"
    return Answer(
        f"{state}; policy {policy.digest} from {source}",
        data={"is_frozen": is_frozen, "digest": policy.digest, "policy": plain(policy)},
        blocks=(Facts(by_actor), Facts(rules)),
        next=("pve policy unfreeze   # a person, at a terminal",) if is_frozen else (),
    )


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
        next=("pve policy unfreeze   # a person, at a terminal",),
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
