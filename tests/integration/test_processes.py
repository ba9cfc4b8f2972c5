"""`pve` and `pve-apply` as processes over TLS: budgets, races, and a kill in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
from pathlib import Path

from tests.integration.conftest import Home
from tests.served import patiently


def worker_of(home: Home) -> int:
    """The process that carries the only run; `pve-apply` leaves the work to one of its own."""
    store = next(Path(home.environ["PVE_HOME"]).rglob("*.sqlite3"))
    with contextlib.closing(sqlite3.connect(store)) as db:
        ((pid,),) = db.execute("SELECT pid FROM runs")
    return int(pid)


def requests_of(home: Home) -> int:
    return len(home.cluster.journal())


def test_an_agents_stop_costs_five_requests_and_writes_nothing(home: Home) -> None:
    """The budget of the design: at most 5 requests up to the plan, 12 for the whole stop."""
    home.run("pve status")
    before = requests_of(home)
    plan, code = home.plan_a_stop()
    assert requests_of(home) - before <= 5
    assert home.cluster.effects() == []
    exit_code, out = home.run(f"pve-apply {plan} --code {code} --json")
    assert exit_code == 0, out
    assert requests_of(home) - before <= 12
    assert len(home.cluster.effects()) == 1
    assert json.loads(out)["receipt"]["items"][0]["after"]["power"] == "stopped"


def test_the_audit_log_tells_before_and_after(home: Home) -> None:
    plan, code = home.plan_a_stop()
    assert home.run(f"pve-apply {plan} --code {code}")[0] == 0
    log = next(Path(home.environ["PVE_HOME"]).rglob("audit.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    outcome = next(r for r in reversed(records) if "outcome" in json.dumps(r.get("kind", "")))
    text = json.dumps(outcome)
    assert '"power": "running"' in text
    assert '"power": "stopped"' in text
    assert home.run("pve audit verify")[0] == 0


def test_of_eight_applies_at_once_one_has_an_effect(home: Home) -> None:
    plan, code = home.plan_a_stop()
    processes = [home.start(f"pve-apply {plan} --code {code}") for _ in range(8)]
    codes = sorted(process.wait(60) for process in processes)
    for process in processes:
        process.communicate()
    assert codes.count(0) == 1, codes
    assert set(codes[1:]) <= {4, 9}, codes
    assert len(home.cluster.effects()) == 1
    assert home.run("pve audit verify")[0] == 0


def test_two_agents_cannot_work_on_one_guest_at_once(home: Home) -> None:
    """Two plans, each with its own code; the second waits for nobody, it is refused or is late."""
    plans = [home.plan_a_stop() for _ in range(2)]
    processes = [home.start(f"pve-apply {plan} --code {code}") for plan, code in plans]
    codes = sorted(process.wait(60) for process in processes)
    for process in processes:
        process.communicate()
    assert codes == [0, 9]
    stops = [row for row in home.cluster.effects() if row["path"].endswith("/stop")]
    assert len(stops) == 1


def test_a_killed_apply_is_picked_up_and_sends_nothing_twice(home: Home) -> None:
    """The answer to the stop hangs, the worker is killed there, `run resume` looks."""
    plan, code = home.plan_a_stop()
    home.cluster.control("/faults", {"kind": "hang-after", "method": "POST", "path": "/stop$"})
    process = home.start(f"pve-apply {plan} --code {code}")
    patiently(home.cluster.effects, process)
    os.kill(worker_of(home), signal.SIGKILL)
    process.communicate(timeout=60)
    _, out = home.run("pve run list")
    resume = re.search(r"^next: (pve run resume run_[0-9a-f]+)$", out, re.MULTILINE)
    assert resume is not None, out
    exit_code, out = home.run(resume[1])
    assert exit_code == 0, out
    assert out.startswith("done: web01 (VM 101 on pve1) is stopped")
    assert len(home.cluster.effects()) == 1
