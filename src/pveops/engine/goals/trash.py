"""Goals about deleted guests that can be brought back: marked, and no longer marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import read_guest_state
from pveops.engine.goals import config
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_at_mark(client: Client, sought: Sought, where: str) -> Sight:
    """`expect`: the values of the configuration that make up the mark, or its absence."""
    sight = config.GOALS["config.values"](client, sought)
    if not sight.is_reached:
        return sight
    power = read_guest_state(client, ref_of(sought.target)).power
    return sight._replace(word=f"{power}, {where}", after={**sight.after, "power": power})


def _look_for_mark(client: Client, sought: Sought) -> Sight:
    return _look_at_mark(client, sought, "in the trash")


def _look_for_no_mark(client: Client, sought: Sought) -> Sight:
    return _look_at_mark(client, sought, "out of the trash")


GOALS: dict[str, Look] = {"trash.marked": _look_for_mark, "trash.unmarked": _look_for_no_mark}
