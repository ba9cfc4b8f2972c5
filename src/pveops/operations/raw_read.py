"""What some GETs of PVE's API do beyond looking at the cluster. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

_INSIDE_GUEST = "reads inside a guest"
_INSIDE_BACKUP = "reads the files in a backup"
_CALLS_ELSEWHERE = "has a node connect to wherever the caller names"
_OPENS_CONSOLE = "opens a console"
_REACHES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"/nodes/[^/]+/qemu/[^/]+/agent/(?:file-read|exec-status)", _INSIDE_GUEST),
        (r"/nodes/[^/]+/storage/[^/]+/file-restore/(?:list|download)", _INSIDE_BACKUP),
        (r"/nodes/[^/]+/query-(?:url-metadata|oci-repo-tags)", _CALLS_ELSEWHERE),
        (r"/nodes/[^/]+/scan/(?:nfs|cifs|pbs|iscsi|glusterfs)", _CALLS_ELSEWHERE),
        (r"/cluster/acme/(?:tos|meta)", _CALLS_ELSEWHERE),
        (r"/nodes/[^/]+/(?:(?:qemu|lxc)/[^/]+/)?vncwebsocket", _OPENS_CONSOLE),
    )
)
"""By the API's schema (7.4 to 9.2)."""


def find_reach(path: str) -> str:
    """What reading that path does besides; empty: nothing.

    PVE decodes a path, splits it at slashes, and leaves empty parts out (pve-http-server
    APIServer/AnyEvent.pm, pve-common RESTHandler.pm): so does this.
    """
    plain = "".join(f"/{part}" for part in unquote(path).split("/") if part)
    return next((what for pattern, what in _REACHES if pattern.fullmatch(plain)), "")
