"""What the decision about a download to a storage is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import rows_of, text_of
from pveops.domain.storage import Storage
from pveops.errors import NodeUnreachableError, NotFoundError, PveopsError, UsageError
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.facts import Scene


class DownloadFacts(NamedTuple):
    """A storage on the node that is to fetch the file."""

    storage: Storage
    files: frozenset[str] | None
    """Names of the files of that content that are there; None: they cannot be read."""


def read_download_facts(client: Client, scene: Scene) -> tuple[DownloadFacts, ...]:
    """One request. Raises UsageError when several nodes have a storage of that name."""
    return (read_place(client, scene, scene.names[0], str(scene.params.get("content"))),)


def read_place(client: Client, scene: Scene, name: str, content: str) -> DownloadFacts:
    """A storage on the one node that is meant, and its files of that content. One request."""
    node = scene.params.get("node")
    found = [each for each in scene.inventory.storages if each.storage == name]
    if not found:
        names = ", ".join(sorted({each.storage for each in scene.inventory.storages}))
        raise NotFoundError(f"there is no storage {name!r}", hint=f"there are {names}")
    nodes = ", ".join(each.node for each in found)
    if node:
        found = [each for each in found if each.node == node]
        if not found:
            raise NotFoundError(f"{node} has no storage {name!r}", hint=f"it is on {nodes}")
    elif len(found) > 1 and not found[0].is_shared:
        raise UsageError(f"each of {nodes} has a {name} of its own", hint="say which with --node")
    up = [each for each in found if each.status == "available"]
    if not up:
        raise NodeUnreachableError(
            f"{name} is not available on {nodes}", hint=f"pve storage show {shell_word(name)}"
        )
    return DownloadFacts(up[0], _read_files(client, up[0], content))


def _read_files(client: Client, storage: Storage, content: str) -> frozenset[str] | None:
    path = api_path("nodes", storage.node, "storage", storage.storage, "content")
    try:
        rows = rows_of(client.get(path, {"content": content or None}))
    except PveopsError:
        return None
    return frozenset(text_of(row, "volid").rpartition("/")[2] for row in rows)
