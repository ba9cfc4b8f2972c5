"""Files from here to a storage: images, ISOs, container templates. A pure decision.

The file is spooled in /var/tmp of the node that takes the request, and copied by a task there.
PVE overwrites a file of the same name without a word (API2/Storage/Status.pm, upload).
"""

from __future__ import annotations

from collections.abc import Iterator

from pveops.api.port import api_path
from pveops.domain.upload_facts import UploadFacts
from pveops.errors import UsageError
from pveops.operations.decision import Decision
from pveops.operations.download import ENDINGS, check_content, check_file_name
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import file_guard
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import NO_ID, Call, Item, Scalar, Target, WaitState, WaitTask
from pveops.sanitize import shell_word
from pveops.units import format_bytes

_TASK_S = 7200.0
_GRACE_S = 20.0


def decide_upload(_operation: str, facts: UploadFacts, params: dict[str, Scalar]) -> Decision:
    """`storage.upload`: done when the node has verified the checksum and lists the file."""
    file, storage = facts.file, facts.place.storage
    name = str(params.get("name") or file.asked.rpartition("/")[2])
    content = _content_of(name, str(params.get("content") or ""))
    check_file_name(name, content, "--name NAME")
    _check_sum(facts, str(params.get("checksum") or ""))
    volid = f"{storage.storage}:{content}/{name}"
    target = Target(kind="volume", id=volid, name=name, node=storage.node)
    replaces = facts.place.files is not None and name in facts.place.files
    found = worst_first(_check(facts, content, name, params))
    if blocks_among(found):
        return Decision(target, found)
    call = Call(
        "POST",
        api_path("nodes", storage.node, "storage", storage.storage, "upload"),
        {
            "content": content,
            "checksum-algorithm": "sha256",
            "checksum": file.sha256,
            "filename": name,
        },
        effect="C",
        task_types=("imgcopy",),
        does=f"upload {name}",
        task_node=facts.local or storage.node,
        task_id=NO_ID,
        file=file.path,
        file_bytes=file.size_bytes,
        is_late=True,
    )
    expect: dict[str, Scalar] = {
        "storage": storage.storage,
        "content": content,
        "volid": volid,
        "size_bytes": file.size_bytes,
    }
    goal = WaitState("volume.exists", _GRACE_S, expect, holds_already=replaces)
    item = Item(
        target=target,
        headline=f"{format_bytes(file.size_bytes)} from {file.path}",
        guards=file_guard(file.path, file.size_bytes, file.mtime_ns),
        before={"exists": replaces},
        steps=(call, WaitTask(_TASK_S), goal),
        losses=(f"the {name} that is there",) if replaces else (),
        undo="" if replaces else f"pve storage delete {shell_word(volid)}",
        raises=(f"it takes the place of the {name} that is there",) if replaces else (),
    )
    return Decision(target, found, item)


def _content_of(name: str, asked: str) -> str:
    """As it was said, or by the name's ending; `.img` may be two things."""
    if asked:
        if asked not in ENDINGS:
            raise UsageError(f"{asked!r} is no content", hint=f"one of {', '.join(ENDINGS)}")
        return asked
    for content, endings in ENDINGS.items():
        if name.lower().endswith(endings):
            return content
    known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
    raise UsageError(f"what is {name!r}?", hint=f"--name NAME with one of {known}")


def _check_sum(facts: UploadFacts, wanted: str) -> None:
    digest = wanted.lower().removeprefix("sha256:")
    if digest and digest != facts.file.sha256:
        raise UsageError(
            f"{facts.file.asked} is not what was expected: its sha256 is {facts.file.sha256}",
            hint="get the file again",
        )


def _check(
    facts: UploadFacts, content: str, name: str, params: dict[str, Scalar]
) -> Iterator[Finding]:
    file, storage = facts.file, facts.place.storage
    yield from check_content(facts.place, content)
    if file.is_link:
        yield Finding(
            "file.link", "warn", storage.storage, f"{file.asked} is a link to {file.path}"
        )
    free = storage.total_bytes - storage.used_bytes
    if storage.total_bytes and free < file.size_bytes:
        yield Finding(
            "storage.full",
            "block",
            storage.storage,
            f"{format_bytes(file.size_bytes)} wanted, {format_bytes(max(0, free))} free",
            evidence="/cluster/resources",
            remedy=f"pve storage content {shell_word(storage.storage)}",
        )
    if facts.place.files and name in facts.place.files and not params.get("replace"):
        yield Finding(
            "volume.exists",
            "block",
            storage.storage,
            f"there is a {name} already, and PVE would overwrite it",
            remedy="--name ANOTHER, or --replace",
        )
    where = facts.local or "the node that takes it"
    yield Finding(
        "upload.spooled",
        "info",
        storage.storage,
        f"{where} keeps it in /var/tmp until it is copied; its space there is not known",
    )
