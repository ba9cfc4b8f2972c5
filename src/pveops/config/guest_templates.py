"""Templates for guests: ours, which ship with the skill, and the user's own, which win."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from pveops.config.documents import load_document, suggest
from pveops.domain.guest_template import GuestTemplate
from pveops.errors import ConfigError, NotFoundError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


class FoundTemplate(NamedTuple):
    """A template and where it lies."""

    name: str
    path: Path
    template: GuestTemplate


def find_skill_folder() -> Path:
    """The skill folder of the package, or the checkout's own. Raises ConfigError."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "_skill" / "proxmox", package.parents[1] / "skills" / "proxmox"):
        if (place / "SKILL.md").is_file():
            return place
    raise ConfigError("the skill folder is not part of this installation")


def template_folders(own: Path) -> tuple[Path, ...]:
    """Where templates are looked for: the user's own folder first."""
    return own, find_skill_folder() / "assets" / "templates"


class Templates(NamedTuple):
    """All that can be used, by name, and what is wrong with the others."""

    found: tuple[FoundTemplate, ...]
    problems: tuple[str, ...]
    """A sentence each, with file and line."""


def list_templates(folders: tuple[Path, ...]) -> Templates:
    """One that cannot be read hides no other one."""
    found: list[FoundTemplate] = []
    problems: list[str] = []
    for name, path in sorted(_places(folders).items()):
        try:
            found.append(FoundTemplate(name, path, _load(path)))
        except ConfigError as error:
            problems.append(error.message)
    return Templates(tuple(found), tuple(problems))


def _places(folders: tuple[Path, ...]) -> dict[str, Path]:
    places: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            if path.is_file():
                places.setdefault(path.stem, path)
    return places


def load_template(name: str, folders: tuple[Path, ...]) -> FoundTemplate:
    """The template of that name. Raises NotFoundError with the names that there are."""
    if _NAME.fullmatch(name):
        for folder in folders:
            path = folder / f"{name}.yaml"
            if path.is_file():
                return FoundTemplate(name, path, _load(path))
    known = sorted(_places(folders))
    raise NotFoundError(
        f"there is no template {name!r}{suggest(name, tuple(known))}",
        hint=f"there are {', '.join(known)}; your own go into {folders[0]}",
    )


def _load(path: Path) -> GuestTemplate:
    template = load_document(path, GuestTemplate, "the template")
    if template is None:
        raise NotFoundError(f"the template {path} is gone")
    return template
