"""What root puts into folders that are another account's: through no link of that account's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pveops.errors import ConfigError


class Owner(NamedTuple):
    """Whose it is to be."""

    uid: int
    gid: int


def own_folder(folder: Path, owner: Owner) -> None:
    """Make the folder, for its owner alone. Raises ConfigError for what is none, or a link."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    with _open(folder) as place:
        os.fchmod(place, 0o700)
        os.fchown(place, *owner)


def write_once(path: Path, text: str, owner: Owner | None = None) -> bool:
    """Write a file of mode 0600 where nothing has its name; whether it was written.

    What is there already is its owner's, whatever it is. Raises ConfigError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _open(path.parent) as place:
        try:
            file = os.open(path.name, flags, 0o600, dir_fd=place)
        except FileExistsError:
            return False
        with os.fdopen(file, "w", encoding="utf-8") as target:
            if owner is not None:
                os.fchown(target.fileno(), *owner)
            target.write(text)
    return True


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        place = os.open(folder, flags)
    except OSError as error:
        raise ConfigError(
            f"{folder} is no folder of its own: {error.strerror}", hint=f"ls -ld {folder}"
        ) from error
    try:
        yield place
    finally:
        os.close(place)
