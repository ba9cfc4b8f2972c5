"""Property strings: `scsi0: local:100/vm-100-disk-0.raw,size=4G` and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parse_properties(text: str, default_key: str | None = None) -> dict[str, str]:
    """The pairs in order; a part without `=` belongs to `default_key`."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if separator:
            pairs[key.strip()] = value.strip()
        elif default_key and part:
            pairs[default_key] = part.strip()
    return pairs


def format_properties(values: Mapping[str, Any], default_key: str | None = None) -> str:
    """The text of pairs, the default one first and bare."""
    head = [str(values[default_key])] if default_key and default_key in values else []
    rest = [f"{key}={value}" for key, value in values.items() if key != default_key]
    return ",".join(head + rest)
