"""/nodes/{node}/vzdump: backups on demand, and what is in them."""

from __future__ import annotations

from typing import Any

from pveops.sim.archive import get_archive
from pveops.sim.backup import BackupJob
from pveops.sim.call import Call
from pveops.sim.handlers.jobs import check_selection, included_vmids
from pveops.sim.handlers.notifications import notices_of_backup
from pveops.sim.handlers.permission import check, may
from pveops.sim.handlers.storage_content import check_volume_access
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import start_task

routes = Routes()
_BASE = "/nodes/{node}/vzdump"
_ROOT_ONLY = ("tmpdir", "dumpdir", "script", "job-id")
_FOR_ADMINISTRATORS = ("mailto", "tmpdir", "dumpdir", "script", "ionice")


def _check_parameters(call: Call) -> None:
    """assert_param_permission_vzdump."""
    if call.identity.is_root:
        return
    for name in _ROOT_ONLY:
        if name in call.params:
            raise parameter_error({name: "Only root may set this option."})
    if any(name in call.params for name in ("bwlimit", "ionice", "performance")):
        check(call, "/", "Sys.Modify")
    if "prune-backups" in call.params:
        check(call, f"/storage/{call.get('storage') or 'local'}", "Datastore.Allocate")


@routes.post(_BASE)
def back_up(call: Call) -> str:
    """Start a backup; guests on other nodes are skipped, and `OK` comes when none is left."""
    params = dict(call.params)
    if params.get("stdout"):
        text = "option is only allowed on the command line interface."
        raise parameter_error({"stdout": text})
    _check_parameters(call)
    check_selection(params, is_new=True)
    wanted = included_vmids(call, {**params, "node": None})
    elsewhere = [vmid for vmid in wanted if _is_elsewhere(call, vmid)]
    local = [vmid for vmid in wanted if vmid not in elsewhere]
    if not local and not params.get("all"):
        return "OK"
    check(call, f"/storage/{params.get('storage') or 'local'}", "Datastore.AllocateSpace")
    allowed = frozenset(vmid for vmid in local if may(call, f"/vms/{vmid}", "VM.Backup"))
    may_allocate = may(call, f"/storage/{params.get('storage') or 'local'}", "Datastore.Allocate")
    notices = notices_of_backup(call)
    job = BackupJob(call.node, local, elsewhere, params, allowed, notices, may_allocate)
    subject = str(local[0]) if len(local) == 1 else ""
    return str(start_task(call.node, "vzdump", subject, call.identity.auth_id, job.run).upid)


def _is_elsewhere(call: Call, vmid: int) -> bool:
    guest = call.cluster.guests.get(vmid)
    return guest is not None and guest.node != call.node.name


@routes.get(f"{_BASE}/defaults")
def get_defaults(call: Call) -> dict[str, Any]:
    """What a backup does when nothing else is said."""
    name = call.get("storage") or "local"
    check(call, f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace")
    storage = call.cluster.storages.get(name)
    if "backup" not in storage.content:
        raise die(f"can't use storage '{name}' for backups - wrong content type")
    keep = storage.options.get("prune-backups") or "keep-all=1"
    row: dict[str, Any] = {
        "storage": name,
        "mode": "snapshot",
        "compress": "0",
        "all": 0,
        "remove": 1,
        "stopwait": 10,
        "lockwait": 180,
        "ionice": 7,
        "bwlimit": 0,
        "pigz": 0,
        "zstd": 1,
        "quiet": 0,
        "stop": 0,
        "stdexcludes": 1,
        "mailnotification": "always",
        "notification-mode": "auto",
        "performance": {"max-workers": 16, "pbs-entries-max": 1048576},
        "fleecing": {"enabled": 0},
        "prune-backups": keep,
    }
    if storage.type != "pbs":
        row["dumpdir"] = f"{storage.directory}/dump"
    if not may(call, f"/nodes/{call.node.name}", "Sys.Audit"):
        row = {key: value for key, value in row.items() if key not in _FOR_ADMINISTRATORS}
    return row


@routes.get(f"{_BASE}/extractconfig")
def extract_configuration(call: Call) -> str:
    """The guest's configuration as the backup holds it."""
    volid = call.params["volume"]
    parsed = check_volume_access(call, volid)
    if parsed.content != "backup":
        raise die(f"unable to use volume {volid} - content type needs to be 'backup'")
    check(call, f"/vms/{parsed.vmid}", "VM.Backup")
    return get_archive(call.node, volid).config_text()
