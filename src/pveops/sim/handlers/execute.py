"""Several methods below one node in one request: POST /nodes/{node}/execute."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pveops.schema import Facts, check_parameters
from pveops.sim.call import Call
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes, Waiting

routes = Routes()


@routes.post("/nodes/{node}/execute")
def execute(call: Call) -> Waiting:
    """Run the commands one after the other; a failed one does not stop the next."""
    answers: list[dict[str, Any]] = []
    for command in _commands(call):
        try:
            data = _run(call, command)
            if inspect.isgenerator(data):
                data = yield from data
            answers.append({"status": 200, "data": data})
        except ApiError as error:
            row: dict[str, Any] = {"status": error.status, "message": f"{error.message}\n"}
            answers.append(row | ({"errors": error.errors} if error.errors else {}))
    return answers


def _commands(call: Call) -> list[dict[str, Any]]:
    try:
        commands = json.loads(call.params["commands"])
    except ValueError:
        commands = None
    if not isinstance(commands, list) or not all(isinstance(row, dict) for row in commands):
        text = "could not decode commands - malformed JSON string"
        raise parameter_error({"commands": text})
    return commands


def _run(call: Call, command: dict[str, Any]) -> Any:
    """One command through the checks that a request of its own would pass."""
    from pveops.sim.expression import check_permission
    from pveops.sim.handlers import ALL
    from pveops.sim.parameters import type_parameters

    schema = call.node.version.schema
    path = f"/nodes/{call.node.name}/{command.get('path', '')}"
    match = Facts.open(schema).resolve(str(command.get("method")), path)
    handler = ALL.find(str(command.get("method")), match.template) if match else None
    if match is None or handler is None:
        raise die(f"no handler for '{path.removeprefix('/')}'")
    params = {**match.path_params, **(command.get("args") or {})}
    inner = Call(
        call.cluster,
        call.receiver,
        call.node,
        match.method.method,
        match.template,
        params,
        call.identity,
    )
    check_permission(inner, match.method)
    errors = check_parameters(match.method, params, schema)
    if errors:
        raise parameter_error(errors)
    inner.params = type_parameters(match.method, params)
    return handler(inner)
