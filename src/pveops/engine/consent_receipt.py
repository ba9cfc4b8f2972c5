"""Consent by an agent's own approval prompt (level G2): a receipt that its plugin makes.

The plugin shows our card; when a person allows it once, it signs the plan's hash with a key that
both of us can read (HMAC-SHA-256). So it stops a mistaken or steered agent, and no program of the
same account. The form, by which `plugin/` makes them:

    pr1.HASH.EXPIRES.APPROVER.NONCE.MAC

HASH: the plan's SHA-256 in hex. EXPIRES: seconds since the epoch. APPROVER: who allowed it, hex of
UTF-8. NONCE: 32 hex digits. MAC: HMAC-SHA-256 in hex of all before the last dot.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from pveops.engine.store import PlanRow
from pveops.errors import ConsentInvalidError

MAX_LIFE_S = 600
_KEY_BYTES = 32
_KEY = re.compile(rb"[0-9a-f]{64}")
_FORM = re.compile(
    r"(?P<body>pr1\.(?P<hash>[0-9a-f]{64})\.(?P<expires>[0-9]{1,12})\.(?P<who>(?:[0-9a-f]{2}){1,64})"
    r"\.(?P<nonce>[0-9a-f]{32}))\.(?P<mac>[0-9a-f]{64})"
)


def is_key(text: bytes) -> bool:
    """Whether it is a key as `pve plan approval-key` makes it: 32 bytes, in hex."""
    return _KEY.fullmatch(text) is not None


def make_receipt(key: bytes, plan_hash: str, approver: str, expires: int) -> str:
    """As the plugin makes it."""
    who = approver.encode()[:64].hex() or "00"
    body = f"pr1.{plan_hash}.{expires}.{who}.{secrets.token_hex(16)}"
    return f"{body}.{_mac(key, body)}"


def check_receipt(key: bytes | None, row: PlanRow, receipt: str, *, now: float) -> str:
    """Who allowed exactly this plan. Spent with the plan. Raises ConsentInvalidError."""
    if key is None or len(key) < _KEY_BYTES:
        raise ConsentInvalidError(
            "approvals of an agent's prompt do not count here",
            hint="`pve plan approval-key` makes the key that the plugin signs with",
        )
    match = _FORM.fullmatch(receipt.strip())
    if match is None:
        raise ConsentInvalidError("that is no receipt of an approval")
    if not hmac.compare_digest(_mac(key, match["body"]), match["mac"]):
        raise ConsentInvalidError("the receipt was not made with our key")
    if match["hash"] != row.hash:
        raise ConsentInvalidError(f"the receipt is for another plan than {row.id}")
    expires = int(match["expires"])
    if now >= expires or expires > now + MAX_LIFE_S:
        raise ConsentInvalidError("the receipt has expired, or would never expire")
    return bytes.fromhex(match["who"]).decode(errors="replace")


def _mac(key: bytes, body: str) -> str:
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
