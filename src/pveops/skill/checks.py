"""What a skill folder has to be, for OpenClaw, the AgentSkills specification, and our budgets.

Pure: from the files to problems. ClawHub's scanner is in `scanner`.

Sources: agentskills.io/specification; OpenClaw 2026.9.6, docs/tools/skills.md (its loader takes
flow YAML, the specification's validator does not; neither takes tabs); ClawHub, its
docs/skill-format.md and convex/lib/skillQuality.ts (what new accounts have to show).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence

from pveops.skill.folder import MAIN, Front, Problem, SkillFile, split_front

MAX_CHARS, MAX_LINES = 4_800, 120
"""Of SKILL.md, which an agent reads whole."""
_MAX_DESCRIPTION = 160
_MAX_NAME = 64
_MAX_FILE_BYTES = 256 * 1024
"""Larger files are not looked at by ClawHub's scanners."""
_MAX_TOTAL_BYTES = 50 * 1024 * 1024
_MAX_FILES = 40
_PORTABLE = frozenset({"name", "description", "license", "allowed-tools", "metadata"})
_LICENSE = "MIT-0"
_LICENSE_FILE = "LICENSE.txt"
_FLOW = re.compile(r"^\s*(?:- )?(?:[\w\-]+:\s*)?[\[{]|[&*]\w+\s*$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TEMPLATE_PHRASES = (
    "expert guidance for",
    "practical skill guidance",
    "step-by-step tutorials",
    "tips and techniques",
    "project ideas",
    "resource recommendations",
    "help with this skill",
    "learning guidance",
)
_MIN_WORDS, _MIN_HEADINGS, _MIN_BULLETS = 80, 2, 3
_MIN_VARIETY = 0.45

Rule = Callable[[str, Sequence[SkillFile], Front, str], Iterator[Problem]]


def find_problems(name: str, files: Sequence[SkillFile]) -> tuple[Problem, ...]:
    """What is wrong with a skill whose folder has that name."""
    main = next((file for file in files if file.path == MAIN), None)
    if main is None:
        return (Problem("layout", MAIN, 0, "it is missing"),)
    front, body = split_front(main.text)
    if front.problem:
        return (Problem("front-matter", MAIN, 1, front.problem),)
    return tuple(problem for rule in RULES.values() for problem in rule(name, files, front, body))


def _check_front(
    name: str, _files: Sequence[SkillFile], front: Front, _body: str
) -> Iterator[Problem]:
    told = front.values.get("name")
    if told != name:
        yield _of_front(f"the name {told!r} is not the folder's, {name!r}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(told)) or len(str(told)) > _MAX_NAME:
        yield _of_front("a name has lower-case letters, digits and single -, 64 at most")
    description = front.values.get("description")
    if not isinstance(description, str) or not 0 < len(description) <= _MAX_DESCRIPTION:
        yield _of_front(f"the description has 1 to {_MAX_DESCRIPTION} characters")
    elif re.search(r"[<>\n]", description):
        yield _of_front("the description has one line, without < and >")
    extra = sorted(set(map(str, front.values)) - _PORTABLE)
    if extra:
        yield _of_front(f"not every agent takes {', '.join(extra)}; metadata is the place")
    if front.openclaw.get("always") is not None:
        yield _of_front("`always` puts the skill into every conversation")
    for number, line in enumerate(front.source.split("\n"), 2):
        if "\t" in line or _FLOW.search(line):
            yield _of_front("block YAML only: no tabs, no [...] or {...}, no anchors", number)


def _check_budget(
    _name: str, files: Sequence[SkillFile], _front: Front, _body: str
) -> Iterator[Problem]:
    text = next(file.text for file in files if file.path == MAIN)
    lines = text.count("\n")
    if len(text) > MAX_CHARS or lines > MAX_LINES:
        yield Problem(
            "budget",
            MAIN,
            0,
            f"{len(text)} characters in {lines} lines; at most {MAX_CHARS} in {MAX_LINES}",
        )


def _check_layout(
    _name: str, files: Sequence[SkillFile], _front: Front, _body: str
) -> Iterator[Problem]:
    for file in files:
        if len(file.content) > _MAX_FILE_BYTES:
            yield Problem("size", file.path, 0, f"more than {_MAX_FILE_BYTES >> 10} KiB")
        folders = file.path.split("/")[:-1]
        if folders[:1] == ["references"] and len(folders) > 1:
            yield Problem("layout", file.path, 0, "references lie one level deep")
    if sum(len(file.content) for file in files) > _MAX_TOTAL_BYTES:
        yield Problem("size", "", 0, f"more than {_MAX_TOTAL_BYTES >> 20} MiB in all")
    if len(files) > _MAX_FILES:
        yield Problem("size", "", 0, f"{len(files)} files; {_MAX_FILES} are looked at")


def _check_links(
    _name: str, files: Sequence[SkillFile], _front: Front, _body: str
) -> Iterator[Problem]:
    """Each link leads to a file of the folder, and each reference is linked from SKILL.md."""
    known = {file.path for file in files}
    linked: set[str] = set()
    for file in files:
        if file.kind != "text":
            continue
        for match in _LINK.finditer(file.text):
            link = match[1].partition("#")[0]
            if re.match(r"[a-z][a-z0-9+.\-]*:", link) or not link:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), link))
            if target not in known:
                line = file.text.count("\n", 0, match.start()) + 1
                yield Problem("link", file.path, line, f"{link} does not exist")
            if file.path == MAIN:
                linked.add(target)
    for path in sorted(known - linked):
        if path.startswith("references/") and path not in _linked_from(files, linked):
            yield Problem("link", path, 0, "neither SKILL.md nor a page it links leads here")


def _linked_from(files: Sequence[SkillFile], pages: set[str]) -> set[str]:
    return {
        posixpath.normpath(posixpath.join(posixpath.dirname(file.path), link))
        for file in files
        if file.path in pages and file.kind == "text"
        for link in _LINK.findall(file.text)
    }


def _check_license(
    _name: str, files: Sequence[SkillFile], front: Front, _body: str
) -> Iterator[Problem]:
    """ClawHub publishes under MIT-0 alone, and takes no text that says something else."""
    if front.values.get("license") != _LICENSE:
        yield _of_front(f"the licence is {_LICENSE}")
    text = next((file.text for file in files if file.path == _LICENSE_FILE), "")
    if not text.startswith("MIT No Attribution"):
        yield Problem("license", _LICENSE_FILE, 0, "it holds the text of MIT No Attribution")


def _check_quality(
    _name: str, _files: Sequence[SkillFile], _front: Front, body: str
) -> Iterator[Problem]:
    words = re.findall(r"[a-z0-9][a-z0-9'\-]+", body.lower())
    lines = [line.strip() for line in body.split("\n")]
    headings = sum(bool(re.match(r"#{1,3}\s", line)) for line in lines)
    bullets = sum(bool(re.match(r"[-*]\s", line)) for line in lines)
    if len(words) < _MIN_WORDS or headings < _MIN_HEADINGS or bullets < _MIN_BULLETS:
        yield Problem(
            "quality",
            MAIN,
            0,
            f"{len(words)} words, {headings} headings, {bullets} bullets; at least "
            f"{_MIN_WORDS}, {_MIN_HEADINGS}, {_MIN_BULLETS}",
        )
    if words and len(set(words)) / len(words) < _MIN_VARIETY:
        yield Problem("quality", MAIN, 0, "the same words again and again")
    for phrase in _TEMPLATE_PHRASES:
        if phrase in body.lower():
            yield Problem("quality", MAIN, 0, f"a phrase of templates: {phrase!r}")


def _of_front(message: str, line: int = 1) -> Problem:
    return Problem("front-matter", MAIN, line, message)


RULES: dict[str, Rule] = {
    "front matter": _check_front,
    "budget": _check_budget,
    "layout": _check_layout,
    "links": _check_links,
    "licence": _check_license,
    "quality": _check_quality,
}
