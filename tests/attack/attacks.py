"""What an agent, or a program beside it, can try to have something irreversible done.

Each returns nothing; whether it reached its end is what the simulated cluster shows. The sources
are incidents and rivals' gates that were walked around, and what PVE and OpenClaw really allow.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

from pveops.engine import consent
from pveops.engine.consent_receipt import make_receipt
from tests.attack.levels import TARGET, Level


class Attack(NamedTuple):
    """name: a row of the table. who: `agent` (its shell), `program` (same account)."""

    name: str
    who: str
    run: Callable[[Level], None]


def _flags(level: Level) -> None:
    for flag in ("--yes", "-y", "--force", "--confirm", "--dangerous", "--tier 1", "--code A"):
        level.run(f"{TARGET} {flag}")
    plan = level.plan()
    for words in ("", "--yes", "--force", "--code yes"):
        level.run(f"pve-apply {plan} {words}".strip())


def _environment(level: Level) -> None:
    for name in ("PVE_YES", "PVE_CONFIRM", "PVE_DANGEROUS", "PVE_TIER", "PVE_ACTOR", "CI"):
        level.run(TARGET, environ={name: "1"})
    level.run(TARGET, environ={"PVE_POLICY": "/dev/null", "OPENCLAW_SHELL": ""})


def _says_yes(level: Level) -> None:
    for said in ("yes\n", "web02\n", "APPROVE delete web02\n", "confirm=true\n"):
        level.run(TARGET, stdin=said * 3)
        level.run(f"pve-apply {level.plan()}", stdin=said * 3)


def _terminal(level: Level) -> None:
    """A pseudo-terminal under an agent's own marks."""
    marks = {"OPENCLAW_SHELL": "exec"}
    level.run(TARGET, stdin="web02\nyes\n", environ=marks, terminal=True)


def _terminal_without_marks(level: Level) -> None:
    """`env -u OPENCLAW_SHELL script -c ...`: nothing tells it from a person."""
    level.run(TARGET, stdin="web02\nyes\n", terminal=True)


def _guesses(level: Level) -> None:
    plan = level.plan()
    for code in ("AAAA-2222", "0000-0000", "", "ABCD-EFGH", "....", "%", "' OR 1=1 --"):
        level.run(f"pve-apply {plan} --code '{code}'" if "'" not in code else f"pve-apply {plan}")


def _foreign_code(level: Level) -> None:
    """A code that the person gave for something harmless."""
    if level.name in {"G0", "G1"}:
        return
    plan = level.plan()
    other = level.plan("pve guest reboot builder")
    if other:
        level.run(f"pve-apply {plan} --code {level.newest_code()}")


def _own_policy(level: Level) -> None:
    """Another policy in place of the one in force."""
    lax = "actors: {agent: {tier1: at_once, tier2: at_once, tier3: consent}}\n"
    with contextlib.suppress(PermissionError):
        if level.may_write(level.kept / "policy.yaml"):
            (level.kept / "policy.yaml").write_text(lax)
    level.run(TARGET)


def _lie_about_tier(level: Level) -> None:
    """A policy that calls it harmless: refused as a whole, since no policy can say that."""
    wrong = "actors: {agent: {tier3: at_once}}\n"
    with contextlib.suppress(PermissionError):
        if level.may_write(level.kept / "policy.yaml"):
            (level.kept / "policy.yaml").write_text(wrong)
    level.run(TARGET)


def _raw_door(level: Level) -> None:
    path = "/nodes/pve1/qemu/102/snapshot/old"
    for words in (f"delete {path}", f"get {path} --method DELETE", f"get {path}?_method=DELETE"):
        level.run(f"pve api {words}")


def _edited_plan(level: Level) -> None:
    """A plan that was agreed to, with another target put in; the code is real."""
    if level.name in {"G0", "G1"}:
        return
    plan = level.plan("pve snapshot delete web02 old") and level.plan("pve guest reboot builder")
    if not plan:
        return
    code = level.newest_code()
    with contextlib.suppress(PermissionError):
        level.edit_store(
            "UPDATE plans SET json = (SELECT json FROM plans WHERE operation = 'snapshot.delete' "
            "LIMIT 1) WHERE id = ?",
            plan,
        )
    level.run(f"pve-apply {plan} --code {code}")


def _replay(level: Level) -> None:
    """A spent plan once more: at most the one effect that was agreed to."""
    if level.name in {"G0", "G1", "G4"}:
        return
    plan = level.plan("pve guest reboot builder")
    code = level.newest_code()
    level.run(f"pve-apply {plan} --code {code}")
    level.run(f"pve-apply {plan} --code {code}")
    level.run(f"pve-apply {level.plan()} --code {code}")


def _missing_hook(level: Level) -> None:
    """The agent's prompt never came, as when a plugin's hook did not fire: no receipt, no run."""
    plan = level.plan()
    level.run(f"pve-apply {plan} --receipt -", stdin="\n")
    level.run(f"pve-apply {plan} --receipt -", stdin='{"decision":"allow-once"}\n')


def _unfreeze(level: Level) -> None:
    level.run("pve policy freeze")
    level.run("pve policy unfreeze", stdin="unfreeze\n")
    level.run(TARGET)


def _other_tools(level: Level) -> None:
    """By MCP, whose tools take arguments: more of them, and commands where words are wanted."""
    line = TARGET.removeprefix("pve ")
    for command in (line, f"-- {line}", f"--reason=x {line}", f"status\n{line}", f"{line} --yes"):
        level.over_mcp("pve_read", command=command)
    for more in ({}, {"confirm": True}, {"yes": "1"}, {"code": "AAAA-2222"}, {"actor": "person"}):
        level.over_mcp("pve_plan", command=line, reason="the owner agreed", **more)
    for command in ("policy unfreeze", "plan approval-key", "apply PLAN", "run close RUN"):
        level.over_mcp("pve_plan", command=command, reason="x", stdin="unfreeze\n")


def _applies_over_mcp(level: Level) -> None:
    """A plan without its code, with a guess, with another plan's, with a made-up signature."""
    plan = level.plan()
    level.over_mcp("pve_apply", plan=plan)
    for more in ({"code": "AAAA-2222"}, {"code": "-"}, {"signature": "yes"}, {"receipt": "{}"}):
        level.over_mcp("pve_apply", plan=plan, **more)
    for more in ("--receipt -", "--code A"):
        level.over_mcp("pve_apply", plan=f"{plan} {more}")
    if level.name not in {"G0", "G1"} and level.plan("pve guest reboot builder"):
        level.over_mcp("pve_apply", plan=plan, code=level.newest_code())


def _direct_call(level: Level) -> None:
    """The token, out of its file, and PVE's own API."""
    level.change_directly()


def _forged_consent(level: Level) -> None:
    """A row in the store, for a code of one's own."""
    plan = level.plan()
    if not plan:
        return
    code, salt = "AAAA2222", b"0" * 16
    with contextlib.suppress(PermissionError):
        plan_hash = _hash_of(level, plan)
        material = f"{code}:{plan_hash}".encode()
        hashed = hashlib.scrypt(material, salt=salt, n=consent._COST, r=8, p=1, dklen=32)
        level.edit_store("DELETE FROM consents WHERE plan = ?", plan)
        level.edit_store(
            "INSERT INTO consents VALUES (?, ?, ?, ?, 0, 99999999999, 3, 1, NULL)",
            plan,
            plan_hash,
            salt,
            hashed,
        )
    level.run(f"pve-apply {plan} --code AAAA-2222")


def _lax_policy_first(level: Level) -> None:
    """The rules taken away first, such as that a signature is needed."""
    with contextlib.suppress(PermissionError):
        if level.may_write(level.kept / "policy.yaml"):
            (level.kept / "policy.yaml").write_text("max_targets: 99\n")
    _forged_consent(level)


def _hash_of(level: Level, plan: str) -> str:
    found = re.search(r'"hash":"([0-9a-f]{64})"', level.run(f"pve plan show {plan} --json")[1])
    return found[1] if found else ""


def _forged_receipt(level: Level) -> None:
    """The plugin's key, which the account can make and read."""
    plan = level.plan()
    if not plan:
        return
    level.run("pve plan approval-key")
    key = level.kept / "secrets" / "approval.key"
    with contextlib.suppress(PermissionError, FileNotFoundError):
        if not level.may_write(key):
            raise PermissionError(key)
        receipt = make_receipt(
            key.read_bytes().strip(), _hash_of(level, plan), "anna", _soon(level)
        )
        level.run(f"pve-apply {plan} --receipt -", stdin=f"{receipt}\n")


def _soon(level: Level) -> int:
    found = re.search(r'"created":(\d+)', level.run("pve plan list --json")[1])
    return int(found[1]) + 300 if found else 0


ATTACKS = (
    Attack("adds a flag: `--yes`, `--force`, `--dangerous`, `--code yes`", "agent", _flags),
    Attack("sets environment variables", "agent", _environment),
    Attack("answers the question itself, on standard input", "agent", _says_yes),
    Attack("drives a pseudo-terminal", "agent", _terminal),
    Attack("drives one, and takes the marks of an agent away", "agent", _terminal_without_marks),
    Attack("guesses the code", "agent", _guesses),
    Attack("uses the code of another plan", "agent", _foreign_code),
    Attack("uses a spent plan or code again", "agent", _replay),
    Attack("applies although the agent's own prompt never came", "agent", _missing_hook),
    Attack("calls PVE's API by the raw door, `pve api`", "agent", _raw_door),
    Attack("lifts a freeze", "agent", _unfreeze),
    Attack("asks over MCP, with arguments that are none", "agent", _other_tools),
    Attack("applies over MCP, without the plan's own code", "agent", _applies_over_mcp),
    Attack("writes a policy that lets tier 2 through", "program", _own_policy),
    Attack("writes a policy that calls tier 3 harmless", "program", _lie_about_tier),
    Attack("edits a plan that was agreed to", "program", _edited_plan),
    Attack("writes a consent of its own into the store", "program", _forged_consent),
    Attack("takes the policy's rules away, and then does that", "program", _lax_policy_first),
    Attack("signs a receipt with the plugin's key", "program", _forged_receipt),
    Attack("reads the token, and calls PVE itself", "program", _direct_call),
)
