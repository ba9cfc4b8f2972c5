"""The end of a guest: its volumes, its configuration, and what else names it.

(qemu-server API2/Qemu.pm, pve-container API2/LXC.pm, pve-guest-common)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pveops.sim.guest import Guest, config_path, release_flock, wait_for_flock
from pveops.sim.guest_volumes import all_volids, is_owned, list_volumes
from pveops.sim.ha import sid_of
from pveops.sim.power import find_local
from pveops.sim.refusal import ApiError, die
from pveops.sim.tasks import Body, Task, TaskError

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node
    from pveops.sim.power import Steps

_STEP_S = 0.2


def check_destroy(cluster: Cluster, guest: Guest, *, purge: bool, force: bool = False) -> None:
    """What a DELETE is refused for at once. force: a running container is killed first."""
    name = f"{guest.noun} {guest.vmid}"
    check_protection(guest, f"can't remove {name}")
    if not purge:
        if sid_of(guest) in cluster.ha.resources:
            raise die(
                f"unable to remove {name} - used in HA resources and purge parameter not set."
            )
        for job_id, job in cluster.replication_jobs.items():
            if str(job.get("guest")) == str(guest.vmid):
                raise die(
                    f"There is a replication job '{job_id}' for guest '{guest.vmid}' - "
                    "Please remove that first."
                )
    if guest.is_running and not force:
        if guest.kind == "qemu":
            raise die(f"{name} is running - destroy failed")
        raise die(f"unable to destroy {name} - container is running")


def check_protection(guest: Guest, what: str) -> None:
    """`can't remove VM 110 - protection mode enabled`."""
    if guest.config.get("protection"):
        raise die(f"{what} - protection mode enabled")


def destroy(
    node: Node,
    kind: str,
    vmid: int,
    *,
    purge: bool = False,
    with_unreferenced: bool = False,
    skip_lock: bool = False,
    force: bool = False,
) -> Body:
    """qmdestroy, vzdestroy.

    purge: jobs and HA resources forget the guest. with_unreferenced: every volume of its id on
    any storage goes, too. force: kill a running container.
    """

    def body(task: Task) -> Steps:
        wording = f"Configuration file '{config_path(node.name, kind, vmid)}' does not exist"
        guest = find_local(node.cluster, node, kind, vmid, wording)
        yield from wait_for_flock(guest, task)
        try:
            yield from _destroy(
                task, node, guest, with_unreferenced, skip_lock=skip_lock, force=force
            )
        finally:
            release_flock(guest, task)
        forget_guest(node.cluster, vmid)
        if purge:
            task.log(f"purging {guest.noun} {vmid} from related configurations..")
            purge_guest(task, node.cluster, guest)

    return body


def _destroy(
    task: Task,
    node: Node,
    guest: Guest,
    with_unreferenced: bool,
    *,
    skip_lock: bool,
    force: bool,
) -> Steps:
    if not skip_lock:
        guest.check_lock("suspended")
    if guest.is_running and not force:
        raise TaskError(f"{guest.noun} {guest.vmid} is running - destroy failed")
    guest.end_process(node.cluster.timeline.now())
    if guest.is_template:
        _check_bases(node, guest)
    guest.config["lock"] = "destroyed"
    yield _STEP_S
    for volid in all_volids(guest):
        _free(task, node, guest, volid)
    if with_unreferenced:
        for volume in list(node.cluster.storages.volumes_of_guest(node, guest.vmid)):
            _free(task, node, guest, volume.volid)
    yield _STEP_S
    node.cluster.guests.pop(guest.vmid, None)


def _check_bases(node: Node, guest: Guest) -> None:
    storages = node.cluster.storages
    for volume in list_volumes(guest.kind, guest.config):
        if not volume.is_on_storage:
            continue
        storage, name = storages.resolve(volume.volid)
        others = storages.backing(storage, node).volumes.values()
        # LVM-thin does not know of what was cloned from a base volume.
        if storage.type != "lvmthin" and any(other.parent == name for other in others):
            raise TaskError(f"base volume '{volume.volid}' is still in use by linked cloned")


def _free(task: Task, node: Node, guest: Guest, volid: str) -> None:
    """Destroy a volume of the guest's own; what fails is told and stays."""
    try:
        if is_owned(node.cluster.storages, guest, volid):
            node.cluster.storages.free(node, volid)
    except ApiError as error:
        task.log(f"Could not remove disk '{volid}', check manually: {error.message}")


def forget_guest(cluster: Cluster, vmid: int) -> None:
    """What goes with every guest: its access entries, its pool, its firewall."""
    for entry in [entry for entry in cluster.access.acl if entry.path == f"/vms/{vmid}"]:
        del cluster.access.acl[entry]
    cluster.pools.forget_guest(vmid)
    cluster.firewall.pop(f"guest/{vmid}", None)


def purge_guest(task: Task, cluster: Cluster, guest: Guest) -> None:
    """What goes with a purge: jobs of replication and of backups, the HA resource."""
    vmid = str(guest.vmid)
    for job_id in [i for i, job in cluster.replication_jobs.items() if str(job["guest"]) == vmid]:
        del cluster.replication_jobs[job_id]
    for job_id, job in list(cluster.backup_jobs.items()):
        _leave_job(cluster, job_id, job, vmid)
    sid = sid_of(guest)
    if cluster.ha.resources.pop(sid, None) is not None:
        for rule_id, rule in list(cluster.ha.rules.items()):
            _leave_rule(cluster, rule_id, rule, sid)
        task.log(f"NOTE: removed {guest.noun} {vmid} from HA resource configuration.")


def _leave_job(cluster: Cluster, job_id: str, job: dict[str, Any], vmid: str) -> None:
    listed = str(job.get("vmid") or "").split(",")
    if vmid not in listed:
        return
    rest = [item for item in listed if item != vmid]
    if rest:
        job["vmid"] = ",".join(rest)
    else:
        # The job whose only guest it was goes with it (PVE::VZDump::Plugin).
        del cluster.backup_jobs[job_id]


def _leave_rule(cluster: Cluster, rule_id: str, rule: dict[str, Any], sid: str) -> None:
    listed = [item.strip() for item in str(rule.get("resources") or "").split(",")]
    if sid not in listed:
        return
    rest = [item for item in listed if item != sid]
    if rest:
        rule["resources"] = ",".join(rest)
    else:
        del cluster.ha.rules[rule_id]
