#!/usr/bin/env python3
"""How closely the simulated cluster answers like a real PVE API: `make score`.

Starts the simulated cluster in the state in which the recordings began, sends the recorded series
to it, and compares the answers with those of a real API daemon, for each version that was
recorded. Needs the folder `../shared` (or $PVEOPS_SHARED); without it, says so and succeeds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PVEOPS_SHARED", ROOT.parent / "shared"))
RECORDINGS = {"9.2": "pve-9.2.11.visible.jsonl.xz", "8.4": "pve-8.4.21.visible.jsonl.xz"}
CORE = ("logins", "access", "credentials", "protocol")
LEAST = {"core status": 92.0, "core reason": 92.0, "core shape": 88.0}
LIFE = ("machines", "tasks", "disks", "containers", "deletes", "live", "live-containers")
LEAST_OF_LIFE = {"life status": 88.0, "life reason": 88.0, "life values": 82.0}
LEAST_OF_ALL = {"all status": 85.0, "all reason": 85.0, "all values": 78.0}
"""Of every phase together, each of which counts by its exchanges."""
LEAST_OVERALL = {"shape": 50.0, "refusals": 60.0}
_READY_S = 30


@contextlib.contextmanager
def serving(version: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The simulated cluster in a process of its own."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "pveops.sim", "--seed", "recorded", "--pve-version", version]
    command += ["--ready-file", str(ready), "--auth-delay", "0"]
    process = subprocess.Popen(command)
    try:
        while not ready.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise SystemExit(f"the simulated cluster ended with {process.returncode}")
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_READY_S)


def measure(version: str, phases: list[str], misses: int) -> tuple[dict[str, Any], str]:
    """Drive the series, and compare: the figures, and what score.py prints."""
    tools = SHARED / "tools" / "exchanges"
    chosen = [word for phase in phases for word in ("--phase", phase)]
    with tempfile.TemporaryDirectory() as name, serving(version, Path(name)) as served:
        folder = Path(name)
        password, mine = folder / "password", folder / "mine.jsonl"
        password.write_text(served["root_password"])
        drive = [sys.executable, str(tools / "drive.py"), served["endpoints"][0], "--quiet"]
        drive += ["--password-file", str(password), "--out", str(mine), *chosen]
        subprocess.run(drive, check=True, stderr=subprocess.DEVNULL)
        reference = SHARED / "data" / "exchanges" / RECORDINGS[version]
        compare = [sys.executable, str(tools / "score.py"), str(reference), str(mine), *chosen]
        figures = subprocess.run([*compare, "--json"], check=True, capture_output=True, text=True)
        compare += ["--list-misses", str(misses)]
        text = subprocess.run(compare, check=True, capture_output=True, text=True).stdout
    return json.loads(figures.stdout), text


def percent(agreed: float, scored: float) -> float:
    """A share in per cent."""
    return round(100 * agreed / scored, 1) if scored else 0.0


def judge(figures: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Name -> (measured, least wanted) for what is promised."""
    phases = figures["phases"]
    result: dict[str, tuple[float, float]] = {}
    groups = ((CORE, LEAST), (LIFE, LEAST_OF_LIFE), (tuple(phases), LEAST_OF_ALL))
    promised = [(group, name, least) for group, each in groups for name, least in each.items()]
    for group, name, least in promised:
        measure_name = name.split()[1]
        rows = [phases[phase][measure_name] for phase in group if phase in phases]
        agreed, scored = sum(row["agreed"] for row in rows), sum(row["scored"] for row in rows)
        result[name] = (percent(agreed, scored), least)
    total = figures["total"]["shape"]
    result["shape"] = (percent(total["agreed"], total["scored"]), LEAST_OVERALL["shape"])
    agreed, scored = figures["refusals"]
    result["refusals"] = (percent(agreed, scored), LEAST_OVERALL["refusals"])
    return result


def main() -> int:
    """Measure every recorded version; 1 when something is below what is promised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--version", action="append", choices=sorted(RECORDINGS))
    parser.add_argument("--phase", action="append", default=[])
    parser.add_argument("--list-misses", type=int, default=0)
    given = parser.parse_args()
    if not SHARED.is_dir():
        print(f"skipped: {SHARED} is not there, so there is nothing to compare with")
        return 0
    chosen = given.version or sorted(RECORDINGS, reverse=True)
    with ThreadPoolExecutor(len(chosen)) as pool:
        results = list(
            pool.map(lambda version: measure(version, given.phase, given.list_misses), chosen)
        )
    is_good = True
    for version, (figures, text) in zip(chosen, results, strict=True):
        print(f"\nPVE {version}\n{text}")
        for name, (measured, least) in ({} if given.phase else judge(figures)).items():
            verdict = "ok" if measured >= least else "TOO LOW"
            is_good = is_good and measured >= least
            print(f"  {name:12} {measured:6.1f} %   at least {least:.0f} %   {verdict}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
