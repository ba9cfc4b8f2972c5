"""Facts in, decision out: backups as data.

Each file of `backup/` holds {operation, facts, params, decision} and the `source` of what PVE
does in that case. `facts` are those of the guest, and what lies on the storage: a row a backup,
[age in hours, protected, verification, the dry run's mark].
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pveops.domain.backup import Backup
from pveops.domain.backup_facts import (
    Candidate,
    PruneFacts,
    PrunePlace,
    RunFacts,
    VolumeFacts,
)
from pveops.domain.disk import list_disks
from pveops.domain.facts import ActiveTask
from pveops.domain.guest import GuestConfig
from pveops.domain.storage import Storage
from pveops.operations import backup
from pveops.operations.decision import Decision
from tests.golden.test_power_golden import facts_of

CASES = sorted((Path(__file__).parent / "backup").glob("*.json"))
_HOUR_S = 3600
_NOW = 1_790_000_000


def backups_of(given: dict[str, Any], now: int, kind: str) -> list[tuple[Backup, str]]:
    """The rows as backups, the oldest first, each with its mark."""
    found = []
    for number, (age_h, is_protected, verification, mark) in enumerate(given.get("backups", ())):
        volid = f"store:backup/vzdump-{kind}-101-{number}.vma.zst"
        made = now - age_h * _HOUR_S
        found.append(
            (Backup(made, volid, "store", 101, kind, 1 << 30, is_protected, verification), mark)
        )
    return sorted(found)


def decide(case: dict[str, Any]) -> Decision:
    """The decision about the case's guest, or its backup."""
    given, params = case["facts"], case.get("params", {})
    base = facts_of(given)
    config = {
        "name": "web01",
        "scsi0": "local-lvm:vm-101-disk-0,size=32G",
        **given.get("config", {}),
    }
    base = base._replace(config=GuestConfig("d1", "i1", config), read_at=_NOW)
    kind, now = base.guest.kind, base.read_at
    marked = backups_of(given, now, kind)
    mine = tuple(each for each, _ in marked)
    operation = case["operation"]
    if operation == "backup.run":
        free = given.get("free", 1 << 40)
        store = Storage(
            *("store", "pve1", given.get("type", "nfs"), "available", True, ("backup",)),
            used_bytes=(2 << 40) - free,
            total_bytes=2 << 40,
        )
        facts = RunFacts(
            base=base,
            disks=list_disks(kind, base.config),
            storage=None if given.get("nowhere") else store,
            storages=() if given.get("nowhere") else ("store",),
            existing=None if given.get("unreadable") else mine,
            keep=given.get("keep"),
            max_protected=given.get("max_protected"),
            node_backups=tuple(
                ActiveTask(upid, "vzdump", "", "root@pam", now - 60)
                for upid in given.get("node_backups", ())
            ),
            can_snapshot=given.get("can_snapshot"),
            reason=given.get("reason", ""),
        )
        return backup.decide_run(operation, facts, params)
    if operation == "backup.prune":
        place = PrunePlace("store", "pve1", tuple(Candidate(*each) for each in marked))
        unseen = tuple(given.get("unseen", ()))
        prune = PruneFacts(base, (place,) if marked else (), unseen)
        return backup.decide_prune(operation, prune, params)
    guest = None if given.get("orphan") else base.guest
    volume = VolumeFacts(mine[given["which"]], "pve1", mine, guest, base.is_quorate, now)
    decides = backup.decide_delete if operation == "backup.delete" else backup.decide_protect
    return decides(operation, volume, params)


def shown(decision: Decision) -> dict[str, Any]:
    """The decision as the cases write it."""
    item = decision.item
    return {
        "is_already_so": decision.is_already_so,
        "findings": [f"{f.severity} {f.code}" for f in decision.findings],
        "headline": item.headline if item else None,
        "guards": sorted(item.guards) if item else None,
        "steps": json.loads(msgspec.json.encode(item.steps)) if item else None,
        "losses": list(item.losses) if item else None,
        "raises": list(item.raises) if item else None,
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_lead_to_the_decision(path: Path) -> None:
    case = json.loads(path.read_text())
    assert shown(decide(case)) == case["decision"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 20
