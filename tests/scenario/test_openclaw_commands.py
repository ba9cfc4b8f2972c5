"""What an agent is not let do to OpenClaw's settings, or to where consent codes go."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pveops.cli.process import run_call
from pveops.config.paths import find_paths
from pveops.config.profiles import (
    Config,
    ConsentConfig,
    EndpointConfig,
    Profile,
    load_config,
    save_config,
)
from tests.commandline import call_of
from tests.world import make_world

ANNA = ConsentConfig(openclaw_channel="telegram", openclaw_target="1234")


def run_in(folder: Path, line: str, broker: str = "", **environ: str) -> tuple[int, str]:
    """The line in a shell with these variables, of a profile that tells a person already."""
    home = {"PVE_HOME": str(folder), "HOME": str(folder), **environ}
    profile = Profile((EndpointConfig("pve1:8006"),), trust="system", consent=ANNA, broker=broker)
    save_config(find_paths(home), Config("home", {"home": profile}))
    out = io.StringIO()
    call = call_of(make_world(folder), folder, line, stdout=out)
    call.environ = home
    return run_call(call), out.getvalue()


@pytest.mark.parametrize("mark", ["OPENCLAW_SHELL", "CLAUDECODE", "AI_AGENT"])
@pytest.mark.parametrize(
    "line",
    [
        "pve openclaw tell telegram 6666",
        "pve openclaw setup --channel telegram --target 6666 --apply",
        "pve monitor install --for openclaw --channel telegram --target 6666 --apply",
        "pve monitor install --for systemd --apply",
    ],
)
def test_an_agents_shell_sets_nothing_up(line: str, mark: str, tmp_path: Path) -> None:
    code, out = run_in(tmp_path, line, **{mark: "1"})
    assert code == 4, out
    assert "ask your human" in out
    config = load_config(find_paths({"PVE_HOME": str(tmp_path), "HOME": str(tmp_path)}))
    assert config is not None
    assert config.profiles["home"].consent == ANNA


def test_an_owner_who_keeps_openclaws_state_elsewhere_is_no_agent(tmp_path: Path) -> None:
    line = "pve openclaw tell telegram 6666"
    code, out = run_in(tmp_path, line, OPENCLAW_STATE_DIR=str(tmp_path))
    assert code == 0, out
    assert "codes and alerts of home go to 6666" in out


def test_where_a_broker_sends_the_codes_nobody_else_says_whom_to(tmp_path: Path) -> None:
    code, out = run_in(tmp_path, "pve openclaw tell telegram 6666", "/run/pve-broker/socket")
    assert code == 7, out
    assert "the broker's way" in out


def test_the_plugins_key_is_no_matter_of_the_brokers(tmp_path: Path) -> None:
    code, out = run_in(tmp_path, "pve plan approval-key --where", "/run/pve-broker/socket")
    assert code == 7, out
    assert "there is no approval key" in out
    assert run_in(tmp_path, "pve plan approval-key", "/run/pve-broker/socket")[0] == 0


def test_a_folder_for_units_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out = run_in(
        tmp_path, "pve monitor install --for systemd --apply", XDG_CONFIG_HOME=f"{tmp_path}/file"
    )
    assert code == 7, out
    assert "cannot be written" in out
