"""A look every few minutes, set up once however often it is asked for."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pveops.config.paths import find_paths
from pveops.config.profiles import Config, EndpointConfig, Profile, save_config
from tests.commandline import Outcome, run_line
from tests.world import make_world


def install(folder: Path, words: str) -> Outcome:
    environ = {"PVE_HOME": str(folder), "HOME": str(folder)}
    profile = Profile((EndpointConfig("pve1:8006"),), trust="system")
    save_config(find_paths(environ), Config("home", {"home": profile}))
    return run_line(make_world(folder), folder, f"pve monitor install {words}")


def test_openclaw_gets_a_command_that_calls_no_model(tmp_path: Path) -> None:
    out = install(tmp_path, "--for openclaw --channel telegram --target 1234 --every 10m").out
    words = shlex.split(out.splitlines()[1])
    assert words[:3] == ["openclaw", "cron", "add"]
    options = dict(zip(words[3::2], words[4::2], strict=False))
    assert options["--every"] == "10m"
    assert options["--declaration-key"] == "pveops:monitor:home"
    look = json.loads(options["--command-argv"])
    assert look[:2] == ["/usr/bin/env", f"PVE_HOME={tmp_path}"]
    assert look[3:] == ["monitor", "run", "--if-quiet", "NO_REPLY", "--profile", "home"]
    assert words[-5:] == ["--announce", "--channel", "telegram", "--to", "1234"]


def test_the_script_that_wakes_is_written_when_it_is_applied_and_not_before(
    tmp_path: Path,
) -> None:
    words = "--for openclaw --channel telegram --target 1234 --wake"
    out = install(tmp_path, words).out.splitlines()
    assert out[1] == "pve openclaw wake-script --profile home"
    options = shlex.split(out[2])
    script = Path(options[options.index("--trigger-script") + 1])
    assert not script.exists()
    written = run_line(make_world(tmp_path), tmp_path, out[1])
    assert written.code == 0, written.out
    assert "LOOK" in script.read_text()
    again = run_line(make_world(tmp_path), tmp_path, out[1])
    assert again.out.startswith("already so: ")


def test_openclaw_is_asked_once_for_each_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    seen = tmp_path / "seen"
    script = programs / "openclaw"
    told = 'echo "{\\"created\\": true}"'
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {shlex.quote(str(seen))}\n{told}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    done = install(tmp_path, "--for openclaw --channel telegram --target 1234 --apply")
    assert done.code == 0, done.out
    assert "pveops:monitor:home" in seen.read_text().splitlines()
    script.write_text("#!/bin/sh\necho no gateway >&2\nexit 1\n")
    refused = install(tmp_path, "--for openclaw --channel telegram --target 1234 --apply")
    assert refused.code == 7
    assert "no gateway" in refused.out


def test_systemd_units_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    first, second = (install(tmp_path, "--for systemd --apply --json") for _ in range(2))
    assert (first.json["changed"], second.json["changed"]) == (True, False)
    folder = tmp_path / ".config" / "systemd" / "user"
    service = (folder / "pve-monitor-home.service").read_text()
    assert "monitor run --tell --profile home" in service
    assert "SuccessExitStatus=20 21" in service
    assert f'Environment="PVE_HOME={tmp_path}"' in service
    assert "OnUnitActiveSec=5min" in (folder / "pve-monitor-home.timer").read_text()
    told = install(tmp_path, "--for systemd").out
    assert "! the profile names nobody to tell" in told
    assert "next: loginctl enable-linger" in told


def test_cron_gets_a_line_to_put_in(tmp_path: Path) -> None:
    line = install(tmp_path, "--for cron").out.splitlines()[1]
    assert line.startswith(f"*/5 * * * * /usr/bin/env PVE_HOME={tmp_path} /")
    assert line.endswith("monitor run --job --profile home")


@pytest.mark.parametrize(
    "words",
    [
        "--for openclaw",
        "--for cron --apply",
        "--for cron --every 90s",
        "--for cron --every 2h",
        "--for cron --every soon",
        "",
    ],
)
def test_what_cannot_be_set_up_says_what_to_do(words: str, tmp_path: Path) -> None:
    refused = install(tmp_path, words)
    assert refused.code == 2
    assert "next:" in refused.out or "Missing option" in refused.out
