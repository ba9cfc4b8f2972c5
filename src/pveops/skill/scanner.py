"""What the scanners of skill registries stop at, as rules that can be read.

ClawHub's static engine (openclaw/clawhub, convex/lib/moderationEngine.ts, version 2.4.26) looks
for these in every file that is published; the names of its findings are kept. The patterns are our
own and wider: a line that we find harmless is reworded, never excepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pveops.skill.folder import Front, Kind, Problem, SkillFile

_ALL: tuple[Kind, ...] = ("text", "data", "code", "other")
_HARMLESS = re.compile(
    r"your|example|placeholder|redacted|dummy|sample|changeme|<[a-z_\- ]+>", re.IGNORECASE
)
_CONFIRMED = re.compile(r"ask the (?:user|person) to confirm", re.IGNORECASE)
_NEAR_LINES = 8
POSIX = frozenset({"HOME", "IFS", "LANG", "LC_ALL", "PATH", "PWD", "TERM", "TMPDIR", "TZ"})
"""What POSIX gives every process; nobody declares it."""
_ENV_READS = (
    re.compile(r"environ(?:\.get\(|\[)\s*[\"']([A-Za-z_]\w*)"),
    re.compile(r"getenv\(\s*[\"']([A-Za-z_]\w*)"),
    re.compile(r"process\.env(?:\.|\[\s*[\"'])([A-Za-z_]\w*)"),
    re.compile(r"\$\{?([A-Z][A-Z0-9_]+)"),
)


class Rule(NamedTuple):
    """A pattern that must not occur.

    kinds: in which files. forgives: a match that this fits is a placeholder. near: a sentence
    that makes up for it when it stands within eight lines.
    """

    name: str
    kinds: tuple[Kind, ...]
    pattern: re.Pattern[str]
    about: str
    forgives: re.Pattern[str] | None = None
    near: re.Pattern[str] | None = None


def _rule(name: str, kinds: tuple[Kind, ...], pattern: str, about: str) -> Rule:
    return Rule(name, kinds, re.compile(pattern, re.IGNORECASE | re.MULTILINE), about)


RULES: tuple[Rule, ...] = (
    _rule(
        "insecure_tls_verification",
        _ALL,
        r"\bverify\s*=\s*False|check_hostname\s*=\s*False|\bCERT_NONE\b"
        r"|_create_unverified_context|rejectUnauthorized\W+false|\bcurl\b[^\n]*\s(?:-\w*k|--insecure)\b",
        "turns off the verification of TLS",
    ),
    _rule(
        "exposed_secret_literal",
        _ALL,
        r"\b[\w\-]*(?:password|passwd|secret|token|api[_\-]?key)[\"']?\s*[:=]\s*[\"']?[^\s\"'{\[$,]{16,}"
        r"|\bauthorization\s*:\s*\S[^\n]{14,}"
        r"|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY",
        "looks like a secret",
    )._replace(forgives=_HARMLESS),
    _rule(
        "secret_argv_exposure",
        ("text",),
        r"^.*\s--(?:token|password|secret|api-key)[ =](?:\"[^\"\n]{8,}|'[^'\n]{8,}|\$\w+|<\w).*$",
        "a secret on a command line, which every account of the machine can read",
    ),
    _rule(
        "destructive_delete_command",
        ("text", "code"),
        r"\brm\s+(?:-\w+\s+)*-\w*[rR]\w*\s+(?:-\w+\s+)*[\"']?(?:/|~|\$HOME)",
        "deletes folders outside of the skill",
    )._replace(near=_CONFIRMED),
    _rule(
        "prompt_injection_instructions",
        _ALL,
        r"(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|the\s+|your\s+)*(?:previous|prior|above|earlier)"
        r"\s+(?:instructions|rules|messages)|system\s*prompt\s*[:=]",
        "reads like an instruction against the agent's own",
    ),
    _rule(
        "dynamic_code_execution",
        ("code",),
        r"\beval\b|\bexec\s*\(|exec_module\s*\(|__import__\s*\(|new\s+Function\s*\(",
        "runs what it makes up",
    ),
    _rule(
        "install_untrusted_source",
        _ALL,
        r"https?://\d{1,3}(?:\.\d{1,3}){3}|https?://(?:bit\.ly|tinyurl\.com|t\.co|goo\.gl|is\.gd)/",
        "a URL that nobody can check",
    ),
    _rule(
        "malicious_install_prompt",
        _ALL,
        r"\b(?:curl|wget)\b[^\n|]*\|\s*(?:sudo\s+)?(?:\S*/)?(?:ba|z|da)?sh\b|\b(?:ba)?sh\s+<\("
        r"|\bbase64\s+-\w*d\w*[^\n]*\|\s*(?:ba)?sh|\bnpx\s+\S+@latest",
        "installs what it fetches, unseen",
    ),
    _rule(
        "confirmation_bypass",
        _ALL,
        r"\b(?:auto|skip|bypass|disable)[_\-]?(?:confirm|approv|consent)\w*",
        "goes around a person's consent",
    ),
    _rule(
        "obfuscated_code",
        _ALL,
        r"(?:\\x[0-9a-f]{2}){6,}|[A-Za-z0-9+/]{200,}={0,2}|[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]",
        "hides what it says",
    ),
    _rule(
        "generated_source_template",
        ("text",),
        r"^\s*[A-Za-z_]\w*\s*=.*[\"']\$\{[A-Za-z_][\w\-]*\}[\"']",
        "a placeholder inside of generated code",
    ),
)
_READS_FILE = re.compile(r"\bbase64\b|\bread_bytes\(|\bopen\(")
_SENDS = re.compile(r"requests\.post|urlopen\(|http\.client|\bcurl\b|\bwget\b|\bfetch\(")


def scan(files: Sequence[SkillFile], front: Front) -> Iterator[Problem]:
    """Everything that a registry's scanner would stop at."""
    for file in files:
        for rule in RULES:
            if file.kind in rule.kinds:
                yield from _matches(rule, file)
        if file.kind == "code":
            yield from _scan_code(file, front)


def env_reads(text: str) -> frozenset[str]:
    """The environment variables that a script names, but those that every process has."""
    found = {name for pattern in _ENV_READS for name in pattern.findall(text)}
    return frozenset(found - POSIX)


def _matches(rule: Rule, file: SkillFile) -> Iterator[Problem]:
    text = file.text
    lines = text.split("\n")
    for match in rule.pattern.finditer(text):
        if rule.forgives is not None and rule.forgives.search(match[0]):
            continue
        at = text.count("\n", 0, match.start())
        near = "\n".join(lines[max(0, at - _NEAR_LINES) : at + _NEAR_LINES + 1])
        if rule.near is not None and rule.near.search(near):
            continue
        yield Problem(rule.name, file.path, at + 1, rule.about)


def _scan_code(file: SkillFile, front: Front) -> Iterator[Problem]:
    undeclared = sorted(env_reads(file.text) - set(front.declared))
    if undeclared:
        names = ", ".join(undeclared)
        yield Problem("env_credential_access", file.path, 0, f"reads {names}, not declared")
    if _READS_FILE.search(file.text) and _SENDS.search(file.text):
        yield Problem("potential_exfiltration", file.path, 0, "reads files and sends something")
