"""Who may set which option of a VM (API2/Qemu.pm check_vm_modify_config_perm)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim.guest_volumes import GuestVolume, is_unused_key, is_volume_key
from pveops.sim.handlers.permission import may
from pveops.sim.handlers.storage_content import check_volume_access
from pveops.sim.refusal import die, parameter_error, permission_error
from pveops.sim.vm_drives import cloudinit_storage, drives_in, is_cloudinit, new_disk

if TYPE_CHECKING:
    from pveops.sim.call import Call

_BY_PRIVILEGE = {
    "VM.Config.CPU": "cores cpu cpulimit cpuunits numa smp sockets vcpus affinity",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0",
    "VM.Config.Options": "agent autostart bios description keyboard localtime migrate_downtime "
    "migrate_speed name onboot ostype protection reboot startdate startup tdf template",
    "VM.PowerMgmt": "freeze",
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
}
_PRIVILEGE = {key: name for name, keys in _BY_PRIVILEGE.items() for key in keys.split()}
_CLOUDINIT = "cicustom cipassword citype ciupgrade ciuser nameserver searchdomain sshkeys"
CLOUDINIT_OPTIONS = frozenset(_CLOUDINIT.split())
_CHECKED_ELSEWHERE = re.compile(r"cdrom|tags|vmstate|unused\d+|vmid|(?:serial|usb|hostpci)\d+")


def is_cloudinit_option(key: str) -> bool:
    """Whether the option is told to the guest by the cloud-init drive."""
    return key in CLOUDINIT_OPTIONS or re.fullmatch(r"ipconfig\d+", key) is not None


def check_options(call: Call, vmid: int, pool: str | None, keys: Iterable[str]) -> None:
    """Refuse what the caller may not set; some options are for root@pam alone."""
    if call.identity.is_root:
        return
    for key in keys:
        if is_volume_key("qemu", key) or _CHECKED_ELSEWHERE.fullmatch(key):
            continue
        _check(call, vmid, pool, _privileges(key))


def _privileges(key: str) -> tuple[str, ...]:
    if key in _PRIVILEGE:
        return (_PRIVILEGE[key],)
    if re.fullmatch(r"numa\d+", key):
        return ("VM.Config.CPU",)
    if re.fullmatch(r"net\d+", key):
        return ("VM.Config.Network",)
    if is_cloudinit_option(key):
        return ("VM.Config.Cloudinit", "VM.Config.Network")
    raise die(f"only root can set '{key}' config")


def _check(call: Call, vmid: int, pool: str | None, privileges: tuple[str, ...]) -> None:
    path = f"/vms/{vmid}"
    if may(call, path, *privileges):
        return
    if pool is not None and may(call, f"/pool/{pool}", *privileges):
        return
    raise permission_error(path, "|".join(privileges))


def check_drive_option(call: Call, vmid: int, drive: GuestVolume) -> None:
    """CD drives need another privilege than disks."""
    _check(call, vmid, None, ("VM.Config.CDROM" if drive.is_cdrom else "VM.Config.Disk",))


def check_removal(call: Call, vmid: int, key: str) -> None:
    """Taking a disk out needs the right to change disks."""
    if is_volume_key("qemu", key) or is_unused_key(key):
        _check(call, vmid, None, ("VM.Config.Disk",))


def check_storage_access(
    call: Call, vmid: int, values: Mapping[str, Any], default_storage: str | None = None
) -> None:
    """Each volume that is to be made or used: is the storage there, and may the caller."""
    for drive in drives_in(values):
        fresh = new_disk(drive)
        if drive.volid in ("", "none"):
            continue
        if drive.volid == "cdrom":
            if not may(call, "/", "Sys.Console"):
                raise permission_error("/", "Sys.Console")
        elif is_cloudinit(drive) and (cloud := cloudinit_storage(drive)) is not None:
            _check_target(call, cloud or default_storage)
        elif fresh is not None and not drive.is_cdrom:
            _check_target(call, fresh[0] or default_storage)
            if "import-from" in drive.options:
                check_volume_access(call, drive.options["import-from"], vmid)
        elif drive.volid.startswith("/"):
            if not call.identity.is_root:
                raise die("Only root can pass arbitrary filesystem paths.")
        else:
            parsed = check_volume_access(call, drive.volid, vmid)
            if parsed.content == "iso" and not drive.is_cdrom:
                raise die("explicit 'media=cdrom' is required for iso images")
            if parsed.content not in ("images", "iso"):
                text = "content type needs to be 'images' or 'iso'"
                raise parameter_error({drive.key: text})


def _check_target(call: Call, storage: str | None) -> None:
    if not storage:
        raise die("no storage ID specified (and no default storage)")
    path = f"/storage/{storage}"
    if not may(call, path, "Datastore.AllocateSpace"):
        raise permission_error(path, "Datastore.AllocateSpace")
    definition = call.cluster.storages.get(storage)
    if "images" not in definition.content:
        raise parameter_error({"storage": f"storage '{storage}' does not support vm images"})
