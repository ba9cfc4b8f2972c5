"""Facts in, decision out: the power verbs as data.

Each file of `power/` holds {operation, facts, params, decision}. What PVE does in each case is
named in the file's `source`.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pveops.domain.facts import ActiveTask, GuestFacts
from pveops.domain.guest import Guest, GuestConfig, GuestState, PendingChange
from pveops.operations.power import decide_power

CASES = sorted((Path(__file__).parent / "power").glob("*.json"))


def facts_of(given: dict[str, Any]) -> GuestFacts:
    """Facts from the few members that a case names; the rest is an ordinary running VM."""
    kind = given.get("kind", "qemu")
    status = given.get("status", "running")
    guest = Guest(
        vmid=101,
        kind=kind,
        node="pve1",
        name="web01",
        status=status,
        reported_status=status,
        tags=tuple(given.get("tags", ())),
        pool="",
        lock=given.get("lock", ""),
        is_template=given.get("is_template", False),
        hastate=given.get("hastate", ""),
        cpu=0.1,
        maxcpu=2.0,
        mem_bytes=1 << 30,
        maxmem_bytes=4 << 30,
        disk_bytes=0,
        maxdisk_bytes=32 << 30,
        uptime_s=given.get("uptime_s", 3_542_400),
    )
    state = GuestState(
        ref=guest.ref,
        status=status,
        qmpstatus=given.get("qmpstatus", status),
        lock=given.get("lock", ""),
        uptime_s=guest.uptime_s if status == "running" else 0,
        pid=4711 if status == "running" else 0,
        is_ha_managed="hastate" in given,
        hastate=given.get("hastate", ""),
        has_agent=given.get("has_agent", True),
        is_template=guest.is_template,
    )
    return GuestFacts(
        guest=guest,
        state=state,
        config=GuestConfig("d1", "i1", {"name": "web01"}),
        tasks=tuple(
            ActiveTask(f"UPID:pve1:{t}:", t, "101", "root@pam", 990)
            for t in given.get("tasks", ())
        ),
        pending=tuple(PendingChange(key, "1", "2", False) for key in given.get("pending", ())),
        is_quorate=given.get("is_quorate", True),
        read_at=1000,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_lead_to_the_decision(path: Path) -> None:
    case = json.loads(path.read_text())
    decision = decide_power(case["operation"], facts_of(case["facts"]), case.get("params", {}))
    shown = {
        "is_already_so": decision.is_already_so,
        "state": decision.state,
        "findings": [f"{f.severity} {f.code}" for f in decision.findings],
        "steps": json.loads(msgspec.json.encode(decision.item.steps)) if decision.item else None,
        "headline": decision.item.headline if decision.item else None,
        "undo": decision.item.undo if decision.item else None,
    }
    assert shown == case["decision"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 20
