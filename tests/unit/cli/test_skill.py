"""`pve skill`: put into an agent's folder, and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

SKILL = Path(__file__).resolve().parents[3] / "skills" / "proxmox"


@pytest.fixture(autouse=True)
def _no_agents(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_the_second_install_changes_nothing(cli, tmp_path):
    line = f"pve skill install {tmp_path}/ws"
    first, second = cli.run(line), cli.run(f"{line} --json")
    target = tmp_path / "ws" / "skills" / "proxmox"
    assert first.code == 0
    assert first.lines[0] == f"put: the skill in {target}"
    assert first.lines[-1] == "next: pve openclaw setup"
    assert second.code == 0
    assert second.json["changed"] is False
    assert cli.run(line).lines[0] == f"already there: the skill in {target}"


def test_each_agent_is_told_how_to_allow_it(cli, tmp_path):
    out = cli.run("pve skill install --for claude").out
    assert f"put: the skill in {tmp_path}/.claude/skills/proxmox" in out
    assert '{"permissions": {"allow": ["Bash(pve *)"], "ask": ["Bash(pve-apply *)"]}}' in out
    out = cli.run("pve skill install --for codex").out
    assert f"put: the skill in {tmp_path}/.agents/skills/proxmox" in out
    assert 'prefix_rule(pattern=["pve-apply"], decision="prompt")' in out
    out = cli.run(f"pve skill install --for {tmp_path}/any").out
    assert f"put: the skill in {tmp_path}/any/proxmox" in out


def test_edits_stay_unless_they_are_to_be_replaced_and_are_kept_then(cli, tmp_path):
    line = f"pve skill install {tmp_path}/ws"
    cli.run(line)
    page = tmp_path / "ws" / "skills" / "proxmox" / "references" / "setup.md"
    page.write_text("mine\n")
    refused = cli.run(line)
    assert refused.code == 7
    assert "is not as pveops left it: references/setup.md" in refused.out
    assert page.read_text() == "mine\n"
    done = cli.run(f"{line} --replace")
    assert done.code == 0
    place = Path(done.lines[1].removeprefix("what was there is kept in "))
    assert (place / "references" / "setup.md").read_text() == "mine\n"
    assert page.read_text() != "mine\n"


def test_an_agent_that_nobody_knows_is_a_mistake(cli):
    outcome = cli.run("pve skill install --for opencow")
    assert outcome.code == 2
    assert "next: --for openclaw|claude|codex, or a folder's path" in outcome.out


def test_a_check_says_who_was_asked_and_who_was_not(cli):
    outcome = cli.run(f"pve skill check {SKILL}")
    assert outcome.code == 0
    assert outcome.lines[0] == (
        "proxmox is in order, by our rules and AgentSkills validator; not asked: OpenClaw"
    )
    assert "AgentSkills validator: valid" in outcome.lines
    assert "not run: openclaw is not installed" in outcome.lines


def test_a_check_names_what_is_wrong(cli, tmp_path):
    folder = tmp_path / "proxmox"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: proxmox\n---\n\neverything\n")
    outcome = cli.run(f"pve skill check {folder} --json")
    assert outcome.code == 7
    problems = outcome.json["error"]["details"]["problems"]
    assert any("the description has 1 to 160 characters" in problem for problem in problems)
    assert any(problem.startswith("AgentSkills validator: ") for problem in problems)
