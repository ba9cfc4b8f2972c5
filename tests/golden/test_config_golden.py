"""Facts in, decision out: configuration and disks as data, for what containers do, too.

Each file of `config/` holds {operation, facts, params, decision} and the `source` of what PVE
does in that case.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from pveops.domain.config_facts import ConfigFacts
from pveops.domain.disk import DiskFacts, list_disks
from pveops.domain.guest import GuestConfig
from pveops.domain.storage import Storage
from pveops.operations import config, disk
from pveops.operations.decision import Decision
from tests.golden.test_power_golden import facts_of

Decide: TypeAlias = Callable[[str, Any, dict[str, Any]], Decision]

CASES = sorted((Path(__file__).parent / "config").glob("*.json"))
_STORAGES = (
    Storage("local-lvm", "pve1", "lvmthin", "available", False, ("images", "rootdir"), 0, 1 << 40),
    Storage("thick", "pve1", "lvm", "available", False, ("images", "rootdir"), 0, 10 << 30),
)


def decide(case: dict[str, Any]) -> Decision:
    """The decision about the case's guest."""
    given = case["facts"]
    base = facts_of(given)
    base = base._replace(config=GuestConfig("d1", "i1", given["config"]))
    noun, _, verb = case["operation"].partition(".")
    params = case.get("params", {})
    if noun == "disk":
        disks = list_disks(base.guest.kind, base.config)
        facts = DiskFacts(base, disks, _STORAGES, tuple(given.get("snapshots", ())))
        decides: Decide = getattr(disk, f"decide_{verb}")
        return decides(case["operation"], facts, params)
    decides = getattr(config, f"decide_{verb}")
    return decides(case["operation"], ConfigFacts(base, None), params)


def shown(decision: Decision) -> dict[str, Any]:
    """The decision as the cases write it."""
    item = decision.item
    return {
        "is_already_so": decision.is_already_so,
        "state": decision.state,
        "findings": [f"{f.severity} {f.code}" for f in decision.findings],
        "steps": json.loads(msgspec.json.encode(item.steps)) if item else None,
        "headline": item.headline if item else None,
        "undo": item.undo if item else None,
        "raises": list(item.raises) if item else None,
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_lead_to_the_decision(path: Path) -> None:
    case = json.loads(path.read_text())
    assert shown(decide(case)) == case["decision"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 12
