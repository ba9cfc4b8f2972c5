"""PVE's methods, one module a noun; `ALL` is every route that is modelled."""

from pveops.sim.handlers import (
    backups,
    bulk,
    cluster_config,
    consoles,
    firewall,
    index,
    jobs,
    node_info,
    node_settings,
    notifications,
    pools,
    rrd,
    sections,
    storage,
    storage_content,
    storage_status,
    upload,
)
from pveops.sim.router import Routes

_MODULES = (
    backups,
    bulk,
    cluster_config,
    consoles,
    firewall,
    index,
    jobs,
    node_info,
    node_settings,
    notifications,
    pools,
    rrd,
    sections,
    storage,
    storage_content,
    storage_status,
    upload,
)

ALL = Routes()
ALL.merge(module.routes for module in _MODULES)
