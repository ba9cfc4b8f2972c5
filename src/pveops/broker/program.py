"""Whose hands the broker's own program is in: who can write it, commands it. Only looks."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pveops.broker.peer import account_name
from pveops.errors import ConfigError

INSTALL_HINT = (
    "put it where only root writes and every account reads: python3 -m venv /opt/pveops && "
    "/opt/pveops/bin/pip install FOLDER_OF_PVEOPS, then /opt/pveops/bin/pve-broker install"
)
_PRIVATE = (Path("/home"), Path("/root"), Path("/run/user"))
"""What `ProtectHome=yes` of the unit hides."""
_WRITE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_WAIT_S = 30


def code_places() -> tuple[Path, ...]:
    """Where this process takes its code from."""
    executable = Path(sys.executable)
    found = {
        executable,
        executable.resolve(),
        *(Path(each).resolve() for each in sys.path if each),
    }
    return tuple(sorted(found))


def find_foreign(places: Iterable[Path], uid: int) -> Iterator[tuple[Path, str]]:
    """For each place, the first path in it or above it that others can write, and whose it is.

    uid: the broker's account; what it or root alone can write is in good hands.
    """
    seen: set[Path] = set()
    for place in places:
        for path in (*place.parents, *_below(place)):
            if path in seen:
                continue
            seen.add(path)
            owner = _foreign_owner(path, uid, is_above=path in place.parents)
            if owner:
                yield path, owner
                break


def _below(place: Path) -> Iterator[Path]:
    yield place
    for folder, _, names in os.walk(place):
        yield Path(folder)
        for name in names:
            yield Path(folder, name)


def _foreign_owner(path: Path, uid: int, *, is_above: bool) -> str:
    """Who else can write it; empty: nobody."""
    try:
        found = path.lstat()
    except OSError:
        return ""
    if found.st_uid not in {uid, 0}:
        return account_name(found.st_uid)
    if stat.S_ISLNK(found.st_mode) or (is_above and found.st_mode & stat.S_ISVTX):
        return ""
    return "other accounts" if found.st_mode & _WRITE_BY_OTHERS else ""


def check_installable(program: Path, account: str) -> None:
    """Raises ConfigError when a service of the account could not run the program."""
    for folder in _PRIVATE:
        if folder in program.parents:
            raise ConfigError(
                f"{program} is below {folder}, which the service does not see", hint=INSTALL_HINT
            )
    try:
        done = subprocess.run(
            [str(program), "--help"],
            user=account,
            group=pwd.getpwnam(account).pw_gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
        )
        problem = "" if done.returncode == 0 else f"it ended with {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        problem = str(error)
    if problem:
        raise ConfigError(f"{account} cannot run {program}: {problem}", hint=INSTALL_HINT)
