"""No secret leaves the process: the last filter before anything is printed, logged or raised.

Two nets: the exact secrets that this process has handled (`register_secret`), in every encoding
that we use, and the shapes of PVE's own secrets for those it has not.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
_SHORTEST = 6
"""Shorter values would blot out ordinary words."""

_SHAPES = re.compile(
    r"PVE(?:API|:)?Token[= ]\S+"
    r"|PVE(?:VNC|TERM|TUNNEL)?:[^\s:\"']+:[0-9A-F]{8}::[A-Za-z0-9+/=%]+"
    r"|\b[0-9A-F]{8}:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])"
    r"|(?<=vncticket=)[^&\s]+"
    r"|(?<=![A-Za-z0-9_.\-])[A-Za-z0-9_.\-]*=[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|AGE-SECRET-KEY-1[A-Z0-9]+"
    r"|\beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+",
    re.DOTALL,
)
_SECRET_NAMES = re.compile(
    r"password|passwd|cipassword|sshkeys|ssh-public-keys|ticket|csrfpreventiontoken|secret"
    r"|^value$|^token$|authorization|cookie|^otp$|recovery|privkey|keyring|encryption-key"
    r"|master-pubkey|tfa-challenge|^code$",
    re.IGNORECASE,
)

_lock = threading.Lock()
_known: dict[str, None] = {}


def register_secret(value: str) -> None:
    """Have `value` masked in everything from now on, however we may encode it."""
    if len(value) < _SHORTEST:
        return
    forms = {value, quote(value, safe=""), quote_plus(value), quote(value)}
    forms.add(value.replace("\\", "\\\\").replace('"', '\\"'))
    forms.add(base64.b64encode(value.encode()).decode().rstrip("="))
    forms.add(f"{value[:4]}-{value[4:]}")  # as consent codes are written
    with _lock:
        for form in sorted(forms, key=len, reverse=True):
            _known[form] = None


def redact(text: str) -> str:
    """`text` without secrets."""
    if _known:
        for secret in sorted(_known, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, MASK)
    if "PVE" in text or "=" in text or "-----" in text or "AGE-" in text or ":" in text:
        text = _SHAPES.sub(MASK, text)
    return text


def redact_value(value: Any, name: str = "") -> Any:
    """A JSON-like value without secrets; members whose name tells a secret are masked whole."""
    if name and isinstance(value, str | int) and value != "" and _SECRET_NAMES.search(name):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_value(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item, name) for item in value]
    return value


def redact_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Request parameters without secrets."""
    return {key: redact_value(item, key) for key, item in params.items()}
