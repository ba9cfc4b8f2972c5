"""What a look at a target has shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pveops.operations.plan import Scalar, Target

if TYPE_CHECKING:
    from pveops.api.client import Client

Values = Mapping[str, Scalar]
_MAX_NAMES = 6


class Sight(NamedTuple):
    """One look. `is_known` is False when nobody could look; `why` tells what stood against it.

    word: the state in a word or two. after: the state for receipts and records.
    """

    is_reached: bool
    word: str
    after: dict[str, Scalar]
    is_known: bool = True
    why: str = ""
    is_over: bool = False
    """Not reached, and waiting on would not change that."""
    said: str = ""
    """Text of the guest itself, framed; for whoever asked, and for no record."""


class Sought(NamedTuple):
    """What is looked for: the goal's own values, and the state before the change."""

    target: Target
    before: Values
    expect: Values
    answer: Values = MappingProxyType({})
    """What the call before was answered with, where that was no task."""


Look = Callable[["Client", Sought], Sight]
"""One look at a target. Raises NotFoundError and UnreachableError as the client does."""


def count_gone(noun: str, names: str) -> str:
    """`2 backups deleted: ..., ...`; names: all of them, by comma."""
    every = names.split(",")
    more = f" and {len(every) - _MAX_NAMES} more" if len(every) > _MAX_NAMES else ""
    plural = "" if len(every) == 1 else "s"
    return f"{len(every)} {noun}{plural} deleted: {', '.join(every[:_MAX_NAMES])}{more}"


def unknown(why: str) -> Sight:
    """Nobody could look."""
    return Sight(False, "unknown", {"power": "unknown"}, is_known=False, why=why)
