"""Values that PVE hands on to cloud-init."""

from __future__ import annotations

import re
from urllib.parse import quote

_KEY = re.compile(
    r"(?:[^\s\"]+(?:\s+|=\"[^\"]*\",?)*)?"
    r"(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+)"
    r"\s+[A-Za-z0-9+/]+=*(?:\s.*)?"
)


def split_ssh_keys(text: str) -> tuple[str, ...]:
    """The public keys of an authorized_keys text, comments and empty lines left out.

    Raises ValueError with the first line that is none: of a private key, not a word is repeated.
    """
    if "PRIVATE KEY" in text:
        raise ValueError("this is a private key; give the public one (.pub)")
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not _KEY.fullmatch(line):
            raise ValueError(f"line {number} is no SSH public key")
        keys.append(line)
    return tuple(keys)


def encode_ssh_keys(keys: tuple[str, ...]) -> str:
    """The value of `sshkeys`: percent-encoded by the caller, before the form encodes it again.

    PVE stores and checks the encoded text (QemuServer/Cloudinit.pm; format `urlencoded`).
    """
    return quote("\n".join(keys) + "\n", safe="")
