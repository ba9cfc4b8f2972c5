"""Whole folders that are put in place at once, as copies of what the package holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pveops.errors import ConfigError


class Content(NamedTuple):
    """What a file is to hold, and whether it can be run."""

    data: bytes
    is_script: bool = False


def put_folder(target: Path, files: Mapping[str, Content], what: str) -> None:
    """Make the folder anew beside the target, and change places: it is never there half.

    files: by their path in it. Copies only: no links of any kind. Raises ConfigError that names
    `what`; what was there is there then.
    """
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    fresh, old = beside.with_suffix(".new"), beside.with_suffix(".old")
    try:
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.data)
            path.chmod(0o755 if content.is_script else 0o644)
        if target.exists():
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise ConfigError(
            f"{what} cannot be put into {target.parent}: {error.strerror}",
            hint=f"ls -ld {target.parent}",
        ) from error
    finally:
        for leaving in (fresh, old):
            shutil.rmtree(leaving, ignore_errors=True)
