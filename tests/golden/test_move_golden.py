"""Facts in, decision out: migration as data.

Each file of `move/` holds {source, facts, params, decision}; `source` names what shows PVE's
behaviour in that case.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pveops.domain.affinity import ReplicaJob, rules_of
from pveops.domain.disk import list_disks
from pveops.domain.guest import GuestConfig
from pveops.domain.move import MoveFacts, MoveScene, local_volumes_of, preconditions_of
from pveops.domain.node_sheet import NodeSheet, version_of
from pveops.domain.storage import Storage
from pveops.operations.move import decide_migrate
from tests.golden.test_config_golden import shown
from tests.golden.test_power_golden import facts_of

CASES = sorted((Path(__file__).parent / "move").glob("*.json"))
GIB = 1 << 30
DISKS = ("images", "rootdir")


def sheet_of(name: str, given: dict[str, Any]) -> NodeSheet:
    """A node of 64 GiB with three storages, as far as the case says nothing else."""
    up = "available" if given.get("is_online", True) else "unknown"
    free = given.get("free_gib", 500)
    return NodeSheet(
        name=name,
        is_online=given.get("is_online", True),
        memory_bytes=64 * GIB,
        used_bytes=given.get("used_gib", 10) * GIB,
        promised_bytes=given.get("promised_gib", 20) * GIB,
        cpu=given.get("cpu", "one"),
        cpu_model=given.get("cpu", "one"),
        version=version_of(given.get("version", "pve-manager/9.2.1")),
        bridges=frozenset(given.get("bridges", ["vmbr0"])),
        storages=(
            Storage("local-lvm", name, "lvmthin", up, False, DISKS, 0, free * GIB),
            Storage("tank", name, "zfspool", up, False, DISKS, 0, free * GIB),
            Storage("thick", name, "lvm", up, False, DISKS, 0, free * GIB),
            Storage("ceph", name, "rbd", up, True, DISKS, 0, free * GIB),
        ),
    )


def move_facts_of(given: dict[str, Any]) -> MoveFacts:
    """Facts from the few members that a case names; the target is pve2."""
    base = facts_of(given)
    base = base._replace(config=GuestConfig("d1", "i1", given["config"]))
    sheets = {name: sheet_of(name, given.get(name, {})) for name in ("pve1", "pve2")}
    disks = list_disks(base.guest.kind, base.config)
    preconditions = preconditions_of(given["migrate"]) if "migrate" in given else None
    return MoveFacts(
        base=base,
        disks=disks,
        volumes=local_volumes_of(disks, sheets["pve1"], preconditions),
        snapshots=tuple(given.get("snapshots", ())),
        preconditions=preconditions,
        scene=MoveScene(
            sheets=sheets,
            rules=rules_of(given.get("rules", [])),
            replicas=tuple(ReplicaJob(**row) for row in given.get("replicas", [])),
            backups=tuple(given.get("backups", ())),
        ),
        clones=tuple(given.get("clones", ())),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_lead_to_the_decision(path: Path) -> None:
    case = json.loads(path.read_text())
    params = {"node": "pve2", **case.get("params", {})}
    decision = decide_migrate("guest.migrate", move_facts_of(case["facts"]), params)
    assert shown(decision) == case["decision"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
