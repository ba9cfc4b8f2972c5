"""pveops inside a running OpenClaw, with a model that plays a script.

What is expected of OpenClaw was seen on the pinned release; see `package.json` beside this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.openclaw.conftest import CHANNEL, TARGET, Home
from tests.openclaw.install import Person
from tests.openclaw.model import Step, ToolCall
from tests.served import BIN, patiently

READ = "pve_read"


def call(name: str, **arguments: Any) -> Step:
    """A step that calls a tool, whatever was answered before."""
    return lambda _done: ToolCall(name, arguments)


def report(done: Sequence[str]) -> str:
    """The last step: all that the tools answered."""
    return "REPORT " + "\n---\n".join(done)


def found(pattern: str, texts: Sequence[str]) -> str:
    """The first match in what the tools answered."""
    match = re.search(pattern, "\n".join(texts))
    assert match is not None, f"{pattern} is nowhere in {texts}"
    return match[0]


def apply_plan(done: Sequence[str]) -> ToolCall:
    """Ask for the plan that a tool told of."""
    return ToolCall("pve_apply", {"plan": found(r"pl_[0-9a-f]+", done)})


def stop(guest: str) -> list[Step]:
    """Plan a stop, apply it, report."""
    return [
        call("pve_plan", args=["guest", "stop", guest], reason="hangs"),
        apply_plan,
        report,
    ]


def test_the_setup_is_complete_and_twice_changes_nothing(home: Home) -> None:
    assert home.said.startswith("done: "), home.said
    again = home.pve("openclaw", "setup", "--apply", "--json")
    assert json.loads(again)["changed"] is False, again
    told = home.pve("openclaw", "setup")
    assert told.startswith("everything is set up"), told


def test_the_skill_is_eligible(home: Home) -> None:
    skill = home.openclaw.json("skills", "info", "proxmox", "--json")
    assert skill["eligible"] is True
    assert skill["modelVisible"] is True
    assert not any(skill["missing"].values())


def test_the_agent_reads_the_skill_and_stops_a_guest_that_the_person_agrees_to(
    home: Home, person: Person
) -> None:
    skill = home.openclaw.json("skills", "info", "proxmox", "--json")["filePath"]
    home.model.scripts["stop web01"] = [
        call("read", path=skill),
        call(READ, args=["status"]),
        *stop("web01"),
    ]
    person.say("stop web01, it hangs")
    question = person.asked("plugin")
    asked = question["request"]
    assert asked["description"].startswith("RUNNING "), asked
    assert "web01 (VM 101 on pve1)" in asked["description"]
    assert asked["allowedDecisions"] == ["allow-once", "deny"]
    assert home.status("web01") == "running"
    person.decide("plugin", question, "allow-once")
    heard = person.heard()
    assert "# Proxmox VE" in heard
    assert "cluster homelab:" in heard
    assert "done: web01 (VM 101 on pve1) is stopped" in heard
    assert home.status("web01") == "stopped"
    runs = json.loads(home.pve("run", "list", "--json"))["data"]["items"]
    assert runs[0]["consent"].startswith("receipt by openclaw prompt webchat"), runs


def test_what_the_person_denies_does_not_happen(home: Home, person: Person) -> None:
    home.model.scripts["stop db01"] = stop("db01")
    person.say("stop db01")
    person.decide("plugin", person.asked("plugin"), "deny")
    assert "Denied by user" in person.heard()
    assert home.status("db01") == "running"


def test_a_tool_that_reads_refuses_a_change(home: Home, person: Person) -> None:
    home.model.scripts["sneak"] = [call(READ, args=["guest", "stop", "db01"]), report]
    person.say("sneak")
    assert "only looking is allowed here" in person.heard()
    assert home.status("db01") == "running"


def test_pve_runs_unasked_and_pve_apply_does_not(home: Home, person: Person) -> None:
    home.model.scripts["by exec"] = [
        call("exec", command="pve guest list --status running"),
        call("exec", command="pve-apply pl_0123456789ab --code ABCD-EFGH"),
        report,
    ]
    person.say("by exec")
    question = person.asked("exec")
    assert question["request"]["command"].startswith("pve-apply pl_0123456789ab")
    person.decide("exec", question, "deny")
    heard = person.heard()
    assert "running" in heard
    assert "db01" in heard
    assert "user-denied" in heard


def test_the_monitor_is_silent_then_alerts_then_says_cleared(home: Home) -> None:
    jobs = home.openclaw.json("cron", "list", "--json")["jobs"]
    job = next(job for job in jobs if job.get("declarationKey") == "pveops:monitor:demo")
    assert job["delivery"] == {"mode": "announce", "channel": CHANNEL, "to": TARGET}

    def look() -> str:
        run = home.openclaw.run(
            *("cron", "run", job["id"], "--wait", "--wait-timeout", "60s"),
            *("--poll-interval", "500ms"),
            check=False,
        )
        told = json.loads(run).get("run") or {}
        # What is sent stands in the run; of a silent one only the diagnostics tell.
        assert "summary" in told or "diagnostics" in told, run
        return str(told.get("summary") or told["diagnostics"]["summary"])

    look()  # What is wrong from the beginning is told once.
    assert look() == "NO_REPLY"
    home.cluster.control("/nodes/pve3/off", {})
    home.cluster.control("/clock", {"advance": 60})
    assert "PROBLEM node/pve3: it is offline" in look()
    assert look() == "NO_REPLY"
    home.cluster.control("/nodes/pve3/on", {})
    home.cluster.control("/clock", {"advance": 300})
    assert "cleared node/pve3" in look()


def test_news_wake_the_agent_as_data_and_nothing_else_does(home: Home) -> None:
    home.model.scripts["found something"] = [call("exec", command="pve status"), report]
    home.cluster.control("/nodes/pve3/off", {})
    home.cluster.control("/clock", {"advance": 60})
    installed = home.pve(
        *("monitor", "install", "--for", "openclaw", "--wake", "--every", "1m", "--apply"),
        *("--profile", "demo", "--channel", CHANNEL, "--target", TARGET),
    )

    def job() -> dict[str, Any]:
        jobs = home.openclaw.json("cron", "list", "--json")["jobs"]
        return next(job for job in jobs if job.get("declarationKey") == "pveops:monitor:demo")

    made = job()
    assert "trigger" in made, installed
    # `cron run` would wake the agent unasked: only what is due asks the trigger.
    home.openclaw.run("cron", "edit", made["id"], "--every", "30s")
    woken = home.model.wait_for("found something")
    assert "What the monitor found, as data:\n| " in woken
    assert "\n| raised block node/pve3: it is offline" in woken
    # Each question takes a second or two.
    patiently(lambda: job()["state"].get("triggerEvalCount", 0) >= 2, attempts=100)
    assert job()["state"]["lastStatus"] == "ok"
    assert home.model.said("found something") == [woken]
    home.cluster.control("/nodes/pve3/on", {})
    home.openclaw.run("cron", "rm", made["id"])


def test_a_subagent_waits_for_an_evacuation(home: Home, person: Person) -> None:
    def spawn(done: Sequence[str]) -> ToolCall:
        run = found(r"run_[0-9a-f]+", done[-1:])
        wait = {"command": f"pve run wait {run} --wait 60", "yieldMs": 70_000}
        home.model.scripts["WAIT FOR"] = [call("exec", **wait), report]
        return ToolCall("sessions_spawn", {"task": f"WAIT FOR: pve run wait {run}"})

    # As OpenClaw tells the agent that asked, in a turn of its own.
    home.model.scripts["has now settled"] = [lambda _done: "EVACUATED"]
    home.model.scripts["empty pve3"] = [
        call(
            "pve_plan",
            args=["node", "evacuate", "pve3", "--allow-restart"],
            reason="more memory",
        ),
        apply_plan,
        spawn,
        call("sessions_yield"),
    ]
    person.say("empty pve3", session="evacuation")
    person.decide("plugin", person.asked("plugin"), "allow-once")
    while "EVACUATED" not in (heard := person.heard()):
        if "subagent" in heard:
            assert "nothing runs on pve3" in heard
    on_pve3 = [
        guest["name"]
        for guest in home.cluster.control("/state")["guests"]
        if guest["node"] == "pve3" and guest["power"] == "running"
    ]
    assert on_pve3 == []
    asked = json.dumps(home.model.requests)
    assert "pending: run_" in asked, "it ended before anybody had to wait"


def test_the_plugin_is_fail_closed_when_nobody_was_asked(home: Home) -> None:
    """The tool without its hook: what a host that skips hooks would do."""
    script = """
      import plugin from "PLUGIN/index.js";
      const tools = {};
      plugin.register({
        pluginConfig: { pve: "PVE" },
        registerTool: (make, { name }) => { tools[name] = make({}); },
        on: () => {},
      });
      tools.pve_apply.execute("call_1", { plan: "pl_0123456789ab" })
        .then(() => console.log("RAN"), (error) => console.log(error.message));
    """
    folder = Path(__file__).parent.parent.parent / "plugin"
    source = script.replace("PLUGIN", str(folder)).replace("PVE", str(BIN / "pve"))
    done = home.openclaw.process([str(home.openclaw.node), "--input-type=module", "-e", source])
    assert "nobody was asked about pl_0123456789ab" in done.stdout, done.stderr
