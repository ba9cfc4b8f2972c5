"""`pve skill`: the skill folder for agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.config.guest_templates import find_skill_folder
from pveops.errors import ConfigError, UsageError

command = Group("skill", help="The skill folder for agents: install, check.")

_MAX_LINES = 120
_MAX_CHARS = 4800
_MAX_DESCRIPTION = 160
_TARGETS = {"claude": ".claude/skills", "codex": ".agents/skills", "openclaw": "skills"}


@command.command("install", examples=("pve skill install ~/.openclaw/workspace",))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--for", "agent", type=click.Choice(sorted(_TARGETS)), default="openclaw")
@click.option("--replace", is_flag=True, help="Replace a skill folder that is there already.")
@click.pass_obj
def install(call: Call, folder: Path, agent: str, replace: bool) -> Answer:
    """Copy the skill into an agent's workspace."""
    import shutil

    source = find_skill_folder()
    target = folder.expanduser() / _TARGETS[agent] / "proxmox"
    if target.exists():
        if not replace:
            raise UsageError(f"{target} exists", hint="--replace it")
        shutil.rmtree(target)
    shutil.copytree(source, target)
    del call
    return Answer(
        f"the skill is in {target}",
        data={"folder": str(target)},
        next=("allow the command `pve` without asking, and let `pve-apply` ask",),
    )


@command.command("check")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def check(call: Call, folder: Path | None) -> Answer:
    """Check a skill folder: front matter, budgets, links."""
    del call
    place = folder or find_skill_folder()
    problems = list(find_problems(place))
    if problems:
        raise ConfigError(
            f"{place}: {len(problems)} problems: {'; '.join(problems)}",
            details={"problems": problems},
        )
    size = len((place / "SKILL.md").read_text(encoding="utf-8"))
    return Answer(
        f"{place} is in order",
        data={"folder": str(place), "characters": size},
        blocks=(Lines((f"SKILL.md has {size} of {_MAX_CHARS} characters",)),),
    )


def find_problems(folder: Path) -> Iterator[str]:
    """What is wrong with a skill folder."""
    import yaml

    path = folder / "SKILL.md"
    if not path.is_file():
        yield "there is no SKILL.md"
        return
    text = path.read_text(encoding="utf-8")
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        yield "SKILL.md has no front matter"
        return
    front = yaml.safe_load(parts[1])
    if front.get("name") != folder.name:
        yield f"the name {front.get('name')!r} is not the folder's"
    if not 0 < len(str(front.get("description", ""))) <= _MAX_DESCRIPTION:
        yield f"the description has more than {_MAX_DESCRIPTION} characters, or none"
    if set(front) - {"name", "description", "license", "allowed-tools", "metadata"}:
        yield "the front matter has members that not every agent takes"
    if len(text) > _MAX_CHARS or text.count("\n") > _MAX_LINES:
        yield f"SKILL.md is longer than {_MAX_LINES} lines or {_MAX_CHARS} characters"
    yield from _broken_links(folder, text)


def _broken_links(folder: Path, text: str) -> Iterator[str]:
    import re

    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith("http") and not (folder / link).is_file():
            yield f"{link} does not exist"
