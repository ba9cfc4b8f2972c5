"""Whatever a server answers, no command falls over.

Members that are missing, of another type or out of range, lists that are none, pages of a proxy,
connections that end: an answer that makes no sense is a refusal, or "unknown". A bug of ours
would be exit code 1.
"""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pveops.config.profiles import ConsentConfig
from tests.commandline import Outcome, run_line
from tests.world import SimTransport, World, make_world

LOOKS = (
    *("status", "status --deep", "guest list", "guest show web01", "guest doctor 105"),
    *("guest ip web01", "guest agent info web01", "node list", "node show pve2", "storage list"),
    *("storage content backups", "backup list web02", "backup audit", "backup why", "job list"),
    *("job show nightly", "job next nightly", "ha list", "pool list", "replication status"),
    *("task list --failed", "snapshot list web02", "report --since 7d", "graph guest web01"),
    *("graph node pve1 pve2 --metric memory --since 30d", "graph storage backups --since 30d"),
    *("monitor run", "monitor run --all", "monitor status", "monitor export", "trash list"),
    *("access check", "audit reconcile", "api get /cluster/resources", "find web01"),
)
CHANGES = (
    *("guest stop web02", "guest start 901", "guest reboot --tag prod", "guest delete web02"),
    *("guest migrate web02 pve3", "guest set web02 --memory 8G", "node evacuate pve2"),
    *("node reboot pve2", "cluster rolling-reboot", "cluster shutdown-plan", "disk list web02"),
    *("backup run web02 --storage backups", "snapshot create web02", "snapshot prune web02"),
    *("backup restore 102 --newest", "guest clone debian-13-template --name odd"),
)
ODD: tuple[Any, ...] = (
    *(None, "", [], {}, -1, 0, "x", True, "NaN", 1e308, 2**70, "0", "unknown"),
    *([None], {"a": 1}, "é\u202e", "\n", [[]]),
)
FAULTS = ("refuse", "html", "empty", "truncated", "lost-before", "lost-after", "task-vanish")
STATUSES = (400, 403, 500, 501, 595, 596)
PLACES = (".*", "nodes", "rrddata", "config", "content", "tasks", "status")
_LOOKS_EACH, _CHANGES_EACH = 60, 40


class Distorted(SimTransport):
    """Some of the answers are not what they were."""

    chance = random.Random(0)
    share = 0.0

    def send(self, request: Any) -> Any:
        """As the simulator answers, and then something in it is exchanged."""
        response = super().send(request)
        is_hit = response.status == 200 and self.chance.random() < self.share
        try:
            answer = json.loads(response.body) if is_hit else None
        except ValueError:
            return response
        if not isinstance(answer, dict):
            return response
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            answer["data"] = distort(answer.get("data"), self.chance)
        return response._replace(body=json.dumps(answer).encode())


def distort(value: Any, chance: random.Random) -> Any:
    """The value with one thing in it exchanged, left out or doubled."""
    if not isinstance(value, list | dict) or not value or chance.random() < 0.1:
        return chance.choice(ODD)
    changed: Any = value.copy()
    key = chance.randrange(len(value)) if isinstance(value, list) else chance.choice([*value])
    match chance.choice(("exchange", "exchange", "leave out", "double", "deeper", "deeper")):
        case "exchange":
            changed[key] = chance.choice(ODD)
        case "leave out":
            del changed[key]
        case "double" if isinstance(changed, list):
            changed.append(value[key])
        case _:
            changed[key] = distort(value[key], chance)
    return changed


def break_something(world: World, chance: random.Random) -> None:
    """Now and then a fault for some of the requests."""
    world.cluster.faults.clear()
    if chance.random() < 0.4:
        world.cluster.faults.add(
            chance.choice(FAULTS),
            path=chance.choice(PLACES),
            status=chance.choice(STATUSES),
            times=chance.choice((1, 3, 0)),
        )


@pytest.fixture
def chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """The same dice each time; the command line's answers are distorted by them."""
    dice = random.Random(request.node.name)
    monkeypatch.setattr("tests.commandline.SimTransport", Distorted)
    monkeypatch.setattr(Distorted, "chance", dice)
    return dice


def ask(world: World, folder: Path, line: str, chance: random.Random, most: float = 1) -> Outcome:
    """What the line comes to; most: the share of answers that are distorted at the most."""
    Distorted.share = most * chance.choice((0.0, 0.1, 0.3, 1.0))
    break_something(world, chance)
    consent = ConsentConfig(("sh", "-c", f"cat >> {shlex.quote(str(folder / 'inbox'))}"))
    outcome = run_line(world, folder, line, consent=consent)
    crash = folder / "logs" / "crash.log"
    assert outcome.code != 1, f"{line}\n{crash.read_text() if crash.exists() else outcome.out}"
    return outcome


@pytest.mark.parametrize("seed", ["homelab", "three-node-ceph", "two-node", "mixed-versions"])
def test_no_answer_makes_a_look_fall_over(
    seed: str, chance: random.Random, tmp_path: Path
) -> None:
    world = make_world(tmp_path, seed=seed, version=chance.choice(("8.4", "9.2")))
    codes = set()
    for _ in range(_LOOKS_EACH):
        more = chance.choice(("", " --json"))
        codes.add(ask(world, tmp_path, f"pve {chance.choice(LOOKS)}{more}", chance).code)
        world.cluster.timeline.advance(chance.choice((0, 30, 3600)))
    assert {0} < codes, "nothing could be read, or everything"


@pytest.mark.parametrize("number", range(6))
def test_no_answer_makes_a_change_fall_over(
    number: int, chance: random.Random, tmp_path: Path
) -> None:
    done = 0
    for count in range(_CHANGES_EACH // 4):
        folder = tmp_path / f"{number}-{count}"
        world = make_world(folder, version=chance.choice(("8.4", "9.2")))
        for _ in range(4):
            if ask(world, folder, f"pve {chance.choice(CHANGES)}", chance).code != 3:
                continue
            text = (folder / "inbox").read_text()
            plan, code = re.findall(r"pl_\w+", text)[-1], re.findall(r"code: (\S+)", text)[-1]
            applied = ask(world, folder, f"pve-apply {plan} --code {code}", chance, 0.3)
            done += applied.code == 0
            for run in re.findall(r"run_[0-9a-f]{10}", applied.out)[:1]:
                verb = chance.choice(("resume", "explain", "show"))
                ask(world, folder, f"pve run {verb} {run}", chance)
    assert done, "nothing ever came to its end"
