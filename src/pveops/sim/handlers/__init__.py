"""PVE's methods, one module a noun. Each module has its own `routes`; `ALL` holds them all."""

from __future__ import annotations

from importlib import import_module

from pveops.sim.router import Routes

MODULES = (
    "access_accounts",
    "access_control",
    "access_factors",
    "access_login",
    "access_realms",
    "backups",
    "bulk",
    "ceph",
    "cluster_config",
    "cluster_resources",
    "cluster_status",
    "consoles",
    "ct_clone",
    "ct_config",
    "ct_create",
    "ct_migrate",
    "execute",
    "firewall",
    "guest_destroy",
    "guest_power",
    "guest_snapshots",
    "guests",
    "ha",
    "index",
    "jobs",
    "node_info",
    "node_settings",
    "nodes",
    "notifications",
    "pools",
    "replication",
    "rrd",
    "sections",
    "storage",
    "storage_content",
    "storage_status",
    "tasks",
    "upload",
    "version",
    "vm_agent",
    "vm_clone",
    "vm_cloudinit",
    "vm_config",
    "vm_create",
    "vm_disks",
    "vm_migrate",
    "vm_monitor",
)


def _all() -> Routes:
    routes = Routes()
    routes.merge(import_module(f"{__name__}.{name}").routes for name in MODULES)
    return routes


def __getattr__(name: str) -> Routes:
    """`ALL` is made at its first use, when every module can be imported."""
    if name != "ALL":
        raise AttributeError(name)
    globals()["ALL"] = routes = _all()
    return routes
