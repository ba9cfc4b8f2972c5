"""Cluster-wide settings and reads that need no noun of their own."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import check, may
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.replication import schedule
from pveops.sim.router import Routes, Waiting

routes = Routes()
_WITH_PARTS = (
    "bwlimit crs ha migration next-id notify replication tag-style u2f user-tag-access webauthn"
)
_OBJECT_OPTIONS = tuple(_WITH_PARTS.split())
"""Text in requests, objects in answers."""
_LOG_PRIORITY = 6


@routes.get("/cluster/options")
def get_options(call: Call) -> dict[str, Any]:
    """datacenter.cfg; who may not audit sees little of it."""
    options = call.cluster.options
    if may(call, "/", "Sys.Audit"):
        shown = {"mac_prefix": "BC:24:11", "description": "", **options}
    else:
        shown = {name: options[name] for name in ("console", "tag-style") if name in options}
    for name in _OBJECT_OPTIONS:
        if name in shown:
            shown[name] = parse_properties(str(shown[name]), "type")
    return {**shown, "allowed-tags": _allowed_tags(call)}


def _allowed_tags(call: Call) -> list[str]:
    """Registered tags, and those that all who may see a guest can use."""
    options = call.cluster.options
    tags = {tag for tag in str(options.get("registered-tags") or "").split(";") if tag}
    access = parse_properties(str(options.get("user-tag-access") or ""))
    mode = access.get("user-allow", "free")
    if mode in ("free", "list"):
        tags |= {tag for tag in access.get("user-allow-list", "").split(";") if tag}
    if mode in ("free", "existing"):
        for guest in call.cluster.guests.values():
            if may(call, f"/vms/{guest.vmid}", "VM.Audit"):
                tags |= {tag for tag in str(guest.config.get("tags") or "").split(";") if tag}
    return sorted(tags)


@routes.put("/cluster/options")
def set_options(call: Call) -> Waiting:
    """Set and delete options."""
    yield from lock_file(call.receiver, "datacenter.cfg")
    options = call.cluster.options
    options |= {name: value for name, value in call.params.items() if name != "delete"}
    for name in str(call.get("delete") or "").replace(";", ",").split(","):
        options.pop(name, None)


@routes.get("/cluster/log")
def read_log(call: Call) -> list[dict[str, Any]]:
    """The cluster log, newest first: here only what tasks leave in it."""
    rows: list[dict[str, Any]] = []
    is_auditor = may(call, "/", "Sys.Syslog")
    for node in call.cluster.members_seen_by(call.receiver):
        for task in node.tasks.values():
            if not is_auditor and task.upid.user.partition("!")[0] != call.identity.user:
                continue
            rows.append(_log_row(task.upid.starttime, task.upid, f"starting task {task.upid}"))
            if task.endtime is not None:
                text = f"end task {task.upid} {task.exitstatus}"
                rows.append(_log_row(int(task.endtime), task.upid, text))
    rows.sort(key=lambda row: row["time"])
    for number, row in enumerate(rows, 1):
        row |= {"uid": str(number), "id": f"{number}:{row['node']}"}
    return rows[::-1][: call.get("max") or 50]


def _log_row(time: int, upid: Any, text: str) -> dict[str, Any]:
    return {
        "time": time,
        "node": upid.node,
        "pid": upid.pid,
        "pri": _LOG_PRIORITY,
        "tag": "pvedaemon",
        "user": upid.user,
        "msg": text,
    }


def _is_clustered(call: Call) -> bool:
    return call.cluster.name is not None


@routes.get("/cluster/config/nodes")
def list_config_nodes(call: Call) -> list[dict[str, Any]]:
    """corosync.conf's list of nodes."""
    if not _is_clustered(call):
        return []
    return [
        {
            "node": node.name,
            "name": node.name,
            "nodeid": str(node.node_id),
            "quorum_votes": "1",
            "ring0_addr": node.address,
        }
        for node in call.cluster.nodes.values()
    ]


def _totem(call: Call) -> dict[str, Any]:
    return {
        "cluster_name": call.cluster.name,
        "config_version": str(len(call.cluster.nodes)),
        "interface": {"0": {"linknumber": "0"}},
        "ip_version": "ipv4-6",
        "link_mode": "passive",
        "secauth": "on",
        "version": "2",
    }


@routes.get("/cluster/config/totem")
def get_totem(call: Call) -> dict[str, Any] | None:
    """corosync.conf's section on the protocol; a standalone node has none."""
    return _totem(call) if _is_clustered(call) else None


@routes.get("/cluster/config/join")
def get_join_information(call: Call) -> dict[str, Any]:
    """What another node needs to join."""
    if not _is_clustered(call):
        raise ApiError(424, "node is not in a cluster, no join info available!")
    name = call.get("node") or call.receiver.name
    if name not in call.cluster.nodes:
        raise die(f"unknown node '{name}'")
    rows = [row | {"pve_addr": row["ring0_addr"]} for row in list_config_nodes(call)]
    return {"nodelist": rows, "preferred_node": name, "totem": _totem(call)}


@routes.get("/cluster/config/apiversion")
def get_join_version(_call: Call) -> int:
    """Of the join procedure."""
    return 1


@routes.get("/cluster/config/qdevice")
def get_qdevice(call: Call) -> dict[str, str]:
    """The status of the quorum device, if there is one (corosync-qdevice-tool -s)."""
    if not call.cluster.has_qdevice:
        return {}
    return {
        "Algorithm": "Fifty-Fifty split",
        "Model": "Net",
        "QNetd host": "qnetd.example.test:5403",
        "State": "Connected",
        "Tie-breaker": "Node with lowest node ID",
    }


@routes.get("/cluster/qemu/cpu-flags")
def list_cpu_flags(_call: Call) -> list[Any]:
    """No flag is known of hosts that do not exist."""
    return []


@routes.get(
    "/cluster/acme/plugins",
    "/cluster/acme/account",
    "/cluster/acme/challenge-schema",
    "/cluster/jobs/realm-sync",
    "/cluster/qemu/custom-cpu-models",
)
def list_nothing(_call: Call) -> list[Any]:
    """Of what this cluster has none."""
    return []


@routes.get("/cluster/replication")
def list_replication_jobs(call: Call) -> list[dict[str, Any]]:
    """Replication jobs of the guests that the caller may see."""
    return [
        job | {"id": id_}
        for id_, job in sorted(call.cluster.replication_jobs.items())
        if may(call, f"/vms/{job['guest']}", "VM.Audit")
    ]


@routes.get("/cluster/replication/{id}")
def get_replication_job(call: Call) -> dict[str, Any]:
    """One replication job."""
    id_ = call.params["id"]
    job = call.cluster.replication_jobs.get(id_)
    if job is None:
        raise die(f"no such replication job '{id_}'")
    check(call, f"/vms/{job['guest']}", "VM.Audit")
    return job | {"id": id_}


@routes.post("/cluster/replication")
def create_replication_job(call: Call) -> Waiting:
    """Add a job; both nodes and the guest must exist."""
    options = dict(call.params)
    id_, target = options.pop("id"), options["target"]
    vmid = int(id_.partition("-")[0])
    check(call, f"/vms/{vmid}", *_replication_privileges(call))
    guest = call.cluster.guests.get(vmid)
    if guest is None:
        raise die(f"Guest '{vmid}' does not exist.")
    if target not in call.cluster.nodes:
        raise die(f"Target '{target}' does not exist.")
    source = options.setdefault("source", guest.node)
    if source != guest.node:
        raise die(
            f"Source '{source}' does not match current node of guest '{vmid}' ({guest.node})"
        )
    if target == guest.node:
        raise die("Source and target must not be identical")
    if not _is_replicatable(call, vmid):
        raise die("No replicatable volumes found")
    yield from lock_file(call.receiver, "replication.cfg")
    if id_ in call.cluster.replication_jobs:
        raise die(f"replication job '{id_}' already exists")
    number = int(id_.partition("-")[2] or 0)
    call.cluster.replication_jobs[id_] = {**options, "guest": vmid, "jobnum": number}
    schedule(call.cluster, id_)


def _replication_privileges(call: Call) -> tuple[str, ...]:
    if call.receiver.version.at_least("9.0"):
        return ("VM.Replicate",)
    return ("Datastore.Allocate",)


def _is_replicatable(call: Call, vmid: int) -> bool:
    node = call.cluster.nodes[call.cluster.guests[vmid].node]
    storages = call.cluster.storages
    return any(
        storages.get(volume.storage).type == "zfspool"
        for volume in storages.volumes_of_guest(node, vmid)
    )


@routes.put("/cluster/replication/{id}")
def update_replication_job(call: Call) -> Waiting:
    """Change a job."""
    options = {k: v for k, v in call.params.items() if k not in ("id", "delete", "digest")}
    yield from lock_file(call.receiver, "replication.cfg")
    job = call.cluster.replication_jobs.get(call.params["id"])
    if job is None:
        raise die(f"no such job '{call.params['id']}'")
    for name in str(call.get("delete") or "").split(","):
        job.pop(name, None)
    job.update(options)


@routes.delete("/cluster/replication/{id}")
def delete_replication_job(call: Call) -> Waiting:
    """Mark a job for removal, or drop its entry at once with `force`."""
    yield from lock_file(call.receiver, "replication.cfg")
    job = call.cluster.replication_jobs.get(call.params["id"])
    if job is None:
        raise die(f"no such job '{call.params['id']}'")
    if call.get("keep") and call.get("force"):
        raise parameter_error({"keep": "conflicts with 'force'"})
    if call.get("force"):
        del call.cluster.replication_jobs[call.params["id"]]
    else:
        job["remove_job"] = "local" if call.get("keep") else "full"
