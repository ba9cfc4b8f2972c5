"""The monitor of QEMU, and keys sent to a VM (API2/Qemu.pm)."""

from __future__ import annotations

from pveops.sim.call import Call
from pveops.sim.handlers.guests import get_guest
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.vm_options import QEMU_VERSION

routes = Routes()
_VM = "/nodes/{node}/qemu/{vmid}"


@routes.post(f"{_VM}/monitor")
def run_monitor_command(call: Call) -> str:
    """The few questions whose answer is known here; others are not modelled."""
    guest, command = get_guest(call), str(call.params["command"]).strip()
    if guest.process is None:
        raise die(f"VM {guest.vmid} not running")
    status = guest.process.qmpstatus
    answers = {
        "info status": "VM status: " + (f"paused ({status})" if status != "running" else status),
        "info name": guest.name,
        "info version": f"{QEMU_VERSION}pve-qemu-kvm_{QEMU_VERSION}",
        "info uuid": str(guest.config.get("smbios1") or "").removeprefix("uuid="),
    }
    if command in answers:
        return f"{answers[command]}\r\n"
    path = f"/nodes/{call.node.name}/qemu/{guest.vmid}/monitor"
    raise ApiError(501, f"Method 'POST {path}' not implemented")


@routes.put(f"{_VM}/sendkey")
def send_key(call: Call) -> None:
    """A key for the console of a running VM."""
    if call.get("skiplock") is not None and not call.identity.is_root:
        raise parameter_error({"skiplock": "Only root may use this option."})
    guest = get_guest(call)
    if guest.process is None:
        raise die(f"VM {guest.vmid} not running")
