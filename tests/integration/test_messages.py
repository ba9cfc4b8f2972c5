"""The end of a long run is told to the person once, by a scripted `openclaw` on PATH."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Home
from tests.served import patiently

FAST = "pve guest start windows-lab --reason wanted"
SLOW = f"{FAST} --wait 0"


@dataclass(frozen=True)
class Chat:
    """Whom `openclaw message send` reaches, and what arrived there."""

    home: Home
    file: Path

    def said(self) -> list[str]:
        """The messages, in order."""
        if not self.file.exists():
            return []
        return [text.strip() for text in self.file.read_text().split("\0") if text.strip()]


def run_of(home: Home) -> tuple[str, int, str]:
    """(id, process, state) of the newest run."""
    store = next(Path(home.environ["PVE_HOME"]).rglob("*.sqlite3"))
    with contextlib.closing(sqlite3.connect(store)) as db:
        row = db.execute("SELECT id, pid, state FROM runs ORDER BY rowid DESC").fetchone()
    return str(row[0]), int(row[1]), str(row[2])


def await_worker(home: Home) -> None:
    """Until the newest run's process is gone: whatever it had to say, it has said."""
    _, pid, _ = run_of(home)
    patiently(lambda: not Path(f"/proc/{pid}").exists())


@pytest.fixture
def chat(home: Home) -> Chat:
    """The profile tells people through OpenClaw."""
    folder = home.cluster.folder
    said, program = folder / "said", folder / "bin" / "openclaw"
    program.parent.mkdir()
    # One message after the other, each ended by a zero byte; refused while a file says so.
    program.write_text(
        '#!/bin/sh\n[ "$1 $2 $3 $4 $5 $6 $7" = '
        '"message send --channel telegram --target 42 --message" ] || exit 9\n'
        f"[ -e {folder}/refuse ] && {{ echo 'no route to telegram' >&2; exit 1; }}\n"
        f'printf "%s\\0" "$8" >> {said}\n'
    )
    program.chmod(0o755)
    consent(home, {"openclaw": {"channel": "telegram", "target": "42"}})
    environ = {**home.environ, "PATH": f"{program.parent}:{home.environ['PATH']}"}
    return Chat(replace(home, environ=environ), said)


def consent(home: Home, value: dict[str, Any], **more: Any) -> None:
    file = Path(home.environ["PVE_HOME"]) / "config.yaml"
    document = yaml.safe_load(file.read_text())
    for profile in document["profiles"].values():
        profile["consent"] = value
        profile.update(more)
    file.write_text(yaml.safe_dump(document))


def test_a_run_that_outlives_its_caller_is_told_once_at_its_end(chat: Chat) -> None:
    code, out = chat.home.run(SLOW)
    assert code == 8, out
    run, _, _ = run_of(chat.home)
    assert out.splitlines() == [
        f"pending: {run} goes on in the background",
        "the person gets a message when it ends",
        f"next: pve run wait {run}",
    ]
    (message,) = patiently(chat.said)
    assert message.splitlines() == [
        "done: windows-lab (VM 901 on pve2) is running (was stopped)",
        f"run {run}",
    ]
    await_worker(chat.home)
    for line in (f"pve run wait {run}", f"pve run show {run}", f"pve run resume {run}"):
        code, out = chat.home.run(line)
        assert code == 0
    assert "message: the person got one" in chat.home.run(f"pve run wait {run}")[1]
    told = json.loads(chat.home.run(f"pve run wait {run} --json")[1])
    assert told["data"]["message"]["state"] == "sent"
    assert len(chat.said()) == 1


def test_a_caller_that_was_there_at_the_end_is_all_that_is_told(chat: Chat) -> None:
    code, out = chat.home.run(f"{FAST} --wait 60")
    assert code == 0
    assert out.startswith("done: windows-lab")
    await_worker(chat.home)
    run, _, _ = run_of(chat.home)
    assert "message" not in chat.home.run(f"pve run show {run}")[1]
    assert chat.said() == []


def test_a_failure_is_told_with_what_to_do_next(chat: Chat) -> None:
    fault = {
        "kind": "task-error",
        "method": "POST",
        "path": "/start$",
        "reason": "no space <here>",
    }
    chat.home.cluster.control("/faults", fault)
    assert chat.home.run(SLOW)[0] == 8
    (message,) = patiently(chat.said)
    first, run_line, next_line = message.splitlines()
    assert first.startswith("error E_TASK_FAILED: windows-lab (VM 901 on pve2): ")
    assert "<" not in message
    assert re.fullmatch(r"run run_[0-9a-f]+", run_line)
    assert next_line.startswith("next: pve ")
    await_worker(chat.home)
    assert len(chat.said()) == 1


def test_a_killed_workers_run_is_told_of_once_by_who_picks_it_up(chat: Chat) -> None:
    chat.home.cluster.control("/faults", {"kind": "hang-after", "method": "POST"})
    assert chat.home.run(SLOW)[0] == 8
    patiently(chat.home.cluster.effects)
    run, worker, _ = run_of(chat.home)
    os.kill(worker, signal.SIGKILL)
    patiently(lambda: not Path(f"/proc/{worker}").exists())
    _, out = chat.home.run(f"pve run wait {run}")
    assert f"next: pve run resume {run}" in out
    assert "message: the person gets one when it ends" in out
    assert chat.said() == []
    chat.home.run("pve policy freeze")
    code, out = chat.home.run(f"pve run resume {run} --wait 60")
    assert code == 4, out
    assert out.startswith("error E_FROZEN: ")
    assert chat.said() == []
    next(Path(chat.home.environ["PVE_HOME"]).rglob("freeze")).unlink()
    for _ in range(2):
        code, out = chat.home.run(f"pve run resume {run} --wait 60")
        assert code == 0
        assert out.startswith("done: windows-lab")
        await_worker(chat.home)
    (message,) = chat.said()
    assert message.startswith("done: windows-lab")
    assert len(chat.home.cluster.effects()) == 1


def test_when_the_caller_is_killed_the_worker_tells(chat: Chat) -> None:
    """A backup, since the end of a start could reach the caller before the signal does."""
    process = chat.home.start("pve backup run windows-lab --storage backups --wait 60")
    patiently(chat.home.cluster.effects)
    process.kill()
    process.communicate(timeout=60)
    (message,) = patiently(chat.said)
    assert message.startswith("done: windows-lab")
    await_worker(chat.home)
    assert len(chat.said()) == 1


def test_a_message_that_cannot_be_sent_is_noted_and_changes_nothing(chat: Chat) -> None:
    (chat.home.cluster.folder / "refuse").touch()
    assert chat.home.run(SLOW)[0] == 8
    run, _, _ = run_of(chat.home)
    await_worker(chat.home)
    code, out = chat.home.run(f"pve run wait {run}")
    assert code == 0
    assert out.startswith("done: windows-lab")
    assert "message: the person could not be told" in out
    assert "no route to telegram" in out
    (chat.home.cluster.folder / "refuse").unlink()
    assert chat.home.run(f"pve run resume {run}")[0] == 0
    assert chat.said() == []


def test_nobody_is_told_where_the_profile_says_so(chat: Chat) -> None:
    openclaw = {"openclaw": {"channel": "telegram", "target": "42"}}
    consent(chat.home, openclaw, tell={"runs": False})
    code, out = chat.home.run(SLOW)
    assert code == 8
    assert "message" not in out
    await_worker(chat.home)
    assert chat.said() == []
