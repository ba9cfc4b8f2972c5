"""Standing grants: which of the policy's count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pveops.engine.consent_signature import GRANTS_NAMESPACE, verify
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.config.policy import Grant, Policy


def usable_grants(policy: Policy, file: Path) -> tuple[tuple[Grant, ...], str]:
    """The grants that count, and why not where none does.

    Where signers are named, the policy has to carry a signature of theirs beside it, in
    `policy.yaml.sig`: ssh-keygen -Y sign -n pveops-policy -f KEY policy.yaml
    """
    if not policy.grants or not policy.consent.allowed_signers:
        return policy.grants, ""
    signature = file.with_name(f"{file.name}.sig")
    try:
        text = signature.read_text(encoding="ascii", errors="replace")
        verify(policy.consent.allowed_signers, file.read_bytes(), text, GRANTS_NAMESPACE)
    except OSError:
        return (), f"its grants are not signed: {signature} is not there"
    except PveopsError as error:
        return (), f"its grants do not count: {error.message}"
    return policy.grants, ""
