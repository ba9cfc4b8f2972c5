"""A command inside a VM, through its guest agent. A pure decision.

Which command may be run where is for the policy to say (`guest_commands`); the gate asks it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from pveops.domain.facts import GuestFacts
from pveops.errors import UnsupportedError, UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import check_lock, subject_of, worst_first
from pveops.operations.plan import Call, Item, Scalar, WaitState
from pveops.operations.subject import headline_of, target_of

_MAX_WORDS, _MAX_CHARS = 50, 2_000
_TIMEOUT_S = 60.0


def split_command(params: Mapping[str, Scalar]) -> tuple[str, ...]:
    """The words of the parameter `command`, which holds them quoted as a shell does."""
    try:
        return tuple(shlex.split(str(params.get("command") or "")))
    except ValueError as error:
        raise UsageError(f"the command cannot be read: {error}") from error


def decide_exec(_operation: str, facts: GuestFacts, params: dict[str, Scalar]) -> Decision:
    """Started inside, waited for, and told with its exit status (API2/Qemu/Agent.pm, exec).

    Raises UnsupportedError for containers: PVE's API has no way into them.
    """
    target, words = target_of(facts), split_command(params)
    if facts.guest.kind != "qemu":
        raise UnsupportedError(
            f"{facts.guest.ref.label} is a container; PVE runs nothing in those"
        )
    if not words:
        raise UsageError("which command?", hint="pve guest exec web01 -- systemctl status nginx")
    if len(words) > _MAX_WORDS or len(str(params["command"])) > _MAX_CHARS:
        raise UsageError(f"a command has at most {_MAX_WORDS} words and {_MAX_CHARS} characters")
    found = worst_first(_check(facts))
    if blocks_among(found):
        return Decision(target, found, state=facts.state.power)
    timeout = params.get("timeout")
    call = Call(
        "POST",
        facts.guest.ref.path("agent", "exec"),
        {"command": words},
        effect="C",
        does=f"run {shlex.join(words)}",
    )
    wait_s = float(timeout) if isinstance(timeout, int) else _TIMEOUT_S
    item = Item(
        target=target,
        headline=f"{headline_of(facts)}, run as root inside: {shlex.join(words)}",
        guards=guest_guards(facts.state, facts.config),
        before={"power": facts.state.power},
        steps=(call, WaitState("exec.ended", wait_s)),
        losses=(),
    )
    return Decision(target, found, item, state=facts.state.power)


def _check(facts: GuestFacts) -> Iterator[Finding]:
    subject, vmid = subject_of(facts), facts.guest.vmid
    yield from check_lock(facts, frozenset({"backup"}))
    if facts.state.qmpstatus != "running":
        yield Finding("guest.stopped", "block", subject, f"it is {facts.state.power}")
    elif not facts.state.has_agent:
        yield Finding(
            "agent.off",
            "block",
            subject,
            "its guest agent is switched off",
            remedy=f"pve guest set {vmid} --agent on, and qemu-guest-agent inside",
        )
