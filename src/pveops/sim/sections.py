"""Section configurations: files in /etc/pve that hold named entries with options.

metrics servers (status.cfg), hardware and directory mappings (mapping/*.cfg), and the parts of
SDN (sdn/*.cfg) differ in their texts alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from pveops.sim.refusal import ApiError, die


@dataclass(frozen=True, slots=True)
class Kind:
    """One such file: how its entries are called and what PVE says about them."""

    file: str
    key: str
    """The member that holds an entry's name."""
    exists: str
    """`{}` stands for the name."""
    missing: str
    prefix: str = ""
    """What precedes a refused change: `create sdn zone object failed`, with `create` as `{}`."""


@dataclass(slots=True)
class Sections:
    """Entries of one file by name."""

    kind: Kind
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the whole file; that of an empty one is sha1 of nothing."""
        text = json.dumps(self.entries, sort_keys=True) if self.entries else ""
        return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324

    def get(self, name: str) -> dict[str, Any]:
        """One entry; dies when there is none."""
        entry = self.entries.get(name)
        if entry is None:
            raise die(self.kind.missing.format(name))
        return entry

    def create(self, name: str, values: dict[str, Any]) -> None:
        """Add an entry."""
        if name in self.entries:
            raise self.failed("create", self.kind.exists.format(name))
        self.entries[name] = values

    def update(
        self, name: str, values: dict[str, Any], delete: list[str], digest: str | None
    ) -> None:
        """Change an entry."""
        if digest and digest != self.digest:
            text = "detected modified configuration - file changed by other user? Try again."
            raise self.failed("update", text)
        try:
            entry = self.get(name)
        except ApiError as error:
            raise self.failed("update", error.message) from error
        for key in delete:
            entry.pop(key, None)
        entry.update(values)

    def failed(self, verb: str, text: str) -> ApiError:
        """The text as PVE sends it, under what was being done."""
        return die(f"{self.kind.prefix.format(verb)}: {text}" if self.kind.prefix else text)


def _sdn(noun: str, file: str, key: str) -> Kind:
    return Kind(
        f"sdn/{file}.cfg",
        key,
        f"sdn {noun} object ID '{{}}' already defined",
        "sdn '{}' does not exist",
        f"{{}} sdn {noun} object failed",
    )


KINDS: dict[str, Kind] = {
    "metrics": Kind(
        "status.cfg",
        "id",
        "Metric server '{}' already exists",
        "status server entry '{}' does not exist",
    ),
    "pci": Kind(
        "mapping/pci.cfg",
        "id",
        "pci ID '{}' already defined",
        "mapping '{}' not found",
        "{} hardware mapping failed",
    ),
    "usb": Kind(
        "mapping/usb.cfg",
        "id",
        "usb ID '{}' already defined",
        "mapping '{}' not found",
        "{} hardware mapping failed",
    ),
    "dir": Kind(
        "mapping/directory.cfg",
        "id",
        "dir ID '{}' already defined",
        "mapping '{}' not found",
        "{} directory mapping failed",
    ),
    "zones": _sdn("zone", "zones", "zone"),
    "vnets": _sdn("vnet", "vnets", "vnet"),
    "controllers": _sdn("controller", "controllers", "controller"),
    "ipams": _sdn("ipam", "ipams", "ipam"),
    "dns": _sdn("dns", "dns", "dns"),
}
"""By the name under which a cluster keeps them."""


def new_sections() -> dict[str, Sections]:
    """What a fresh cluster has: empty files, and the built-in IP address management."""
    sections = {name: Sections(kind) for name, kind in KINDS.items()}
    sections["ipams"].entries["pve"] = {"type": "pve"}
    return sections
