"""Consent by a signature that is made on another machine (level G4), with `ssh-keygen -Y`.

What is signed is a text that names the plan's hash and says what the plan does, made anew from the
stored plan for each check. Keys in hardware work as any others do; who may sign, until when, and
with what, stands in an allowed signers file of OpenSSH's form.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pveops.engine.store import PlanRow
from pveops.errors import ConfigError, ConsentInvalidError
from pveops.operations.catalog import get_operation
from pveops.operations.plan import Plan
from pveops.sanitize import sanitize_text

NAMESPACE = "pveops-consent"
GRANTS_NAMESPACE = "pveops-policy"
_MAX_SIGNATURE = 16_384
_MAX_LINE = 200
_TIMEOUT_S = 10


def consent_text(row: PlanRow, plan: Plan) -> bytes:
    """What a person signs: the same bytes for the same plan, always."""
    until = datetime.fromtimestamp(plan.expires, UTC)
    lines = [
        "pveops consent 1",
        f"plan {row.id}",
        f"sha256 {row.hash}",
        f"until {until:%Y-%m-%d %H:%M:%S} UTC",
        f"{get_operation(plan.operation).command}, tier {plan.tier}, asked by {plan.actor}",
        f"because: {plan.reason or '(no reason given)'}",
    ]
    for item in plan.items:
        lines.append(f"- {item.headline}: {item.target.label}")
        lines += [f"  lost: {loss}" for loss in item.losses]
    return ("\n".join(sanitize_text(line, _MAX_LINE) for line in lines) + "\n").encode()


def check_signature(allowed_signers: str, row: PlanRow, plan: Plan, signature: str) -> str:
    """Who signed exactly this plan. Raises ConsentInvalidError, ConfigError."""
    return verify(allowed_signers, consent_text(row, plan), signature, NAMESPACE)


def verify(allowed_signers: str, text: bytes, signature: str, namespace: str) -> str:
    """The principal whose signature of `text` it is. Raises ConsentInvalidError, ConfigError."""
    if not allowed_signers:
        raise ConsentInvalidError(
            "no signature counts: the policy names no allowed_signers",
            hint="consent: {allowed_signers: /etc/pveops/allowed_signers} in the policy",
        )
    if not Path(allowed_signers).is_file():
        raise ConfigError(f"the allowed signers {allowed_signers} are not there")
    if len(signature) > _MAX_SIGNATURE or "BEGIN SSH SIGNATURE" not in signature:
        raise ConsentInvalidError("that is no signature of `ssh-keygen -Y sign`")
    with tempfile.TemporaryDirectory(prefix="pveops-") as folder:
        file = Path(folder, "signature")
        file.write_text(signature)
        found = _run("find-principals", "-s", str(file), "-f", allowed_signers)
        principals = found.stdout.decode(errors="replace").split("\n")[0].strip()
        if found.returncode != 0 or not principals:
            raise ConsentInvalidError(
                "nobody who may sign has made that signature",
                hint=f"who may: {allowed_signers}",
            )
        principal = principals.split(",")[0]
        words = ("-n", namespace, "-I", principal, "-s", str(file), "-f", allowed_signers)
        done = _run("verify", *words, stdin=text)
    if done.returncode != 0:
        raise ConsentInvalidError(
            "the signature does not fit this plan, or the key may not sign it now",
            hint="sign what `pve plan challenge PLAN` prints, byte by byte",
        )
    return principal


def _run(verb: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ConfigError("ssh-keygen is not installed", hint="apt install openssh-client")
    try:
        return subprocess.run(
            [program, "-Y", verb, *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"ssh-keygen could not be run: {error}") from error
