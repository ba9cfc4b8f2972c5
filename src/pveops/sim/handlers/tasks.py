"""Tasks of a node and of the cluster (pve-manager API2/Tasks.pm, API2/Cluster.pm)."""

from __future__ import annotations

from typing import Any

from pveops.ids import parse_upid
from pveops.sim.call import Call
from pveops.sim.handlers.permission import may
from pveops.sim.message import TextAnswer
from pveops.sim.refusal import ApiError, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import Task

routes = Routes()
_TASK = "/nodes/{node}/tasks/{upid}"
_BROADCAST = 25
"""How many finished tasks a node tells the others."""
_NO_LOG = "unable to open file - No such file or directory"


def _is_own(call: Call, task: Task) -> bool:
    """A user sees the tasks of its tokens, too; a token sees its own alone."""
    if call.identity.token is not None:
        return task.upid.user == call.identity.auth_id
    return task.upid.user.split("!")[0] == call.identity.user


def _row(task: Task) -> dict[str, Any]:
    upid = task.upid
    user, _, token = upid.user.partition("!")
    row: dict[str, Any] = {
        "upid": str(upid),
        "node": upid.node,
        "pid": upid.pid,
        "pstart": upid.pstart,
        "starttime": upid.starttime,
        "type": upid.type,
        "id": upid.id,
        "user": user,
    }
    if token:
        row["tokenid"] = token
    return row


def _list_row(task: Task) -> dict[str, Any]:
    row = _row(task)
    if task.is_running:
        return {**row, "status": "RUNNING"}
    return {**row, "status": task.exitstatus, "endtime": int(task.endtime or 0)}


def _class_of(task: Task) -> str:
    status = task.exitstatus or ""
    if status == "OK":
        return "ok"
    if status.startswith("WARNINGS: "):
        return "warning"
    return "unknown" if status == "unexpected status" else "error"


@routes.get("/nodes/{node}/tasks")
def list_tasks(call: Call) -> list[dict[str, Any]]:
    """Newest first; what runs only when it is asked for."""
    source = call.get("source", "archive")
    is_auditor = may(call, f"/nodes/{call.node.name}", "Sys.Audit")
    running = [t for t in call.node.tasks.values() if t.is_running]
    ended = [t for t in call.node.tasks.values() if not t.is_running]
    running.sort(key=lambda task: task.upid.starttime, reverse=True)
    ended.sort(key=lambda task: (task.endtime or 0.0, task.upid.starttime), reverse=True)
    chosen = {"archive": ended, "active": running, "all": running + ended}[source]
    fits = [t for t in chosen if (is_auditor or _is_own(call, t)) and _fits(call, t)]
    start, limit = int(call.get("start", 0)), int(call.get("limit", 50))
    if fits:
        # The server leaves a total of zero out.
        call.extra["total"] = len(fits)
    return [_list_row(task) for task in fits[start : start + limit]]


def _fits(call: Call, task: Task) -> bool:
    upid = task.upid
    wanted = call.get("statusfilter")
    return (
        (call.get("typefilter") is None or upid.type == call.params["typefilter"])
        and (call.get("vmid") is None or upid.id == str(call.params["vmid"]))
        and (call.get("since") is None or upid.starttime >= call.params["since"])
        and (call.get("until") is None or upid.starttime <= call.params["until"])
        and (
            not call.get("userfilter")
            or str(call.params["userfilter"]).lower() in upid.user.split("!")[0].lower()
        )
        and (not call.get("errors") or _class_of(task) in {"error", "unknown"})
        and (wanted is None or task.is_running or _class_of(task) in str(wanted).split(","))
    )


def _get(call: Call) -> Task:
    """The task of the path, visible to the caller."""
    text = str(call.params["upid"])
    upid = parse_upid(text)
    if upid is None:
        raise parameter_error({"upid": "unable to parse worker upid"})
    task = call.node.tasks.get(text)
    if upid.node != call.node.name or task is None:
        raise parameter_error({"upid": "no such task"})
    _check_visible(call, task)
    return task


def _check_visible(call: Call, task: Task) -> None:
    path = f"/nodes/{call.node.name}"
    if not _is_own(call, task) and not may(call, path, "Sys.Audit"):
        raise ApiError(403, f"Permission check failed ({path}, Sys.Audit)")


@routes.get(f"{_TASK}/status")
def get_status(call: Call) -> dict[str, Any]:
    """Running or stopped, and how it ended."""
    task = _get(call)
    row = _row(task)
    row["status"] = "running" if task.is_running else "stopped"
    if not task.is_running:
        row["exitstatus"] = task.exitstatus
    return row


@routes.get(f"{_TASK}/log")
def read_log(call: Call) -> Any:
    """Lines of the log; an unknown task has one line that says so."""
    text = str(call.params["upid"])
    if parse_upid(text) is None:
        raise parameter_error({"upid": "unable to parse worker upid"})
    task = call.node.tasks.get(text)
    if task is None:
        if call.cluster.version.major < 9:
            return {"n": 1, "t": _NO_LOG}
        call.extra["total"] = 1
        return [{"n": 1, "t": _NO_LOG}]
    _check_visible(call, task)
    if call.get("download"):
        return TextAnswer("".join(f"{line}\n" for line in task.log_lines))
    lines = task.log_lines
    start, limit = int(call.get("start", 0)), int(call.get("limit", 50))
    call.extra["total"] = len(lines)
    if not lines:
        call.extra["total"] = 1
        return [{"n": 1, "t": "no content"}]
    end = len(lines) if limit == 0 else start + limit
    return [{"n": n, "t": line} for n, line in enumerate(lines, 1) if start < n <= end]


@routes.delete(_TASK)
def stop_task(call: Call) -> None:
    """End a worker with a signal; what it was doing stays where it stands."""
    text = str(call.params["upid"])
    task = call.node.tasks.get(text)
    path = f"/nodes/{call.node.name}"
    is_own = task is not None and _is_own(call, task)
    if not is_own and not may(call, path, "Sys.Modify"):
        raise ApiError(403, f"Permission check failed ({path}, Sys.Modify)")
    if task is not None:
        task.abort()


@routes.get("/cluster/tasks")
def list_cluster_tasks(call: Call) -> list[dict[str, Any]]:
    """What every node last told: its running tasks and its newest finished ones."""
    is_auditor = may(call, "/", "Sys.Audit")
    rows = []
    for node in call.cluster.nodes.values():
        tasks = list(node.tasks.values())
        ended = [task for task in tasks if not task.is_running]
        ended.sort(key=lambda task: task.endtime or 0.0, reverse=True)
        running = [task for task in tasks if task.is_running]
        # API2/Cluster.pm compares whole authentication ids, so a token gets nothing of its own.
        rows += [
            _cluster_row(task)
            for task in running + ended[:_BROADCAST]
            if is_auditor or (call.identity.token is None and task.upid.user == call.identity.user)
        ]
    return sorted(rows, key=lambda row: -row["starttime"])


def _cluster_row(task: Task) -> dict[str, Any]:
    row = {k: v for k, v in _row(task).items() if k not in {"pid", "pstart"}}
    row["saved"] = "0" if task.is_running else "1"
    if not task.is_running:
        row |= {"status": task.exitstatus, "endtime": int(task.endtime or 0)}
    return row
