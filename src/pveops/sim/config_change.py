"""Writing a guest's configuration: what is asked, what waits for a stop, what takes effect.

(pve-guest-common AbstractConfig.pm, qemu-server API2/Qemu.pm, pve-container API2/LXC/Config.pm)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pveops.schema import Facts
from pveops.schema.check import find_parameter
from pveops.sim.refusal import die, parameter_error

if TYPE_CHECKING:
    from pveops.schema import Method
    from pveops.sim.call import Call
    from pveops.sim.guest import Guest, Kind

_ABOUT_THE_REQUEST = (
    "node vmid digest delete revert force skiplock background_delay cdrom import-working-storage"
)
_NO_OPTIONS = frozenset(_ABOUT_THE_REQUEST.split())
"""Parameters of the method that are no option of a configuration."""


@dataclass(frozen=True, slots=True)
class Change:
    """One request to change a configuration."""

    values: dict[str, Any] = field(default_factory=dict)
    deletes: tuple[str, ...] = ()
    reverts: tuple[str, ...] = ()
    is_forced: bool = False
    """A volume that is taken out is destroyed at once."""

    @property
    def keys(self) -> list[str]:
        """Everything that is touched."""
        return [*self.values, *self.deletes, *self.reverts]


def read_change(call: Call, kind: Kind) -> Change:
    """The request, checked for contradictions and for options that there are none of."""
    given = {k: v for k, v in call.params.items() if k not in _NO_OPTIONS}
    if call.get("cdrom"):
        given["ide2"] = cdrom_drive(call, given)
    deletes, reverts = _listed(call.get("delete")), _listed(call.get("revert"))
    if not (given or deletes or reverts):
        raise die("no options specified")
    for key in deletes:
        if key in given:
            text = f"you can't use '-{key}' and -delete {key}' at the same time"
            raise parameter_error({"delete": text})
        if key in reverts:
            text = f"you can't use '-delete {key}' and '-revert {key}' at the same time"
            raise parameter_error({"revert": text})
        if not is_option(call.cluster.version.schema, kind, key):
            raise parameter_error({"delete": f"unknown option '{key}'"})
    for key in reverts:
        if not is_option(call.cluster.version.schema, kind, key):
            raise parameter_error({"revert": f"unknown option '{key}'"})
        if key in given:
            text = f"you can't use '-{key}' and '-revert {key}' at the same time"
            raise parameter_error({"revert": text})
    return Change(given, deletes, reverts, bool(call.get("force")))


def cdrom_drive(call: Call, given: Mapping[str, Any]) -> str:
    """`cdrom` is another word for the CD drive `ide2`."""
    if "ide2" in given:
        raise parameter_error({"cdrom": "conflicts with -ide2"})
    return f"{call.params['cdrom']},media=cdrom"


def _listed(text: Any) -> tuple[str, ...]:
    """pve-configid-list: separated by commas, semicolons, blanks or nulls."""
    parts = [part for part in re.split(r"[,;\s\0]+", str(text or "")) if part]
    return tuple("ide2" if part == "cdrom" else part for part in parts)


def is_option(release: str, kind: Kind, key: str) -> bool:
    """Whether a configuration may hold the key."""
    return key not in _NO_OPTIONS and find_parameter(_method(release, kind), key) is not None


@lru_cache
def _method(release: str, kind: Kind) -> Method:
    method = Facts.open(release).method("PUT", f"/nodes/{{node}}/{kind}/{{vmid}}/config")
    if method is None:
        raise LookupError(f"{release} has no configuration of {kind}")
    return method


def check_digest(guest: Guest, digest: Any) -> None:
    """Refuse when somebody else has written since the caller read."""
    if not digest or str(digest) == guest.digest:
        return
    if guest.kind == "qemu":
        raise die("checksum mismatch (file change by other user?)")
    raise die("detected modified configuration - file changed by other user? Try again.")


def queue_value(guest: Guest, key: str, value: Any) -> None:
    """Write down a value that is to take effect; it takes the place of a queued removal."""
    guest.pending_deletes.pop(key, None)
    if guest.config.get(key) == value:
        guest.pending.pop(key, None)
    else:
        guest.pending[key] = value


def queue_delete(guest: Guest, key: str, *, force: bool = False) -> None:
    """Write down that an option is to go."""
    guest.pending.pop(key, None)
    if key in guest.config:
        guest.pending_deletes[key] = force


def revert(guest: Guest, keys: tuple[str, ...]) -> dict[str, Any]:
    """Drop what was queued; the values that now nobody asks for, by key."""
    dropped = {}
    for key in keys:
        if key in guest.pending:
            dropped[key] = guest.pending.pop(key)
        guest.pending_deletes.pop(key, None)
    return dropped


def normalize_tags(text: str) -> str:
    """Lower case, sorted, each once (GuestHelpers.pm get_unique_tags)."""
    parts = {part.lower() for part in re.split(r"[,;\s]+", text) if part}
    return ";".join(sorted(parts))


def shown_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it is shown: a password is only said to be there."""
    return {k: "**********" if k == "cipassword" else v for k, v in config.items()}
