"""`pve access`: what a token needs, what it has, and the commands between the two."""

from __future__ import annotations

from pveops.cli.commands import Group

group = Group(
    "access",
    help="What a token may do: the commands that make one, and what it has or lacks.",
    lazy={
        "grant-script": (
            "pveops.cli.access_grant:command",
            "the commands that make a token of least privilege",
        ),
        "check": (
            "pveops.cli.access_check:command",
            "what the token lacks for operations, and what it has beyond them",
        ),
    },
)
