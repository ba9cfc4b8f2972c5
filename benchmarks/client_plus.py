"""The six jobs with ProxmoxMCP-Plus over stdio, by the official client.

Three ways of setting it up: as it is installed, with an allow-list of just the tools that these
jobs use, and in its Code Mode (`client_plus_code.py`). TLS is verified, as it does by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import BIN, World, world
from reading import (
    JOBS,
    WEB,
    Call,
    Client,
    Job,
    begin_backup,
    control,
    guests_of,
    has_snapshots,
    is_stopped,
    names_all,
    require,
    scale_of,
)

if TYPE_CHECKING:
    from mcp import ClientSession

NAME = "ProxmoxMCP-Plus"
_USED = (
    *("get_vms", "get_containers", "get_vm_config", "get_container_config", "stop_vm", "poll_job"),
    *("create_snapshot", "preflight_vm_migration", "migrate_vm", "migrate_container"),
    *("get_storage", "list_backups"),
)
_JOB_ID = re.compile(r"Job ID: ([0-9a-f-]+)")


class Tools:
    """A session, and what was read of its answers: their text, as a model is shown it."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.calls: list[Call] = []

    async def call(self, name: str, **arguments: Any) -> str:
        """The text of the answer."""
        result = await self._session.call_tool(name, arguments)
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        told = ", ".join(
            f"{key}={'…' if key in {'code', 'job_id'} else json.dumps(value)}"
            for key, value in arguments.items()
        )
        self.calls.append(Call(f"{name}({told})", len(text), len(arguments.get("code", ""))))
        return text

    async def read_list(self) -> Call:
        """The list of tools: name, description and input schema of each, as compact JSON."""
        tools = (await self._session.list_tools()).tools
        members = [
            {"name": t.name, "description": t.description, "inputSchema": t.inputSchema}
            for t in tools
        ]
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        return Call(f"tools/list: {len(tools)} tools", len(text))


@contextlib.asynccontextmanager
async def connect(here: World, **environ: str) -> AsyncIterator[Tools]:
    """The server in a process of its own."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    home = here.environ["HOME"]
    user, _, token = here.environ["PROXMOX_TOKEN_ID"].partition("!")
    surroundings = {
        "PATH": here.environ["PATH"],
        "HOME": home,
        "PROXMOX_HOST": here.environ["BENCH_HOST"],
        "PROXMOX_PORT": here.environ["BENCH_PORT"],
        "PROXMOX_USER": user,
        "PROXMOX_TOKEN_NAME": token,
        "PROXMOX_TOKEN_VALUE": here.environ["BENCH_TOKEN"],
        "PROXMOX_JOBS_SQLITE_PATH": f"{home}/jobs.sqlite3",
        "REQUESTS_CA_BUNDLE": here.environ["BENCH_CA"],
        **environ,
    }
    server = StdioServerParameters(
        command=str(BIN / "proxmox-mcp-plus"), env=surroundings, cwd=home
    )
    with Path(f"{home}/plus.log").open("a") as log:
        async with (
            stdio_client(server, errlog=log) as (reading, writing),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            yield Tools(session)


def wait_for_tasks(here: World, guest: int) -> None:
    """Until nothing works on the guest, so that one look at a job is enough: the least."""
    while any(
        f":{guest}:" in task["upid"] and task["exitstatus"] is None
        for task in control(here, "tasks")
    ):
        threading.Event().wait(0.05)


def measure() -> list[Client]:
    """As installed, and with the allow-list; the answers are the same."""
    whole, least, jobs = asyncio.run(_measure())
    used = {call.line.partition("(")[0] for job in jobs.values() for call in job.calls}
    require(used <= set(_USED), "the allow-list holds every tool that is used")
    number = version("proxmox-mcp-plus")
    return [
        Client(f"{NAME}", number, (whole,), jobs),
        Client(f"{NAME}, `MCP_TOOL_ALLOWLIST`", number, (least,), jobs),
    ]


async def _measure() -> tuple[Call, Call, dict[str, Job]]:
    jobs: dict[str, Job] = {}
    for name, work in _WORKS.items():
        with world(JOBS[name][1], scale_of(name)) as here:
            async with connect(here) as tools:
                jobs[name] = await work(here, tools)
                if name == "list":
                    whole = await tools.read_list()
            if name == "list":
                async with connect(here, MCP_TOOL_ALLOWLIST=",".join(_USED)) as tools:
                    least = await tools.read_list()
    return whole, least, jobs


async def _list(here: World, tools: Tools) -> Job:
    text = await tools.call("get_vms") + await tools.call("get_containers")
    require(names_all(here, text), "it names every guest")
    return Job(tuple(tools.calls), "done")


async def _slow(here: World, tools: Tools) -> Job:
    begin_backup(here, 101)
    await tools.call("get_vms")
    text = await tools.call("get_vm_config", node="pve1", vmid="101")
    require('"lock": "backup"' in text, "it shows the lock")
    return Job(
        tuple(tools.calls),
        "done",
        "the lock of the backup stands in the configuration; not which task, nor since when; "
        "no VM's CPU is shown",
    )


async def _stop(here: World, tools: Tools) -> Job:
    await tools.call("get_vms")
    text = await tools.call("stop_vm", node="pve1", vmid="101")
    wait_for_tasks(here, 101)
    await tools.call("poll_job", job_id=job_of(text), include_audit=False)
    require(is_stopped(here), "web01 is stopped")
    return Job(tuple(tools.calls), "done", "at the first call; nobody is asked")


def job_of(text: str) -> str:
    """The job that an answer names."""
    found = _JOB_ID.search(text)
    require(found, f"there is a job in: {text}")
    return found[1] if found else ""


async def _snapshot(here: World, tools: Tools) -> Job:
    """No list tells tags, so the configuration of every guest is read."""
    await tools.call("get_vms")
    await tools.call("get_containers")
    tagged: list[int] = []
    for vmid, guest in sorted(guests_of(here).items()):
        kind = "vm" if guest["kind"] == "qemu" else "container"
        text = await tools.call(f"get_{kind}_config", node=guest["node"], vmid=str(vmid))
        tags = json.loads(text).get("tags", "").split(";")
        tagged += [vmid] if "web" in tags else []
    require(tuple(tagged) == WEB, "the configurations tell the tags")
    for vmid in tagged:
        text = await tools.call(
            "create_snapshot", node="pve1", vmid=str(vmid), snapname="pre-update"
        )
        wait_for_tasks(here, vmid)
        await tools.call("poll_job", job_id=job_of(text), include_audit=False)
    require(has_snapshots(here), "both have their snapshot")
    return Job(
        tuple(tools.calls),
        "done",
        "no list tells tags: the configuration of each of 32 guests is read; says “Created "
        "Successfully” when the task has only begun",
    )


async def _evacuate(_: World, tools: Tools) -> Job:
    """Read until it is known that it cannot: VMs move offline only, one under HA not at all."""
    await tools.call("get_vms")
    await tools.call("get_containers", node="pve2")
    text = await tools.call("preflight_vm_migration", node="pve2", vmid="102", destination="pve3")
    require("HA-managed VM requires manual relocation" in text, "it refuses what HA manages")
    require("requires VM to be stopped" in text, "it moves what stands still only")
    return Job(
        tuple(tools.calls),
        "cannot",
        "moves VMs that are shut down only, and none that HA manages; counted up to the first "
        "check that says so",
    )


async def _audit(here: World, tools: Tools) -> Job:
    """By storage: its list of the whole cluster holds a shared storage once a node."""
    await tools.call("get_vms")
    await tools.call("get_containers")
    await tools.call("get_storage")
    text = await tools.call("list_backups", node="pve1", storage="backups")
    await tools.call("list_backups", storage="local")
    stored = {vmid for vmid in guests_of(here) if f"VM/CT {vmid} -" in text}
    require(len(stored) == 28, "it lists the backups of 28 guests")
    return Job(
        tuple(tools.calls),
        "done",
        "by hand: the agent joins 84 files with 32 guests; no jobs, no results",
    )


_WORKS: dict[str, Callable[[World, Tools], Awaitable[Job]]] = {
    "list": _list,
    "slow": _slow,
    "stop": _stop,
    "snapshot": _snapshot,
    "evacuate": _evacuate,
    "audit": _audit,
}
