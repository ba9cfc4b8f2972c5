"""Files that come to a storage: uploads and downloads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

from pveops.sim.call import Call
from pveops.sim.model import Node
from pveops.sim.refusal import DroppedError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.storage import Storage
from pveops.sim.tasks import Task, TaskError, start_task
from pveops.sim.upload import UploadedFile
from pveops.sim.volume import DIRECTORIES, FILE_TYPES, Volume

routes = Routes()
_BASE = "/nodes/{node}/storage/{storage}"
_DOWNLOAD_RATE = 80e6
"""Bytes a second."""
_EXTENSIONS = {
    "iso": (r"[^/]+\.(iso|img)", "wrong file extension"),
    "vztmpl": (r"[^/]+\.(tar|tar\.(gz|xz|zst|bz2))", "wrong file extension"),
    "import": (r"[a-zA-Z0-9\-.+=_]+\.(ova|qcow2|raw|vmdk)", "invalid filename or wrong extension"),
}


def _normalized(name: str) -> str:
    """PVE::Storage::normalize_content_filename."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", re.sub(r"^.*[/\\]", "", name.rstrip("\n")))


def _checked_name(call: Call) -> str:
    name = _normalized(call.params["filename"])
    pattern, text = _EXTENSIONS[call.params["content"]]
    if not re.fullmatch(pattern, name, re.IGNORECASE):
        raise parameter_error({"filename": text})
    return name


def _format(content: str, name: str) -> str:
    if content == "iso":
        return "iso"
    extension = name.rpartition(".")[2].lower()
    return f"t{extension}" if content == "vztmpl" and extension != "tar" else extension


def _add_file(
    call: Call, node: Node, storage: Storage, content: str, name: str, size_bytes: int
) -> None:
    call.cluster.storages.add_volume(
        node,
        Volume(
            storage=storage.name,
            name=f"{content}/{name}",
            content=content,
            format=_format(content, name),
            size_bytes=size_bytes,
            used_bytes=size_bytes,
            ctime=int(call.cluster.timeline.now()),
        ),
    )


def _check_digest(task: Task, call: Call, uploaded: UploadedFile) -> None:
    algorithm = call.get("checksum-algorithm")
    if not algorithm:
        return
    found = uploaded.digest(algorithm)
    if found.lower() != call.params["checksum"].lower():
        task.log("calculating checksum...")
        expected = call.params["checksum"]
        raise TaskError(f"checksum mismatch: got '{found}' != expect '{expected}'")
    task.log("calculating checksum...OK, checksum verified")


@routes.post(f"{_BASE}/upload")
def upload(call: Call) -> str:
    """Take an uploaded file into a storage; runs on the node that received the request."""
    storages = call.cluster.storages
    target, spooled = _target(call), str(call.get("tmpfilename") or "")
    storage = storages.get_usable(call.params["storage"], target or call.receiver)
    if storage.type not in FILE_TYPES:
        raise die(f"can't upload to storage type '{storage.type}'")
    if spooled not in call.receiver.temporary_files:
        # Observed: a body that is not multipart ends the connection.
        raise DroppedError
    uploaded = call.receiver.temporary_files[spooled]
    content, name = call.params["content"], _checked_name(call)
    if content not in storage.content:
        raise die(f"storage '{storage.name}' does not support '{content}' content")
    node = _reached(call, target, storage)
    storages.get_active(storage.name, node)
    path = f"{storage.directory}/{DIRECTORIES[content]}/{name}"

    def body(task: Task) -> Generator[float, None, None]:
        task.log(f"starting file import from: {spooled}")
        _check_digest(task, call, uploaded)
        task.log(
            f"target node: {node.name}",
            f"target file: {path}",
            f"file size is: {uploaded.size_bytes}",
        )
        task.log(f"command: cp -- {spooled} {path}")
        yield uploaded.size_bytes / 500e6
        _add_file(call, node, storage, content, name, uploaded.size_bytes)
        call.receiver.temporary_files.pop(spooled, None)
        task.log("finished file import successfully")

    return str(start_task(call.receiver, "imgcopy", "", call.identity.auth_id, body).upid)


def _target(call: Call) -> Node | None:
    """The node of the path; None when the cluster has none of that name."""
    name = call.params["node"]
    return call.receiver if name == "localhost" else call.cluster.node(name)


def _reached(call: Call, target: Node | None, storage: Storage) -> Node:
    """The target, when ssh gets through to it."""
    if target is not None and target in call.cluster.members_seen_by(call.receiver):
        return target
    name = call.params["node"]
    address = call.receiver.lookup_host(name)
    if address is None:
        raise die(
            f"hostname lookup '{name}' failed - failed to get address info for: {name}: "
            "Name or service not known"
        )
    raise die(
        f"can't activate storage '{storage.name}' on node '{name}': command '/usr/bin/ssh "
        f"-o 'BatchMode=yes' -o 'HostKeyAlias={name}' {address} -- /usr/sbin/pvesm status "
        f"--storage {storage.name}' failed: exit code 255\n"
    )


@routes.post(f"{_BASE}/download-url")
def download_url(call: Call) -> str:
    """Download in a task what the simulated network has; every other URL leads nowhere."""
    storage = call.cluster.storages.get_usable(call.params["storage"], call.node)
    if storage.type not in FILE_TYPES:
        text = f"can't upload to storage type '{storage.type}', not a file based storage!"
        raise die(text)
    content, url = call.params["content"], call.params["url"]
    if content not in storage.content:
        text = f"storage '{storage.name}' is not configured for content-type '{content}'"
        raise die(text)
    name = _checked_name(call)
    call.cluster.storages.get_active(storage.name, call.node)
    checksum = call.get("checksum")
    wanted = (call.params["checksum-algorithm"], checksum) if checksum else None
    return start_download(call, storage, content, name, url, wanted)


def start_download(
    call: Call,
    storage: Storage,
    content: str,
    name: str,
    url: str,
    wanted: tuple[str, str] | None,
) -> str:
    """The task that fetches a file. `wanted`: algorithm and checksum."""
    path = f"{storage.directory}/{DIRECTORIES[content]}/{name}"

    def body(task: Task) -> Generator[float, None, None]:
        task.log(f"downloading {url} to {path}")
        if f"{content}/{name}" in call.cluster.storages.backing(storage, call.node).volumes:
            if wanted and wanted[1] == checksum_of(url, wanted[0]):
                task.log("OK, got correct file already, no need to download")
                return
            raise TaskError(f"refusing to override existing file '{path}'")
        yield 0.2
        size_bytes = call.cluster.web.get(url)
        if size_bytes is None:
            raise TaskError(f"download failed: {_connection_failure(url)}")
        yield size_bytes / _DOWNLOAD_RATE
        if wanted:
            _check_download(task, url, *wanted)
        _add_file(call, call.node, storage, content, name, size_bytes)
        task.log(f"download of '{url}' to '{path}' finished")

    return str(start_task(call.node, "download", name, call.identity.auth_id, body).upid)


def checksum_of(url: str, algorithm: str) -> str:
    """The checksum of a file of the simulated network: nothing but its URL is in it."""
    return hashlib.new(algorithm, url.encode()).hexdigest()


def _check_download(task: Task, url: str, algorithm: str, expected: str) -> None:
    """PVE::Tools::download_file_from_url."""
    got = checksum_of(url, algorithm)
    if got != expected:
        raise TaskError(f"checksum mismatch: got '{got}' != expect '{expected}'")
    task.log("calculating checksum...OK, checksum verified")


def _connection_failure(url: str) -> str:
    """The last line of wget."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if re.fullmatch(r"[\d.]+|[\da-f:]+", host):
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 80)
        return f"Connecting to {host}:{port}... failed: Connection refused."
    return f"wget: unable to resolve host address '{host}'"


@routes.get("/nodes/{node}/query-url-metadata")
def query_url_metadata(call: Call) -> dict[str, Any]:
    """Asks the server of a URL, which the simulated network does not reach."""
    parts = urlsplit(call.params["url"])
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 80)
    is_address = re.fullmatch(r"[\d.]+|[\da-f:]+", parts.hostname or "")
    cause = "Connection refused" if is_address else "Name or service not known"
    raise die(f"invalid server response: '500 Can't connect to {parts.hostname}:{port} ({cause})'")


@routes.post(f"{_BASE}/oci-registry-pull")
def pull_image(_call: Call) -> str:
    """Needs a program that a fresh node does not have."""
    raise die("Install 'skopeo' to pull OCI images from registries.")
