"""Firewall rules (PVE::Firewall::verify_rule; recorded in phase firewall)."""

from __future__ import annotations

from typing import Any

import pytest

from pveops.sim.firewall import FirewallConfig, check_digest, merge_rule, verify_rule, with_digest
from pveops.sim.refusal import ApiError


def _verify(scope: str = "cluster", **members: Any) -> dict[str, Any]:
    rule = {"type": "in", "action": "ACCEPT"} | {
        k.replace("_", "-"): v for k, v in members.items()
    }
    return verify_rule(rule, scope, FirewallConfig(), FirewallConfig())


def test_the_addresses_tell_the_ip_version() -> None:
    assert _verify(source="10.0.0.0/8")["ipversion"] == 4
    assert _verify(dest="2001:db8::/32")["ipversion"] == 6
    assert "ipversion" not in _verify()


@pytest.mark.parametrize(
    ("members", "name", "text"),
    [
        (
            {"source": "10.0.0.0/99"},
            "source",
            "invalid format - invalid IP address: "
            "Prefix length 99 is longer than IP address (32)\n",
        ),
        ({"dport": "22"}, "proto", "missing property - 'dport' requires this property"),
        ({"dport": "22", "proto": "ospf"}, "dport", "protocol 'ospf' does not support ports"),
        ({"macro": "Nosuch"}, "macro", "unknown macro 'Nosuch'"),
        ({"source": "+nosuch"}, "source", "no such ipset 'nosuch'"),
        ({"source": "nosuch"}, "source", "no such alias 'nosuch'"),
        ({"action": "MAYBE"}, "action", "unknown action 'MAYBE'"),
    ],
)
def test_a_mistake_in_a_rule_is_named(members: dict[str, Any], name: str, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        _verify(**members)
    assert refused.value.errors == {name: text}


def test_mixed_ip_versions_are_refused() -> None:
    with pytest.raises(ApiError, match="detected mixed ipv4/ipv6 addresses in rule"):
        _verify(source="10.0.0.1", dest="2001:db8::1")


def test_a_group_cannot_hold_a_group() -> None:
    assert _verify(type="group", action="web")["action"] == "web"
    with pytest.raises(ApiError):
        _verify("group", type="group", action="web")


def test_an_empty_member_is_taken_away() -> None:
    assert merge_rule({"type": "in", "comment": "x"}, {"comment": ""}) == {"type": "in"}


def test_a_change_against_an_older_state_is_refused() -> None:
    rows = [{"type": "in", "action": "DROP"}]
    check_digest(rows, with_digest(rows)[0]["digest"])
    with pytest.raises(ApiError, match="file changed by other user"):
        check_digest(rows, "0" * 40)
