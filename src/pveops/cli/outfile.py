"""Files that a command makes for a person: pictures and pages. Nothing of anybody else is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pveops.errors import ExistsError, UsageError

if TYPE_CHECKING:
    from pveops.cli.call import Call


class FileKind(NamedTuple):
    """How files of a kind are told: by their beginning, and by what ours hold near it."""

    noun: str
    ending: str
    begins: bytes
    mark: bytes


PICTURE = FileKind("PNG", ".png", b"\x89PNG\r\n\x1a\n", b"Software\x00pveops")
PAGE = FileKind(
    "HTML page", ".html", b"<!doctype html>", b'<meta name="generator" content="pveops">'
)
_HEAD_BYTES = 4096


def claim_path(call: Call, text: str, kind: FileKind, name: str, *, may_replace: bool) -> Path:
    """The file that is meant, which may be written. Raises UsageError, ExistsError."""
    if call.served is not None:
        raise UsageError(call.served.no_files, hint="without the file: the text")
    if call.options.is_look_only:
        raise UsageError(
            "a file is more than a look, and only looking is allowed here",
            hint="without the file: the text",
        )
    path = choose_path(text, kind, name)
    check_free(path, kind, may_replace=may_replace)
    return path


def choose_path(text: str, kind: FileKind, name: str) -> Path:
    """The file that is meant; in a folder, one of that name. Raises UsageError."""
    path = Path(text).expanduser()
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-")
    if path.is_dir():
        return path / f"{safe}{kind.ending}"
    if path.suffix.lower() != kind.ending:
        raise UsageError(
            f"{text!r} is neither a folder nor a file ending in {kind.ending}",
            hint=f"--help shows how; for example: /tmp/{safe}{kind.ending}",
        )
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    return path


def check_free(path: Path, kind: FileKind, *, may_replace: bool) -> None:
    """What we made before may be made anew; another of its kind with --replace; nothing else.

    Raises ExistsError.
    """
    if not path.exists() and not path.is_symlink():
        return
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head.startswith(kind.begins) and (kind.mark in head or may_replace):
        return
    if head.startswith(kind.begins):
        raise ExistsError(f"{path} is there, and was not made by pve", hint="--replace")
    raise ExistsError(
        f"{path} is there, and is no {kind.noun}; it is never replaced",
        hint="choose another name",
    )


def write_file(path: Path, content: bytes) -> None:
    """Whole or not at all, in place of what is there. Raises UsageError."""
    from pveops.config.paths import write_public_file

    try:
        write_public_file(path, content)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint=f"look at `ls -ld {path.parent}`"
        ) from error
