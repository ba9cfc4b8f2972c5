"""click's commands, with what all of ours share.

Options that work anywhere, groups that import a verb when it is used, examples.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import click

from pveops.cli.call import Call


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """An option's callback: the value goes to the call's options; the innermost word wins."""

    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        call = context.find_object(Call)
        if call is not None and value is not None and value is not False:
            call.options.keep(name, value)

    return keep


def _shared(name: str, flag: str, help_: str, **attributes: Any) -> click.Option:
    return click.Option([flag], help=help_, expose_value=False, callback=_keep(name), **attributes)


def _everywhere(*, hidden: bool) -> list[click.Parameter]:
    return [
        _shared("profile", "--profile", "The cluster to use.", metavar="NAME", hidden=hidden),
        _shared("as_json", "--json", "One JSON envelope.", is_flag=True, hidden=hidden),
        _shared("is_full", "--full", "Show all of it.", is_flag=True, hidden=hidden),
        _shared("reason", "--reason", "Why; kept with plans and records.", hidden=hidden),
        _shared(
            "is_unattended",
            "--unattended",
            "No person waits for this call (schedules): asks for more consent.",
            is_flag=True,
            hidden=hidden,
        ),
        _shared(
            "has_trace", "--trace", "Tell each request on stderr.", is_flag=True, hidden=hidden
        ),
        # For faces that call `pve` themselves: a plugin's tool that only looks, and one that
        # asks the person in a prompt of its own.
        _shared(
            "is_look_only", "--look-only", "Refuse all but looking.", is_flag=True, hidden=True
        ),
        _shared("no_code", "--no-code", "Send no consent code.", is_flag=True, hidden=True),
    ]


class Command(click.Command):
    """A command that knows its operation and takes the shared options, too."""

    def __init__(
        self, *args: Any, operation: str = "", examples: tuple[str, ...] = (), **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.operation = operation
        self._examples = examples
        self.params.extend(_everywhere(hidden=True))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, once it is known that this is carried out for whoever asks.

        That is decided for the command that click has found, so that no trick with words makes
        another one of it; and before any word is looked at, since some name files.
        """
        call = ctx.find_object(Call)
        if call is not None and call.served is not None and args != ["--help"]:
            call.served.admit(self._id(ctx))
        return super().parse_args(ctx, args)

    def _id(self, ctx: click.Context) -> str:
        words = ctx.command_path.split()[1:] or [ctx.command_path]
        return self.operation or ".".join(words)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, having noted in the call what is being run."""
        call = ctx.find_object(Call)
        if call is not None:
            call.operation = self._id(ctx)
            if call.options.is_look_only:
                from pveops.cli.reading import check_reading

                check_reading(call.operation)
            if call.served is not None:
                from pveops.cli.forward import forward

                written = forward(call)
                if written is not None:
                    return written
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, the catalogue's first, and the shared options by name."""
        examples = [*self._catalogued(), *self._examples]
        if examples:
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                for example in examples:
                    formatter.write_text(example)
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Also: --json --full --profile NAME --reason TEXT --unattended")

    def _catalogued(self) -> tuple[str, ...]:
        from pveops.operations.catalog import OPERATIONS

        return tuple(
            operation.example
            for operation in OPERATIONS
            if operation.id == self.operation and operation.example
        )


_VERBS_OF_GUESTS = frozenset(
    {"start", "stop", "shutdown", "reboot", "reset", "suspend", "resume", "list", "show"}
    | {"create", "clone", "delete", "undelete", "purge", "migrate", "set", "tag", "ip", "exec"}
)
_OTHER_WORDS = {
    "restart": "pve guest reboot",
    "destroy": "pve guest delete",
    "remove": "pve guest delete",
    "vm": "pve guest",
    "ct": "pve guest",
    "qemu": "pve guest",
    "lxc": "pve guest",
    "vms": "pve guest list",
    "resize": "pve disk grow",
    "rollback": "pve snapshot rollback",
    "restore": "pve backup restore",
    "vzdump": "pve backup run",
    "evacuate": "pve node evacuate",
    "unlock": "pve guest doctor",
    "nodes": "pve node list",
    "tasks": "pve task list",
}
"""What people, and agents that know other tools, type first."""


def _meant_elsewhere(ctx: click.Context, word: str) -> str:
    """The command that has that word in another place; empty: none does."""
    root = ctx.find_root().command
    if word in _OTHER_WORDS:
        return _OTHER_WORDS[word]
    if ctx.parent is None and word in _VERBS_OF_GUESTS:
        return f"pve guest {word}"
    if ctx.parent is not None and isinstance(root, Group) and word in root.list_commands(ctx):
        return f"pve {word}"
    return ""


class Group(click.Group):
    """A noun. `lazy` maps a verb to where its command is made (`module:name`) and its summary."""

    command_class = Command

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The verbs in the order in which people meet them."""
        return [*self._lazy, *(name for name in self.commands if name not in self._lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name in self._lazy:
            module, _, name = self._lazy[cmd_name][0].partition(":")
            made = getattr(importlib.import_module(module), name)
            command: click.Command = made if isinstance(made, click.Command) else made(cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest verbs where there is none of that name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=3)
            meant = _meant_elsewhere(ctx, args[0]) or ", ".join(near)
            hint = f"; did you mean {meant}?" if meant else ""
            ctx.fail(f"there is no command {ctx.command_path} {args[0]}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs, without importing any."""
        rows = []
        for name in self.list_commands(ctx):
            if name in self._lazy:
                rows.append((name, self._lazy[name][1]))
            else:
                rows.append((name, self.commands[name].get_short_help_str(70)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Root(Group):
    """The whole tree; tells the options that work anywhere."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(_everywhere(hidden=False))


def list_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--fields` and `--limit`, for commands that list."""
    function = click.option(
        "--limit",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_keep("limit"),
        help="At most so many rows.",
    )(function)
    return click.option(
        "--fields",
        metavar="A,B",
        expose_value=False,
        callback=_keep_fields,
        help="Only these members of each row.",
    )(function)


def _keep_fields(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    call = context.find_object(Call)
    if call is not None and value:
        call.options.fields = tuple(part.strip() for part in value.split(",") if part.strip())


wait_option = click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    expose_value=False,
    callback=_keep("wait_s"),
    help="How long to wait for the end before answering `pending`.",
)
"""For everything that may take longer than a caller has time."""
