"""Checks that a simulated cluster cannot lead to."""

from __future__ import annotations

from collections import Counter

import pytest

from pveops.operations.checkup.check import CODES
from pveops.operations.checkup.cluster import NodeFact, ReachFact, check_reach
from pveops.operations.checkup.local import (
    AuditFact,
    PolicyFact,
    StoreFact,
    TokenFile,
    check_audit,
    check_expiry,
    check_git,
    check_policy,
    check_store,
)

STORE = StoreFact("/s/store.sqlite3", "", 1 << 20, 1, ())
AUDIT = AuditFact("/s/audit.jsonl", 3, "", False, False, True)
POLICY = PolicyFact("/p/policy.yaml", "abc", True, False, False)


def test_codes_are_told_once() -> None:
    assert set(Counter(code.code for code in CODES).values()) == {1}


def codes(checks: object) -> dict[str, str]:
    return {check.code: check.level for check in checks}  # type: ignore[attr-defined]


def test_a_store_that_is_damaged_or_large_is_told() -> None:
    assert codes(check_store(STORE)) == {"store.health": "ok"}
    assert codes(check_store(STORE._replace(problem="row 3 missing"))) == {"store.health": "bad"}
    assert codes(check_store(STORE._replace(size_bytes=1 << 30)))["store.size"] == "warn"
    assert codes(check_store(STORE._replace(open_runs=("run_1",))))["run.open"] == "warn"


def test_a_log_that_cannot_be_written_stops_everything() -> None:
    assert codes(check_audit(AUDIT)) == {"audit.chain": "ok"}
    assert codes(check_audit(AUDIT._replace(is_writable=False)))["audit.writable"] == "bad"


def test_a_policy_of_another_account_is_no_warning() -> None:
    assert codes(check_policy(POLICY)) == {"policy.file": "ok"}
    assert codes(check_policy(POLICY._replace(is_writable=True))) == {"policy.writable": "warn"}


@pytest.mark.parametrize(
    ("is_tracked", "is_ignored", "level"),
    [(True, True, "bad"), (False, True, "ok"), (False, False, "warn"), (False, None, "warn")],
)
def test_what_git_may_take_is_told(is_tracked: bool, is_ignored: bool | None, level: str) -> None:
    token = TokenFile("/r/s/t.txt", "a@pve!b", 0, "", "", "/r", is_tracked, is_ignored)
    assert codes(check_git(token)) == {"secrets.git": level}
    assert codes(check_git(token._replace(work_tree=""))) == {}


@pytest.mark.parametrize(("left_s", "level"), [(0, "bad"), (60, "warn"), (15 * 86_400, "ok")])
def test_what_expires_is_told_in_time(left_s: int, level: str) -> None:
    assert check_expiry("token.expiry", "it", 1000 + left_s, 1000.0).level == level


def test_nodes_that_tell_nothing_are_not_taken_for_agreement() -> None:
    fact = ReachFact("9.2", (), [NodeFact("pve1"), NodeFact("pve2", problem="no route")], {}, "p")
    found = codes(check_reach(fact))
    assert "clock.skew" not in found
    assert "cluster.versions" not in found
    assert found["cluster.node"] == "warn"
