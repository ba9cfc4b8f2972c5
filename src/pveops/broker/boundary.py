"""Whether the broker is a boundary: what its clients could do to what it keeps. Only looks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pveops.broker.peer import account_name
from pveops.broker.program import INSTALL_HINT, code_places, find_foreign
from pveops.broker.settings import Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Flaw(NamedTuple):
    """What is wrong, and how it is mended."""

    text: str
    fix: str


def find_flaws(folder: Path, settings: Settings) -> Iterator[Flaw]:
    """Everything that keeps the broker from being a boundary (level G3)."""
    uid = os.geteuid()
    if uid == 0:
        yield Flaw("the broker runs as root", "run it as an account of its own")
    if uid in settings.clients:
        yield Flaw(
            f"{account_name(uid)} is the broker's account and a client's: no boundary, only order",
            "give the broker an account of its own: pve-broker install, as root",
        )
    yield from _check_modes(folder, uid)
    for path, owner in find_foreign(code_places(), uid):
        yield Flaw(f"{owner} can write the program that the broker runs: {path}", INSTALL_HINT)


def _check_modes(folder: Path, uid: int) -> Iterator[Flaw]:
    for path in (folder, *sorted(folder.rglob("*"))):
        try:
            found = path.lstat()
        except OSError:
            continue
        if found.st_uid not in {uid, 0}:
            name = account_name(found.st_uid)
            yield Flaw(f"{path} belongs to {name}", f"chown {account_name(uid)} {path}")
        elif stat.S_ISLNK(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            continue
        elif path == folder and found.st_mode & _OTHERS:
            yield Flaw(f"{path} is open to other accounts", f"chmod 700 {path}")
        elif found.st_mode & _WRITE_BY_OTHERS:
            yield Flaw(f"{path} can be written by other accounts", f"chmod go-w {path}")
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield Flaw(f"{parent} can be written by everybody", f"chmod o-w {parent}")
