"""What an agent reads to do a job with a client: the calls, their characters, and how it ended."""

from __future__ import annotations

import json
import re
import shlex
import ssl
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from bench import BIN, World

JOBS = {
    "list": ("which machines are there?", "scale-65"),
    "slow": ("why is web01 slow? (a backup of it runs)", "homelab"),
    "stop": ("stop web01; a person agrees", "homelab"),
    "snapshot": ("a snapshot `pre-update` of everything tagged `web`", "homelab"),
    "evacuate": ("move everything off pve2, to the end", "three-node-ceph"),
    "audit": ("which guests have no backup newer than two days?", "homelab"),
}
"""Each job in a person's words, and the simulated cluster that it is done on."""
WEB = (101, 102)
BARE = frozenset({101, 122, 211, 900, 105})
"""Of the homelab: four guests without any backup, and one whose newest is older than two days."""
_FAST = 20.0
_MANY = 4


class Call(NamedTuple):
    """One call, and what of its answer an agent has to read."""

    line: str
    characters: int
    written: int = 0
    """Of a program that the agent wrote for it; not counted as read."""


class Job(NamedTuple):
    """One job: the calls, how it ended (`done`, `in part`, `cannot`), and what is to be said."""

    calls: tuple[Call, ...]
    ended: str
    note: str = ""

    @property
    def characters(self) -> int:
        """Of all answers."""
        return sum(call.characters for call in self.calls)


class Client(NamedTuple):
    """One client: what is read once, and the jobs by their names in `JOBS`."""

    name: str
    version: str
    once: tuple[Call, ...]
    jobs: Mapping[str, Job]

    @property
    def once_characters(self) -> int:
        """Of the skill, the help or the list of tools."""
        return sum(call.characters for call in self.once)

    @property
    def characters(self) -> int:
        """What is read once, and every job's answers."""
        return self.once_characters + sum(job.characters for job in self.jobs.values())


def scale_of(job: str) -> float:
    """Migrations take simulated minutes; nothing else is hurried."""
    return _FAST if job == "evacuate" else 1.0


class Shell:
    """A client that is a command: its whole output is read, both streams."""

    def __init__(self, here: World, environ: Mapping[str, str] | None = None) -> None:
        self._environ = {**here.environ, **(environ or {})}
        self.calls: list[Call] = []
        self.code = 0
        self.last_run = ""

    def run(self, *words: str, shown: str = "") -> str:
        """What it printed. shown: how the report writes the call."""
        done = subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.code = done.returncode
        text = done.stdout + done.stderr
        self.calls.append(Call(shown or shlex.join(words), len(text)))
        self.last_run = next(iter(re.findall(r"\brun_\w+", text)), self.last_run)
        return text


def control(here: World, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """A call to the control port: nobody's reading, the truth of the simulated cluster."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{here.ready['control']}/{path}", data=data)
    with build_opener(ProxyHandler({})).open(request) as answer:
        return json.loads(answer.read())


def guests_of(here: World) -> dict[int, dict[str, Any]]:
    """The guests as they really are, by vmid."""
    return {guest["vmid"]: guest for guest in control(here, "state")["guests"]}


def effects_of(here: World) -> list[str]:
    """The paths of the writes that the simulated cluster carried out."""
    journal = control(here, "journal")
    paths = [entry["path"] for entry in journal if entry.get("is_effective")]
    return [path.removeprefix("/api2/json") for path in paths]


def begin_backup(here: World, vmid: int) -> None:
    """Somebody's backup of a guest begins: why it is slow."""
    environ = here.environ
    context = ssl.create_default_context(cafile=environ["BENCH_CA"])
    fields = {"vmid": vmid, "storage": "backups", "mode": "snapshot"}
    request = Request(
        f"https://{environ['BENCH_HOST']}:{environ['BENCH_PORT']}/api2/json/nodes/pve1/vzdump",
        data=urlencode(fields).encode(),
        headers={
            "Authorization": f"PVEAPIToken={environ['PROXMOX_TOKEN_ID']}={environ['BENCH_TOKEN']}"
        },
    )
    build_opener(ProxyHandler({}), HTTPSHandler(context=context)).open(request).close()


def require(is_so: object, what: str) -> None:
    """End the measurement when a job did not come to what the report would say."""
    if not is_so:
        raise SystemExit(f"the measurement does not hold: {what}")


def is_stopped(here: World) -> bool:
    """web01 stands still."""
    return bool(guests_of(here)[101]["power"] == "stopped")


def has_snapshots(here: World) -> bool:
    """Every guest that is tagged `web`, and no other, was given one."""
    wanted = {f"/nodes/pve1/qemu/{vmid}/snapshot" for vmid in WEB}
    return {path for path in effects_of(here) if path.endswith("/snapshot")} == wanted


def is_empty(here: World, node: str = "pve2") -> bool:
    """No guest is on the node any more, and what ran runs."""
    guests = guests_of(here).values()
    stopped = {guest["name"] for guest in guests if guest["power"] != "running"}
    return all(guest["node"] != node for guest in guests) and stopped == {"archive"}


def names_all(here: World, text: str) -> bool:
    """Every guest's name stands in it."""
    return all(guest["name"] in text for guest in guests_of(here).values())


def as_steps(calls: Sequence[Call]) -> str:
    """The calls for the report, each once, with how often; many of one tool are told as one."""
    tools = Counter(call.line.partition("(")[0] for call in calls)
    counts: Counter[str] = Counter()
    for call in calls:
        tool, bracket, _ = call.line.partition("(")
        counts[f"{tool}(…)" if bracket and tools[tool] > _MANY else call.line] += 1
    return "; ".join(
        f"`{line}`" + (f" ×{count}" if count > 1 else "") for line, count in counts.items()
    )
