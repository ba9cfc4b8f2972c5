"""`pve guest doctor`, `ip` and `agent` as an agent's shell sees them."""

from __future__ import annotations

from tests.integration.conftest import Home


def test_the_doctor_tells_the_verdict_first(home: Home) -> None:
    code, out = home.run("pve guest doctor gitlab")
    assert code == 0
    assert out.startswith("gitlab (VM 105 on pve2): 1 problem\n")
    assert "on pve2, as root" in out
    assert "nothing wrong found" in home.run("pve guest doctor web02")[1]
    assert home.cluster.effects() == []


def test_addresses_and_agents(home: Home) -> None:
    _, out = home.run("pve guest ip web02")
    assert out.startswith("web02 (VM 102 on pve1): 198.51.")
    assert "127.0.0.1" not in out
    assert "127.0.0.1" in home.run("pve guest ip web02 --full")[1]
    assert ": 192.0.2." in home.run("pve guest ip proxy")[1]
    assert home.run("pve guest ip windows-lab")[1].startswith(
        "windows-lab (VM 901 on pve2): unknown (it is stopped)"
    )
    silent = home.run("pve guest ip legacy-erp")[1]
    assert ": unknown (" in silent
    assert "next: pve guest doctor 114" in silent
    assert "the guest agent answers" in home.run("pve guest agent ping web02")[1]
    assert home.run("pve guest agent ping legacy-erp")[0] == 10
    assert home.run("pve guest agent ping proxy")[0] == 5
    told = home.run("pve guest agent info web02")[1]
    assert "untrusted text: agent" in told
    assert "| host name: web02" in told
    assert "| system: Debian" in told
