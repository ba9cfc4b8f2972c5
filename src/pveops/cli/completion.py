"""`pve completion`: the script that teaches a shell our commands."""

from __future__ import annotations

import click

from pveops.cli.answer import Written
from pveops.cli.commands import Command


@click.command(
    "completion",
    cls=Command,
    examples=('eval "$(pve completion bash)"', "pve completion fish | source"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> Written:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from pveops.cli.app import root

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion is known for {shell}")
    return Written(kind(root, {}, "pve", "_PVE_COMPLETE").source() + "\n", 0)
