#!/usr/bin/env python3
"""The budgets, measured on one simulated cluster beside other clients: `make bench`.

Whole processes are timed by the kernel's own account of their children (user + system CPU), in
turn, so that a busy machine weighs on all alike; medians are shown. Writes
docs/reference/benchmarks.md with --write.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
_WAIT_S = 60
_PROXMOXER = """
import os, sys
from proxmoxer import ProxmoxAPI
api = ProxmoxAPI(os.environ["BENCH_HOST"], port=int(os.environ["BENCH_PORT"]), user="agent@pve",
    token_name="ops", token_value=os.environ["BENCH_TOKEN"], verify_ssl=os.environ["BENCH_CA"])
for row in api.cluster.resources.get(type="vm"):
    print(row["vmid"], row["type"], row["node"], row.get("name"), row["status"])
"""


class Cost(NamedTuple):
    """What a process took."""

    cpu_ms: float
    wall_ms: float
    peak_mb: float
    characters: int
    code: int


class Row(NamedTuple):
    """One line of the report: what was measured, and the budget (None: for comparison)."""

    what: str
    measured: float
    budget: float | None
    unit: str
    note: str = ""
    is_floor: bool = False
    """The budget is the least, not the most."""

    @property
    def is_met(self) -> bool:
        """Whether the budget is kept."""
        if self.budget is None:
            return True
        return self.measured >= self.budget if self.is_floor else self.measured <= self.budget


def run(words: Sequence[str], environ: Mapping[str, str]) -> Cost:
    """One process, by the kernel's account of it."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_ms = 1000 * (time.perf_counter() - began)
        output.seek(0)
        characters = len(output.read().decode(errors="replace"))
    cpu_ms = 1000 * (usage.ru_utime + usage.ru_stime)
    return Cost(cpu_ms, wall_ms, usage.ru_maxrss / 1024, characters, process.returncode)


def in_turn(
    commands: Mapping[str, Sequence[str]], environ: Mapping[str, str], rounds: int
) -> dict[str, Cost]:
    """The medians of several commands that take turns, after one round that is not counted."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, words in commands.items():
            cost = run(words, environ)
            if cost.code != 0:
                raise SystemExit(f"{shlex.join(words)} ended with {cost.code}")
            if number:
                costs[name].append(cost)
    return {name: _median(each) for name, each in costs.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    """The middle of each figure."""
    return Cost(
        cpu_ms=statistics.median(cost.cpu_ms for cost in costs),
        wall_ms=statistics.median(cost.wall_ms for cost in costs),
        peak_mb=statistics.median(cost.peak_mb for cost in costs),
        characters=costs[-1].characters,
        code=costs[-1].code,
    )


class World(NamedTuple):
    """A simulated cluster, and a home that leads to it."""

    environ: dict[str, str]
    ready: dict[str, Any]
    inbox: Path


@contextlib.contextmanager
def world(seed: str, scale: float = 1.0) -> Iterator[World]:
    """A simulated cluster in a process of its own, and a profile for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready_file = folder / "ready.json"
        words = [sys.executable, "-m", "pveops.sim", "--seed", seed, "--scale", str(scale)]
        process = subprocess.Popen([*words, "--ready-file", str(ready_file)])
        try:
            while not ready_file.exists():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
                    raise SystemExit("the simulated cluster did not start")
            ready = json.loads(ready_file.read_text())
            environ = _surroundings(folder, ready)
            inbox = folder / "inbox.txt"
            deliver = ("sh", "-c", f"cat >> {shlex.quote(str(inbox))}")
            senders = [word for part in deliver for word in ("--sender", part)]
            subprocess.run(
                [str(BIN / "pve"), "demo", "use", str(ready_file), *senders],
                env=environ,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield World(environ, ready, inbox)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_WAIT_S)


def _surroundings(folder: Path, ready: Mapping[str, Any]) -> dict[str, str]:
    host, _, port = ready["endpoints"][0].removeprefix("https://").partition(":")
    secret = ready["token"]["secret"]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PVE_HOME": str(folder / "pve"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "BENCH_HOST": host,
        "BENCH_PORT": port,
        "BENCH_TOKEN": secret,
        "BENCH_CA": ready["ca_file"],
        "PROXMOX_HOST": host,
        "PROXMOX_PORT": port,
        "PROXMOX_TOKEN_ID": ready["token"]["id"],
        "PROXMOX_TOKEN_SECRET": secret,
        # pmox reads a truth value here, and takes the authority from REQUESTS_CA_BUNDLE.
        "PROXMOX_VERIFY_SSL": "true",
        "REQUESTS_CA_BUNDLE": ready["ca_file"],
    }


def measure_lists(rounds: int) -> Iterator[Row]:
    """Starting, and listing 65 and 10,000 guests, beside proxmoxer and pmox."""
    pve, pmox = str(BIN / "pve"), str(BIN / "pmox")
    proxmoxer = (sys.executable, "-c", _PROXMOXER)
    with world("scale-65") as small:
        costs = in_turn(
            {
                "version": (pve, "--version"),
                "list": (pve, "guest", "list"),
                "proxmoxer": proxmoxer,
                "pmox": (pmox, "vm", "list"),
            },
            small.environ,
            rounds,
        )
    yield Row("`pve --version`, whole process, wall", costs["version"].wall_ms, 60, "ms")
    yield Row("`pve guest list` of 65 guests over TLS, CPU", costs["list"].cpu_ms, 120, "ms")
    yield Row("the same list with proxmoxer, CPU", costs["proxmoxer"].cpu_ms, None, "ms")
    yield Row("the same list with pmox, CPU", costs["pmox"].cpu_ms, None, "ms")
    yield Row("characters of the list of 65 guests", costs["list"].characters, 1800, "")
    yield Row("characters of pmox's list", costs["pmox"].characters, None, "")
    with world("scale-10000") as large:
        costs = in_turn(
            {"list": (pve, "guest", "list", "--limit", "50"), "proxmoxer": proxmoxer},
            large.environ,
            max(3, rounds // 3),
        )
    yield Row("`pve guest list` of 10,000 guests, CPU", costs["list"].cpu_ms, 300, "ms")
    yield Row("`pve guest list` of 10,000 guests, peak memory", costs["list"].peak_mb, 90, "MB")
    yield Row("the same with proxmoxer, CPU", costs["proxmoxer"].cpu_ms, None, "ms")
    yield Row("the same with proxmoxer, peak memory", costs["proxmoxer"].peak_mb, None, "MB")


def ask(here: World, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON envelope of one of our commands."""
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:], "--json"],
        env=here.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != code:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}: {done.stdout}")
    envelope: dict[str, Any] = json.loads(done.stdout)
    return envelope


def read_journal(here: World) -> list[dict[str, Any]]:
    """Every request that the simulated cluster has seen."""
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(f"{here.ready['control']}/journal") as answer:
        journal: list[dict[str, Any]] = json.loads(answer.read())
    return journal


def measure_requests() -> Iterator[Row]:
    """How many requests a list and a stop take, by the server's own count."""
    with world("homelab") as here:
        ask(here, "pve", "guest", "list")
        listed = len(read_journal(here))
        ask(here, "pve", "guest", "stop", "web01", code=3)
        planned = len(read_journal(here)) - listed
        text = here.inbox.read_text()
        plan = next(word.rstrip(",") for word in text.split() if word.startswith("pl_"))
        code = text.rpartition("code: ")[2].split()[0]
        ask(here, "pve-apply", plan, "--code", code)
        whole = len(read_journal(here)) - listed
    yield Row("requests of `pve guest list`", listed, 1, "")
    yield Row("requests of `pve guest stop` up to the plan", planned, 5, "")
    yield Row("requests of a whole stop", whole, 12, "")


def measure_bulk() -> Iterator[Row]:
    """1,000 starts: how full the sixteen slots are kept (four a node, sixteen in all).

    An ideal schedule keeps every slot busy to the end; the share is the time that guests were
    being worked on, of all that the slots had.
    """
    in_all, scale = 16, 8.0
    with world("scale-4000", scale) as here:
        policy = Path(here.environ["PVE_HOME"]) / "policy.yaml"
        policy.write_text("max_targets: 1000\nprotected:\n  tags: []\n")
        words = ("guest", "start", "--status", "stopped", "--wait", "900")
        receipt = ask(here, "pve", *words)["receipt"]
    items = receipt["items"]
    done = sum(1 for item in items if item["status"] == "done")
    took = receipt["ended"] - receipt["started"]
    busy = sum(item["duration_s"] for item in items)
    yield Row(
        f"{len(items)} starts on ten nodes: share of the ideal schedule",
        100 * busy / (in_all * took),
        90,
        "%",
        f"{done} done in {took:.0f} s",
        is_floor=True,
    )


def measure_skill() -> Iterator[Row]:
    """What an agent reads before it begins."""
    text = (ROOT / "skills" / "proxmox" / "SKILL.md").read_text(encoding="utf-8")
    yield Row("characters of SKILL.md", len(text), 4150, "")


def report(rows: Sequence[Row]) -> str:
    """The table."""
    lines = ["| what | measured | budget |  |", "|---|--:|--:|---|"]
    for row in rows:
        budget = "" if row.budget is None else f"{row.budget:g} {row.unit}".strip()
        verdict = "" if row.budget is None else ("met" if row.is_met else "NOT MET")
        value = f"{row.measured:,.0f} {row.unit}".strip()
        remark = "; ".join(part for part in (verdict, row.note) if part)
        lines.append(f"| {row.what} | {value} | {budget} | {remark} |")
    return "\n".join(lines)


def main() -> int:
    """Measure; 1 when a budget is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write docs/reference/benchmarks.md")
    given = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    rows = [
        *measure_skill(),
        *measure_requests(),
        *measure_lists(given.rounds),
        *measure_bulk(),
    ]
    table = report(rows)
    print(table)
    if given.write:
        page = (
            "# Benchmarks\n\nWritten by `make bench`. Whole processes on one simulated cluster, "
            f"over TLS on loopback, in turn; medians of {given.rounds} rounds on a shared machine "
            "of two cores, so compare the lines, not the machine. What an agent has to read is "
            "in [characters.md](characters.md).\n\n"
        )
        (ROOT / "docs" / "reference" / "benchmarks.md").write_text(page + table + "\n")
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
