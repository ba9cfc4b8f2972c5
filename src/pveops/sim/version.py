"""What differs between the simulated versions of PVE, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Version:
    """One release of PVE, as far as its API answers differently from another's."""

    schema: str
    """Which schema facts apply: "9.2"."""
    release: str
    """`release` of GET /version."""
    version: str
    """`version` of GET /version."""
    repoid: str
    has_plain_auth_texts: bool
    """Before pve-manager 9.1.5 (and its backport to 8.4) a 401 told its cause."""
    has_ha_rules: bool
    """HA rules took the place of HA groups in 9.0."""
    has_guest_agent_privileges: bool
    """VM.GuestAgent.* took the place of VM.Monitor in 9.0."""

    @property
    def major(self) -> int:
        """8 or 9."""
        return int(self.schema.split(".", maxsplit=1)[0])

    def at_least(self, schema: str) -> bool:
        """Whether this release is `schema` ("9.1") or newer."""
        return _key(self.schema) >= _key(schema)


def _key(schema: str) -> tuple[int, ...]:
    return tuple(int(part) for part in schema.split("."))


VERSIONS: dict[str, Version] = {
    row.schema: row
    for row in (
        Version("8.4", "8.4", "8.4.21", "alt", False, False, False),
        Version("9.0", "9.0", "9.0.11", "3bf5476b8a4699e2", True, True, True),
        Version("9.1", "9.1", "9.1.8", "a8e257e1ad64dd92", False, True, True),
        Version("9.2", "9.2", "9.2.11", "alt", False, True, True),
    )
}
"""By the name that `--pve-version` takes."""
