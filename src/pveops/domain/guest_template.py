"""Templates from which guests are made: options of PVE with variables in them, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

Scalar = str | int | bool
VariableType = Literal[
    "text", "int", "memory", "size", "storage", "bridge", "address", "host", "volume", "keys"
]
PLACE = re.compile(r"\{([a-z_]+)\}")
"""Where a variable stands in an option."""
_OURS = frozenset({"vmid", "node", "pool", "name", "hostname", "start", "storage", "template"})


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One variable.

    type: `memory` is stored in MiB, `size` in GiB; `address` is one with a prefix, `dhcp`, or
    nothing; `host` an address without; `volume` a file on a storage, by volid, name or pattern
    (several are separated by spaces); `keys` SSH public keys.
    """

    type: VariableType
    help: str
    default: str | int | None = None
    """None: it has to be given. Empty text: it may be left out, and the option with it."""
    minimum: int | None = None
    maximum: int | None = None
    content: str = ""
    """For `storage` and `volume`: the content that the storage has to take."""
    url: str = ""
    """For `volume`: where the file can be downloaded."""
    file: str = ""
    """What a downloaded file is to be called."""


class GuestTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole template. Options are those of POST /nodes/{node}/qemu or /lxc."""

    summary: str
    kind: Literal["vm", "ct"]
    variables: dict[str, Variable]
    config: dict[str, Scalar]
    grow: dict[str, str] = {}
    """Disks that are made larger once they exist, such as imported images: slot -> size."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> Iterator[str]:
        for key in self.config:
            if key in _OURS:
                yield f"{key} is not a template's to set"
        texts = [*self.config.items(), *self.grow.items()]
        for key, text in texts:
            for name in PLACE.findall(str(text)):
                if name not in self.variables:
                    yield f"{key} has the variable {name!r}, which is not declared"
        used = {name for _, text in texts for name in PLACE.findall(str(text))}
        for name, variable in self.variables.items():
            if name not in used:
                yield f"the variable {name!r} is not used"
            if variable.type in {"storage", "volume"} and not variable.content:
                yield f"the variable {name!r} needs `content`"
        for slot in self.grow:
            if slot not in self.config:
                yield f"{slot} cannot grow, as it is no option"

    @property
    def path(self) -> str:
        """The last part of the API path where such guests are made."""
        return "qemu" if self.kind == "vm" else "lxc"

    def of_type(self, *types: str) -> dict[str, Variable]:
        """The variables of these types."""
        return {name: each for name, each in self.variables.items() if each.type in types}
