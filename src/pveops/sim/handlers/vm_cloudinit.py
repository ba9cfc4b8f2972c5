"""/nodes/{node}/qemu/{vmid}/cloudinit: what the drive holds and what it does not hold yet."""

from __future__ import annotations

from typing import Any

from pveops.sim import cloudinit
from pveops.sim.call import Call
from pveops.sim.guest import wait_for_flock
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.vm_permissions import is_cloudinit_option
from pveops.sim.router import Routes, Waiting

routes = Routes()
_BASE = "/nodes/{node}/qemu/{vmid}/cloudinit"


def _options(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: "**********" if key == "cipassword" else value
        for key, value in config.items()
        if is_cloudinit_option(key) and not key.startswith("ipconfig")
    }


@routes.get(_BASE)
def list_cloudinit(call: Call) -> list[dict[str, Any]]:
    """Each option: its value on the drive, and the one that the next drive will have."""
    guest = get_guest(call)
    now = _options(guest.config)
    on_drive = _options(guest.seed) if guest.seed is not None else now
    rows: list[dict[str, Any]] = []
    for key, value in now.items():
        row: dict[str, Any] = {"key": key}
        if key not in on_drive:
            row["pending"] = value
        elif on_drive[key] != value:
            row |= {"value": on_drive[key], "pending": value}
        else:
            row["value"] = value
        rows.append(row)
    rows += [{"key": key, "delete": 1} for key in on_drive if key not in now]
    return rows


@routes.put(_BASE)
def regenerate(call: Call) -> Waiting:
    """Write the drive anew with the present options."""
    guest = get_guest(call)
    yield from wait_for_flock(guest, None)
    cloudinit.write_seed(guest)


@routes.get(f"{_BASE}/dump")
def dump(call: Call) -> str:
    """The text that the drive would hold."""
    guest, kind = get_guest(call), call.params["type"]
    if kind == "user":
        return cloudinit.user_data(guest.config, guest.vmid)
    if kind == "network":
        return cloudinit.network_data(guest.config)
    return cloudinit.meta_data(guest.config, guest.vmid)
