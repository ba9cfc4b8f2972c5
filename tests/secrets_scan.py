"""Looking for secrets in files. What is looked for was planted by the simulated clusters."""

from __future__ import annotations

import re
from pathlib import Path

_KNOWN: set[bytes] = set()
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CODE = re.compile(rb"(?<![0-9A-Z])[2-9A-HJ-NP-Z]{4}-?[2-9A-HJ-NP-Z]{4}(?![0-9A-Z])")
_WORD = re.compile(rb"(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]{16}(?![A-Za-z0-9_\-])")
_MAX_BYTES = 32 << 20
_MEANT_FOR_IT = frozenset(
    {
        "ready.json",  # how to get in, for whoever serves the cluster
        "inbox",  # what only the person sees
        "inbox.txt",
        "said",
        "person",  # the person's own key
    }
)


def note_secret(*secrets: str) -> None:
    """From now on this must lie nowhere."""
    _KNOWN.update(secret.encode() for secret in secrets if len(secret) >= 8)


def known() -> frozenset[bytes]:
    """What is looked for."""
    return frozenset(_KNOWN)


def forget() -> None:
    """Nothing is looked for any more."""
    _KNOWN.clear()


def find_leaks(folder: Path) -> list[str]:
    """`FILE: what` for each file below the folder that holds a known secret."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name in _MEANT_FOR_IT or path.is_symlink() or not path.is_file():
            continue
        try:
            if path.stat().st_size > _MAX_BYTES:
                continue
            content = path.read_bytes()
        except OSError:
            continue
        secret = leak_in(content)
        if secret:
            found.append(f"{path}: {secret[:4].decode(errors='replace')}...")
    return found


def leak_in(content: bytes) -> bytes:
    """A known secret in it; empty: none."""
    for pattern in (_UUID, _CODE, _WORD):
        for match in pattern.findall(content):
            if match in _KNOWN or match.replace(b"-", b"") in _KNOWN:
                return bytes(match)
    return b""
