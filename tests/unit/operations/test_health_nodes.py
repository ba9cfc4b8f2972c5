"""What random worlds do not reach: clocks that agree against ours, and HA's own daemons."""

from __future__ import annotations

import pytest

from pveops.domain.ha import HaDaemons
from pveops.domain.inventory import Inventory, inventory_of
from pveops.operations.findings import Finding
from pveops.operations.health_ha import check_ha_daemons
from pveops.operations.health_nodes import check_clock, merge_skews
from pveops.operations.limits import LIMITS


def skews(*aheads: float) -> list[Finding]:
    return [
        finding
        for number, ahead_s in enumerate(aheads, 1)
        for finding in check_clock(f"pve{number}", ahead_s, LIMITS)
    ]


@pytest.mark.parametrize(
    ("aheads", "codes"),
    [
        ((30, 31, 29), ["clock.here"]),
        ((30, 31, -29), ["node.clock"] * 3),
        ((30, 31, 0), ["node.clock"] * 2),
        ((4, 5, -5), []),
    ],
)
def test_clocks_that_agree_against_ours_are_one_finding(
    aheads: tuple[float, ...], codes: list[str]
) -> None:
    found = merge_skews(skews(*aheads), 3, LIMITS)
    assert [each.code for each in found] == codes


def test_a_single_node_is_the_one_that_is_off() -> None:
    assert [each.subject for each in merge_skews(skews(90), 1, LIMITS)] == ["node/pve1"]


def nodes(**status: str) -> Inventory:
    return inventory_of(
        [{"type": "node", "node": name, "status": word} for name, word in status.items()]
    )


def test_a_silent_ha_manager_is_told_of_a_node_that_is_up() -> None:
    """pve-ha-manager, Status.pm: `old timestamp - dead?`, `detected time drift!`."""
    words = {
        "pve1": "pve1 (active, Mon Jan 1 00:00:00 2026)",
        "pve2": "pve2 (old timestamp - dead?, Mon Jan 1 00:00:00 2026)",
        "pve3": "pve3 (old timestamp - dead?, Mon Jan 1 00:00:00 2026)",
        "pve4": "pve4 (detected time drift!, Mon Jan 1 00:00:00 2026)",
    }
    inventory = nodes(pve1="online", pve2="online", pve3="offline", pve4="online")
    found = list(check_ha_daemons(HaDaemons(words, "armed"), inventory))
    assert [(each.code, each.subject) for each in found] == [
        ("ha.manager", "node/pve2"),
        ("ha.manager", "node/pve4"),
    ]


@pytest.mark.parametrize(
    ("armed", "count"), [("armed", 0), ("standby", 0), ("", 0), ("disarmed", 1)]
)
def test_fencing_that_is_off_is_told(armed: str, count: int) -> None:
    found = list(check_ha_daemons(HaDaemons({}, armed), nodes(pve1="online")))
    assert len(found) == count
