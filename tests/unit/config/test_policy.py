from __future__ import annotations

from pathlib import Path

import pytest

from pveops.config.policy import Grant, Policy, Protected, load_policy
from pveops.errors import ConfigError
from pveops.operations.catalog import list_changes

ASSETS = Path(__file__).parents[3] / "skills" / "proxmox" / "assets"
KNOWN = frozenset({"guest.start", "guest.stop"})


def load(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    return load_policy(file, KNOWN)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.hint
    assert str(tmp_path / "policy.yaml") in caught.value.message
    return caught.value.message


def test_without_a_file_the_defaults_are_the_designs(tmp_path: Path) -> None:
    policy = load_policy(tmp_path / "policy.yaml", KNOWN)
    assert [policy.actors.agent.action(tier) for tier in (1, 2, 3)] == [
        "at_once",
        "consent",
        "consent",
    ]
    assert policy.actors.unattended.action(3) == "deny"
    assert (policy.max_targets, policy.plan_ttl_s, policy.plan_ttl_tier3_s) == (5, 3600, 900)
    assert (policy.consent.ttl_s, policy.consent.tries) == (600, 3)
    assert policy.consent.terminal
    assert policy.consent.terminal_tier3


def test_the_sample_states_exactly_the_defaults() -> None:
    known = frozenset(operation.id for operation in list_changes())
    assert load_policy(ASSETS / "policy.yaml", known) == Policy()


def test_a_file_needs_only_what_it_changes(tmp_path: Path) -> None:
    policy = load(tmp_path, "max_targets: 1\noperations:\n  guest.stop: deny\n")
    assert policy.max_targets == 1
    assert policy.operations == {"guest.stop": "deny"}
    assert policy.protected == Protected()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("max_target: 3\n", 1, "unknown key 'max_target'; did you mean 'max_targets'?"),
        ("max_targets: 5\nmax_targets: 50\n", 2, "'max_targets' stands in line 1 already"),
        (
            "actors: {agent: {tier2: deny, tier2: at_once}}\n",
            1,
            "'tier2' stands in line 1 already",
        ),
        ("max_targets: 0\n", 1, ">= 1"),
        ("consent:\n  max_open: 0\n", 2, ">= 1"),
        ("consent:\n  max_messages_per_hour: many\n", 2, "expected a whole number"),
        ("max_targets: many\n", 1, "expected a whole number, got text"),
        (
            "actors:\n  agent:\n    tier2: atonce\n",
            3,
            "'atonce' is none of at_once, consent, deny",
        ),
        ("actors:\n  agent:\n    tier1: yes\n", 3, "got true or false"),
        ("actors:\n  person:\n    tier3: at_once\n", 3, "is none of consent, deny"),
        ("actors:\n  robot: {tier1: deny}\n", 2, "unknown key 'robot'"),
        ("operations:\n  guest.stop: deny\n  guest.start: at_once\n", 3, "is none of"),
        ("operations:\n  guest.stpo: deny\n", 2, "did you mean 'guest.stop'?"),
        ("protected:\n  vmids: [100, 0100]\n", 2, ">= 100"),
        ("protected:\n  tags: [7]\n", 2, "expected text, got a whole number"),
        ("consent:\n  ttl_s: 5\n", 2, ">= 30"),
        ("consent:\n  min_level: {tier2: G2, tier3: G1}\n", 2, "no weaker consent"),
        ("consent:\n  min_level: {tier3: G3}\n", 2, "'G3' is none of G1, G2"),
        ("plan_ttl_s: 60\n\tbad: 1\n", 2, "found a tab character"),
        ("operations: [guest.stop]\n", 1, "expected a mapping, got a list"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    message = refusal(tmp_path, text)
    assert f"policy.yaml, line {line}" in message
    assert said in message


@pytest.mark.parametrize("text", ["", "  \n\n"])
def test_an_emptied_file_is_not_taken_for_the_default(tmp_path: Path, text: str) -> None:
    assert "is empty" in refusal(tmp_path, text)


@pytest.mark.parametrize("text", ["max_targets: [1,", "a: b: c", "\x00", "&a [*a", "- - -"])
def test_broken_yaml_is_one_error(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text)


def test_bytes_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"max_targets: \xff\xfe")
    with pytest.raises(ConfigError, match="is no YAML"):
        load_policy(file, KNOWN)


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("max_targets: 5\n")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="written by every user") as caught:
        load_policy(file, KNOWN)
    assert f"chmod o-w {file}" in caught.value.hint


def test_a_link_to_nothing_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.symlink_to(tmp_path / "not-mounted" / "policy.yaml")
    with pytest.raises(ConfigError, match="link to a file that does not exist"):
        load_policy(file, KNOWN)


def test_a_folder_or_a_huge_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no plain file"):
        load_policy(tmp_path, KNOWN)
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_policy(file, KNOWN)


@pytest.mark.parametrize(
    ("allow", "tier2", "tier3", "expected"),
    [
        ("true", "G1", "G1", (True, True)),
        ("true", "G1", "G2", (True, False)),
        ("true", "G2", "G2", (False, False)),
        ("false", "G1", "G1", (False, False)),
    ],
)
def test_the_terminal_is_enough_where_level_and_switch_say_so(
    tmp_path: Path, allow: str, tier2: str, tier3: str, expected: tuple[bool, bool]
) -> None:
    levels = f"{{tier2: {tier2}, tier3: {tier3}}}"
    policy = load(tmp_path, f"consent:\n  allow_terminal: {allow}\n  min_level: {levels}\n")
    assert (policy.consent.terminal, policy.consent.terminal_tier3) == expected


PROTECTED = Protected(tags=("Prod",), pools=("vital",), vmids=(100,), names=("db-*",))


@pytest.mark.parametrize(
    ("vmid", "name", "tags", "pool", "rule"),
    [
        ("101", "web", ("prod",), "", "tag 'prod'"),
        ("101", "web", ("PROD",), "", "tag 'PROD'"),
        ("101", "web", (), "vital", "pool 'vital'"),
        ("101", "web", (), "vital/inner", "pool 'vital/inner'"),
        ("100", "web", (), "", "vmid 100"),
        ("101", "DB-1", (), "", "name pattern 'db-*'"),
        ("101", "web", ("production-like",), "vitality", ""),
    ],
)
def test_a_protected_guest_is_told_by_its_rule(
    vmid: str, name: str, tags: tuple[str, ...], pool: str, rule: str
) -> None:
    assert rule in PROTECTED.why(vmid, name, tags, pool)
    assert bool(rule) == bool(PROTECTED.why(vmid, name, tags, pool))


def test_the_digest_tells_policies_apart(tmp_path: Path) -> None:
    assert load(tmp_path, "max_targets: 4\n").digest != Policy().digest
    assert load(tmp_path, "max_targets: 5\n").digest == Policy().digest


def test_a_grant_may_last_until_the_last_day_there_is() -> None:
    grant = Grant(("guest.stop",), "9999-12-31", Protected(tags=("web",)))
    assert grant.is_valid(1_795_451_294.0)
