#!/usr/bin/env python3
"""What an agent has to read to do six jobs, with `pve` and with two others: `make characters`.

Every number comes of a run: the clients' own processes on one simulated cluster, over TLS. Writes
docs/reference/characters.md with --write. Ends with 1 when ours is not the least.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import client_plus
import client_plus_code
import client_pmox
import client_pve
from bench import ROOT
from reading import JOBS, Call, Client, as_steps

PAGE = ROOT / "docs" / "reference" / "characters.md"
BUDGETS = {
    "once": 4450,
    "list": 1800,
    "slow": 500,
    "stop": 900,
    "snapshot": 1000,
    "evacuate": 2600,
    "audit": 700,
}
"""The most that ours may take: `once` is the skill, the others are the answers of a job."""
_METHOD = """\
# What an agent has to read

Written by `make characters` (and `make bench`). Six jobs, each on a fresh simulated cluster in a \
process of its own, reached over verified TLS; the same cluster for every client. Each client is \
driven as it documents, and really does the job: whether it did is read from the simulated \
cluster, not from the client.

## How it is counted

- Characters, not tokens: a rule that anybody can check. What an agent *writes* is not counted, \
nor what reaches a person.
- **Once**: what an agent reads before it can work. Of `pve`, the skill's entry in the prompt (as \
OpenClaw writes it) and SKILL.md; no reference is needed for these jobs. Of pmox, its `--help` \
texts that these jobs need, or its guide for agents with what the guide leaves out, whichever \
is less. Of ProxmoxMCP-Plus, the list of tools as compact JSON: name, description, input schema.
- **A job**: the whole answers to the shortest sequence of calls that does it, on both streams; \
of MCP, the text of the results. A guest's number is looked up anew in each job where a client \
takes no names. Nothing is put through another program, such as `jq`.
- What makes the others' answers least was chosen: of pmox, tables or JSON, `--fields`, and help \
without frames (`TYPER_USE_RICH=0`); of ProxmoxMCP-Plus, filters, and one look at a job when its \
task has ended. Two more ways to set it up are shown: an allow-list of exactly the tools that \
these jobs use, and Code Mode, where programs that the agent writes call the tools. Code Mode is \
given every benefit: one search for each thing, one look at the shape of each kind of answer, \
then faultless programs that return nothing but what was asked for.
- Where a client cannot do a job, what was read until that is known is counted.
"""


def measure() -> list[Client]:
    """Every client; ours is the first."""
    ours, pmox = client_pve.measure(), client_pmox.measure()
    return [ours, pmox, *client_plus.measure(), client_plus_code.measure()]


def report(clients: Sequence[Client]) -> str:
    """The page."""
    parts = [_METHOD, "## The figures\n", _figures(clients), "", _beaten(clients)]
    parts += ["", "## What it came to\n", _outcomes(clients), "", "## The calls\n"]
    parts += [_calls(client) for client in _distinct(clients)]
    return "\n".join(parts)


def _distinct(clients: Sequence[Client]) -> list[Client]:
    """Those that differ in more than what is read once."""
    return list({id(client.jobs): client for client in reversed(clients)}.values())[::-1]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _figures(clients: Sequence[Client]) -> str:
    lines = [
        _row("", *(f"{each.name} {each.version}" for each in clients)),
        f"|---|{'--:|' * len(clients)}",
        _row("once", *(f"{each.once_characters:,}" for each in clients)),
    ]
    for job in JOBS:
        lines.append(_row(job, *(_cell(each, job) for each in clients)))
    answers = [each.characters - each.once_characters for each in clients]
    lines.append(_row("answers of the six", *(f"{number:,}" for number in answers)))
    lines.append(_row("**in all**", *(f"**{each.characters:,}**" for each in clients)))
    return "\n".join(lines)


def _cell(client: Client, job: str) -> str:
    """`802 in 2`, and how it ended unless it was done."""
    done = client.jobs[job]
    ended = "" if done.ended == "done" else f", {done.ended}"
    return f"{done.characters:,} in {len(done.calls)}{ended}"


def _beaten(clients: Sequence[Client]) -> str:
    """Where another's answer to a job is shorter than ours."""
    ours, *others = clients
    told = [
        f"{job} ({other.name}: {other.jobs[job].characters:,}, {other.jobs[job].ended})"
        for job in JOBS
        for other in others
        if other.jobs[job].characters < ours.jobs[job].characters
    ]
    rest = "; ".join(told) or "none"
    programs = [(each.name, sum(call.written for call in _calls_of(each))) for each in clients]
    written = "; ".join(f"{name}: {count:,}" for name, count in programs if count)
    return (
        "Characters, and in how many calls. Jobs in which another's answers are shorter than "
        f"those of `pve`: {rest}.\n\nCharacters of the programs that an agent writes, which are "
        f"counted nowhere above: {written or 'none'}."
    )


def _calls_of(client: Client) -> list[Call]:
    return [*client.once, *(call for job in client.jobs.values() for call in job.calls)]


def _outcomes(clients: Sequence[Client]) -> str:
    lines = []
    for job, (words, seed) in JOBS.items():
        lines.append(f"**{job}**: “{words}” (seed `{seed}`)\n")
        lines += [_outcome(each, job) for each in _distinct(clients)]
        lines.append("")
    return "\n".join(lines).rstrip()


def _outcome(client: Client, job: str) -> str:
    done = client.jobs[job]
    return f"- {client.name}: {done.ended}" + (f"; {done.note}" if done.note else "")


def _calls(client: Client) -> str:
    once = ", ".join(f"{_quote(call.line)} {call.characters:,}" for call in client.once)
    lines = [f"### {client.name}\n", f"- once: {once}"]
    lines += [f"- {job}: {as_steps(done.calls)}" for job, done in client.jobs.items()]
    return "\n".join([*lines, ""])


def _quote(line: str) -> str:
    return f"`{line}`" if line.startswith(("pmox", "proxmox_")) else line


def main() -> int:
    """Measure; 1 when ours is not the least."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    given = parser.parse_args()
    clients = measure()
    print(_figures(clients))
    print(_beaten(clients))
    if given.write:
        PAGE.write_text(report(clients).rstrip() + "\n", encoding="utf-8")
    ours, *others = clients
    least = min(others, key=lambda each: each.characters)
    if ours.characters >= least.characters:
        print(f"ours is not the least: {ours.characters:,} and {least.name} {least.characters:,}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
