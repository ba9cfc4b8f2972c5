"""HA resources: put guests under HA, take them out, say what is wanted. Pure decisions."""

from __future__ import annotations

from pveops.api.port import api_path
from pveops.domain.ha_facts import HaFacts
from pveops.domain.move import MoveFacts
from pveops.errors import UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards, ha_guard
from pveops.operations.guest_checks import subject_of, worst_first
from pveops.operations.ha_checks import check_add, check_remove, check_reset, check_state
from pveops.operations.move import decide_migrate
from pveops.operations.plan import Call, Item, Scalar, Step, WaitState
from pveops.operations.subject import headline_of, target_of
from pveops.sanitize import shell_word

STATES = ("started", "stopped", "disabled", "ignored")
_GRACE_S = 30.0
_ROUND_S = 180.0
"""The CRM works in rounds of 10 s, the LRM after it, and a shutdown takes up to 60 s."""
_RESOURCES = "/cluster/ha/resources"


def decide_add(_operation: str, facts: HaFacts, params: dict[str, Scalar]) -> Decision:
    """`ha.add`."""
    state = _state_of(params.get("state") or "started")
    wanted = {"state": state}
    for name in ("max_restart", "max_relocate", "group"):
        if params.get(name) is not None:
            wanted[name] = str(params[name])
    target, now = target_of(facts.base), facts.configured
    if now is not None and all(now.get(key) == value for key, value in wanted.items()):
        return Decision(target, (), is_already_so=True, state=_told(now))
    found = worst_first(check_add(facts, wanted))
    if blocks_among(found):
        return Decision(target, found, state=facts.base.state.power)
    sent: dict[str, Scalar] = dict(wanted)
    if now is None:
        call = Call("POST", _RESOURCES, {"sid": facts.sid, **sent}, effect="B", does="add to HA")
    else:
        call = Call("PUT", _path(facts), sent, effect="B", does="change its HA resource")
    undo = f"pve ha remove {facts.base.guest.vmid}" if now is None else ""
    steps = (call, _configured(wanted), *_reached(facts, state))
    return Decision(target, found, _item(facts, f"HA wants it {state}", steps, undo))


def decide_remove(_operation: str, facts: HaFacts, _params: dict[str, Scalar]) -> Decision:
    """`ha.remove`: the guest stays as it is."""
    target, now = target_of(facts.base), facts.configured
    if now is None:
        return Decision(target, (), is_already_so=True, state="not under HA")
    found = worst_first(check_remove(facts))
    if blocks_among(found):
        return Decision(target, found, state=_told(now))
    steps = (
        Call("DELETE", _path(facts), {}, effect="B", does="take it out of HA"),
        WaitState("ha.absent", _GRACE_S),
    )
    undo = f"pve ha add {facts.base.guest.vmid} --state {now['state']}"
    return Decision(target, found, _item(facts, "OUT OF HA", steps, undo))


def decide_state(_operation: str, facts: HaFacts, params: dict[str, Scalar]) -> Decision:
    """`ha.set-state`."""
    state = _state_of(params["state"])
    target, now = target_of(facts.base), facts.configured
    if now is not None and now["state"] == state and facts.live and facts.live.state != "error":
        return Decision(target, (), is_already_so=True, state=_told(now))
    found = worst_first(check_state(facts, state))
    if blocks_among(found) or now is None:
        return Decision(target, found, state=facts.base.state.power)
    call = Call("PUT", _path(facts), {"state": state}, effect="B", does=f"want it {state}")
    steps = (call, _configured({"state": state}), *_reached(facts, state))
    undo = f"pve ha set-state {facts.base.guest.vmid} {now['state']}"
    return Decision(target, found, _item(facts, f"HA wants it {state}", steps, undo))


def decide_reset(_operation: str, facts: HaFacts, _params: dict[str, Scalar]) -> Decision:
    """`ha.reset`: out of the state `error`, which only `disabled` leads out of (Manager.pm)."""
    target = target_of(facts.base)
    if facts.live is not None and facts.live.state != "error":
        return Decision(target, (), is_already_so=True, state=f"not in error ({facts.live.state})")
    found = worst_first(check_reset(facts))
    now = facts.configured
    if blocks_among(found) or now is None:
        return Decision(target, found, state=facts.base.state.power)
    back = now["state"] if now["state"] in {"started", "stopped"} else "started"
    steps = (
        Call("PUT", _path(facts), {"state": "disabled"}, effect="B", does="disable it"),
        WaitState("ha.settled", _ROUND_S, {"states": "disabled,stopped"}),
        Call("PUT", _path(facts), {"state": back}, effect="B", does=f"want it {back}"),
        _configured({"state": back}),
        *_reached(facts, back),
    )
    item = _item(facts, f"HA ERROR, back to {back}", steps, "")
    return Decision(target, found, item)


def decide_ha_migrate(operation: str, facts: MoveFacts, params: dict[str, Scalar]) -> Decision:
    """`ha.migrate`: as `guest.migrate`, for a guest that HA manages."""
    if not facts.base.state.is_ha_managed:
        finding = Finding(
            "ha.unmanaged",
            "block",
            subject_of(facts.base),
            "HA does not manage it",
            remedy=f"pve guest migrate {facts.base.guest.vmid} {shell_word(str(params['node']))}",
        )
        return Decision(target_of(facts.base), (finding,), state=facts.base.state.power)
    return decide_migrate(operation, facts, params)


def _state_of(value: Scalar) -> str:
    state = str(value)
    if state not in STATES:
        raise UsageError(f"{state!r} is no state for HA", hint=f"one of: {', '.join(STATES)}")
    return state


def _path(facts: HaFacts) -> str:
    return api_path("cluster", "ha", "resources", facts.sid)


def _told(configured: dict[str, str]) -> str:
    return f"under HA, wanted {configured['state']}"


def _configured(wanted: dict[str, str]) -> WaitState:
    return WaitState("ha.configured", _GRACE_S, dict(wanted))


def _reached(facts: HaFacts, state: str) -> tuple[Step, ...]:
    """What HA makes of it: wanted is not done."""
    if state == "started":
        return (WaitState("power.running", _ROUND_S, holds_already=facts.base.state.is_running),)
    if state in {"stopped", "disabled"}:
        is_down = not facts.base.state.is_running
        return (WaitState("power.stopped", _ROUND_S, holds_already=is_down),)
    return ()


def _item(facts: HaFacts, does: str, steps: tuple[Step, ...], undo: str) -> Item:
    base = facts.base
    return Item(
        target=target_of(base),
        headline=f"{headline_of(base)}, {does}",
        guards=guest_guards(base.state, base.config) | ha_guard(facts.sid, facts.configured),
        before={
            "power": base.state.power,
            "node": base.guest.node,
            "ha": (facts.configured or {}).get("state"),
        },
        steps=steps,
        undo=undo,
    )
