"""What is so already and what is to do, from how OpenClaw says it is."""

from __future__ import annotations

import json

import pytest

from pveops.openclaw.jobs import Look, is_set_up, job_words
from pveops.openclaw.steps import State, Wish, list_steps

LOOK = Look("/opt/pve", "home", 5, "telegram", "1234", home="/srv/pve")
WISH = Wish(
    "/opt/pve",
    home="/srv/pve",
    channel="telegram",
    target="1234",
    plugin_folder="/srv/plugin",
    look=LOOK,
)
DONE = State(
    exec_mode="ask",
    allowed=frozenset({"/opt/pve"}),
    has_plugin=True,
    plugin_config={"pve": "/opt/pve", "home": "/srv/pve"},
    skill_env={"PVE_HOME": "/srv/pve"},
    has_key=True,
    told=("telegram", "1234"),
    has_job=True,
)


def left(state: State, wish: Wish = WISH) -> list[str]:
    """The commands that are to do."""
    return [step.command for step in list_steps(wish, state) if not step.is_done]


def test_nothing_is_left_of_what_is_so_already() -> None:
    assert left(DONE) == []


def test_everything_is_left_of_a_fresh_openclaw() -> None:
    assert len(left(State())) == len(list_steps(WISH, State()))


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (DONE._replace(exec_mode="full"), "openclaw config set tools.exec.mode ask"),
        (DONE._replace(exec_mode=""), "openclaw config set tools.exec.mode ask"),
        (
            DONE._replace(allowed=frozenset({"/usr/bin/pve"})),
            "openclaw approvals allowlist add --agent main /opt/pve",
        ),
        (DONE._replace(told=("telegram", "99")), "pve openclaw tell telegram 1234"),
        (DONE._replace(has_key=False), "pve plan approval-key"),
        (DONE._replace(has_job=False), f"openclaw {' '.join(job_words(LOOK)[:2])}"),
    ],
)
def test_what_differs_is_set_and_nothing_else(state: State, command: str) -> None:
    (only,) = left(state)
    assert only.startswith(command)


def test_pve_apply_is_never_allowed_ahead() -> None:
    allowing = [step for step in list_steps(WISH, State()) if "allowlist" in step.words]
    assert [step.words[-1] for step in allowing] == ["/opt/pve"]


def test_the_skills_other_variables_are_kept() -> None:
    state = DONE._replace(skill_env={"LANG": "C"})
    (command,) = left(state)
    assert '{"LANG": "C", "PVE_HOME": "/srv/pve"}' in command


def test_without_the_plugin_the_skill_is_put_in_place_once() -> None:
    wish = WISH._replace(plugin_folder="")
    assert left(DONE, wish) == ["pve skill install --for openclaw"]
    assert left(DONE._replace(has_skill=True), wish) == []


@pytest.mark.parametrize("mode", ["deny", "allowlist"])
def test_a_stricter_exec_mode_is_left_alone(mode: str) -> None:
    assert left(DONE._replace(exec_mode=mode)) == []


@pytest.mark.parametrize("mode", ["auto", "full", ""])
def test_a_mode_in_which_no_person_is_asked_is_changed(mode: str) -> None:
    assert left(DONE._replace(exec_mode=mode)) == ["openclaw config set tools.exec.mode ask"]


def test_a_brokers_codes_are_not_told_where_to_go() -> None:
    wish = WISH._replace(has_broker=True, plugin_folder="")
    fresh = State(has_skill=True)
    assert not [each for each in left(fresh, wish) if "tell" in each or "approval-key" in each]


def test_the_script_that_wakes_is_a_step_of_its_own() -> None:
    wish = WISH._replace(look=LOOK._replace(script_file="/srv/watch.js"))
    assert left(DONE, wish) == ["pve openclaw wake-script --profile home"]
    assert left(DONE._replace(has_script=True), wish) == []


def row(look: Look = LOOK, **changed: object) -> dict[str, object]:
    """The job as `openclaw cron list --json` tells it."""
    return {
        "declarationKey": look.key,
        "enabled": True,
        "schedule": {"kind": "every", "everyMs": look.minutes * 60_000},
        "payload": {"kind": "command", "argv": list(look.command)},
        "delivery": {"mode": "announce", "channel": look.channel, "to": look.target},
    } | changed


def test_a_job_is_known_again() -> None:
    assert is_set_up(LOOK, row())


@pytest.mark.parametrize(
    "changed",
    [
        {"enabled": False},
        {"schedule": {"kind": "every", "everyMs": 1}},
        {"delivery": {"mode": "none"}},
        {"payload": {"kind": "command", "argv": ["/bin/true"]}},
        {"declarationKey": "another"},
        {"payload": None, "trigger": None},
    ],
)
def test_a_job_that_differs_is_asked_for_anew(changed: dict[str, object]) -> None:
    assert not is_set_up(LOOK, row(**changed))


def test_a_job_that_wakes_the_agent_is_known_by_its_script() -> None:
    waking = LOOK._replace(script_file="/srv/watch.js")
    assert is_set_up(waking, row(trigger={"script": waking.script}))
    assert not is_set_up(waking, row(trigger={"script": "json({fire: true})"}))
    words = job_words(waking)
    assert "--trigger-script" in words
    assert "--command-argv" not in words


def test_the_script_names_the_command_in_quotes() -> None:
    odd = LOOK._replace(pve="/opt/my tools/pve")
    first = odd.script.splitlines()[0]
    given = json.loads(first.removeprefix("const LOOK = ").removesuffix(";"))
    assert given["pve"] == "'/opt/my tools/pve'"
    assert given["env"] == {"PVE_HOME": "/srv/pve"}
