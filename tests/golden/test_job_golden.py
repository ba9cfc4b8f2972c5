"""Facts in, decision out: backup jobs as data.

Each file of `job/` holds {operation, facts, params, decision} and the `source` of what PVE does
in that case. `facts` are the job as PVE has it, the others, and what their storages keep.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pveops.domain.guest import Guest
from pveops.domain.job import job_of_row
from pveops.domain.job_facts import JobFacts
from pveops.domain.keep import parse_keep
from pveops.operations import job
from pveops.operations.decision import Decision
from tests.golden.test_power_golden import facts_of

CASES = sorted((Path(__file__).parent / "job").glob("*.json"))
DECIDES = {
    "job.create": job.decide_create,
    "job.change": job.decide_change,
    "job.enable": job.decide_switch,
    "job.disable": job.decide_switch,
}


def guests() -> tuple[Guest, ...]:
    """Three, the last one on another node and in a pool."""
    base = facts_of({}).guest
    return (
        base,
        base._replace(vmid=102, name="web02"),
        base._replace(vmid=103, name="db01", node="pve2", pool="production"),
    )


def decide(case: dict[str, Any]) -> Decision:
    """The decision about the case's job."""
    given = case["facts"]
    row = given.get("job")
    mine = job_of_row({"id": "nightly", "type": "vzdump", **row}) if row else None
    others = tuple(job_of_row({"type": "vzdump", **each}) for each in given.get("others", ()))
    facts = JobFacts(
        id="nightly",
        job=mine,
        jobs=(*((mine,) if mine else ()), *others),
        guests=guests(),
        vmids=tuple(given.get("vmids", ())),
        excluded=tuple(given.get("excluded", ())),
        storages=given.get("storages", {"nas": True, "local": True}),
        keeps={name: parse_keep(text) for name, text in given.get("keeps", {}).items()},
        runs=None,
        schedule_error=given.get("schedule_error", ""),
        pools=("production",),
        nodes=("pve1", "pve2"),
        is_quorate=given.get("is_quorate", True),
        now=1000,
    )
    return DECIDES[case["operation"]](case["operation"], facts, case.get("params", {}))


def shown(decision: Decision) -> dict[str, Any]:
    """The decision as the cases write it."""
    item = decision.item
    return {
        "is_already_so": decision.is_already_so,
        "state": decision.state,
        "findings": [f"{f.severity} {f.code}" for f in decision.findings],
        "headline": item.headline if item else None,
        "steps": json.loads(msgspec.json.encode(item.steps)) if item else None,
        "before": item.before if item else None,
        "undo": item.undo if item else None,
        "raises": list(item.raises) if item else None,
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_lead_to_the_decision(path: Path) -> None:
    case = json.loads(path.read_text())
    assert shown(decide(case)) == case["decision"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
