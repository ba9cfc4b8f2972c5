"""Clones of guests, linked or full, one or many. Pure decisions.

A clone is the source to the letter but for its MAC addresses and ids (API2/Qemu.pm clone_vm,
API2/LXC.pm clone_vm): that it starts with its node, its protection and its fixed address come
along, so a second call takes them away.
"""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.address import format_options, network_slots, parse_interface, parse_options
from pveops.domain.clone_facts import CloneFacts, SourceFacts
from pveops.domain.guest import split_tags
from pveops.domain.guest_name import check_guest_name
from pveops.domain.name_pattern import fill_number, has_number
from pveops.domain.trash import TRASH_TAG, erase_mark
from pveops.errors import UsageError
from pveops.operations.clone_checks import CloneCase, check_clone
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import (
    VMID,
    Call,
    Item,
    Scalar,
    Step,
    Target,
    WaitState,
    WaitTask,
)
from pveops.operations.subject import target_of
from pveops.sanitize import shell_word

_COPY_S = 86_400.0
_GRACE_S = 30.0
_START_S = 300.0
_ADDRESS_S = 60.0


def decide_clone(_operation: str, facts: CloneFacts, params: dict[str, Scalar]) -> Decision:
    """One clone: made, made its own, and started when that is asked for."""
    source = facts.source
    case = _case_of(facts, params)
    target = _target_of(case, params)
    found = worst_first(check_clone(case))
    if blocks_among(found):
        return Decision(target, found)
    steps = (*_clone_steps(case, params), *_own_steps(case, params))
    if params.get("start"):
        steps = (*steps, *_start_steps(case))
    else:
        steps = (*steps, WaitState("guest.exists", _GRACE_S))
    how = "full clone" if case.is_full else "linked clone"
    item = Item(
        target=target,
        headline=", ".join([f"NEW, {how} of {source.base.guest.ref.label}", *_words(case)]),
        guards=guest_guards(source.base.state, source.base.config),
        before={"exists": False},
        steps=steps,
        undo=f"pve guest delete {shell_word(case.name)}",
        source=target_of(source.base),
    )
    return Decision(target, found, item)


def _words(case: CloneCase) -> Iterator[str]:
    """What a person agrees to beside the copy: where, address, pool, whether it starts."""
    if case.storage:
        yield f"on {case.storage}"
    if case.address:
        yield case.address
    if case.pool:
        yield f"pool {case.pool}"
    if case.starts:
        yield "started"


def _case_of(facts: CloneFacts, params: dict[str, Scalar]) -> CloneCase:
    """Raises UsageError for parameters that contradict each other."""
    pattern, address = str(params.get("name") or ""), params.get("ip")
    if not pattern:
        raise UsageError("what is it to be called?", hint="--name web03, or --name 'k8s-{n}'")
    if "{" in fill_number(pattern, 1):
        raise UsageError(
            f"{pattern[:60]!r} is no pattern for names", hint="{n}, {n+10} and {n-1} are known"
        )
    if facts.source.copies > 1 and not has_number(pattern):
        raise UsageError(
            f"{facts.source.copies} clones cannot all be called {pattern!r}",
            hint=f"--name '{pattern}-{{n}}'",
        )
    if params.get("full_clone") and params.get("linked_clone"):
        raise UsageError("either --full-clone or --linked-clone")
    wanted = fill_number(str(address), facts.number) if address is not None else ""
    if wanted not in {"", "dhcp"} and parse_interface(wanted) is None:
        raise UsageError(
            f"{wanted!r} is no address", hint="--ip '10.0.0.{n+10}/24', with its prefix, or dhcp"
        )
    if wanted not in {"", "dhcp"} and facts.source.copies > 1 and not has_number(str(address)):
        raise UsageError(
            f"{facts.source.copies} clones cannot all have the address {wanted}",
            hint="--ip '10.0.0.{n+10}/24'",
        )
    is_template = facts.source.base.state.is_template
    is_full = bool(params.get("full_clone")) or not (params.get("linked_clone") or is_template)
    if not is_full and params.get("storage"):
        raise UsageError(
            "a linked clone lies where its template does", hint="--full-clone --storage S"
        )
    return CloneCase(
        facts=facts,
        name=check_guest_name(fill_number(pattern, facts.number)),
        address=wanted,
        gateway=str(params.get("gateway") or ""),
        is_full=is_full,
        storage=str(params.get("storage") or ""),
        node=str(params.get("node") or facts.source.base.guest.node),
        pool=str(params.get("pool") or ""),
        snapname=str(params.get("snapname") or ""),
        starts=bool(params.get("start")),
    )


def _target_of(case: CloneCase, params: dict[str, Scalar]) -> Target:
    guest = case.facts.source.base.guest
    return Target(
        kind=guest.kind,
        id=str(case.facts.vmid),
        name=case.name,
        node=case.node,
        tags=tuple(
            tag
            for tag in split_tags(case.facts.source.base.config.get("tags"))
            if tag != TRASH_TAG
        ),
        pool=str(params.get("pool") or ""),
        is_new=True,
    )


def _clone_steps(case: CloneCase, params: dict[str, Scalar]) -> tuple[Step, ...]:
    guest = case.facts.source.base.guest
    sent: dict[str, Scalar] = {
        "name" if guest.kind == "qemu" else "hostname": case.name,
        "full": case.is_full,
    }
    for word in ("storage", "pool", "snapname"):
        if params.get(word):
            sent[word] = params[word]
    if case.node != guest.node:
        sent["target"] = case.node
    call = Call(
        "POST",
        guest.ref.path("clone"),
        sent,
        effect="C",
        task_types=("qmclone", "vzclone"),
        does=f"clone to {case.name}",
        new_id="newid",
        task_node=guest.node,
        task_id=str(guest.vmid),
    )
    return call, WaitTask(_COPY_S), WaitState("guest.exists", _GRACE_S)


def _own_steps(case: CloneCase, params: dict[str, Scalar]) -> tuple[Step, ...]:
    """What must not be as the source has it."""
    source = case.facts.source
    config = source.base.config
    values: dict[str, str | None] = {}
    if config.starts_on_boot and not params.get("onboot"):
        values["onboot"] = "0"
    if config.is_protected:
        values["protection"] = None
    tags = [tag for tag in split_tags(config.get("tags")) if tag != TRASH_TAG]
    if len(tags) != len(split_tags(config.get("tags"))):
        values["tags"] = ";".join(tags) or None
        values["description"] = erase_mark(config.get("description")) or None
    values |= _addresses(case, source)
    if not values:
        return ()
    sent: dict[str, Scalar] = {key: text for key, text in values.items() if text is not None}
    gone = [key for key, text in values.items() if text is None]
    if gone:
        sent["delete"] = ",".join(gone)
    kind = source.base.guest.kind
    words = ", ".join(f"{key}={text}" if text else f"no {key}" for key, text in values.items())
    call = Call(
        "PUT",
        f"/nodes/{case.node}/{kind}/{VMID}/config",
        sent,
        effect="B",
        does=f"set {words}",
    )
    seen = {key: text for key, text in values.items() if not key.startswith("net")}
    return call, WaitState("config.values", _GRACE_S, dict(seen))


def _addresses(case: CloneCase, source: SourceFacts) -> dict[str, str | None]:
    """The first interface as asked for; a fixed address that nobody asked for becomes DHCP."""
    kind, config = source.base.guest.kind, source.base.config
    slots = network_slots(kind, config)
    if kind == "qemu" and case.address and "ipconfig0" not in slots:
        slots = ["ipconfig0", *slots]
    values: dict[str, str | None] = {}
    for slot in slots:
        options = parse_options(config.get(slot))
        new = _with_address(
            options, case.address if slot.endswith("g0") or slot == "net0" else "", case.gateway
        )
        if new != options:
            new.pop("hwaddr", None)
            values[slot] = format_options(new)
    return values


def _with_address(options: dict[str, str], wanted: str, gateway: str) -> dict[str, str]:
    new = dict(options)
    interface = parse_interface(wanted)
    keys = ("ip", "gw") if interface is None or interface.version == 4 else ("ip6", "gw6")
    if interface is not None:
        new[keys[0]] = wanted
        if gateway:
            new[keys[1]] = gateway
    elif wanted == "dhcp" or parse_interface(options.get("ip", "")) is not None:
        new["ip"] = "dhcp"
        new.pop("gw", None)
    if interface is None and parse_interface(options.get("ip6", "")) is not None:
        new["ip6"] = "auto"
        new.pop("gw6", None)
    return new


def _start_steps(case: CloneCase) -> tuple[Step, ...]:
    kind = case.facts.source.base.guest.kind
    call = Call(
        "POST",
        f"/nodes/{case.node}/{kind}/{VMID}/status/start",
        effect="B",
        task_types=("qmstart", "vzstart"),
        does="start",
    )
    running = WaitState("power.running", _GRACE_S)
    return call, WaitTask(_START_S), running, *address_steps(case)


def address_steps(case: CloneCase) -> tuple[Step, ...]:
    """Waited for where somebody can tell: a container, or a VM with an agent."""
    base = case.facts.source.base
    if base.guest.kind == "qemu" and not base.state.has_agent:
        agent = base.config.get("agent")
        if not agent or agent.startswith(("0", "enabled=0")):
            return ()
    return (WaitState("address.known", _ADDRESS_S, is_optional=True),)
