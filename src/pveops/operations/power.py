"""The power verbs: start, shutdown, stop, reboot, reset, suspend, resume.

`decide_power` is pure: one verb, one guest's facts, in; what to do, out.
"""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.facts import GuestFacts
from pveops.errors import UnsupportedError
from pveops.operations.catalog import get_operation
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.plan import Call, Item, Scalar, Step, Target, WaitState, WaitTask
from pveops.operations.power_checks import PAUSED_STATES, PowerCase, check_power
from pveops.operations.startup import parse_startup, settling_step, stage_of
from pveops.operations.subject import headline_of, target_of
from pveops.units import format_bytes

_GRACE_S = 30
_HA_GRACE_S = 120
"""The CRM works in rounds of 10 s, and the LRM after it (pve-ha-manager)."""
_START_S = 300
_HA_WANTS_RUNNING = frozenset({"started", "starting", "recovery", "migrate", "relocate", "fence"})


class _Verb(NamedTuple):
    qemu_tasks: tuple[str, ...]
    lxc_tasks: tuple[str, ...]
    ha_task: str
    goal: str
    undo: str


_VERBS: dict[str, _Verb] = {
    "start": _Verb(("qmstart", "qmresume"), ("vzstart",), "hastart", "power.running", "shutdown"),
    "shutdown": _Verb(("qmshutdown",), ("vzshutdown",), "hastop", "power.stopped", "start"),
    "stop": _Verb(("qmstop",), ("vzstop",), "hastop", "power.stopped", "start"),
    "reboot": _Verb(("qmreboot",), ("vzreboot",), "", "power.restarted", ""),
    "reset": _Verb(("qmreset",), (), "", "power.running", ""),
    "suspend": _Verb(("qmpause", "qmsuspend"), ("vzsuspend",), "", "power.paused", "resume"),
    "resume": _Verb(("qmresume", "qmstart"), ("vzresume",), "", "power.running", "suspend"),
}


def decide_power(operation_id: str, facts: GuestFacts, params: dict[str, Scalar]) -> Decision:
    """What `guest.<verb>` comes to for one guest.

    Raises UnsupportedError when guests of this kind have no such verb.
    """
    verb = operation_id.partition(".")[2]
    guest = facts.guest
    if guest.kind not in get_operation(operation_id).kinds:
        raise UnsupportedError(
            f"{guest.ref.label} is a container; only VMs can be {verb}",
            hint=f"pve guest reboot {guest.vmid}",
        )
    target = target_of(facts)
    if _is_already_so(verb, facts, params):
        return Decision(target, (), is_already_so=True, state=facts.state.power)
    findings = check_power(PowerCase(verb, facts, params))
    if blocks_among(findings):
        return Decision(target, findings, state=facts.state.power)
    return Decision(target, findings, _item(verb, facts, params, target), state=facts.state.power)


def _is_already_so(verb: str, facts: GuestFacts, params: dict[str, Scalar]) -> bool:
    state = facts.state
    if state.is_template:
        return False
    if verb in {"start", "resume"}:
        return state.is_running and state.qmpstatus == "running"
    if verb in {"stop", "shutdown"}:
        # A stopped guest that HA wants running is about to be started again.
        stays_down = not state.is_ha_managed or state.hastate not in _HA_WANTS_RUNNING
        return not state.is_running and not state.lock and stays_down
    if verb == "suspend":
        if params.get("to_disk"):
            return not state.is_running and state.lock == "suspended"
        return state.is_running and state.qmpstatus in PAUSED_STATES
    return False


def _item(verb: str, facts: GuestFacts, params: dict[str, Scalar], target: Target) -> Item:
    undo = _VERBS[verb].undo
    return Item(
        target=target,
        headline=headline_of(facts),
        guards=guest_guards(facts.state, facts.config),
        before={
            "power": facts.state.power,
            "uptime_s": facts.state.uptime_s,
            "pid": facts.state.pid,
            "node": facts.guest.node,
        },
        steps=(*power_steps(verb, facts, params), *settling_step(verb, facts.config)),
        stage=stage_of(verb, facts.config),
        losses=_losses(verb, facts),
        undo=f"pve guest {undo} {facts.guest.vmid}" if undo else "",
    )


def power_steps(
    verb: str, facts: GuestFacts, params: dict[str, Scalar], does: str = ""
) -> tuple[Step, ...]:
    """The verb's call, its task, and its goal; also as a part of larger changes (`does`)."""
    row = _VERBS[verb]
    is_queued = bool(row.ha_task) and facts.state.is_ha_managed
    guest = facts.guest
    timeout_s = _timeout_s(verb, facts, params)
    call = Call(
        method="POST",
        path=guest.ref.path("status", verb),
        params=_call_params(verb, params, guest.kind),
        effect=get_operation(f"guest.{verb}").effect.value,
        task_types=(row.ha_task,) if is_queued else _task_types(row, guest.kind),
        does=does,
    )
    state_s = timeout_s + _HA_GRACE_S if is_queued else float(_GRACE_S)
    goal = "power.hibernated" if verb == "suspend" and params.get("to_disk") else row.goal
    return call, WaitTask(timeout_s + _GRACE_S), WaitState(goal, state_s)


def _task_types(row: _Verb, kind: str) -> tuple[str, ...]:
    return row.qemu_tasks if kind == "qemu" else row.lxc_tasks


def _timeout_s(verb: str, facts: GuestFacts, params: dict[str, Scalar]) -> float:
    if verb in {"shutdown", "reboot"}:
        asked = params.get("timeout")
        if isinstance(asked, int | float):
            return float(asked)
        # Without a timeout PVE takes `down` of the guest's startup option (QemuServer.pm).
        return float(parse_startup(facts.config.get("startup")).down_s or 60)
    return float(_START_S) if verb in {"start", "resume"} else 60.0


def _call_params(verb: str, params: dict[str, Scalar], kind: str) -> dict[str, Scalar]:
    sent: dict[str, Scalar] = {}
    if verb in {"shutdown", "reboot"} and params.get("timeout") is not None:
        sent["timeout"] = params["timeout"]
    if verb == "shutdown" and params.get("force_after"):
        sent["forceStop"] = True
    if verb == "suspend" and params.get("to_disk") and kind == "qemu":
        sent["todisk"] = True
    return sent


def _losses(verb: str, facts: GuestFacts) -> tuple[str, ...]:
    if not facts.state.is_running:
        return ()
    if verb in {"stop", "reset"}:
        memory = facts.guest.maxmem_bytes
        size = f" (up to {format_bytes(memory)} of memory)" if memory else ""
        return (f"whatever the guest has not written to disk{size}",)
    return ()
