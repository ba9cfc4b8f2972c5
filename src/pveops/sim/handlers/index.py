"""Directory indexes: what GET answers on a path that only groups other paths.

PVE writes these lists by hand, and they are not what its schema would give: some children are
missing, some names do not exist. The lists follow the `index` methods of pve-manager,
qemu-server, pve-container, pve-storage, pve-firewall, pve-cluster and pve-network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pveops.sim.call import Call
from pveops.sim.router import Routes

routes = Routes()

_INDEXES: dict[str, tuple[str, str]] = {
    "/": ("subdir", "version cluster nodes storage access pools"),
    "/cluster": (
        "name",
        "acme backup backup-info bulk-action>=9.0 ceph config firewall ha jobs log mapping "
        "metrics notifications nextid options qemu>=9.2 replication resources status tasks sdn",
    ),
    "/cluster/acme": ("name", "account tos meta directories plugins challenge-schema"),
    "/cluster/backup-info": ("subdir", "not-backed-up"),
    "/cluster/bulk-action": ("name", "guest"),
    "/cluster/bulk-action/guest": ("name", "start shutdown migrate suspend"),
    "/cluster/ceph": ("name", "flags metadata restart-bulk>=9.2 status"),
    "/cluster/config": ("name", "nodes totem join qdevice apiversion"),
    "/cluster/firewall": ("name", "aliases rules options groups ipset macros refs"),
    "/cluster/ha": ("id", "status resources groups rules>=9.0"),
    "/cluster/ha/status": ("name", "current manager_status"),
    "/cluster/jobs": ("subdir", "schedule-analyze realm-sync"),
    "/cluster/mapping": ("name", "dir pci usb"),
    "/cluster/metrics": ("name", "server"),
    "/cluster/notifications": (
        "name",
        "endpoints matchers targets matcher-fields matcher-field-values",
    ),
    "/cluster/notifications/endpoints": ("name", "gotify sendmail smtp webhook"),
    "/cluster/qemu": ("name", "cpu-flags custom-cpu-models"),
    "/cluster/sdn": ("id", "vnets zones controllers ipams dns fabrics>=9.0"),
    "/cluster/sdn/fabrics": ("subdir", "fabric node all"),
    "/cluster/sdn/vnets/{vnet}/firewall": ("name", "rules options"),
    "/nodes/{node}": (
        "name",
        "aplinfo apt capabilities ceph certificates config disks dns firewall hardware hosts "
        "journal lxc migrateall netstat network qemu query-oci-repo-tags>=9.1 query-url-metadata "
        "replication report rrd rrddata scan sdn services spiceshell startall status stopall "
        "storage subscription suspendall syslog tasks termproxy time version vncshell vzdump "
        "wakeonlan",
    ),
    "/nodes/{node}/apt": ("id", "changelog repositories update versions"),
    "/nodes/{node}/capabilities": ("name", "qemu"),
    "/nodes/{node}/capabilities/qemu": (
        "name",
        "cpu cpu-flags>=9.1 machines migration>=9.0",
    ),
    "/nodes/{node}/certificates": ("name", "acme custom info"),
    "/nodes/{node}/certificates/acme": ("name", "certificate"),
    "/nodes/{node}/disks": ("name", "list initgpt smart lvm lvmthin directory wipedisk zfs"),
    "/nodes/{node}/firewall": ("name", "rules options log"),
    "/nodes/{node}/hardware": ("type", "pci usb"),
    "/nodes/{node}/scan": ("method", "cifs glusterfs<9.0 iscsi lvm nfs pbs zfs"),
    "/nodes/{node}/sdn": ("name", "fabrics>=9.1 vnets>=9.1 zones"),
    "/nodes/{node}/services/{service}": ("subdir", "state start stop restart reload"),
    "/nodes/{node}/storage/{storage}": (
        "subdir",
        "content download-url file-restore import-metadata identity>=9.2 oci-registry-pull>=9.1 "
        "prunebackups rrd rrddata status upload",
    ),
    "/nodes/{node}/tasks/{upid}": ("name", "log status"),
    "/nodes/{node}/qemu/{vmid}": (
        "subdir",
        "config cloudinit pending status unlink vncproxy termproxy migrate resize move rrd "
        "rrddata monitor agent snapshot spiceproxy sendkey firewall mtunnel remote_migrate",
    ),
    "/nodes/{node}/qemu/{vmid}/agent": (
        "name",
        "exec exec-status file-read file-write fsfreeze-freeze fsfreeze-status fsfreeze-thaw "
        "fstrim get-fsinfo get-host-name get-memory-block-info get-memory-blocks get-osinfo "
        "get-time get-timezone get-users get-vcpus info network-get-interfaces ping "
        "set-user-password shutdown suspend-disk suspend-hybrid suspend-ram",
    ),
    "/nodes/{node}/qemu/{vmid}/firewall": ("name", "rules aliases ipset refs options"),
    "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}": ("cmd", "rollback config"),
    "/nodes/{node}/qemu/{vmid}/status": (
        "subdir",
        "current start stop reset shutdown suspend reboot",
    ),
    "/nodes/{node}/lxc/{vmid}": (
        "subdir",
        "config pending status vncproxy termproxy vncwebsocket spiceproxy migrate clone rrd "
        "rrddata firewall snapshot resize interfaces",
    ),
    "/nodes/{node}/lxc/{vmid}/firewall": ("name", "rules aliases ipset refs options"),
    "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}": ("cmd", "rollback config"),
    "/nodes/{node}/lxc/{vmid}/status": ("subdir", "current start stop shutdown reboot migrate"),
}
"""By path template: the member's name, and the children in PVE's order.

`name>=9.0` is listed from that version on, `name<9.0` before it.
"""


def _is_listed(call: Call, child: str) -> bool:
    name, _, since = child.partition(">=")
    _, _, before = name.partition("<")
    if since:
        return call.node.version.at_least(since)
    return not before or not call.node.version.at_least(before)


def _serve(key: str, children: str) -> Callable[[Call], Any]:
    rows = children.split()

    def answer(call: Call) -> list[dict[str, str]]:
        names = (row.partition(">=")[0].partition("<")[0] for row in rows if _is_listed(call, row))
        return [{key: name} for name in names]

    return answer


for _template, (_key, _children) in _INDEXES.items():
    routes.get(_template)(_serve(_key, _children))
