"""What is asked for in, the commands out, for 8.4 and 9.2.

Privileges by version are those of pve-access-control AccessControl.pm ($valid_privs); commands
are those of PVE/CLI/pveum.pm.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pveops.operations.catalog import get_operation
from pveops.operations.grade import Grade
from pveops.operations.grant import Scope, Subject, decide_grant, write_script

CASES = sorted((Path(__file__).parent / "access").glob("*.json"))
EXPIRES = 1_803_000_000


def script_of(case: dict[str, Any]) -> list[str]:
    """The script of a case."""
    scope = Scope(**{kind: tuple(names) for kind, names in case.get("scope", {}).items()})
    include = tuple(get_operation(each) for each in case.get("include", ()))
    grant = decide_grant(Grade(case["tier"]), case["version"], scope, include)
    return list(write_script(grant, Subject("agent@pve", case["tier"], EXPIRES)))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_tier_leads_to_its_commands(path: Path) -> None:
    case = json.loads(path.read_text())
    assert script_of(case) == case["script"]


def test_there_are_cases_of_each_tier_for_both_versions() -> None:
    told = {
        tuple(json.loads(path.read_text())[key] for key in ("tier", "version")) for path in CASES
    }
    assert told >= {(grade.value, version) for grade in Grade for version in ("8.4", "9.2")}
