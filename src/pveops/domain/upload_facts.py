"""What the decision about an upload is made from: a file here, and a storage there."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.download_facts import DownloadFacts, read_place
from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.facts import Scene

_CHUNK_BYTES = 1 << 20


class LocalFile(NamedTuple):
    """A regular file. path: whole, with links followed. asked: as it was named."""

    asked: str
    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str

    @property
    def is_link(self) -> bool:
        """Whether the name led somewhere else."""
        return Path(self.asked).name != Path(self.path).name


class UploadFacts(NamedTuple):
    """local: the node that answers us, where PVE spools the file; empty: not known."""

    file: LocalFile
    place: DownloadFacts
    local: str


def read_upload_facts(client: Client, scene: Scene) -> tuple[UploadFacts]:
    """One request, and the whole file once, for its checksum. Raises UsageError."""
    file = read_local_file(scene.names[0])
    content = str(scene.params.get("content") or "")
    place = read_place(client, scene, str(scene.params["storage"]), content)
    return (UploadFacts(file, place, scene.local),)


def read_local_file(asked: str) -> LocalFile:
    """Raises UsageError for what is no readable file."""
    path = Path(asked).expanduser()
    try:
        path = path.resolve(strict=True)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{asked} is no file")
        digest = _hash(path)
    except OSError as error:
        raise UsageError(f"{asked} cannot be read: {error.strerror}") from error
    if not status.st_size:
        raise UsageError(f"{asked} is empty")
    return LocalFile(asked, str(path), status.st_size, status.st_mtime_ns, digest)


def _hash(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def file_text(path: str) -> str:
    """What tells a file from an edited one, for comparisons; empty when it is gone."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_size} bytes of {status.st_mtime_ns}"
