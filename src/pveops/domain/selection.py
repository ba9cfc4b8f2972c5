"""From a person's words to guests: exactly one, or a group by its properties."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from pveops.domain.guest import Guest
from pveops.domain.inventory import Inventory
from pveops.errors import AmbiguousError, NotFoundError
from pveops.ids import parse_vmid

_MAX_CANDIDATES = 8


class Selector(NamedTuple):
    """Which guests; every given member has to fit. Templates never count."""

    tags: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Patterns with `*` and `?`."""
    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """No condition was given: this must never mean "all" in a change."""
        return not any(self)

    def fits(self, guest: Guest) -> bool:
        """Whether the guest meets every condition."""
        return (
            (not self.tags or any(tag in guest.tags for tag in self.tags))
            and (not self.pools or guest.pool in self.pools)
            and (not self.nodes or guest.node in self.nodes)
            and (not self.names or any(fnmatchcase(guest.name, name) for name in self.names))
            and (not self.kinds or guest.kind in self.kinds)
            and (not self.statuses or guest.status in self.statuses)
        )


def select_guests(inventory: Inventory, selector: Selector) -> tuple[Guest, ...]:
    """The guests that fit, in the order of their vmids.

    Raises NotFoundError for a node or pool that is not there: no guest on it is no answer.
    """
    for node in selector.nodes:
        inventory.get_node(node)
    pools = {*inventory.pools, *(guest.pool for guest in inventory.guests if guest.pool)}
    for pool in selector.pools:
        if pool not in pools:
            known = ", ".join(sorted(pools)) or "none that is visible"
            raise NotFoundError(f"there is no pool {pool!r}", hint=f"the pools are: {known}")
    return tuple(guest for guest in inventory.guests if selector.fits(guest))


def resolve_guest(inventory: Inventory, text: str) -> Guest:
    """The one guest that `text` names: a vmid, a name, or `node/name` (or `node/vmid`).

    Raises NotFoundError (with the reasons why it may be invisible) or AmbiguousError.
    """
    node, _, rest = text.rpartition("/")
    vmid = parse_vmid(rest)
    matches = [
        guest
        for guest in inventory.guests
        if (not node or guest.node == node)
        and (guest.vmid == vmid if vmid is not None else bool(rest) and guest.name == rest)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise _ambiguous(text, matches)
    raise _not_found(inventory, text, rest)


def _ambiguous(text: str, matches: list[Guest]) -> AmbiguousError:
    labels = [guest.ref.label for guest in matches[:_MAX_CANDIDATES]]
    return AmbiguousError(
        f"{text!r} names {len(matches)} guests: {', '.join(labels)}",
        hint=f"name it by vmid, for example {matches[0].vmid}",
        details={"candidates": [guest.vmid for guest in matches]},
    )


def _not_found(inventory: Inventory, text: str, name: str) -> NotFoundError:
    lowered = name.lower()
    near = [g for g in inventory.guests if lowered and lowered in g.name.lower()]
    if not near:
        near = _close(inventory, name)
    parts = [f"no guest is called {text!r} among the {len(inventory.guests)} that are visible"]
    if inventory.nodes_not_online:
        down = ", ".join(inventory.nodes_not_online)
        parts.append(f"names of guests on {down} may be missing: the node is not online")
    hint = "list the guests with `pve guest list`"
    if near:
        hint = "did you mean " + ", ".join(g.ref.label for g in near[:3]) + "?"
    return NotFoundError(
        "; ".join(parts), hint=hint, details={"candidates": [g.vmid for g in near[:3]]}
    )


def _close(inventory: Inventory, name: str) -> list[Guest]:
    import difflib

    names = difflib.get_close_matches(name, {g.name for g in inventory.guests if g.name}, n=3)
    return [guest for guest in inventory.guests if guest.name in names]
