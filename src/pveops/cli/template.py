"""`pve template`: what guests are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.config.guest_templates import FoundTemplate

_FIELDS = ("name", "kind", "summary", "path")
_COLUMNS = (Column("name"), Column("kind"), Column("summary"), Column("path", is_wide=True))

group = Group(
    "template",
    help="""Templates from which guests are made: ours, and your own in the folder `templates`
    beside config.yaml, which win.""",
    lazy={
        "list": ("pveops.cli.template:list_them", "templates from which guests are made"),
        "show": ("pveops.cli.template:show", "the variables and options of a template"),
        "check": ("pveops.cli.template:check", "whether a guest could be made from it, and where"),
    },
)


def _folders(call: Call) -> Any:
    from pveops.config.guest_templates import template_folders

    return template_folders(call.wiring.paths.templates_dir)


@click.command("list", cls=Command, operation="template.list")
@list_options
@click.pass_obj
def list_them(call: Call) -> Answer:
    """List the templates; none of them needs a cluster to be looked at."""
    from pveops.config.guest_templates import list_templates

    found, problems = list_templates(_folders(call))

    def item(row: FoundTemplate) -> dict[str, Any]:
        return {
            "name": row.name,
            "kind": row.template.kind,
            "summary": row.template.summary,
            "path": str(row.path),
        }

    verdict = count_of(len(found), "template")
    if problems:
        verdict += f"; {len(problems)} cannot be used"
    return Answer(
        verdict,
        blocks=(Listing(found, item, _FIELDS, _COLUMNS), Lines(problems)),
        next=("pve template show NAME", "pve guest create GUEST --template NAME"),
    )


@click.command("show", cls=Command, operation="template.show")
@click.argument("name")
@click.pass_obj
def show(call: Call, name: str) -> Answer:
    """Show what can be set in a template, and what it makes of it."""
    from pveops.config.guest_templates import load_template
    from pveops.operations.plan import plain

    found = load_template(name, _folders(call))
    template = found.template
    variables = tuple(
        (key, _told(each.default, each.help)) for key, each in template.variables.items()
    )
    options = tuple((key, str(text)) for key, text in template.config.items())
    return Answer(
        f"{name}: {template.summary} ({found.path})",
        data={"name": name, "path": str(found.path), "template": plain(template)},
        blocks=(Facts(variables, "variables"), Facts(options, "options")),
        next=(
            f"pve template check {shell_word(name)}",
            f"pve guest create GUEST --template {shell_word(name)}",
        ),
    )


def _told(default: object, help_: str) -> str:
    if default is None:
        return f"has to be given: {help_}"
    return f"{default or 'not set'}: {help_}"


@click.command("check", cls=Command, operation="template.check")
@click.argument("name")
@click.option("--node", help="On this node; without, on the best one.")
@click.pass_obj
def check(call: Call, name: str, node: str | None) -> Answer:
    """Check whether a guest could be made from a template now: images, storages, bridges, room."""
    from pveops.engine.request import Ask, propose

    params = {"template": name, **({"node": node} if node else {})}
    proposal = propose(
        call.wiring.session(), Ask("guest.create", (f"{name}-check",), params=params)
    )
    (decision,) = proposal.decisions
    lines = tuple(
        f"{finding.message} -> {finding.remedy}" if finding.remedy else finding.message
        for finding in decision.findings
    )
    return Answer(
        f"{name}: a guest can be made from it on {decision.target.node}",
        data={"name": name, "node": decision.target.node},
        blocks=(Lines(lines),),
        next=(f"pve guest create GUEST --template {shell_word(name)}",),
    )
