"""The options that pick guests by their properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pveops.domain.selection import Selector

_KINDS = {"vm": "qemu", "qemu": "qemu", "ct": "lxc", "lxc": "lxc"}
_OPTIONS = (
    click.option("--tag", multiple=True, help="With this tag (repeat: any of them)."),
    click.option("--pool", multiple=True, help="In this pool."),
    click.option("--node", multiple=True, help="On this node."),
    click.option("--name", multiple=True, metavar="PATTERN", help="Named like `web*`."),
    click.option("--kind", multiple=True, type=click.Choice(list(_KINDS)), help="VMs or CTs."),
    click.option("--status", multiple=True, help="In this state: running, stopped, paused, ..."),
)


def selector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every selector; `selector_of` reads what came."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def selector_of(options: dict[str, Any]) -> Selector:
    """The selector that the options spell."""
    from pveops.domain.selection import Selector

    return Selector(
        tags=tuple(options["tag"]),
        pools=tuple(options["pool"]),
        nodes=tuple(options["node"]),
        names=tuple(options["name"]),
        kinds=tuple(dict.fromkeys(_KINDS[kind] for kind in options["kind"])),
        statuses=tuple(options["status"]),
    )


def describe(selector: Selector) -> str:
    """The selector in words: `tag prod, node pve1 or pve2`."""
    named = zip(("tag", "pool", "node", "name", "kind", "status"), selector, strict=True)
    return ", ".join(f"{word} {' or '.join(values)}" for word, values in named if values)
