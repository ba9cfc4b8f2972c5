"""New guests from templates. A pure decision, the choice of the node included."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.create_facts import CreateFacts
from pveops.errors import UsageError
from pveops.operations.create_trial import Trial, try_places
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import VMID, Call, Item, Scalar, Step, Target, WaitState, WaitTask
from pveops.operations.template_values import fill_values, render_growth
from pveops.sanitize import shell_word
from pveops.units import format_bytes, parse_size

SHORTHANDS = (
    "memory",
    "cores",
    "disk",
    "storage",
    "bridge",
    "ip",
    "gateway",
    "dns",
    "user",
    "ssh_keys",
)
"""Parameters that are variables of most templates."""
_CREATE_S = 3600.0
_RESIZE_S = 600.0
_START_S = 300.0
_GRACE_S = 30.0
_ADDRESS_S = 120.0


def decide_create(_operation: str, facts: CreateFacts, params: dict[str, Scalar]) -> Decision:
    """One new guest: made on the node that fits best, grown, and started when that is asked."""
    values = fill_values(facts.template, _given(params))
    trials = try_places(facts, values, str(params.get("pool") or ""))
    trial = trials[0]
    target = Target(
        kind=facts.template.path,
        id=str(facts.vmid),
        name=facts.name,
        node=trial.place.node.name,
        pool=str(params.get("pool") or ""),
        is_new=True,
    )
    found = worst_first(iter(trial.findings))
    if blocks_among(found):
        return Decision(target, found)
    steps = (*_create_steps(facts, trial, params), *_grow_steps(facts, trial))
    if params.get("start"):
        steps = (*steps, *_start_steps(facts, trial))
    else:
        steps = (*steps, WaitState("guest.exists", _GRACE_S))
    item = Item(
        target=target,
        headline=", ".join(["NEW", facts.template.summary, *_words(facts, trial, params)]),
        guards={},
        before={"exists": False},
        steps=steps,
        undo=f"pve guest delete {shell_word(facts.name)}",
    )
    return Decision(target, (*found, _why(facts, trials)), item)


def _given(params: dict[str, Scalar]) -> dict[str, str]:
    """What was asked for, by variable. Raises UsageError for what is no assignment."""
    given: dict[str, str] = {}
    for line in str(params.get("set") or "").split("\n"):
        name, separator, text = line.partition("=")
        if separator and name.strip():
            given[name.strip().replace("-", "_")] = text.strip()
        elif line:
            raise UsageError(f"{line!r} sets nothing", hint="--set NAME=VALUE")
    for name in SHORTHANDS:
        value = params.get(name)
        if value is not None:
            given[name] = str(value)
    return given


def _create_steps(facts: CreateFacts, trial: Trial, params: dict[str, Scalar]) -> tuple[Step, ...]:
    kind = facts.template.path
    sent: dict[str, Scalar] = {"name" if kind == "qemu" else "hostname": facts.name}
    sent |= trial.config
    if params.get("pool"):
        sent["pool"] = params["pool"]
    call = Call(
        "POST",
        f"/nodes/{trial.place.node.name}/{kind}",
        sent,
        effect="C",
        task_types=("qmcreate", "vzcreate"),
        does=f"create {facts.name}",
        new_id="vmid",
    )
    return call, WaitTask(_CREATE_S), WaitState("guest.exists", _GRACE_S)


def _grow_steps(facts: CreateFacts, trial: Trial) -> tuple[Step, ...]:
    steps: list[Step] = []
    for slot, size in render_growth(facts.template, trial.values).items():
        steps += [
            Call(
                "PUT",
                f"/nodes/{trial.place.node.name}/{facts.template.path}/{VMID}/resize",
                {"disk": slot, "size": size},
                effect="B",
                task_types=("resize",),
                does=f"grow {slot} to {size}",
            ),
            WaitTask(_RESIZE_S),
            WaitState("disk.size", _GRACE_S, {"disk": slot, "size_bytes": parse_size(size)}),
        ]
    return tuple(steps)


def _start_steps(facts: CreateFacts, trial: Trial) -> tuple[Step, ...]:
    call = Call(
        "POST",
        f"/nodes/{trial.place.node.name}/{facts.template.path}/{VMID}/status/start",
        effect="B",
        task_types=("qmstart", "vzstart"),
        does="start",
    )
    running = WaitState("power.running", _GRACE_S)
    address = WaitState("address.known", _ADDRESS_S, is_optional=True)
    return call, WaitTask(_START_S), running, address


def _words(facts: CreateFacts, trial: Trial, params: dict[str, Scalar]) -> Iterator[str]:
    """What a person agrees to: size, address, pool, whether it starts."""
    config = trial.config
    yield f"{config.get('cores', '1')} cores"
    if config.get("memory", "").isdecimal():
        yield format_bytes(int(config["memory"]) << 20)
    for slot, size in render_growth(facts.template, trial.values).items():
        yield f"{slot} {size}"
    addresses = [config.get(key, "") for key in ("ipconfig0", "net0")]
    yield from (
        word.removeprefix("ip=")
        for text in addresses
        for word in text.split(",")
        if word.startswith("ip=")
    )
    yield from (f"storage {place}" for place in dict.fromkeys(trial.chosen.values()))
    yield from ([f"pool {params['pool']}"] if params.get("pool") else [])
    yield "started" if params.get("start") else "not started"


def _why(facts: CreateFacts, trials: tuple[Trial, ...]) -> Finding:
    """Why it is made there."""
    node = trials[0].place.node
    if facts.is_node_given:
        text = f"on {node.name}, as asked"
    else:
        free = format_bytes(max(0, node.maxmem_bytes - node.mem_bytes))
        text = f"on {node.name}: {free} of memory free, the most of those that can take it"
    left_out = [
        f"{trial.place.node.name} cannot ({blocks_among(trial.findings)[0].message})"
        for trial in trials[1:]
        if blocks_among(trial.findings)
    ]
    storage = ", ".join(f"{name} on {value}" for name, value in trials[0].chosen.items())
    words = [text, *([storage] if storage else []), *left_out]
    return Finding("create.place", "info", node.name, "; ".join(words))
