"""What stands against a change of a guest's configuration, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pveops.domain.address import parse_options
from pveops.domain.config_facts import ConfigFacts
from pveops.operations.config_more import is_card
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.units import format_bytes

_MIB = 1 << 20


def check_values(facts: ConfigFacts, wanted: Mapping[str, str | None]) -> Iterator[Finding]:
    """`wanted`: key -> the text that is to be stored; None: the key is to go."""
    yield from check_stored_change(facts.base)
    yield from _check_memory(facts, wanted)
    yield from _check_cores(facts, wanted)
    yield from _check_cards(facts, wanted)
    name = wanted.get("name") or wanted.get("hostname")
    if name and facts.same_name:
        yield Finding(
            "guest.name-taken",
            "warn",
            subject_of(facts.base),
            f"{', '.join(facts.same_name)} has that name, too: changes by name will be refused",
        )
    if "hostname" in wanted or "name" in wanted:
        yield Finding(
            "guest.name-outside",
            "info",
            subject_of(facts.base),
            "DNS, monitoring and what else knows the old name are not changed",
        )


def _check_memory(facts: ConfigFacts, wanted: Mapping[str, str | None]) -> Iterator[Finding]:
    base, subject = facts.base, subject_of(facts.base)
    memory = _number(wanted.get("memory") or base.config.get("memory") or "512")
    balloon = _number(wanted["balloon"] if "balloon" in wanted else base.config.get("balloon"))
    if {"memory", "balloon"} & wanted.keys() and memory and balloon and balloon > memory:
        yield Finding(
            "guest.balloon-above-memory",
            "block",
            subject,
            f"the balloon's minimum ({balloon} MiB) is more than the memory ({memory} MiB)",
            remedy="give --balloon, too, at most the memory",
        )
    most = facts.node.maxmem_bytes if facts.node and facts.node.has_figures else 0
    if "memory" in wanted and most and memory and memory * _MIB > most:
        yield Finding(
            "guest.more-memory-than-node",
            "warn",
            subject,
            f"{format_bytes(memory * _MIB)} are more than {base.guest.node} has "
            f"({format_bytes(most)}): it will not start there",
        )


def _check_cores(facts: ConfigFacts, wanted: Mapping[str, str | None]) -> Iterator[Finding]:
    """QEMU: `MAX n vcpus allowed per VM on this node` when it is started (QemuServer.pm)."""
    if not {"cores", "sockets"} & wanted.keys():
        return
    base = facts.base
    cores = _number(wanted.get("cores") or base.config.get("cores")) or 1
    sockets = _number(wanted.get("sockets") or base.config.get("sockets")) or 1
    most = int(facts.node.maxcpu) if facts.node and facts.node.has_figures else 0
    count = cores * (sockets if base.guest.kind == "qemu" else 1)
    if most and count > most:
        yield Finding(
            "guest.more-cores-than-node",
            "warn",
            subject_of(base),
            f"{count} CPUs are more than the {most} of {base.guest.node}: it will not start there",
        )


def _number(text: str | None) -> int | None:
    """Whole MiB or CPUs, also out of `current=4096` (the long form of `memory`)."""
    digits = (text or "").rpartition("=")[2]
    return int(digits) if digits.isdecimal() else None


def _check_cards(facts: ConfigFacts, wanted: Mapping[str, str | None]) -> Iterator[Finding]:
    base, subject = facts.base, subject_of(facts.base)
    for key, text in wanted.items():
        if not is_card(key) or text is None:
            continue
        bridge = parse_options(text).get("bridge", "")
        if facts.bridges is not None and bridge and bridge not in facts.bridges:
            yield Finding(
                "bridge.missing",
                "block",
                subject,
                f"{base.guest.node} has no bridge or vnet {bridge!r}",
                remedy=f"there are {', '.join(facts.bridges) or 'none'}",
            )
        elif base.state.is_running:
            yield Finding(
                "config.card", "warn", subject, f"it runs: {key} is unplugged and plugged in again"
            )
