"""Privileges and built-in roles by version (pve-access-control AccessControl.pm)."""

from __future__ import annotations

from functools import lru_cache

from pveops.sim.version import Version

_VM_COMMON = (
    "VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit "
    "VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options "
    "VM.Console VM.Migrate VM.PowerMgmt VM.Snapshot VM.Snapshot.Rollback"
)
_VM_USER = "VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.PowerMgmt"
_AGENT_USER = (
    "VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt "
    "VM.GuestAgent.FileWrite"
)
_DATASTORE = (
    "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit"
)
_SDN = "SDN.Allocate SDN.Audit SDN.Use"
_USERS = "Group.Allocate Realm.AllocateUser User.Modify"
_AUDIT = "Datastore.Audit Mapping.Audit Pool.Audit SDN.Audit Sys.Audit VM.Audit"
_ROOT_ONLY = (
    "Mapping.Modify Permissions.Modify Realm.Allocate Sys.AccessNetwork Sys.Incoming Sys.Modify "
    "Sys.PowerMgmt"
)
_ADMIN = (
    f"{_DATASTORE} {_USERS} {_SDN} Mapping.Audit Mapping.Use Pool.Allocate Pool.Audit Sys.Audit "
    "Sys.Console Sys.Syslog"
)


@lru_cache
def builtin_roles(version: Version) -> dict[str, frozenset[str]]:
    """Privileges by role, as far as PVE defines them itself."""
    has_agent = version.has_guest_agent_privileges
    vm_admin = f"{_VM_COMMON} " + (
        f"{_AGENT_USER} VM.GuestAgent.Unrestricted VM.Replicate" if has_agent else "VM.Monitor"
    )
    table = {
        "Administrator": f"{_ADMIN} {vm_admin} {_ROOT_ONLY}",
        "NoAccess": "",
        "PVEAdmin": f"{_ADMIN} {vm_admin}",
        "PVEAuditor": f"{_AUDIT} VM.GuestAgent.Audit" if has_agent else _AUDIT,
        "PVEDatastoreAdmin": _DATASTORE,
        "PVEDatastoreUser": "Datastore.AllocateSpace Datastore.Audit",
        "PVEMappingAdmin": "Mapping.Audit Mapping.Modify Mapping.Use",
        "PVEMappingUser": "Mapping.Audit Mapping.Use",
        "PVEPoolAdmin": "Pool.Allocate Pool.Audit",
        "PVEPoolUser": "Pool.Audit",
        "PVESDNAdmin": _SDN,
        "PVESDNUser": "SDN.Audit SDN.Use",
        "PVESysAdmin": "Sys.Audit Sys.Console Sys.Syslog",
        "PVETemplateUser": "VM.Audit VM.Clone",
        "PVEUserAdmin": _USERS,
        "PVEVMAdmin": vm_admin,
        "PVEVMUser": f"{_VM_USER} {_AGENT_USER}" if has_agent else _VM_USER,
    }
    return {name: frozenset(privileges.split()) for name, privileges in table.items()}


def all_privileges(version: Version) -> frozenset[str]:
    """Every privilege of the version."""
    return builtin_roles(version)["Administrator"]
