"""What every command returns: one answer, however it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Kind = Literal["text", "number", "bytes", "percent", "duration", "time", "flag", "severity"]


class Column(NamedTuple):
    """One column of a list, in text and on a terminal. JSON has every field of the items."""

    key: str
    label: str = ""
    kind: Kind = "text"
    common: str = ""
    """The value that most rows have: left blank, and told in the header, in long lists."""
    is_sparse: bool = False
    """Left out when no row has a value."""
    is_wide: bool = False
    """Shown on a terminal only."""

    @property
    def title(self) -> str:
        """What stands in the header."""
        return self.label or self.key


class Listing(NamedTuple):
    """Many things of one kind. `to_item` makes the JSON object of one, when it is shown."""

    rows: Sequence[Any]
    to_item: Callable[[Any], dict[str, Any]]
    fields: tuple[str, ...]
    """Every member that an item may have, for `--fields`."""
    columns: tuple[Column, ...]
    title: str = ""
    total: int | None = None
    """How many there are, when `rows` holds only some."""
    usual: str = ""
    """What rows are that need no look; lean text counts those."""
    is_usual: Callable[[Any], bool] | None = None

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.rows) if self.total is None else self.total


class Facts(NamedTuple):
    """One thing, as lines of `name: value`. Empty values are left out."""

    pairs: tuple[tuple[str, str], ...]
    title: str = ""


class Lines(NamedTuple):
    """Text as it is, line by line."""

    lines: tuple[str, ...]


Block = Listing | Facts | Lines


class Answer(NamedTuple):
    """The result of a command.

    verdict: the first line, whole in itself. data: what `--json` carries; None: made from the
    first listing among `blocks`. changed: None when that is not known (yet). `code` is what the
    process exits with.
    """

    verdict: str
    code: int = 0
    operation: str = ""
    changed: bool | None = False
    data: Any = None
    beside: Mapping[str, Any] = {}
    """What `--json` carries beside the items of the list, such as what could not be seen."""
    blocks: tuple[Block, ...] = ()
    plan: Any = None
    receipt: Any = None
    findings: tuple[Any, ...] = ()
    error: Mapping[str, Any] | None = None
    next: tuple[str, ...] = ()
    """Whole commands, or a fact."""
    meta: Mapping[str, Any] = {}
    has_free_text: bool = False
    """It shows text that others wrote, as such."""

    @property
    def ok(self) -> bool:
        """Whether the caller has what was asked for."""
        return self.code == 0

    @property
    def listing(self) -> Listing | None:
        """The list that this answer is about."""
        return next((block for block in self.blocks if isinstance(block, Listing)), None)


class Written(NamedTuple):
    """An answer that was made ready for the caller already, by another process."""

    text: str
    code: int
    envelope: str = ""
    """The same as JSON, where that was wanted, too."""


def limit_listing(answer: Answer, limit: int | None) -> Answer:
    """The answer with at most `limit` rows in its list, of any kind; the count stays."""
    listing = answer.listing
    if limit is None or listing is None:
        return answer
    short = listing._replace(usual="", is_usual=None)
    if len(listing.rows) > limit:
        short = short._replace(rows=listing.rows[:limit], total=listing.size)
    blocks = tuple(short if block is listing else block for block in answer.blocks)
    return answer._replace(blocks=blocks)


def choose_fields(answer: Answer, fields: Sequence[str]) -> Answer:
    """The answer with only these members in its list.

    Raises UsageError for an unknown member, naming all, and where there is no list.
    """
    from pveops.errors import UsageError

    listing = answer.listing
    if listing is None:
        raise UsageError("--fields is for lists", hint="leave it out here")
    unknown = [name for name in fields if name not in listing.fields]
    if unknown:
        raise UsageError(
            f"there is no field {', '.join(unknown)}",
            hint=f"the fields are: {', '.join(listing.fields)}",
        )
    known = {column.key: column for column in listing.columns}
    columns = tuple(
        known.get(name, Column(name))._replace(is_sparse=False, is_wide=False) for name in fields
    )
    make = listing.to_item

    def pick(row: Any) -> dict[str, Any]:
        item = make(row)
        return {name: item.get(name) for name in fields}

    chosen = listing._replace(
        to_item=pick, fields=tuple(fields), columns=columns, usual="", is_usual=None
    )
    blocks = tuple(chosen if block is listing else block for block in answer.blocks)
    return answer._replace(blocks=blocks, data=None)
