"""The transport for a node itself: PVE's own command `pvesh`, as root.

What it does differently from HTTP (pve-common CLIHandler.pm, RESTEnvironment.pm; pve-manager
pvesh): a task runs inside the call, its log goes to standard output and its id follows as the
last line; a task that failed leaves the exit status 0, so the task has to be read afterwards; a
refusal is text on standard error. Parameters are arguments, which every user of the machine can
read, so secrets are refused.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from pveops.api.port import Request, Response
from pveops.errors import OutcomeUnknownError, PveopsError, UnreachableError, UsageError

READ_TIMEOUT_S = 120.0
"""Loading the API's modules alone takes a second. Writes have no limit: tasks run in them."""

_VERBS = {"GET": "get", "POST": "create", "PUT": "set", "DELETE": "delete"}
_SECRET = re.compile(
    r"passw|secret|^key$|-key$|keyring|otp|ticket|challenge|^token$", re.IGNORECASE
)
_STATUS_LINE = re.compile(r"^(?P<status>[45]\d\d) (?P<reason>.+)$", re.MULTILINE)
_FIELD_LINE = re.compile(r"^(?P<name>[\w\-\[\]]+): (?P<text>.+)$", re.MULTILINE)
_NO_HANDLER = re.compile(r"No '\w+' handler defined for")
_NODE_SILENT = re.compile(r"ssh: (?:connect to host|Could not resolve)|Connection timed out")


class PveshTransport:
    """Runs the command once for each request. Has no credentials and needs none."""

    def __init__(
        self, command: Sequence[str] = ("pvesh",), *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Take the command with its first arguments; `environ` replaces the process's own."""
        self._command = tuple(command)
        self._environ = environ

    def send(self, request: Request) -> Response:
        """Run it. A refusal comes as the answer that PVE's HTTP server would have given.

        Raises UsageError for secrets among the parameters, UnreachableError when the command
        cannot be run or does not answer a read, OutcomeUnknownError when it is killed in a write.
        """
        if request.upload is not None:
            raise UsageError(
                "pvesh takes no file",
                hint="copy it to the node, into the storage's own folder (template/iso, "
                "template/cache), or use an https endpoint",
            )
        arguments = [*self._command, *_arguments(request)]
        timeout_s = (request.read_timeout_s or READ_TIMEOUT_S) if request.is_read else None
        try:
            done = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
                env=None if self._environ is None else dict(self._environ),
            )
        except OSError as error:
            raise UnreachableError(
                f"{self._command[0]} cannot be run: {error.strerror}",
                hint="it exists on PVE nodes only, for root; elsewhere use https endpoints",
                details={"sent": False},
            ) from error
        except subprocess.TimeoutExpired as error:
            raise _lost(request, f"no answer within {timeout_s:.0f} s") from error
        if done.returncode < 0:
            raise _lost(request, f"ended by signal {-done.returncode}")
        if done.returncode == 0:
            return Response(200, "OK", {}, _last_line(done.stdout), "pvesh")
        return _refusal(done.stderr.decode("utf-8", "replace"))

    def close(self) -> None:
        """Nothing is kept between requests."""


def _arguments(request: Request) -> list[str]:
    verb = _VERBS.get(request.method)
    if verb is None:
        raise UsageError(f"pvesh has no {request.method}")
    for name, _ in request.params:
        if _SECRET.search(name):
            raise UsageError(
                f"{name!r} would be readable by every user of this machine",
                hint="use an https endpoint for calls that carry secrets",
            )
    options = [f"--{name}={value}" for name, value in request.params]
    return [verb, unquote(request.path), *options, "--output-format=json"]


def _last_line(stdout: bytes) -> bytes:
    """The result as an envelope: lines before the last belong to a task's log.

    No output at all is how the command prints null. A last line that is no JSON is handed on
    as it is, to be judged as no answer of PVE.
    """
    lines = stdout.strip().splitlines()
    if not lines:
        return b'{"data": null}'
    try:
        return json.dumps({"data": json.loads(lines[-1])}).encode()
    except ValueError:
        return lines[-1]


def _refusal(stderr: str) -> Response:
    text = stderr.strip()
    named = _STATUS_LINE.search(text)
    status = int(named["status"]) if named else 500
    reason = named["reason"] if named else _first_line(text)
    errors = {}
    if status == 400 and named is not None:
        fields = _FIELD_LINE.finditer(text, named.end())
        errors = {match["name"]: match["text"] for match in fields}
    if named is None and _NO_HANDLER.search(text):
        status = 501
    elif _NODE_SILENT.search(text):
        return Response(595, reason, {}, b"", "pvesh")
    message = text[named.start() + 4 :] if named else text
    body = {"data": None, "message": message, "errors": errors}
    return Response(status, reason, {}, json.dumps(body).encode(), "pvesh")


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0] or "pvesh failed without a word"


def _lost(request: Request, reason: str) -> PveopsError:
    details = {"sent": True, "request": f"{request.method} {request.path}"}
    what = f"pvesh {_VERBS[request.method]} {request.path}: {reason}"
    if request.is_read:
        return UnreachableError(what, details=details)
    return OutcomeUnknownError(what, details=details)
