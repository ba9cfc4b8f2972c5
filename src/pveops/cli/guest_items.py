"""Guests as rows: the fields of `--json` and the columns of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pveops.cli.answer import Column, Listing
from pveops.cli.cells import count_of
from pveops.domain.guest import Guest

_FIELDS = Guest._fields

_COLUMNS = (
    Column("vmid", kind="number"),
    Column("name"),
    Column("kind", common="qemu"),
    Column("node"),
    Column("status", common="running"),
    Column("lock", is_sparse=True),
    Column("is_template", "template", kind="flag", is_sparse=True),
    Column("hastate", "ha", is_sparse=True),
    Column("cpu", kind="percent", is_wide=True),
    Column("maxcpu", "cores", kind="number", is_wide=True),
    Column("mem_bytes", "memory", kind="bytes", is_wide=True),
    Column("maxmem_bytes", "of", kind="bytes", is_wide=True),
    Column("uptime_s", "up", kind="duration", is_wide=True),
    Column("pool", is_sparse=True, is_wide=True),
    Column("tags", is_sparse=True, is_wide=True),
)


def guest_listing(guests: Sequence[Guest], title: str = "") -> Listing:
    """The guests as a list."""
    return Listing(guests, guest_item, _FIELDS, _COLUMNS, title)


def guest_item(guest: Guest) -> dict[str, Any]:
    """One guest as a JSON object: the members of `domain.guest.Guest`."""
    return guest._asdict()


def count_guests(guests: Sequence[Guest]) -> str:
    """`65 guests: 57 running, 8 stopped`."""
    from collections import Counter

    by_status = Counter("template" if guest.is_template else guest.status for guest in guests)
    parts = ", ".join(f"{count} {status}" for status, count in by_status.most_common())
    return f"{count_of(len(guests), 'guest')}: {parts}" if guests else "0 guests"
