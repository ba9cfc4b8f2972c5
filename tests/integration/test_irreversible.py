"""No sequence of commands at an agent's hand does what cannot be undone without the person's code.

Flags, environment, a pseudo-terminal, guessed and foreign codes, edited and replayed plans, and
the raw door: for each irreversible verb. (An agent that rewrites its own account's store or
policy is beyond level G2: SECURITY.md.)
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pveops.operations.catalog import list_changes
from pveops.operations.operation import Tier
from tests.commandline import run_line
from tests.integration.conftest import Home
from tests.served import BIN
from tests.world import make_world

VERBS = {
    "snapshot.rollback": "pve snapshot rollback web02 old",
    "snapshot.delete": "pve snapshot delete web02 old",
    "snapshot.prune": "pve snapshot prune web02 --older-than 0s",
    "guest.purge": "pve guest purge windows-lab",
    "guest.convert-to-template": "pve guest convert-to-template windows-lab",
    "backup.unprotect": "pve backup unprotect VOLID",
    "backup.delete": "pve backup delete VOLID",
    "backup.prune": "pve backup prune web02 --keep-last 1",
    "storage.delete": "pve storage delete local:import/debian-13-genericcloud-amd64.qcow2",
    "node.reboot": "pve node reboot pve3 --with-guests",
    "node.shutdown": "pve node shutdown pve3 --with-guests",
    "cluster.rolling-reboot": "pve cluster rolling-reboot --node pve1 --allow-restart",
    "cluster.shutdown-plan": "pve cluster shutdown-plan --leave 120 --leave 105 --leave 132",
}
"""VOLID stands for the newest backup of web02."""
LIFTED = "pve guest delete pve3/test --without-backup"
"""Of tier 2, lifted to 3 by what it leaves out."""
FLAGS = ("--yes", "-y", "--force", "--confirm", "--no-consent", "--code AAAA-2222", "--tier 1")
ENVIRONS = (
    {"PVE_YES": "1", "PVE_CONSENT": "yes", "PVE_ACTOR": "person", "CI": "1"},
    {"PVE_POLICY": "/dev/null", "PVE_TIER": "1", "OPENCLAW_SHELL": ""},
)
TYPED = ("yes\nyes\n", "windows-lab\nweb02\ntest\nyes\n")


def test_every_irreversible_verb_is_attacked_here() -> None:
    final = {row.id for row in list_changes() if row.tier == Tier.IRREVERSIBLE}
    assert final == set(VERBS)


def line_of(home: Home, operation: str) -> str:
    """The command that an agent would try."""
    line = VERBS[operation]
    if "VOLID" not in line:
        return line
    listed = home.run("pve backup list web02 --json")[1]
    return line.replace("VOLID", re.findall(r"backups:backup/[^\"]+", listed)[0])


def prepare(home: Home, operation: str) -> None:
    """What the verb needs, with the person's code where that takes one."""
    if operation == "backup.unprotect":
        volid = line_of(home, operation).rpartition(" ")[2]
        assert home.run(f"pve backup protect {volid}")[0] == 0
    if operation.startswith("snapshot."):
        assert home.run("pve snapshot create web02 --snapname old")[0] == 0
    if operation == "guest.purge":
        Path(home.environ["PVE_HOME"], "policy.yaml").write_text("trash_days: 0\n")
        assert home.run("pve guest delete windows-lab")[0] == 3
        plan, code = newest(home)
        assert home.run(f"pve-apply {plan} --code {code}")[0] in {0, 8}
        run = re.findall(r"run_[0-9a-f]+", home.run("pve run list")[1])[0]
        home.run(f"pve run wait {run}")


def newest(home: Home) -> tuple[str, str]:
    """(plan, code) of the newest message to the person."""
    text = home.inbox.read_text()
    return re.findall(r"pl_[0-9a-f]+", text)[-1], re.findall(r"code: (\S+)", text)[-1]


def run_at_terminal(home: Home, line: str, typed: str) -> str:
    """What a process says that finds a terminal on every stream, and no mark of an agent."""
    master, slave = pty.openpty()
    program, *words = shlex.split(line)
    command = [str(BIN / program), *words]
    process = subprocess.Popen(
        command, env=home.environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    os.write(master, typed.encode())
    said = b"".join(_read_all(master))
    process.wait(60)
    os.close(master)
    return said.decode(errors="replace")


def _read_all(master: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 65536):
            yield chunk


def attacks(home: Home, line: str) -> None:
    """Everything that an agent can try without the code."""
    for environ in ENVIRONS:
        kept = dict(home.environ)
        home.environ.update(environ)
        assert home.run(line)[0] == 3
        home.environ.clear()
        home.environ.update(kept)
    for typed in TYPED:
        run_at_terminal(home, line, typed)
    plan, _ = newest(home)
    for words in ("", "--code AAAA-2222", "--code ''", "--yes"):
        assert home.run(f"pve-apply {plan} {words}")[0] in {2, 3, 4}, words
    run_at_terminal(home, f"pve-apply {plan}", TYPED[0])
    foreign, code = stop_code(home)
    assert home.run(f"pve-apply {plan} --code {code}")[0] == 4
    assert foreign != plan


def stop_code(home: Home) -> tuple[str, str]:
    """A code that the person got for something else."""
    return home.plan_a_stop("builder")


@pytest.mark.parametrize("operation", [*VERBS, "guest.delete"])
def test_no_flag_stands_for_the_code(operation: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for flag in FLAGS:
        line = f"{VERBS.get(operation, LIFTED)} {flag}"
        assert run_line(world, tmp_path, line).code == 2, flag
    assert world.cluster.journal == []


def test_the_raw_door_only_reads(home: Home) -> None:
    before = home.cluster.effects()
    for words in (
        "delete /nodes/pve2/qemu/901",
        "set /nodes/pve2/qemu/901/config",
        "create /nodes/pve2/qemu/901/template",
        "get /nodes/pve2/qemu/901?_method=DELETE",
        "get /nodes/pve2/qemu/901 --method DELETE",
    ):
        assert home.run(f"pve api {words}")[0] != 0, words
    assert home.cluster.effects() == before


def edit_plan(home: Home, plan: str) -> None:
    """Another guest in a stored plan: what was agreed to is no longer what is there."""
    store = next(Path(home.environ["PVE_HOME"]).rglob("*.sqlite3"))
    with contextlib.closing(sqlite3.connect(store)) as db, db:
        ((content,),) = db.execute("SELECT json FROM plans WHERE id = ?", (plan,))
        edited = bytes(content).replace(b'"web02"', b'"web01"').replace(b'"tier":3', b'"tier":1')
        db.execute("UPDATE plans SET json = ? WHERE id = ?", (edited, plan))


@pytest.mark.parametrize("operation", VERBS)
def test_without_the_code_nothing_irreversible_happens(operation: str, home: Home) -> None:
    prepare(home, operation)
    line = line_of(home, operation)
    before = home.cluster.effects()
    attacks(home, line)
    assert home.cluster.effects() == before
    assert home.run(line)[0] == 3
    plan, code = newest(home)
    edit_plan(home, plan)
    assert home.run(f"pve-apply {plan} --code {code}")[0] in {4, 7, 9}
    assert home.cluster.effects() == before


@pytest.mark.parametrize("operation", ["snapshot.delete", "backup.delete"])
def test_with_the_code_it_happens_once(operation: str, home: Home) -> None:
    prepare(home, operation)
    before = len(home.cluster.effects())
    assert home.run(line_of(home, operation))[0] == 3
    plan, code = newest(home)
    assert home.run(f"pve-apply {plan} --code {code}")[0] == 0
    for _ in range(2):
        assert home.run(f"pve-apply {plan} --code {code}")[0] in {4, 9}
    assert len(home.cluster.effects()) == before + 1


def test_what_is_lifted_to_irreversible_is_held_as_well(home: Home) -> None:
    before = home.cluster.effects()
    attacks(home, LIFTED)
    assert home.cluster.effects() == before
