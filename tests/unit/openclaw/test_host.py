"""What `openclaw` says, and what it says that makes no sense. A script plays it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.errors import ConfigError
from pveops.openclaw.host import Host


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "openclaw"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return file


def play(script: Path, text: str) -> Host:
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return Host()


def test_a_setting_is_read_and_one_that_is_unset_is_none(script: Path) -> None:
    assert play(script, "echo '\"ask\"'").get("tools.exec.mode") == "ask"
    told = "echo 'the path is valid but unset' >&2; exit 1"
    assert play(script, told).get("tools.exec.mode") is None


@pytest.mark.parametrize("said", ["", "Warning: ask", "{", "ask"])
def test_what_is_no_json_is_told_as_such(said: str, script: Path) -> None:
    host = play(script, f"echo '{said}'")
    with pytest.raises(ConfigError, match="told no JSON"):
        host.get("tools.exec.mode")
    with pytest.raises(ConfigError, match="told no JSON"):
        host.read(["plugins", "list"])


def test_without_openclaw_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="is not installed here"):
        Host().run(["--version"])
