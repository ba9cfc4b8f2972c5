"""What a node tells about itself: subscription, packages, disks, hardware, logs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.handlers.permission import may
from pveops.sim.handlers.upload import start_download
from pveops.sim.hardware import certificate_row, disk_row, pool_row
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import Task, TaskError, start_task

routes = Routes()
_NODE = "/nodes/{node}"
_PRICES = "https://www.proxmox.com/en/proxmox-virtual-environment/pricing"
_PACKAGES = ("proxmox-ve", "pve-manager", "qemu-server", "pve-container", "libpve-storage-perl")


@routes.get(f"{_NODE}/subscription")
def get_subscription(call: Call) -> dict[str, Any]:
    """There is none."""
    row = {"status": "notfound", "message": "There is no subscription key", "url": _PRICES}
    if may(call, f"/nodes/{call.node.name}", "Sys.Audit"):
        row["serverid"] = f"{call.node.node_id:032X}"
    return row


@routes.get(f"{_NODE}/apt/versions")
def list_packages(call: Call) -> list[dict[str, Any]]:
    """The version of each important package, the installed kernels among them (APT.pm)."""
    node = call.node
    kernels = sorted({node.kernel, node.installed_kernel}, reverse=True)
    named = (*_PACKAGES, *(f"proxmox-kernel-{release}-signed" for release in kernels))
    rows = [_package(name, node.version.version) for name in named]
    rows[0]["RunningKernel"] = node.kernel
    return rows


def _package(name: str, version: str) -> dict[str, Any]:
    return {
        "Package": name,
        "Version": version,
        "OldVersion": version,
        "CurrentState": "Installed",
        "Arch": "amd64",
        "Section": "admin",
        "Priority": "optional",
        "Origin": "Proxmox",
        "Title": name,
        "Description": name,
    }


@routes.get(f"{_NODE}/apt/update")
def list_updates(call: Call) -> list[dict[str, Any]]:
    """Packages that wait for an update."""
    return list(call.node.pending_updates)


@routes.post(f"{_NODE}/apt/update")
def refresh_updates(call: Call) -> str:
    """Run apt-get update."""

    def body(task: Task) -> Generator[float, None, None]:
        task.log("starting apt-get update")
        yield 2.0
        raise TaskError("command 'apt-get update' failed: exit code 100")

    return str(start_task(call.node, "aptupdate", "", call.identity.auth_id, body).upid)


@routes.get(f"{_NODE}/apt/repositories")
def list_repositories(_call: Call) -> dict[str, Any]:
    """Where packages come from: nothing is configured."""
    return {
        "files": [],
        "errors": [],
        "infos": [],
        "digest": "0" * 64,
        "standard-repos": [
            {"handle": "enterprise", "name": "Enterprise"},
            {"handle": "no-subscription", "name": "No-Subscription"},
            {"handle": "test", "name": "Test"},
        ],
    }


@routes.get(f"{_NODE}/hardware/pci", f"{_NODE}/hardware/usb")
def list_devices(_call: Call) -> list[Any]:
    """No device could be passed through."""
    return []


@routes.get(f"{_NODE}/disks/list")
def list_disks(call: Call) -> list[dict[str, Any]]:
    """The node's disks; a virtual one tells nothing of itself."""
    if call.node.hardware.disks is not None:
        return [disk_row(disk) for disk in call.node.hardware.disks]
    local = call.cluster.storages.definitions.get("local")
    size = call.cluster.storages.usage(local, call.node).total if local else 0
    return [
        {
            "devpath": "/dev/vda",
            "size": size,
            "used": "mounted",
            "mounted": 1,
            "gpt": 0,
            "health": "UNKNOWN",
            "wearout": "N/A",
            "model": "unknown",
            "serial": "unknown",
            "vendor": "unknown",
            "wwn": "unknown",
            "type": "unknown",
            "rpm": -1,
            "osdid": -1,
            "osdid-list": None,
        }
    ]


@routes.get(f"{_NODE}/disks/zfs", f"{_NODE}/disks/directory", f"{_NODE}/disks/lvmthin")
def list_disk_users(call: Call) -> list[dict[str, Any]]:
    """ZFS pools, and thin pools by their storages; PVE made no directory."""
    if call.template.endswith("zfs"):
        return [pool_row(pool) for pool in call.node.hardware.pools]
    if not call.template.endswith("lvmthin"):
        return []
    rows = []
    told = call.node.hardware.thin_metadata_share
    for storage in call.cluster.storages.definitions.values():
        if storage.type == "lvmthin" and storage.is_for(call.node.name):
            usage = call.cluster.storages.usage(storage, call.node)
            metadata_bytes = max(usage.total // 1000, 1 << 20)
            used_share = usage.used / usage.total if usage.total else 0
            used_share = used_share if told is None else told
            rows.append(
                {
                    "lv": storage.options.get("thinpool"),
                    "vg": storage.options.get("vgname"),
                    "lv_size": usage.total,
                    "used": usage.used,
                    "metadata_size": metadata_bytes,
                    "metadata_used": int(metadata_bytes * used_share),
                }
            )
    return rows


@routes.get(f"{_NODE}/certificates/info")
def list_certificates(call: Call) -> list[dict[str, Any]]:
    """The cluster's CA, the node's certificate, and the one set by people, if there is one."""
    node, cluster = call.node, call.cluster
    whole = f"{cluster.name} {' '.join(sorted(cluster.nodes))}"
    files = node.hardware.certificates.values()
    return [certificate_row(node.name, whole, file) for file in files]


@routes.get(f"{_NODE}/disks/lvm")
def get_volume_groups(call: Call) -> dict[str, Any]:
    """Volume groups as a tree: those that storages name."""
    groups = {
        str(storage.options["vgname"]): storage
        for storage in call.cluster.storages.definitions.values()
        if storage.options.get("vgname") and storage.is_for(call.node.name)
    }
    children = [
        {
            "name": name,
            "leaf": 0,
            "size": call.cluster.storages.usage(storage, call.node).total,
            "free": call.cluster.storages.usage(storage, call.node).avail,
            "lvcount": 1,
            "children": [],
        }
        for name, storage in groups.items()
    ]
    return {"leaf": 0, "children": children}


@routes.get(f"{_NODE}/netstat", f"{_NODE}/capabilities/qemu/cpu-flags")
def list_nothing(_call: Call) -> list[Any]:
    """No packet flows."""
    return []


@routes.get(f"{_NODE}/aplinfo")
def list_templates(call: Call) -> list[dict[str, str]]:
    """The index of container templates; empty where it was never fetched."""
    return call.cluster.appliances


@routes.post(f"{_NODE}/aplinfo")
def download_template(call: Call) -> str:
    """What the index has, fetched and checked as every download (API2/Nodes.pm, apl_download)."""
    storage = call.cluster.storages.get_usable(call.params["storage"], call.node)
    name = call.params["template"]
    row = next((row for row in call.cluster.appliances if row["template"] == name), None)
    if row is None:
        raise parameter_error({"template": "no such template"})
    wanted = ("sha512", row["sha512sum"])
    return start_download(call, storage, "vztmpl", name, row["location"], wanted)


@routes.get(f"{_NODE}/capabilities/qemu/cpu")
def list_cpu_models(_call: Call) -> list[dict[str, Any]]:
    """CPU types that a VM may have."""
    models = {
        "host": "default",
        "max": "default",
        "kvm64": "default",
        "qemu64": "default",
        "x86-64-v2-AES": "default",
        "x86-64-v3": "default",
        "x86-64-v4": "default",
        "EPYC": "AuthenticAMD",
        "Skylake-Server": "GenuineIntel",
    }
    return [{"name": name, "vendor": vendor, "custom": 0} for name, vendor in models.items()]


@routes.get(f"{_NODE}/capabilities/qemu/machines")
def list_machine_types(_call: Call) -> list[dict[str, str]]:
    """Machine types that a VM may have, newest first."""
    rows = []
    for version in ("10.0", "9.2", "9.1", "9.0", "8.2", "8.1", "8.0"):
        for kind, name in (("i440fx", f"pc-i440fx-{version}"), ("q35", f"pc-q35-{version}")):
            rows.append({"id": name, "type": kind, "version": version})
    return rows


@routes.get(f"{_NODE}/capabilities/qemu/migration")
def get_migration_capabilities(_call: Call) -> dict[str, bool]:
    """What a migration of a running VM can carry over."""
    return {"has-dbus-vmstate": True}


@routes.get(f"{_NODE}/syslog")
def read_syslog(call: Call) -> list[dict[str, Any]]:
    """Nothing is logged here but by tasks."""
    call.extra["total"] = 1
    return [{"n": 1, "t": "no content"}]


@routes.get(f"{_NODE}/journal")
def read_journal(_call: Call) -> list[str]:
    """An empty journal: the line between the cursors."""
    return []


@routes.get(f"{_NODE}/scan/zfs", f"{_NODE}/scan/lvm", f"{_NODE}/scan/lvmthin")
def scan_local(call: Call) -> list[dict[str, Any]]:
    """Pools and groups that lie on this node, by the storages that use them."""
    kind = call.template.rpartition("/")[2]
    rows = []
    for storage in call.cluster.storages.definitions.values():
        if not storage.is_for(call.node.name):
            continue
        if kind == "zfs" and storage.type == "zfspool":
            usage = call.cluster.storages.usage(storage, call.node)
            rows.append({"pool": storage.options.get("pool"), "size": usage.total})
        elif kind == "lvm" and storage.options.get("vgname"):
            rows.append({"vg": storage.options["vgname"]})
        elif kind == "lvmthin" and storage.options.get("vgname") == call.params["vg"]:
            rows.append({"lv": storage.options.get("thinpool")})
    return rows
