"""The six jobs with `pve`, as `skills/proxmox/SKILL.md` tells an agent to do them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from bench import ROOT, World, world
from reading import (
    BARE,
    JOBS,
    Call,
    Client,
    Job,
    Shell,
    begin_backup,
    has_snapshots,
    is_empty,
    is_stopped,
    names_all,
    require,
    scale_of,
)

_SKILL = ROOT / "skills" / "proxmox" / "SKILL.md"
_PLACE = "~/.openclaw/workspace/skills/proxmox/SKILL.md"
_LISTING = """
  <skill>
    <name>{name}</name>
    <description>{description}</description>
    <location>{place}</location>
  </skill>"""
_REASON = "asked for by the person"


def measure() -> Client:
    """Run every job, each on a fresh cluster."""
    jobs: dict[str, Job] = {}
    for name, work in _WORKS.items():
        with world(JOBS[name][1], scale_of(name)) as here:
            jobs[name] = work(here)
    return Client("`pve`", version("pveops"), read_once(), jobs)


def read_once() -> tuple[Call, ...]:
    """The skill's entry in the prompt, as OpenClaw writes it, and its text. No reference."""
    text = _SKILL.read_text(encoding="utf-8")
    members = dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)
    entry = _LISTING.format(name=members["name"], description=members["description"], place=_PLACE)
    return Call("the skill's entry in the prompt", len(entry)), Call("SKILL.md", len(text))


def _list(here: World) -> Job:
    shell = Shell(here)
    text = shell.run("pve", "guest", "list")
    require(names_all(here, text), "pve names every guest")
    return Job(tuple(shell.calls), "done")


def _slow(here: World) -> Job:
    begin_backup(here, 101)
    shell = Shell(here)
    text = shell.run("pve", "guest", "doctor", "web01")
    require("vzdump has been at work" in text, "pve finds the backup that runs")
    return Job(tuple(shell.calls), "done", "the cause, since when, what to wait for; the load")


def _agree(here: World, shell: Shell) -> None:
    """A person reads the message, agrees, and gives the agent the code."""
    require(shell.code == 3, f"`{shell.calls[-1].line}` waits for consent")
    message = here.inbox.read_text()
    plan = [word.rstrip(",") for word in message.split() if word.startswith("pl_")][-1]
    code = message.rpartition("code: ")[2].split()[0]
    shell.run("pve-apply", plan, "--code", code, shown="pve-apply PLAN --code CODE")
    while shell.code == 8:
        shell.run("pve", "run", "wait", shell.last_run, shown="pve run wait RUN")
    require(shell.code == 0, f"`{shell.calls[-1].line}` ends well")


def _stop(here: World) -> Job:
    shell = Shell(here)
    shell.run("pve", "guest", "stop", "web01", "--reason", _REASON)
    require(not is_stopped(here), "pve stops nothing before a person has agreed")
    _agree(here, shell)
    require(is_stopped(here), "web01 is stopped")
    return Job(
        tuple(shell.calls), "done", "asks a person first; tells what is lost; reads the state back"
    )


def _snapshot(here: World) -> Job:
    shell = Shell(here)
    shell.run("pve", "snapshot", "create", "--tag", "web", "--snapname", "pre-update")
    _agree(here, shell)
    require(has_snapshots(here), "both have their snapshot")
    return Job(tuple(shell.calls), "done", "asks first, since one of the two is tagged `prod`")


def _evacuate(here: World) -> Job:
    shell = Shell(here)
    shell.run("pve", "node", "evacuate", "pve2")
    require(shell.code == 4, "pve stops no container unasked")
    shell.run("pve", "node", "evacuate", "pve2", "--allow-restart")
    _agree(here, shell)
    require(is_empty(here), "pve2 is empty, and what ran runs")
    return Job(
        tuple(shell.calls),
        "done",
        "refuses once: a container's downtime has to be agreed to; chooses the places",
    )


def _audit(here: World) -> Job:
    shell = Shell(here)
    text = shell.run("pve", "backup", "audit", "--older-than", "2d")
    rows = [line.split("\t") for line in text.splitlines() if line[:3].isdigit()]
    found = {int(row[0]) for row in rows if {"none", "old"} & set(row)}
    require(found == BARE, "pve finds the five")
    return Job(tuple(shell.calls), "done", "with the jobs that cover each, and the last result")


_WORKS: dict[str, Callable[[World], Job]] = {
    "list": _list,
    "slow": _slow,
    "stop": _stop,
    "snapshot": _snapshot,
    "evacuate": _evacuate,
    "audit": _audit,
}
