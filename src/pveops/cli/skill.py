"""`pve skill`: the skill folder for agents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.config.guest_templates import find_skill_folder
from pveops.errors import ConfigError, UsageError
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.skill.agents import Opinion
    from pveops.skill.folder import SkillFile
    from pveops.skill.installation import Standing

command = Group("skill", help="The skill folder for agents: install, check.")

_NAME = "proxmox"
_CLAUDE = '{"permissions": {"allow": ["Bash(pve *)"], "ask": ["Bash(pve-apply *)"]}}'
_HOW_TO_ALLOW = {
    "claude": (
        f"~/.claude/settings.json: {_CLAUDE}",
        "that lets `pve` run without asking, and `pve-apply` ask",
    ),
    "codex": (
        '~/.codex/rules/default.rules: prefix_rule(pattern=["pve"], decision="allow")',
        'and: prefix_rule(pattern=["pve-apply"], decision="prompt")',
    ),
}
_ELSEWHERE = ("let the agent run `pve` without asking, and `pve-apply` ask",)


@command.command(
    "install",
    examples=(
        "pve skill install",
        "pve skill install ~/.openclaw/workspace",
        "pve skill install --for claude",
        "pve skill install --for ~/my-agent/skills",
    ),
)
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--for",
    "agent",
    default="openclaw",
    show_default=True,
    metavar="openclaw|claude|codex|DIR",
    help="The agent, or any folder that holds skills.",
)
@click.option("--replace", is_flag=True, help="Also where somebody has edited it; that is kept.")
@click.pass_obj
def install(call: Call, folder: Path | None, agent: str, replace: bool) -> Answer:
    """Put the skill where an agent looks for it.

    FOLDER is the workspace or project to use instead of the agent's own place: what OpenClaw
    itself calls its workspace, ~/.claude or ~/.agents. Running it again brings it up to date, or
    changes nothing.
    """
    from pveops.skill.agents import AGENTS
    from pveops.skill.installation import keep_edits, put

    if agent not in AGENTS and "/" not in agent and not Path(agent).is_dir():
        raise UsageError(
            f"there is no agent {agent!r} and no such folder",
            hint=f"--for {'|'.join(AGENTS)}, or a folder's path",
        )
    if agent not in AGENTS and folder is not None:
        raise UsageError("a folder is named twice", hint="leave out the second one")
    target, files, note, standing = stand_of(call, agent, folder)
    answer = Answer("", data={"folder": str(target)}, next=_next(agent))
    if standing.is_current:
        return answer._replace(verdict=f"already there: the skill in {target}")
    kept: tuple[str, ...] = ()
    if standing.edited:
        if not replace:
            raise ConfigError(
                f"{target} is not as pveops left it: {', '.join(standing.edited[:8])}",
                hint=f"`pve skill install --for {shell_word(agent)} --replace` keeps a copy, and "
                "puts ours there",
                details={"edited": list(standing.edited)},
            )
        kept = (f"what was there is kept in {keep_edits(target, _keep(call))}",)
    put(target, files, note)
    word = "brought up to date" if standing.is_there else "put"
    return answer._replace(
        verdict=f"{word}: the skill in {target}", changed=True, blocks=(Lines(kept),)
    )


class Stand(NamedTuple):
    """Where the skill belongs, what is to lie there, and how it stands."""

    target: Path
    files: tuple[SkillFile, ...]
    note: str
    standing: Standing


def stand_of(call: Call, agent: str, folder: Path | None = None) -> Stand:
    """How the skill stands with an agent. Raises ConfigError."""
    from pveops.skill.agents import find_skills_folder
    from pveops.skill.folder import read_files
    from pveops.skill.installation import compare, write_note

    home = Path(call.environ.get("HOME") or Path.home())
    base = folder.expanduser().absolute() if folder is not None else None
    target = find_skills_folder(agent, base, home, call.environ).absolute() / _NAME
    files = read_files(find_skill_folder())
    note = write_note(files, _find_programs())
    return Stand(target, tuple(files), note, compare(target, files, note))


def _keep(call: Call) -> Path:
    from pveops.config.paths import make_private_dir

    folder = call.wiring.paths.state_dir / "replaced-skills"
    make_private_dir(folder)
    return folder


def _find_programs() -> Path | None:
    """The folder that both executables of this installation lie in."""
    for place in (Path(sys.argv[0]).absolute().parent, Path(sys.executable).absolute().parent):
        if all((place / name).is_file() for name in ("pve", "pve-apply")):
            return place
    return None


def _next(agent: str) -> tuple[str, ...]:
    if agent == "openclaw":
        return ("pve openclaw setup",)
    return _HOW_TO_ALLOW.get(agent, _ELSEWHERE)


@command.command("check", examples=("pve skill check", "pve skill check ./skills/proxmox"))
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def check(call: Call, folder: Path | None) -> Answer:
    """Check a skill folder: by our rules, and by the agents' own where they are installed."""
    del call
    from pveops.skill.agents import ask_openclaw, ask_validator
    from pveops.skill.checks import MAX_CHARS, RULES, find_problems
    from pveops.skill.folder import MAIN, read_files, split_front
    from pveops.skill.scanner import RULES as SCANNED
    from pveops.skill.scanner import scan

    place = (folder or find_skill_folder()).absolute()
    if not place.is_dir():
        raise UsageError(f"{place} is no folder", hint="pve skill check FOLDER")
    files = read_files(place)
    main = next((file.text for file in files if file.path == MAIN), "")
    problems = [*find_problems(place.name, files), *scan(files, split_front(main)[0])]
    opinions = [ask_validator(place), ask_openclaw(place)]
    told = (
        f"pveops: {', '.join(RULES)}; {len(SCANNED) + 2} rules of registries' scanners",
        f"{MAIN}: {len(main)} of {MAX_CHARS} characters",
        *map(_line_of, opinions),
    )
    found = [
        *map(str, problems),
        *(f"{each.name}: {each.problem}" for each in opinions if each.problem),
    ]
    if found:
        raise ConfigError(
            f"{place}: {len(found)} problems: {'; '.join(found)}",
            hint="mend the folder, then run `pve skill check` again",
            details={"problems": found, "checks": [each._asdict() for each in opinions]},
        )
    ran = [each.name for each in opinions if each.ran]
    missing = [each.name for each in opinions if not each.ran]
    verdict = f"{place.name} is in order, by {' and '.join(['our rules', *ran])}"
    if missing:
        verdict += f"; not asked: {', '.join(missing)}"
    return Answer(
        verdict,
        data={
            "folder": str(place),
            "characters": len(main),
            "checks": [each._asdict() for each in opinions],
        },
        blocks=(Lines(told),),
    )


def _line_of(opinion: Opinion) -> str:
    return f"{opinion.name}: {opinion.text}" if opinion.ran else f"not run: {opinion.text}"
