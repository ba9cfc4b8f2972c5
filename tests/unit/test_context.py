"""How plans and records name who asks."""

from __future__ import annotations

import pytest

from pveops.context import Actor, ActorKind


@pytest.mark.parametrize(
    ("kind", "face", "label"),
    [
        ("person", "", "person:anna"),
        ("agent", "", "agent:anna"),
        ("unattended", "", "unattended:anna"),
        ("agent", "mcp", "mcp:anna"),
        ("unattended", "mcp", "mcp-unattended:anna"),
    ],
)
def test_a_caller_is_named_by_what_it_is_and_the_way_it_came(
    kind: ActorKind, face: str, label: str
) -> None:
    assert Actor(kind, "anna", {}, face=face).label == label
