"""The script that wakes the agent with news, run by node with a stand-in for OpenClaw."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pveops.openclaw.jobs import Look

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")

HOST = """
let answer;
const json = (value) => { answer = value; };
const trigger = { state: %(state)s };
const history = %(history)s;
const exec = async ({ command }) => ({
  exitCode: 0,
  aggregated: command.includes("history") ? JSON.stringify({ data: history }) : "NO_REPLY",
});
%(script)s
console.log(JSON.stringify(answer));
"""


def wake(folder: Path, state: dict[str, Any], last: int, count: int) -> dict[str, Any]:
    """What the script answers to a history of which it is shown so many, the worst at first."""
    items = [
        {
            "number": number,
            "at": 1,
            "kind": "raised",
            "severity": "warn",
            "subject": f"vm/{number}",
        }
        | {"message": "text"}
        for number in range(last - count + 1, last + 1)
    ][:20]
    script = HOST % {
        "state": json.dumps(state),
        "history": json.dumps({"items": items, "last": last}),
        "script": Look("pve", "home", 5, "telegram", "1").script,
    }
    file = folder / "watch.mjs"
    file.write_text(script)
    done = subprocess.run([str(NODE), str(file)], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_agent_is_woken_by_what_is_new_and_left_alone_after_that(tmp_path: Path) -> None:
    told = wake(tmp_path, {"number": 3}, last=5, count=5)
    assert told["fire"] is True
    assert [f"vm/{number}:" in told["message"] for number in (3, 4, 5)] == [False, True, True]
    assert wake(tmp_path, told["state"], last=5, count=5)["fire"] is False


def test_of_a_flood_the_agent_is_told_the_number_of_the_rest_once(tmp_path: Path) -> None:
    told = wake(tmp_path, {"number": 10}, last=60, count=50)
    assert told["message"].endswith("| and 30 more: pve monitor history")
    assert wake(tmp_path, told["state"], last=60, count=50)["fire"] is False


def test_a_store_that_was_made_anew_is_listened_to(tmp_path: Path) -> None:
    assert wake(tmp_path, {"number": 900}, last=1, count=1)["fire"] is True
