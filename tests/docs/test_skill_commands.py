"""Every command that the skill tells an agent runs, on the simulated cluster, as it is written."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.operations.plan import Scalar
from tests.commandline import run_line
from tests.secrets_scan import leak_in, note_secret
from tests.served import patiently
from tests.world import World, make_world

T = TypeVar("T")
BIN = Path(sys.executable).parent

SKILL = Path(__file__).resolve().parents[2] / "skills" / "proxmox"
PAGES = sorted(
    page
    for page in (SKILL / "SKILL.md", *(SKILL / "references").glob("*.md"))
    if page.name != "commands.md"  # generated: every row is a command of the tree
)
_CODE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?<![\w/.-])pve(?:-apply)? [a-zA-Z].*?(?=, |;|$)")

FRAGMENTS = {
    "reboot": "pve guest reboot web01",
    "shutdown": "pve guest shutdown web01",
    "stop": "pve guest stop web01",
    "rollback": "pve snapshot rollback web01 pre-update",
    "undelete": "pve guest undelete sandbox",
    "purge": "pve guest purge sandbox",
    "why": "pve backup why",
    "run web01": "pve backup run web01",
    "restore VOLID": "pve backup restore VOLID",
}
"""Words in SKILL.md's table that take the verb's place in the command before them."""

VALUES = {
    "WORD": "web",
    "NAME": "web01",
    "GUEST": "web01",
    "CODE": "AAAA-AAAA",
    "PATH": "/nodes",
    "node1": "pve1",
}
"""What stands for a placeholder; RUN, PLAN, UPID and VOLID come from the cluster."""
BY_COMMAND = {
    ("guest create", "NAME"): "new01",
    ("guest create", "T"): "minimal-vm --storage local-lvm",
    ("guest clone", "GUEST"): "debian-13-template --name k8s-1",
    ("guest doctor", "GUEST"): "web01",
}

REFUSED = 4
NOT_INSTALLED = 7
CODES = {
    "pve node evacuate pve2 --allow-restart": {3},
    "pve cluster rolling-reboot --allow-restart": {3},
    "pve node evacuate": {REFUSED},  # until the person has agreed to the downtime of containers
    "pve cluster rolling-reboot": {REFUSED},
    "pve monitor run": {20, 21},  # the homelab has its problems
}
"""Documented exits other than 0 and 3."""

SEEDS = {"pve node evacuate": "three-node-ceph", "pve cluster": "three-node-ceph"}
"""Clusters on which the command has something to do; the homelab otherwise."""

BEFORE: dict[str, tuple[str, str, dict[str, Scalar]]] = {
    "pve snapshot rollback": ("snapshot.create", "web01", {"snapname": "pre-update"}),
    "pve guest undelete": ("guest.delete", "sandbox", {}),
    "pve guest purge": ("guest.delete", "sandbox", {}),
}
"""What a person has agreed to a while before."""
A_WHILE_S = 8 * 86_400

IN_PROCESSES = (
    "pve init",
    "pve secrets add",
    "pve demo",
    "pve doctor",
    "pve skill",
    "pve openclaw",
    "pve monitor install",
    "pve plan code",
    "pve-apply",
)
"""What makes a profile, reads one from disk, or sends a code: run in the test of processes."""


class Said(NamedTuple):
    page: str
    line: str


def commands() -> Iterator[Said]:
    seen = set()
    for page in PAGES:
        for code in _CODE.findall(page.read_text()):
            for line in _COMMAND.findall(FRAGMENTS.get(code, code)):
                if line not in seen:
                    seen.add(line)
                    yield Said(page.name, line)


COMMANDS = list(commands())


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    said = getattr(request.node, "callspec", None)
    line = said.params["said"].line if said else ""
    world = make_world(tmp_path, seed=of_line(SEEDS, line, "homelab"))
    before = of_line(BEFORE, line, None)
    if before:
        operation, name, params = before
        plan = request_change(world.session, Ask(operation, (name,), params=params)).plan_id
        assert apply_plan(world.session, plan, Consent("code", world.code)).exit_code == 0
        world.cluster.timeline.advance(A_WHILE_S)
    return world


def of_line(table: dict[str, T], line: str, default: T | Any) -> T | Any:
    """The row of a table whose beginning the line has."""
    return next((value for start, value in table.items() if line.startswith(start)), default)


def fill(line: str, world: World, folder: Path) -> str:
    """The command with a value for each placeholder."""
    words = line.split()
    about = " ".join(words[1:3])
    for name in dict.fromkeys(re.findall(r"(?<![\w-])(?:[A-Z][A-Z]*|node1)(?![\w-])", line)):
        value = BY_COMMAND.get((about, name)) or VALUES.get(name) or found(name, world, folder)
        line = re.sub(rf"(?<![\w-]){name}(?![\w-])", value, line)
    return line


def found(name: str, world: World, folder: Path) -> str:
    """A run, plan, task or backup of this cluster."""
    make = {
        "PLAN": ("pve guest stop web02", r"pl_[0-9a-f]+"),
        "RUN": ("pve guest start windows-lab", r"run_[0-9a-f]+"),
        "UPID": ("pve task list --failed", r"UPID:\S+"),
        "VOLID": ("pve backup list", r"\S+:backup/vzdump-qemu-101\S+|\S+:backup/\S+"),
    }
    line, pattern = make[name]
    match = re.search(pattern, run_line(world, folder, line).out)
    assert match is not None, f"`{line}` gives no {name}"
    return match[0]


def allowed(line: str) -> set[int]:
    codes: set[int] = of_line(CODES, line, {0, 3})
    return codes


@pytest.mark.parametrize(
    "said",
    [said for said in COMMANDS if not said.line.startswith(IN_PROCESSES)],
    ids=lambda said: f"{said.page}: {said.line}",
)
def test_a_command_of_the_skill_runs(said: Said, world: World, tmp_path: Path) -> None:
    outcome = run_line(world, tmp_path, fill(said.line, world, tmp_path))
    assert outcome.code in allowed(said.line), outcome.out
    assert outcome.out.strip() or said.line.startswith("pve monitor run")


def test_the_commands_are_found() -> None:
    lines = [said.line for said in COMMANDS]
    assert len(lines) > 60
    assert "pve guest list --node node1" in lines
    assert "pve run wait RUN --wait 110" in lines
    assert [line for line in lines if "yieldMs" in line] == []
    assert [line for line in lines if "`" in line] == []


def test_each_word_of_the_table_stands_for_a_command() -> None:
    cells = re.findall(r"^\|[^|]*\|(.*)\|$", (SKILL / "SKILL.md").read_text(), re.MULTILINE)
    words = {code for cell in cells for code in _CODE.findall(cell)}
    assert {word for word in words if not word.startswith("pve ")} == set(FRAGMENTS)


def test_a_command_that_is_wrong_would_be_found(world: World, tmp_path: Path) -> None:
    for line in ("pve guest explode web01", "pve guest stop web01 --hard", "pve guest show x"):
        assert run_line(world, tmp_path, line).code not in allowed(line)


def test_every_generated_row_shows_its_help(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (SKILL / "references" / "commands.md").read_text()
    rows = re.findall(r"^\| `pve ([a-z-]+(?: [a-z-]+)?)", text, re.MULTILINE)
    assert len(rows) > 100
    for row in rows:
        assert run_line(world, tmp_path, f"pve {row} --help").code == 0, row
        assert capsys.readouterr().out.startswith(f"Usage: pve {row}"), row


class Shell:
    """A person's or an agent's account on a machine without a cluster."""

    def __init__(self, folder: Path) -> None:
        (folder / "workspace").mkdir()
        (folder / "pve").mkdir()
        self.folder = folder
        self.environ = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(folder),
            "PVE_HOME": str(folder / "pve"),
            "OPENCLAW_STATE_DIR": str(folder),
        }

    def run(self, line: str, stdin: str = "") -> tuple[int, str]:
        """(exit code, what was said)."""
        done = subprocess.run(
            shlex.split(line),
            env=self.environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not leak_in((done.stdout + done.stderr).encode())
        return done.returncode, done.stdout + done.stderr

    @contextlib.contextmanager
    def serving(self, line: str, file: Path) -> Iterator[dict[str, Any]]:
        """The cluster of `pve demo serve`."""
        process = subprocess.Popen(shlex.split(line), env=self.environ, stdout=subprocess.DEVNULL)
        try:
            patiently(file.exists, process)
            ready: dict[str, Any] = json.loads(file.read_text())
            note_secret(ready["token"]["secret"], ready["reader"]["secret"])
            yield ready
        finally:
            process.terminate()
            process.wait(30)


def test_the_commands_that_set_up_run(tmp_path: Path) -> None:
    """In the order of setup.md, as processes; each line is taken from the skill's own pages."""
    left = {said.line for said in COMMANDS if said.line.startswith(IN_PROCESSES)}
    shell, file = Shell(tmp_path), tmp_path / "ready.json"

    def run(line: str, *more: tuple[str, str], stdin: str = "") -> tuple[int, str]:
        left.remove(line)
        for old, new in more:
            assert old in line
            line = line.replace(old, new)
        return shell.run(line, stdin)

    serve = "pve demo serve --ready-file FILE"
    left.remove(serve)
    with shell.serving(serve.replace("FILE", str(file)), file) as ready:
        host, token = ready["endpoints"][0].removeprefix("https://"), ready["token"]
        code, out = run("pve init HOST", ("HOST", host))
        assert code == REFUSED, out
        assert "a person has to compare the certificate" in out
        places = (("HOST", host), ("pve-root-ca.pem", ready["ca_file"]))
        code, out = run("pve init HOST --ca-file pve-root-ca.pem", *places)
        assert code == 0, out
        code, out = run(
            "pve secrets add USER@REALM!NAME",
            ("USER@REALM!NAME", f"'{token['id']}' --stdin"),
            stdin=token["secret"],
        )
        assert code == 0, out
        for line in ("pve doctor", "pve doctor --json"):
            assert run(line)[0] in {0, 7}  # 7: something is not as it should be, and is told
        shell.environ["PVE_HOME"] = str(tmp_path / "demo")
        assert run("pve demo use FILE", ("FILE", f"{file} --sender tee --sender inbox"))[0] == 0
        plan = re.search(r"pl_[0-9a-f]+", shell.run("pve guest stop web01")[1])
        assert plan is not None
        assert run("pve plan code PLAN", ("PLAN", plan[0]))[0] == 0
        sent = re.findall(r"code: (\S+)", (tmp_path / "inbox").read_text())[-1]
        code, out = run("pve-apply PLAN --code CODE", ("PLAN", plan[0]), ("CODE", sent))
        assert code == 0, out
        for line in [line for line in left if line.startswith("pve monitor install")]:
            assert run(line)[0] == 0
    code, out = run("pve openclaw setup")
    assert code == NOT_INSTALLED, out
    assert "OpenClaw is not installed here" in out
    assert run("pve skill install")[0] == 0
    assert (tmp_path / "workspace" / "skills" / "proxmox" / "SKILL.md").is_file()
    assert run("pve skill check")[0] == 0
    assert left == set()
