"""The six jobs with ProxmoxMCP-Plus in Code Mode: three tools, and programs that call the rest.

The least that can be read: one search for each thing that the jobs need, each kind of answer
looked at once for its shape (an agent cannot take apart what it has not seen), then programs that
give back only what answers the question. What the agent writes, the programs, is not counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from bench import World, world
from client_plus import NAME, Tools, connect, job_of, wait_for_tasks
from reading import (
    BARE,
    JOBS,
    WEB,
    Call,
    Client,
    Job,
    begin_backup,
    control,
    has_snapshots,
    is_stopped,
    names_all,
    require,
    scale_of,
)

_SEARCHES = (
    "virtual machines",
    "containers",
    "configuration of",
    "stop",
    "poll",
    "create a snapshot",
    "migration",
    "available backups",
)
_SCHEMAS = ("preflight_vm_migration",)
"""Where what the search tells does not name the parameters."""
_SHAPES = (
    '(await call_tool("get_vms"))[0]["text"][:300]',
    '(await call_tool("get_containers"))[0]["text"][:200]',
    '(await call_tool("get_vm_config", {"node": "pve1", "vmid": "101"}))[0]["text"]',
    '(await call_tool("list_backups", {"storage": "backups"}))[0]["text"][:300]',
)
_GUESTS = """
async def guests():
    found = []
    for kind, tool in (("vm", "get_vms"), ("ct", "get_containers")):
        text = (await call_tool(tool))[0]["text"]
        for part in text.split("\\n\\n")[1:]:
            lines = part.split("\\n")
            if "(ID: " not in lines[0]:
                continue
            name, number = lines[0].removeprefix("[vm] ").split(" (ID: ")
            facts = {}
            for line in lines[1:]:
                key, _, value = line.removeprefix("  - ").partition(": ")
                facts[key] = value
            found.append((number[:-1], name, kind, facts["Node"], facts["Status"].lower()))
    return found
"""
_LIST = """
"\\n".join([" ".join(guest) for guest in await guests()])
"""
_SLOW = """
found = [guest for guest in await guests() if guest[1] == "web01"]
(await call_tool("get_vm_config", {"node": found[0][3], "vmid": found[0][0]}))[0]["text"]
"""
_STOP = """
found = [guest for guest in await guests() if guest[1] == "web01"]
(await call_tool("stop_vm", {"node": found[0][3], "vmid": found[0][0]}))[0]["text"]
"""
_POLL = """
text = (await call_tool("poll_job", {"job_id": "JOB", "include_audit": False}))[0]["text"]
"\\n".join([line for line in text.split("\\n") if '"status"' in line or '"exitstatus"' in line])
"""
_TAGGED = """
found = []
for number, name, kind, node, status in await guests():
    if kind != "KIND":
        continue
    tool = "get_vm_config" if kind == "vm" else "get_container_config"
    text = (await call_tool(tool, {"node": node, "vmid": number}))[0]["text"]
    for line in text.split("\\n"):
        if '"tags"' in line and "web" in line.split('"')[3].split(";"):
            found.append(f"{node} {number} {name}")
"\\n".join(found)
"""
_SNAPSHOT = """
(await call_tool("create_snapshot",
    {"node": "pve1", "vmid": "VMID", "snapname": "pre-update"}))[0]["text"]
"""
_EVACUATE = """
"\\n".join([" ".join(guest) for guest in await guests() if guest[3] == "pve2"])
"""
_PREFLIGHT = """
(await call_tool("preflight_vm_migration",
    {"node": "pve2", "vmid": "102", "destination": "pve3"}))[0]["text"]
"""
_AUDIT = """
newest = {}
for query in ({"node": "pve1", "storage": "backups"}, {"storage": "local"}):
    text = (await call_tool("list_backups", query))[0]["text"]
    for line in text.split("\\n"):
        if line.startswith("VM/CT "):
            number, when = line.removeprefix("VM/CT ").split(" - ")
            newest[number] = max(when, newest.get(number, ""))
rows = [(number, name, newest.get(number, "none")) for number, name, *_ in await guests()]
"\\n".join([" ".join(row) for row in rows if row[2] == "none" or row[2] < "SINCE"])
"""
_TWO_DAYS_S = 2 * 86_400


def measure() -> Client:
    """Run every job, each on a fresh cluster."""
    once, jobs = asyncio.run(_measure())
    name = f"{NAME}, `MCP_CODE_MODE`"
    return Client(name, version("proxmox-mcp-plus"), once, jobs)


async def _measure() -> tuple[tuple[Call, ...], dict[str, Job]]:
    jobs: dict[str, Job] = {}
    once: tuple[Call, ...] = ()
    for name, work in _WORKS.items():
        with world(JOBS[name][1], scale_of(name)) as here:
            async with connect(here, MCP_CODE_MODE="true") as tools:
                jobs[name] = await work(here, tools)
            if name == "audit":
                async with connect(here, MCP_CODE_MODE="true") as tools:
                    once = await _read_once(tools)
    return once, jobs


async def _read_once(tools: Tools) -> tuple[Call, ...]:
    listed = await tools.read_list()
    for query in _SEARCHES:
        await tools.call("proxmox_code_search", query=query)
    await tools.call("proxmox_code_get_schema", names=list(_SCHEMAS))
    for code in _SHAPES:
        await _execute(tools, code)
    return (listed, *tools.calls)


async def _execute(tools: Tools, code: str) -> str:
    text = await tools.call("proxmox_code_execute", code=code)
    require('"success": true' in text, f"the program runs: {text}")
    return text


async def _list(here: World, tools: Tools) -> Job:
    text = await _execute(tools, _GUESTS + _LIST)
    require(names_all(here, text), "it names every guest")
    return Job(tuple(tools.calls), "done")


async def _slow(here: World, tools: Tools) -> Job:
    begin_backup(here, 101)
    text = await _execute(tools, _GUESTS + _SLOW)
    require('lock\\": \\"backup' in text, "it shows the lock")
    return Job(tuple(tools.calls), "done", "as without Code Mode")


async def _poll(here: World, tools: Tools, vmid: int, text: str) -> None:
    wait_for_tasks(here, vmid)
    job = job_of(text.replace("\\n", "\n"))
    await _execute(tools, _POLL.replace("JOB", job))


async def _stop(here: World, tools: Tools) -> Job:
    await _poll(here, tools, 101, await _execute(tools, _GUESTS + _STOP))
    require(is_stopped(here), "web01 is stopped")
    return Job(tuple(tools.calls), "done", "at the first call; nobody is asked")


async def _snapshot(here: World, tools: Tools) -> Job:
    """Two programs, since one may make 25 calls."""
    found = await _execute(tools, _GUESTS + _TAGGED.replace("KIND", "vm"))
    await _execute(tools, _GUESTS + _TAGGED.replace("KIND", "ct"))
    require(all(f" {vmid} " in found for vmid in WEB), "the configurations tell the tags")
    for vmid in WEB:
        text = await _execute(tools, _SNAPSHOT.replace("VMID", str(vmid)))
        await _poll(here, tools, vmid, text)
    require(has_snapshots(here), "both have their snapshot")
    return Job(tuple(tools.calls), "done", "a program reads 32 configurations; without consent")


async def _evacuate(_: World, tools: Tools) -> Job:
    await _execute(tools, _GUESTS + _EVACUATE)
    text = await _execute(tools, _PREFLIGHT)
    require("HA-managed VM requires manual relocation" in text, "it refuses what HA manages")
    return Job(tuple(tools.calls), "cannot", "as without Code Mode")


async def _audit(here: World, tools: Tools) -> Job:
    """The bound is told to the program by an agent that knows the time."""
    from datetime import UTC, datetime

    since = datetime.fromtimestamp(control(here, "state")["now"] - _TWO_DAYS_S, UTC)
    code = _AUDIT.replace("SINCE", f"{since:%Y-%m-%d %H:%M:%S}")
    text = await _execute(tools, _GUESTS + code)
    rows = text.partition('"result": "')[2].partition('"')[0].split("\\n")
    require({int(row.split()[0]) for row in rows} == BARE, "it finds the five")
    return Job(
        tuple(tools.calls), "done", "by a program that the agent writes; no jobs, no results"
    )


_WORKS: dict[str, Callable[[World, Tools], Awaitable[Job]]] = {
    "list": _list,
    "slow": _slow,
    "stop": _stop,
    "snapshot": _snapshot,
    "evacuate": _evacuate,
    "audit": _audit,
}
