"""Ceph's own word on its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.inventory import Inventory
from pveops.domain.rows import object_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client

_KINDS = frozenset({"rbd", "cephfs"})
NOOUT = "noout"


class CephHealth(NamedTuple):
    """What `ceph status` says.

    status: `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`; empty: it could not be read, and `why` says
    why not. checks: code -> text, without those about `noout` alone.
    """

    status: str
    checks: dict[str, str]
    has_noout: bool = False
    why: str = ""
    is_elsewhere: bool = False
    """The storages are on a Ceph that is no part of this cluster."""

    @property
    def is_healthy(self) -> bool:
        """Nothing is wrong; that `noout` is set on purpose is no trouble."""
        return bool(self.status) and not self.checks

    @property
    def told(self) -> str:
        """In words: `HEALTH_WARN (4 osds down)`."""
        text = "; ".join(self.checks.values())
        return f"{self.status} ({text})" if text else self.status or f"not known: {self.why}"


def read_ceph(client: Client, inventory: Inventory) -> CephHealth | None:
    """One request; none, and None, where no storage is Ceph's.

    A storage may be on a Ceph of elsewhere, which PVE knows no health of: then `status` is empty.
    """
    if not any(storage.type in _KINDS for storage in inventory.storages):
        return None
    try:
        answer = object_of(client.get("/cluster/ceph/status"))
    except PveopsError as error:
        return CephHealth("", {}, why=error.message, is_elsewhere="not installed" in error.message)
    health = object_of(answer.get("health"))
    checks = {
        str(code): text_of(object_of(object_of(check).get("summary")), "message", str(code))
        for code, check in object_of(health.get("checks")).items()
    }
    flags = checks.get("OSDMAP_FLAGS", "").removesuffix(" flag(s) set")
    set_flags = [flag for flag in flags.split(",") if flag]
    if set_flags == [NOOUT]:
        checks.pop("OSDMAP_FLAGS")
    return CephHealth(text_of(health, "status"), checks, NOOUT in set_flags)
