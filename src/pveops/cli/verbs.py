"""Commands that change guests, made from their rows in the catalogue."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Written
from pveops.cli.call import Call
from pveops.cli.commands import Command, wait_option
from pveops.cli.selectors import selector_of, selector_options
from pveops.errors import UsageError
from pveops.operations.catalog import get_operation
from pveops.operations.operation import Operation, Param, Targets, Tier
from pveops.units import parse_mib

if TYPE_CHECKING:
    from pveops.operations.plan import Scalar

_SINGLE = frozenset({Targets.ONE, Targets.NEW, Targets.NODE, Targets.OTHER})
"""Operations of one guest by name, or that make guests from one."""
_MAX_FILE = 1 << 20
_LEAST_BARE_MIB = 256
"""A smaller number without a unit was more likely meant to be GiB."""
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str, bare_unit: str = "") -> int | None:
    """The seconds that `90s`, `5m`, `2h`, `7d` or `2w` spell, or None.

    A number without a unit is only 0, unless `bare_unit` says what it counts: who writes
    `--older-than 2` means days, or hours.
    """
    if text == "0":
        return 0
    has_unit = text[-1:] in _DURATION_UNITS
    number, unit = (text[:-1], text[-1:]) if has_unit else (text, bare_unit)
    if not number.isascii() or not number.isdecimal() or unit not in _DURATION_UNITS:
        return None
    return int(number) * _DURATION_UNITS[unit]


def _duration_within(param: Param) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """An option's callback that takes a duration within what the parameter allows."""

    def convert(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        # What is waited for is counted in seconds, as PVE does; an age needs its unit.
        is_wait = param.type == "duration"
        seconds = parse_duration(text, "s" if is_wait else "")
        if seconds is None:
            example = "90, 90s or 5m" if is_wait else "36h, 7d or 2w"
            message = f"{text[:40]!r} is no duration; write {example}"
        elif not (param.minimum or 0) <= seconds <= (param.maximum or seconds):
            message = f"it has to be from {param.minimum} s to {param.maximum} s"
        else:
            return seconds
        raise click.BadParameter(message, context, option)

    return convert


def _mib_within(param: Param) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """An option's callback that takes an amount of memory from the parameter's minimum on."""

    def convert(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        amount = parse_mib(text)
        if amount and text.isdecimal() and amount < _LEAST_BARE_MIB:
            message = f"{text} MiB, or GiB? write {text}M or {text}G"
            raise click.BadParameter(message, context, option)
        most = param.maximum or amount or 0
        if amount is None or not (param.minimum or 0) <= amount <= most:
            limit = f" and at most {param.maximum} MiB" if param.maximum else ""
            message = (
                f"{text[:40]!r} is no amount of at least {param.minimum} MiB{limit}, such as 4G"
            )
            raise click.BadParameter(message, context, option)
        return amount

    return convert


def _join_words(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> str | None:
    return ",".join(words) if words else None


def _read_text(context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text != "-":
        return text
    call = context.find_object(Call)
    if call is not None:
        return str(call.stdin.read(_MAX_FILE))
    with click.open_file("-", encoding="utf-8") as stream:
        return str(stream.read())


def _quote_words(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> str:
    return shlex.join(words)


def _join_lines(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> str | None:
    return "\n".join(words) if words else None


def _read_file(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """The text of a small file: what is larger than a megabyte is none of what is asked for."""
    if path is None:
        return None
    call = context.find_object(Call)
    if call is not None and call.served is not None and path != "-":
        message = f"{call.served.no_files}; give its text on standard input: -"
        raise click.BadParameter(message, context, option)
    if call is not None and path == "-":
        return str(call.stdin.read(_MAX_FILE))
    try:
        with click.open_file(path, encoding="utf-8") as stream:
            return str(stream.read(_MAX_FILE))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise click.BadParameter(message, context, option) from error


def guest_verb(verb: str) -> click.Command:
    """`pve guest VERB`."""
    return change_command(f"guest.{verb}")


def node_verb(verb: str) -> click.Command:
    """`pve node VERB`."""
    return change_command(f"node.{verb}")


def disk_verb(verb: str) -> click.Command:
    """`pve disk VERB`."""
    return change_command(f"disk.{verb}")


def storage_verb(verb: str) -> click.Command:
    """`pve storage VERB`."""
    return change_command(f"storage.{verb}")


def backup_verb(verb: str) -> click.Command:
    """`pve backup VERB`."""
    return change_command(f"backup.{verb}")


def job_verb(verb: str) -> click.Command:
    """`pve job VERB`."""
    return change_command(f"job.{verb}")


def snapshot_verb(verb: str) -> click.Command:
    """`pve snapshot VERB`."""
    return change_command(f"snapshot.{verb}")


def ha_verb(verb: str) -> click.Command:
    """`pve ha VERB`."""
    return change_command(f"ha.{verb}")


def pool_verb(verb: str) -> click.Command:
    """`pve pool VERB`."""
    return change_command(f"pool.{verb}")


def replication_verb(verb: str) -> click.Command:
    """`pve replication VERB`."""
    return change_command(f"replication.{verb}")


def cluster_verb(verb: str) -> click.Command:
    """`pve cluster VERB`."""
    return change_command(f"cluster.{verb}")


def change_command(operation_id: str) -> click.Command:
    """`pve NOUN VERB [GUEST]... [SELECTOR]... [PARAMETER]...`, from the row of that id."""
    operation = get_operation(operation_id)

    @click.pass_obj
    def run(call: Call, /, guests: tuple[str, ...] | str = (), **options: Any) -> Answer | Written:
        return _run(call, operation, guests, options)

    decorated: Any = wait_option(run)
    if operation.targets is Targets.GUESTS:
        decorated = selector_options(decorated)
    return Command(
        operation.command.rpartition(" ")[2],
        callback=decorated,
        help=_help(operation),
        operation=operation.id,
        params=[*_params(operation), *reversed(decorated.__click_params__)],
    )


def _help(operation: Operation) -> str:
    consent = (
        "Done at once, within the policy's limits."
        if operation.tier <= Tier.REVERSIBLE
        else "Stores a plan and exits with 3 unless the caller is a person at a terminal, who is "
        "asked in place."
    )
    kinds = " VMs only." if operation.kinds == ("qemu",) else ""
    summary = f"{operation.summary[0].upper()}{operation.summary[1:]}.{kinds}\n\n{consent}"
    if operation.targets is Targets.NEW:
        return (
            f"{summary} Outside of the policy's `create_pools` (at first there are none) a person "
            "has to agree."
        )
    if operation.targets in {Targets.NODE, Targets.CLUSTER}:
        return summary
    return f"{summary} Guests that are so already are left alone (exit 0)."


def _params(operation: Operation) -> list[click.Parameter]:
    is_one = operation.targets in _SINGLE and not operation.is_many
    guests = click.Argument(
        ["guests"],
        nargs=1 if is_one else -1,
        metavar=operation.metavar if is_one else f"[{operation.metavar}]...",
    )
    arguments = [_argument(param) for param in operation.params if param.is_argument]
    options = [_option(param) for param in operation.params if not param.is_argument]
    if operation.targets is Targets.CLUSTER:
        return list(options)
    return [guests, *arguments, *options]


def _argument(param: Param) -> click.Argument:
    name = param.name.upper()
    if param.type == "argv":
        return click.Argument(
            [param.name], nargs=-1, required=True, metavar=f"-- {name}...", callback=_quote_words
        )
    if param.type == "words":
        return click.Argument(
            [param.name],
            nargs=-1,
            required=param.is_required,
            metavar=f"{name}...",
            callback=_join_words,
        )
    return click.Argument([param.name], metavar=name)


def _sentence(text: str) -> str:
    """As a sentence, but for words that are typed as they are: net0=bridge=vmbr1, md5."""
    is_typed = any(mark in text.split(maxsplit=1)[0] for mark in "=0123456789")
    return (text if is_typed else text[0].upper() + text[1:]) + "."


def _option(param: Param) -> click.Option:
    flag = "--" + param.name.replace("_", "-")
    help_ = _sentence(param.help)
    if param.type == "bool":
        return click.Option([flag, param.name], is_flag=True, help=help_)
    if param.default is not None:
        help_ = f"{help_} [{param.default}]"
    kinds: dict[str, dict[str, Any]] = {
        "duration": {"metavar": "DURATION", "callback": _duration_within(param)},
        "age": {"metavar": "DURATION", "callback": _duration_within(param)},
        "mib": {"metavar": "AMOUNT", "callback": _mib_within(param)},
        "words": {"multiple": True, "callback": _join_words},
        "pairs": {"metavar": "NAME=VALUE", "multiple": True, "callback": _join_lines},
        "text": {"callback": _read_text},
        "file": {"metavar": "FILE", "callback": _read_file},
        "switch": {"type": click.Choice(("on", "off"))},
        "int": {"type": click.IntRange(param.minimum, param.maximum)},
    }
    attributes = kinds.get(param.type, {"type": click.STRING})
    return click.Option([flag, param.name], help=help_, required=param.is_required, **attributes)


def _run(
    call: Call, operation: Operation, guests: tuple[str, ...] | str, options: dict[str, Any]
) -> Answer | Written:
    from pveops.cli.changing import ask_for

    if operation.targets is Targets.CLUSTER:
        return ask_for(call, operation.id, (), None, _chosen(operation, options))
    if operation.is_many:
        if not guests:
            hint = f"pve {operation.command} {operation.metavar}..."
            raise UsageError(f"which {operation.metavar.lower()}?", hint=hint)
        return ask_for(call, operation.id, tuple(guests), None, _chosen(operation, options))
    if operation.targets in _SINGLE:
        return ask_for(call, operation.id, (str(guests),), None, _chosen(operation, options))
    selector = selector_of(options)
    if not guests and selector.is_empty:
        raise UsageError(
            "which guest?",
            hint=f"pve {operation.command} GUEST, or select with --tag, --pool, --node, --name",
        )
    return ask_for(call, operation.id, tuple(guests), selector, _chosen(operation, options))


def _chosen(operation: Operation, options: dict[str, Any]) -> dict[str, Scalar]:
    """The parameters that were given; what was not keeps PVE's default."""
    given = {param.name: options.get(param.name) for param in operation.params}
    return {
        name: value for name, value in given.items() if value is not None and value is not False
    }
