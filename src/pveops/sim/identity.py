"""What tells guests apart: UUIDs and MAC addresses."""

from __future__ import annotations

import random


def new_uuid(source: random.Random) -> str:
    """A random UUID."""
    digits = f"{source.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def new_mac(source: random.Random) -> str:
    """A random address with PVE's prefix BC:24:11."""
    bits = source.getrandbits(24)
    return f"BC:24:11:{bits >> 16:02X}:{bits >> 8 & 255:02X}:{bits & 255:02X}"
