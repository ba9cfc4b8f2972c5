"""The plugin, put together from what the package holds: its code, and the skill that it ships."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pveops.config.folders import Content, put_folder
from pveops.config.guest_templates import find_skill_folder
from pveops.errors import ConfigError
from pveops.openclaw.steps import PLUGIN

_MARK = "openclaw.plugin.json"


def find_plugin_folder() -> Path:
    """The plugin's code in the package, or the checkout's own. Raises ConfigError."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "_plugin", package.parents[1] / "plugin"):
        if (place / _MARK).is_file():
            return place
    raise ConfigError("the plugin is not part of this installation")


def list_files() -> dict[str, Path]:
    """Every file of the plugin: where it comes to lie, and where it is now."""
    plugin, skill = find_plugin_folder(), find_skill_folder()
    files = {str(path.relative_to(plugin)): path for path in _walk(plugin)}
    shipped = {f"skills/{skill.name}/{path.relative_to(skill)}": path for path in _walk(skill)}
    return files | shipped


def is_same(folder: Path) -> bool:
    """Whether the folder holds the plugin as it is now; what else lies there does not count."""
    return all(_is_copy(folder / name, source) for name, source in list_files().items())


def write_plugin(folder: Path) -> bool:
    """Put the plugin together in that folder; whether anything had to be written.

    Raises ConfigError for a folder that holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and _id_of(folder) != PLUGIN:
        raise ConfigError(f"{folder} holds something else", hint="name a folder of its own")
    if is_same(folder):
        return False
    contents = {
        name: Content(source.read_bytes(), os.access(source, os.X_OK))
        for name, source in list_files().items()
    }
    put_folder(folder, contents, "the plugin")
    return True


def _id_of(folder: Path) -> str:
    """By which OpenClaw knows the plugin that lies there; empty: there is none."""
    try:
        manifest = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(manifest.get("id") or "") if isinstance(manifest, dict) else ""


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        is_hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not is_hidden:
            yield path


def _is_copy(path: Path, source: Path) -> bool:
    return path.is_file() and path.read_bytes() == source.read_bytes()
