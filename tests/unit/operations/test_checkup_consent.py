"""Which level is in force, for each way in which it can come about."""

from __future__ import annotations

import pytest

from pveops.domain.access import Permissions, permissions_of
from pveops.operations.checkup.consent import Broker, ConsentFact, check_consent, find_levels

READS = permissions_of({"/": {"VM.Audit": 1, "Sys.Audit": 1}})
POWER = permissions_of({"/": {"VM.Audit": 1, "VM.PowerMgmt": 1}})
ALL = permissions_of({"/": {"VM.Audit": 1, "VM.PowerMgmt": 1, "VM.Allocate": 1}})
BARE = ConsentFact(
    has_channel=False,
    has_receipts=False,
    has_signers=False,
    least=("G1", "G1"),
    asks_at_terminal=False,
    asks_at_terminal_tier3=False,
    permissions=ALL,
    release="9.2",
)
TERMINAL = BARE._replace(asks_at_terminal=True, asks_at_terminal_tier3=True)
OTHERS = Broker("/run/pve-broker/socket", "", True)


@pytest.mark.parametrize(
    ("fact", "numbers"),
    [
        (BARE, [""]),
        (TERMINAL, ["G1"]),
        (TERMINAL._replace(has_channel=True), ["G2", "G1"]),
        (BARE._replace(has_channel=True), ["G2"]),
        (BARE._replace(has_receipts=True), ["G2"]),
        (BARE._replace(has_signers=True), ["G4"]),
        (BARE._replace(has_channel=True, least=("G2", "G4")), ["G4", "G2"]),
        (TERMINAL._replace(permissions=None), ["G1"]),
        (TERMINAL._replace(permissions=READS), ["G0"]),
        (TERMINAL._replace(permissions=POWER), ["G4", "G1"]),
        (TERMINAL._replace(permissions=READS, broker=OTHERS), ["G3"]),
        (BARE._replace(permissions=READS, broker=OTHERS._replace(is_other_account=False)), ["G2"]),
        (BARE._replace(permissions=READS, broker=OTHERS._replace(problem="refused")), [""]),
        (TERMINAL._replace(broker=OTHERS), ["G1"]),
    ],
)
def test_the_weakest_way_that_is_open_decides(fact: ConsentFact, numbers: list[str]) -> None:
    assert [level.number for level in find_levels(fact)] == numbers


@pytest.mark.parametrize(
    ("permissions", "broker", "level"),
    [
        (READS, OTHERS, "ok"),
        (READS, OTHERS._replace(is_other_account=False), "warn"),
        (ALL, OTHERS, "warn"),
        (READS, OTHERS._replace(problem="refused"), "bad"),
    ],
)
def test_a_broker_that_is_no_boundary_is_told(
    permissions: Permissions, broker: Broker, level: str
) -> None:
    fact = BARE._replace(permissions=permissions, broker=broker)
    found = [check for check in check_consent(fact) if check.code == "consent.broker"]
    assert [check.level for check in found] == [level]


def test_a_policy_that_the_caller_can_edit_is_named_among_what_is_not_stopped() -> None:
    fact = BARE._replace(has_channel=True)
    (level,) = find_levels(fact)
    assert level.leaves.endswith("and it can edit the policy")
    (level,) = find_levels(fact._replace(is_policy_writable=False))
    assert "policy" not in level.leaves
