"""The plugin's JavaScript, run by node with a stand-in for OpenClaw's side of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pveops.engine.consent_receipt import check_receipt
from pveops.engine.store import PlanRow
from pveops.errors import ConsentInvalidError

NODE = shutil.which("node")
PLUGIN = Path(__file__).resolve().parents[3] / "plugin"
PLAN = "pl_0123456789ab"
HASH = "ab" * 32
KEY = "cd" * 32

pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")

HOST = """
import plugin from "%(plugin)s/index.js";
const tools = {}, hooks = {};
plugin.register({
  pluginConfig: { pve: "%(pve)s" },
  registerTool: (make, { name }) => { tools[name] = make(context); },
  on: (name, hook) => { hooks[name] = hook; },
});
const ask = (id, plan) => hooks.before_tool_call(
  { toolName: "pve_apply", toolCallId: id, params: { plan } }, context);
const run = (name, id, params) => tools[name].execute(id, params)
  .then((done) => done.content[0].text, (error) => "ERROR " + error.message);
const told = [];
%(script)s
console.log(JSON.stringify(told));
"""

PVE = """#!/usr/bin/env python3
import json, pathlib, sys, os
place = pathlib.Path(sys.argv[0]).parent
with (place / "calls").open("a") as file:
    entry = [sys.argv[1:], os.environ.get("OPENCLAW_SHELL"), os.environ.get("OPENCLAW_AGENT_ID")]
    file.write(json.dumps(entry) + "\\n")
if sys.argv[1:3] == ["plan", "show"]:
    print((place / "shown.json").read_text())
elif sys.argv[1:3] == ["plan", "approval-key"]:
    print(json.dumps({"ok": True, "data": {"file": str(place / "key")}}))
else:
    print("answer of", *sys.argv[1:])
    sys.exit(int(os.environ.get("EXIT", "0")))
"""

APPLY = """#!/usr/bin/env python3
import pathlib, sys
(pathlib.Path(sys.argv[0]).parent / "receipt").write_text(sys.stdin.read())
print("done: applied", sys.argv[1])
"""


class Host:
    """A folder with stand-ins for `pve` and `pve-apply`, and node to run the plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("pve", PVE), ("pve-apply", APPLY)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "key").write_text(KEY + "\n")
        (folder / "key").chmod(0o600)
        self.show(state="open")

    def show(self, **changed: Any) -> None:
        """What `pve plan show` says of the plan."""
        plan = {
            "id": PLAN,
            "hash": HASH,
            "state": "open",
            "card": "RUNNING 40d: GUEST STOP web01",
            "operation": "guest.stop",
            "tier": 3,
            "expires": 4_000_000_000,
        }
        told = {"ok": True, "plan": plan | changed}
        (self.folder / "shown.json").write_text(json.dumps(told))

    def run(self, script: str, session: str = "agent:main:main") -> list[Any]:
        """What the script told."""
        context = {"sessionKey": session, "agentId": "main"}
        source = f"const context = {json.dumps(context)};" + HOST % {
            "plugin": PLUGIN,
            "pve": self.folder / "pve",
            "script": script,
        }
        assert NODE is not None
        done = subprocess.run(
            [NODE, "--input-type=module", "-e", source],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told: list[Any] = json.loads(done.stdout)
        return told

    def calls(self) -> list[list[Any]]:
        """How `pve` was called."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_card_is_asked_and_what_was_allowed_is_applied_with_a_receipt(host: Host) -> None:
    question, answer = host.run(f"""
      const {{ requireApproval }} = await ask("c1", "{PLAN}");
      told.push(requireApproval);
      requireApproval.onResolution("allow-once");
      told.push(await run("pve_apply", "c1", {{ plan: "{PLAN}" }}));
    """)
    assert question["description"] == "RUNNING 40d: GUEST STOP web01"
    assert question["severity"] == "critical"
    assert question["allowedDecisions"] == ["allow-once", "deny"]
    assert question["timeoutMs"] == 600_000
    assert answer == f"done: applied {PLAN}"
    receipt = (host.folder / "receipt").read_text()
    row = PlanRow(PLAN, b"", HASH, "guest.stop", 0, 0, "open", None)
    assert check_receipt(KEY.encode(), row, receipt, now=time.time()) == "openclaw prompt"
    with pytest.raises(ConsentInvalidError):
        check_receipt(KEY.encode(), row._replace(hash="ef" * 32), receipt, now=time.time())


@pytest.mark.parametrize("decision", ["deny", "timeout", "cancelled", "allow-always", "yes"])
def test_nothing_but_allow_once_counts(host: Host, decision: str) -> None:
    (answer,) = host.run(f"""
      (await ask("c1", "{PLAN}")).requireApproval.onResolution("{decision}");
      told.push(await run("pve_apply", "c1", {{ plan: "{PLAN}" }}));
    """)
    assert "nobody was asked" in answer
    assert not (host.folder / "receipt").exists()


@pytest.mark.parametrize(
    ("call", "plan"),
    [("c2", PLAN), ("c1", "pl_ffffffffffff")],
    ids=["another call", "another plan"],
)
def test_an_approval_is_for_one_call_and_one_plan(host: Host, call: str, plan: str) -> None:
    (answer,) = host.run(f"""
      (await ask("c1", "{PLAN}")).requireApproval.onResolution("allow-once");
      told.push(await run("pve_apply", "{call}", {{ plan: "{plan}" }}));
    """)
    assert "nobody was asked" in answer


def test_an_approval_is_spent_once(host: Host) -> None:
    first, second = host.run(f"""
      (await ask("c1", "{PLAN}")).requireApproval.onResolution("allow-once");
      told.push(await run("pve_apply", "c1", {{ plan: "{PLAN}" }}));
      told.push(await run("pve_apply", "c1", {{ plan: "{PLAN}" }}));
    """)
    assert first.startswith("done")
    assert "nobody was asked" in second


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "claimed"}, "was applied already"),
        ({"state": "cancelled"}, "is cancelled"),
        ({"expires": 1}, "expired"),
        ({"card": ""}, "could not be shown"),
        ({"hash": "short"}, "could not be shown"),
    ],
)
def test_what_cannot_be_asked_is_blocked(host: Host, changed: dict[str, Any], reason: str) -> None:
    host.show(**changed)
    (outcome,) = host.run(f'told.push(await ask("c1", "{PLAN}"));')
    assert outcome["block"] is True
    assert reason in outcome["blockReason"]


@pytest.mark.parametrize("plan", ["", "--help", "pl_1; rm", "pl_", "../x"])
def test_what_is_no_plan_is_blocked_before_anything_runs(host: Host, plan: str) -> None:
    (outcome,) = host.run(f'told.push(await ask("c1", {json.dumps(plan)}));')
    assert "no plan's id" in outcome["blockReason"]
    assert not (host.folder / "calls").exists()


def test_a_call_without_an_id_is_blocked(host: Host) -> None:
    (outcome,) = host.run(f'told.push(await ask(undefined, "{PLAN}"));')
    assert outcome["block"] is True


def test_a_key_that_others_can_read_signs_nothing(host: Host) -> None:
    (host.folder / "key").chmod(0o644)
    (answer,) = host.run(f"""
      (await ask("c1", "{PLAN}")).requireApproval.onResolution("allow-once");
      told.push(await run("pve_apply", "c1", {{ plan: "{PLAN}" }}));
    """)
    assert "can be read by others" in answer
    assert not (host.folder / "receipt").exists()


def test_reading_is_held_to_looking_and_told_who_asks(host: Host) -> None:
    (answer,) = host.run("""
      told.push(await run("pve_read", "c1", { args: ["guest", "list"] }));
    """)
    assert answer == "answer of --look-only guest list"
    assert host.calls() == [[["--look-only", "guest", "list"], "plugin", "main"]]


def test_a_change_is_asked_for_with_its_reason_and_without_a_code(host: Host) -> None:
    host.run("""
      told.push(await run("pve_plan", "c1", { args: ["guest", "stop", "a"], reason: "it hangs" }));
    """)
    ((words, _, _),) = host.calls()
    assert words == ["--no-code", "--reason", "it hangs", "guest", "stop", "a"]


def test_other_tools_are_left_alone(host: Host) -> None:
    (outcome,) = host.run("""
      const other = { toolName: "exec", toolCallId: "c1", params: {} };
      told.push((await hooks.before_tool_call(other, context)) ?? "nothing");
    """)
    assert outcome == "nothing"


def test_the_manifest_names_every_tool_and_the_versions_agree() -> None:
    from pveops import __version__

    manifest = json.loads((PLUGIN / "openclaw.plugin.json").read_text())
    package = json.loads((PLUGIN / "package.json").read_text())
    assert manifest["contracts"]["tools"] == ["pve_read", "pve_plan", "pve_apply"]
    assert {manifest["version"], package["version"]} == {__version__}
