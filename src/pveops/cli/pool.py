"""`pve pool`: what belongs together."""

from __future__ import annotations

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options

_VERB = "pveops.cli.verbs:pool_verb"

group = Group(
    "pool",
    help="Pools: guests that belong together.",
    lazy={
        "create": (_VERB, "make an empty pool"),
        "add": (_VERB, "put guests or storages into a pool"),
        "remove": (_VERB, "take guests or storages out of a pool"),
        "delete": (_VERB, "delete an empty pool"),
    },
)

_COLUMNS = (Column("pool"), Column("guests"), Column("running"), Column("can_create", kind="flag"))
_FIELDS = tuple(column.key for column in _COLUMNS)


@group.command("list", operation="pool.list")
@list_options
@click.pass_obj
def list_pools(call: Call) -> Answer:
    """List pools with how many guests they have, and whether guests may be made there at once."""
    from pveops.domain.inventory import read_inventory

    inventory, policy = read_inventory(call.wiring.reader), call.wiring.policy
    rows = [
        {
            "pool": pool,
            "guests": sum(guest.pool == pool for guest in inventory.guests),
            "running": sum(
                guest.pool == pool and guest.status == "running" for guest in inventory.guests
            ),
            "can_create": policy.allows_creation_in(pool),
        }
        for pool in inventory.pools
    ]
    outside = sum(not guest.pool for guest in inventory.guests)
    verdict = f"{count_of(len(rows), 'pool')}; {count_of(outside, 'guest')} in none"
    next_ = ("pve guest list --pool POOL",) if rows else ()
    return Answer(verdict, blocks=(Listing(rows, dict, _FIELDS, _COLUMNS),), next=next_)
