"""A request's way through the daemons, in PVE's order of checks.

format -> authentication -> method -> token allowed -> permission -> node -> parameters -> handler

(pve-http-server AnyEvent.pm, pve-manager HTTPServer.pm, pve-common RESTHandler.pm)
"""

from __future__ import annotations

import inspect
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from pveops.schema import Facts, Match, check_parameters
from pveops.sim import apidoc, multipart
from pveops.sim.auth import ANONYMOUS, authenticate
from pveops.sim.call import Call
from pveops.sim.expression import check_permission
from pveops.sim.faults import Fault
from pveops.sim.handlers import ALL
from pveops.sim.message import RawAnswer, RawRequest, TextAnswer, encode_json
from pveops.sim.model import Cluster, Node
from pveops.sim.parameters import merge_path, read_parameters, type_parameters
from pveops.sim.refusal import ApiError, DroppedError, die, parameter_error
from pveops.sim.router import Handler
from pveops.sim.tasks import Task

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_FORMATS = frozenset({"json", "extjs"})
_SECRET = ("password", "confirmation-password", "otp", "tfa-challenge", "value", "secret")
_MAX_BODY = 512 * 1024
_TEXTLESS = frozenset({400, 401, 595, 596, 597, 599})
"""What is refused before a handler with these has a reason phrase and nothing else."""
_PROXY_WAIT_S = 30.0


def handle(cluster: Cluster, receiver: Node, request: RawRequest) -> RawAnswer:
    """Answer one request that `receiver` got. Waits on the timeline, never with its lock held."""
    path, _, query = request.target.partition("?")
    entry: dict[str, Any] = {"method": request.method, "path": path, "node": receiver.name}
    if request.method == "GET" and path == apidoc.PATH:
        return apidoc.serve_apidoc(receiver.version.schema)
    form, below = _split_format(path)
    with cluster.timeline.lock:
        cluster.timeline.run_due()
        entry["at"] = cluster.timeline.now()
        cluster.journal.append(entry)
        fault = cluster.faults.strike(
            cluster, method=request.method, path=below, node=receiver.name
        )
    if fault is not None and (early := _before_effect(cluster, fault, entry)) is not None:
        return early
    answer = _answer(cluster, receiver, request, form, below, query, entry)
    entry["status"] = answer.status
    entry["reason"] = answer.reason
    return _after_effect(cluster, fault, answer, entry) if fault is not None else answer


def _split_format(path: str) -> tuple[str, str]:
    parts = path.split("/", 3)
    if len(parts) < 3 or parts[1] != "api2" or not parts[2]:
        return "", path
    return parts[2], "/" + (parts[3] if len(parts) > 3 else "")


# -- faults -----------------------------------------------------------------------


def _before_effect(cluster: Cluster, fault: Fault, entry: dict[str, Any]) -> RawAnswer | None:
    entry["fault"] = fault.kind
    if fault.kind == "lost-before":
        return RawAnswer(0, "", is_lost=True)
    if fault.kind == "hang":
        return RawAnswer(0, "", is_hanging=True)
    if fault.kind == "refuse":
        has_body = fault.status not in {401, 595, 596, 597, 599}
        error = ApiError(fault.status, fault.reason, has_body=has_body)
        return _error_answer(cluster, error, "json")
    if fault.kind == "html":
        return _foreign_page()
    if fault.kind == "empty":
        return RawAnswer(200, "OK")
    return None


def _after_effect(
    cluster: Cluster, fault: Fault, answer: RawAnswer, entry: dict[str, Any]
) -> RawAnswer:
    if fault.kind == "lost-after":
        answer.is_lost = True
    elif fault.kind == "hang-after":
        answer.is_hanging = True
    elif fault.kind == "status-after":
        return RawAnswer(fault.status, fault.reason, keeps_alive=False)
    elif fault.kind == "html-after":
        return _foreign_page()
    elif fault.kind == "empty-after":
        return RawAnswer(200, "OK")
    elif fault.kind == "truncated":
        answer.body = answer.body[: len(answer.body) // 2]
    elif fault.kind in {"task-error", "task-vanish", "task-warnings"}:
        _break_task(cluster, fault, entry)
    return answer


def _break_task(cluster: Cluster, fault: Fault, entry: dict[str, Any]) -> None:
    upid = entry.get("upid", "")
    with cluster.timeline.lock:
        for node in cluster.nodes.values():
            task: Task | None = node.tasks.get(upid)
            if task is not None and task.is_running:
                _break(task, fault)


def _break(task: Task, fault: Fault) -> None:
    if fault.kind == "task-vanish":
        task.vanish()
    elif fault.kind == "task-warnings":
        task.warn(fault.reason)
    else:
        task.fail(fault.reason)


def _foreign_page() -> RawAnswer:
    headers = [("Content-Type", "text/html")]
    return RawAnswer(200, "OK", headers, b"<html><body>Sign in to the network</body></html>")


# -- the way itself -----------------------------------------------------------------


def _answer(
    cluster: Cluster,
    receiver: Node,
    request: RawRequest,
    form: str,
    path: str,
    query: str,
    entry: dict[str, Any],
) -> RawAnswer:
    try:
        _check_request(request, form, path)
        with cluster.timeline.lock:
            call, handler, match = _admit(cluster, receiver, request, path, query, entry)
        _check_reach(cluster, receiver, call.node, entry)
        data = _run(call, handler, match, entry)
        return _success(cluster, call, match, data, form)
    except DroppedError:
        entry["error"] = "the connection was dropped"
        return RawAnswer(0, "", is_lost=True)
    except ApiError as error:
        entry["error"] = error.message
        if error.status == 401:
            cluster.timeline.sleep(cluster.auth_delay_s)
        return _error_answer(cluster, error, form)


def _check_request(request: RawRequest, form: str, path: str) -> None:
    if request.method not in _METHODS:
        raise ApiError(501, f"method '{request.method}' not available", has_body=False)
    if request.method in {"GET", "DELETE"} and request.body:
        text = f"Unexpected content for method '{request.method}'"
        raise ApiError(501, text, has_body=False)
    is_upload = path.endswith("/upload")
    if len(request.body) > _MAX_BODY and not is_upload:
        raise ApiError(501, "for data too large", has_body=False)
    if not form:
        raise ApiError(501, "no such uri", has_body=False)
    if form not in _FORMATS | {"html", "png"}:
        raise ApiError(501, f"no formatter for uri {path}, {form}", has_body=False)


def _admit(
    cluster: Cluster,
    receiver: Node,
    request: RawRequest,
    path: str,
    query: str,
    entry: dict[str, Any],
) -> tuple[Call, Handler, Match]:
    """Everything before the handler, under the lock."""
    cluster.timeline.run_due()
    identity = authenticate(cluster, request.method, path.rstrip("/") or "/", request.headers)
    entry["user"] = identity.auth_id
    match = _facts(receiver.version.schema).resolve(request.method, path)
    shown = unquote(path).rstrip("/") or "/"
    not_implemented = ApiError(501, f"Method '{request.method} {shown}' not implemented")
    if match is None:
        raise not_implemented
    entry["template"] = match.template
    is_upload = match.template.endswith("/upload") and "boundary" in request.headers.get(
        "content-type", ""
    )
    given = (
        multipart.read_upload(receiver, request) if is_upload else read_parameters(request, query)
    )
    entry["params"] = {k: "***" if k in _SECRET else v for k, v in given.items()}
    params = merge_path(given, match.path_params)
    if identity.token is not None and not match.method.allows_token:
        uri = f"URI '{shown}' not available with API token, need proper ticket.\n"
        raise ApiError(403, f"Permission check failed ({uri})")
    node = _executing_node(cluster, receiver, match)
    call = Call(cluster, receiver, node, request.method, match.template, params, identity)
    if identity is not ANONYMOUS:
        check_permission(call, match.method)
    errors = check_parameters(match.method, params, receiver.version.schema)
    if errors:
        raise parameter_error(errors)
    call.params = type_parameters(match.method, params)
    handler = ALL.find(request.method, match.template)
    if handler is None:
        entry["is_unmodelled"] = True
        raise not_implemented
    return call, handler, match


_FACTS: dict[str, Facts] = {}


def _facts(version: str) -> Facts:
    if version not in _FACTS:
        _FACTS[version] = Facts.open(version)
    return _FACTS[version]


def _executing_node(cluster: Cluster, receiver: Node, match: Match) -> Node:
    name = match.path_params.get("node")
    if name is None or not match.method.proxyto or name in {"localhost", receiver.name}:
        return receiver
    node = cluster.node(name)
    if node is not None:
        return node
    if receiver.lookup_host(name) is None:
        raise die(
            f"hostname lookup '{name}' failed - failed to get address info for: {name}: "
            "Name or service not known"
        )
    raise ApiError(595, "Connection refused", has_body=False)


def _check_reach(cluster: Cluster, receiver: Node, node: Node, entry: dict[str, Any]) -> None:
    """The hop to the executing node; a node that does not answer costs time and ends in 595."""
    if node is receiver:
        return
    if not node.is_online:
        cluster.timeline.sleep(2.0)
        raise ApiError(595, "No route to host", has_body=False)
    if node.partition != receiver.partition:
        cluster.timeline.sleep(_PROXY_WAIT_S)
        raise ApiError(595, "Connection timed out", has_body=False)
    entry["executed_on"] = node.name


def _run(call: Call, handler: Handler, match: Match, entry: dict[str, Any]) -> Any:
    timeline = call.cluster.timeline
    with timeline.lock:
        entry["is_write"] = call.method != "GET"
        data = handler(call)
    if inspect.isgenerator(data):
        data = _drive(call, data)
    if match.method.method != "GET":
        entry["is_effective"] = True
    if isinstance(data, str) and data.startswith("UPID:"):
        entry["upid"] = data
    return data


def _drive(call: Call, steps: Any) -> Any:
    """Step a waiting handler; time passes outside the lock."""
    timeline = call.cluster.timeline
    while True:
        with timeline.lock:
            timeline.run_due()
            try:
                pause_s = next(steps)
            except StopIteration as end:
                return end.value
        timeline.sleep(pause_s)


# -- answers --------------------------------------------------------------------------


def _success(cluster: Cluster, call: Call, match: Match, data: Any, form: str) -> RawAnswer:
    headers = _common_headers(cluster)
    if match.method.is_protected or call.node is not call.receiver:
        # The daemon behind the proxy closes; the proxy keeps alive, and both say so.
        headers.append(("Connection", "close"))
    headers.append(("Connection", "Keep-Alive"))
    if isinstance(data, TextAnswer):
        headers.append(("Content-Type", "text/plain"))
        return RawAnswer(200, "OK", headers, data.encode())
    if form == "html":
        headers.append(("Content-Type", "text/html;charset=UTF-8"))
        page = encode_json(data).decode().replace("<", "&lt;")
        return RawAnswer(200, "OK", headers, f"<!DOCTYPE html><pre>{page}</pre>".encode())
    if form == "png":
        headers.append(("Content-Type", "image/png"))
        return RawAnswer(200, "OK", headers)
    headers.append(("Content-Type", "application/json;charset=UTF-8"))
    body: dict[str, Any] = {"data": data, **call.extra}
    if form == "extjs":
        body["success"] = 1
    return RawAnswer(200, "OK", headers, encode_json(body))


def _error_answer(cluster: Cluster, error: ApiError, form: str) -> RawAnswer:
    reason = error.message.split("\n", 1)[0]
    headers = _common_headers(cluster)
    if not error.has_body:
        headers.append(("Connection", "close"))
        text = b"" if error.status in _TEXTLESS else error.message.encode()
        if error.message.startswith("method '"):
            text = b""
        return RawAnswer(error.status, reason, headers, text, keeps_alive=False)
    body: dict[str, Any] = {"data": None, "message": _with_newline(error)}
    if error.errors:
        body["errors"] = error.errors
    headers.append(("Content-Type", "application/json;charset=UTF-8"))
    if form == "extjs":
        body |= {"success": 0, "status": error.status}
        headers.append(("Connection", "Keep-Alive"))
        return RawAnswer(200, "OK", headers, encode_json(body))
    headers.append(("Connection", "close"))
    return RawAnswer(error.status, reason, headers, encode_json(body), keeps_alive=False)


def _with_newline(error: ApiError) -> str:
    is_bare = error.status == 501
    return error.message if is_bare or error.message.endswith("\n") else f"{error.message}\n"


def _common_headers(cluster: Cluster) -> list[tuple[str, str]]:
    now = cluster.timeline.now()
    return [
        ("Cache-Control", "max-age=0"),
        ("Date", formatdate(now, usegmt=True)),
        ("Server", "pve-api-daemon/3.0"),
        ("Pragma", "no-cache"),
        ("Expires", formatdate(now, usegmt=True)),
    ]
