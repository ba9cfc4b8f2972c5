"""Files that a node fetches to a storage: images, ISOs, container templates. A pure decision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pveops.domain.download_facts import DownloadFacts
from pveops.errors import UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState, WaitTask

_TASK_S = 86_400.0
_GRACE_S = 30.0
_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
ENDINGS = {
    "iso": (".iso", ".img"),
    "vztmpl": (".tar.gz", ".tar.xz", ".tar.zst", ".tar"),
    "import": (".qcow2", ".raw", ".vmdk", ".ova"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def decide_download(_operation: str, facts: DownloadFacts, params: dict[str, Scalar]) -> Decision:
    """The node fetches the file itself (API2/Storage/Status.pm, download_url).

    With a checksum a repetition does no harm: PVE takes what is there when it is the same.
    """
    storage, content = facts.storage, str(params.get("content") or "")
    url, file = str(params.get("url") or ""), _file_name(params)
    volid = f"{storage.storage}:{content}/{file}"
    target = Target(kind="volume", id=volid, name=file, node=storage.node)
    if facts.files is not None and file in facts.files:
        return Decision(target, (), is_already_so=True, state=f"on {storage.storage}")
    checksum = _checksum(params)
    found = tuple(check_content(facts, content))
    if blocks_among(found):
        return Decision(target, found)
    call = Call(
        "POST",
        f"/nodes/{storage.node}/storage/{storage.storage}/download-url",
        {"content": content, "filename": file, "url": url, **checksum},
        effect="C",
        task_types=("download",),
        does=f"download {file}",
        task_id=file,
    )
    expect: dict[str, Scalar] = {"storage": storage.storage, "content": content, "volid": volid}
    item = Item(
        target=target,
        headline=f"NEW FILE from {urlsplit(url).hostname}",
        guards={},
        before={"exists": False},
        steps=(call, WaitTask(_TASK_S), WaitState("volume.exists", _GRACE_S, expect)),
        raises=() if checksum else ("nothing checks what is downloaded (no --checksum)",),
    )
    return Decision(target, found, item)


def _file_name(params: dict[str, Scalar]) -> str:
    """What the file is to be called. Raises UsageError for what PVE would not list."""
    content, url = str(params.get("content") or ""), str(params.get("url") or "")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{url!r} is no URL", hint="--url https://...")
    if parts.username or parts.password:
        raise UsageError(
            "a URL with a password in it would stand in PVE's logs", hint="use one without"
        )
    if content not in ENDINGS:
        raise UsageError("what is it?", hint=f"--content {' or '.join(ENDINGS)}")
    file = str(params.get("filename") or parts.path.rpartition("/")[2])
    check_file_name(file, content, "--filename NAME")
    return file


def check_file_name(file: str, content: str, hint: str) -> None:
    """Raises UsageError for a name that PVE would change, or not list as that content."""
    if not _NAME.fullmatch(file):
        raise UsageError(f"{file!r} is no file name", hint=hint)
    if not file.lower().endswith(ENDINGS[content]):
        raise UsageError(
            f"{content} files end with {', '.join(ENDINGS[content])}; {file!r} does not",
            hint=hint,
        )


def _checksum(params: dict[str, Scalar]) -> dict[str, Scalar]:
    checksum = str(params.get("checksum") or "").lower()
    algorithm = str(params.get("checksum_algorithm") or "")
    if not checksum:
        return {}
    if not algorithm:
        algorithm = next((name for name, size in _LENGTHS.items() if size == len(checksum)), "")
    length = _LENGTHS.get(algorithm, 0)
    if not re.fullmatch(r"[0-9a-f]+", checksum) or len(checksum) != length:
        raise UsageError(
            f"{checksum[:20]!r} is no {algorithm or 'known'} checksum",
            hint=f"hexadecimal; algorithms: {', '.join(_LENGTHS)}",
        )
    return {"checksum": checksum, "checksum-algorithm": algorithm}


def check_content(facts: DownloadFacts, content: str) -> Iterator[Finding]:
    """Whether the storage takes that, and can be looked at."""
    storage = facts.storage
    if content not in storage.content:
        yield Finding(
            "storage.wrong-content",
            "block",
            storage.storage,
            f"{storage.storage} takes {', '.join(storage.content)}, and no {content}",
            remedy="choose another storage, or let a person add the content type",
        )
    if facts.files is None:
        yield Finding(
            "storage.unseen", "warn", storage.storage, "what it holds already cannot be read"
        )
