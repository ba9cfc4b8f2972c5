"""The six jobs with pmox, in its tables or its JSON, whichever is less.

Its environment makes it least: help without frames.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from bench import World, world
from reading import (
    BARE,
    JOBS,
    WEB,
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

_ENVIRON = {"TYPER_USE_RICH": "0"}
_TABLE = ("pmox", "--no-json")
_CHANGE = ("pmox", "--no-json", "--dangerous", "--wait")
_GUESTS = (*_TABLE, "cluster", "resources", "--type", "vm", "--fields")
_NEITHER_SHOWS = ("vm migrate --help", "vm snapshot create --help")
"""What the guide does not tell."""
_HELPS = (
    *("--help", "vm --help", "ct --help", "cluster --help", "storage --help"),
    *("cluster resources --help", "storage content --help", "vm stop --help"),
    *_NEITHER_SHOWS,
)


def measure() -> Client:
    """Run every job, each on a fresh cluster."""
    jobs: dict[str, Job] = {}
    once: tuple[Call, ...] = ()
    for name, work in _WORKS.items():
        with world(JOBS[name][1], scale_of(name)) as here:
            once = once or _read_once(here)
            jobs[name] = work(here)
    return Client("pmox", version("pmox"), once, jobs)


def _read_once(here: World) -> tuple[Call, ...]:
    """Its guide for agents with two helps, or the helps alone: what is less."""
    ways = []
    for words in (("guide", *_NEITHER_SHOWS), _HELPS):
        shell = Shell(here, _ENVIRON)
        for each in words:
            shell.run("pmox", *each.split())
        ways.append(tuple(shell.calls))
    return min(ways, key=lambda calls: sum(call.characters for call in calls))


def _list(here: World) -> Job:
    shell = Shell(here, _ENVIRON)
    text = shell.run(*_GUESTS, "vmid,name,type,node,status")
    require(names_all(here, text), "pmox names every guest")
    return Job(tuple(shell.calls), "done")


def _slow(here: World) -> Job:
    begin_backup(here, 101)
    shell = Shell(here, _ENVIRON)
    shell.run(*_GUESTS, "vmid,name")
    text = shell.run("pmox", "vm", "status", "101")
    require('"lock": "backup"' in text, "pmox shows the lock")
    return Job(
        tuple(shell.calls),
        "done",
        "the lock of the backup stands among raw figures; not which task, nor since when",
    )


def _stop(here: World) -> Job:
    shell = Shell(here, _ENVIRON)
    shell.run(*_GUESTS, "vmid,name")
    shell.run(*_CHANGE, "vm", "stop", "101", "--yes")
    require(is_stopped(here), "web01 is stopped")
    return Job(tuple(shell.calls), "done", "without consent: the agent types both flags itself")


def _snapshot(here: World) -> Job:
    shell = Shell(here, _ENVIRON)
    shell.run(*_GUESTS, "vmid,type,tags")
    for vmid in WEB:
        shell.run(*_CHANGE, "vm", "snapshot", "create", str(vmid), "pre-update")
    require(has_snapshots(here), "both have their snapshot")
    return Job(tuple(shell.calls), "done", "one by one, without consent")


def _evacuate(here: World) -> Job:
    shell = Shell(here, _ENVIRON)
    shell.run(*_GUESTS, "vmid,name,type,node,status")
    shell.run(*_TABLE, "nodes", "list")
    for vmid, online in ((102, True), (104, True), (108, True), (110, False)):
        options = ("--target", "pve3", *(("--online",) if online else ()), "--yes")
        shell.run(*_CHANGE, "vm", "migrate", str(vmid), *options)
    shell.run(*_CHANGE, "ct", "shutdown", "202")
    shell.run(*_CHANGE, "ct", "migrate", "202", "--target", "pve3", "--yes")
    shell.run(*_CHANGE, "ct", "start", "202")
    shell.run(*_GUESTS, "vmid,node,status")
    require(is_empty(here), "pve2 is empty, and what ran runs")
    return Job(
        tuple(shell.calls),
        "done",
        "one by one, to places that the agent chooses; nothing is checked before; no consent",
    )


def _audit(here: World) -> Job:
    shell = Shell(here, _ENVIRON)
    shell.run(*_TABLE, "storage", "list", "--fields", "storage,node,content,shared")
    fields = ("--fields", "content,vmid,ctime")
    text = shell.run(*_TABLE, "storage", "content", "backups", "--node", "pve1", *fields)
    for node in ("pve1", "pve2", "pve3"):
        shell.run(*_TABLE, "storage", "content", "local", "--node", node, *fields)
    shell.run(*_GUESTS, "vmid,name")
    require(text.count("backup") >= 3 * (32 - len(BARE)), "pmox lists the backups")
    return Job(
        tuple(shell.calls),
        "done",
        "by hand: the agent joins the files of four places with the guests, in seconds since "
        "1970; no jobs, no results",
    )


_WORKS: dict[str, Callable[[World], Job]] = {
    "list": _list,
    "slow": _slow,
    "stop": _stop,
    "snapshot": _snapshot,
    "evacuate": _evacuate,
    "audit": _audit,
}
