"""What PVE's loosely typed rows come to; what does not fit is the default, never an exception."""

from __future__ import annotations

from typing import Any

import pytest

from pveops.domain.inventory import inventory_of
from pveops.domain.rows import int_of, text_of, texts_of
from pveops.units import format_utc


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (101, 101),
        ("101", 101),
        ("1.9", 1),
        (True, 1),
        ("", 7),
        (None, 7),
        ([], 7),
        ({}, 7),
        ("x", 7),
        (1e308, 7),
        (float("inf"), 7),
        ("1e999", 7),
        (2**70, 7),
        (-1, -1),
        (0, 0),
        ("0", 0),
    ],
)
def test_numbers_come_in_several_types(value: Any, number: int) -> None:
    assert int_of({"it": value}, "it", 7) == number


def test_a_list_of_texts_is_one_or_none() -> None:
    assert texts_of({"it": ["a", 5, None, "b"]}, "it") == ("a", "b")
    for odd in (5, True, "ab", {"a": 1}, None):
        assert texts_of({"it": odd}, "it") == ()


@pytest.mark.parametrize("odd", [[], {}, ["qemu"], None, 5])
def test_one_odd_row_hides_no_cluster(odd: Any) -> None:
    rows = [
        {"type": odd, "vmid": 1},
        {"type": "node", "node": "pve1", "status": "online"},
        {"type": "qemu", "vmid": 101, "node": odd, "name": odd},
        {"type": "qemu", "vmid": 102, "node": "pve1", "name": "web02"},
    ]
    found = inventory_of(rows)
    assert [node.name for node in found.nodes] == ["pve1"]
    assert 102 in {guest.vmid for guest in found.guests}
    assert text_of(rows[0], "type") == (str(odd) if odd == 5 else "")


def test_what_is_no_time_is_told_in_words() -> None:
    assert format_utc(1_760_000_000) == "2025-10-09T08:53Z"
    assert format_utc(1e300) == format_utc(2**62) == "an unknown time"
