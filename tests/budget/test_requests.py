"""How many requests the main job takes: what docs/reference/benchmarks.md measures, in-process."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pveops.config.profiles import ConsentConfig
from tests.commandline import run_line
from tests.world import make_world

_PLAN, _WHOLE = 5, 12


def test_a_stop_takes_a_dozen_requests_from_the_question_to_done(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    inbox = tmp_path / "inbox"
    consent = ConsentConfig(("sh", "-c", f"cat >> {shlex.quote(str(inbox))}"))
    assert run_line(world, tmp_path, "pve guest stop web02", consent=consent).code == 3
    assert len(world.cluster.journal) == _PLAN
    plan = re.findall(r"pl_\w+", inbox.read_text())[-1]
    code = re.findall(r"code: (\S+)", inbox.read_text())[-1]
    assert run_line(world, tmp_path, f"pve-apply {plan} --code {code}").code == 0
    assert len(world.cluster.journal) <= _WHOLE
    writes = [entry["path"] for entry in world.writes()]
    assert writes == ["/api2/json/nodes/pve1/qemu/102/status/stop"]
