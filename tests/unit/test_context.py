"""How plans and records name who asks."""

from __future__ import annotations

import pytest

from pveops.context import Actor, ActorKind, identify_actor


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


@pytest.mark.parametrize(
    ("session", "kind"),
    [
        ("agent:main:main", "agent"),
        ("agent:main:cron:1f2e", "unattended"),
        ("agent:main:subagent:1f2e", "unattended"),
        ("agent:main:telegram:direct:hooked", "agent"),
        ("agent:main:hook", "unattended"),
    ],
)
def test_nobody_waits_for_a_turn_that_openclaw_began_itself(session: str, kind: str) -> None:
    environ = {"OPENCLAW_SHELL": "plugin", "OPENCLAW_SESSION_KEY": session}
    assert identify_actor(environ, has_terminal=False).kind == kind


def test_nobody_waits_for_what_a_subagent_runs() -> None:
    environ = {"OPENCLAW_SHELL": "exec", "OPENCLAW_SUBAGENT_EXEC": "1"}
    assert identify_actor(environ, has_terminal=False).kind == "unattended"
