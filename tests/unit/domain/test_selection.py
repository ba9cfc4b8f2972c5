"""From words to guests."""

from __future__ import annotations

import pytest

from pveops.domain.guest import Guest
from pveops.domain.inventory import Inventory, inventory_of
from pveops.domain.selection import Selector, resolve_guest, select_guests
from pveops.errors import AmbiguousError, NotFoundError


def inventory() -> Inventory:
    rows = [
        {"type": "node", "node": "pve1", "status": "online"},
        {"type": "node", "node": "pve2", "status": "offline"},
        {
            "type": "qemu",
            "vmid": 101,
            "node": "pve1",
            "name": "web01",
            "status": "running",
            "tags": "prod;web",
        },
        {"type": "qemu", "vmid": "102", "node": "pve1", "name": "test", "status": "stopped"},
        {"type": "lxc", "vmid": 103, "node": "pve1", "name": "test", "status": "running"},
        {"type": "qemu", "vmid": 104, "node": "pve2", "name": "db01", "status": "running"},
        {"type": "qemu", "vmid": 105, "node": "pve2", "status": "unknown"},
        {"type": "qemu", "vmid": 106, "node": "pve1", "name": "106x", "status": "running"},
    ]
    return inventory_of(rows)


@pytest.mark.parametrize(
    ("words", "vmid"),
    [("101", 101), ("web01", 101), ("pve1/web01", 101), ("pve1/101", 101), ("106x", 106)],
)
def test_a_guest_is_named_in_several_ways(words: str, vmid: int) -> None:
    assert resolve_guest(inventory(), words).vmid == vmid


def test_a_name_that_fits_two_guests_is_refused_with_both() -> None:
    with pytest.raises(AmbiguousError) as caught:
        resolve_guest(inventory(), "test")
    assert caught.value.details["candidates"] == [102, 103]


@pytest.mark.parametrize("words", ["wbe01", "pve2/web01", "999", "", "web*", "1 or 1"])
def test_what_fits_nothing_is_not_found(words: str) -> None:
    with pytest.raises(NotFoundError):
        resolve_guest(inventory(), words)


def test_a_near_name_is_offered_and_missing_names_are_told() -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve_guest(inventory(), "web0")
    assert "web01" in caught.value.hint
    assert "pve2" in caught.value.message


def test_guests_of_a_node_that_is_not_online_are_unknown() -> None:
    found: dict[int, Guest] = {guest.vmid: guest for guest in inventory().guests}
    assert (found[104].status, found[104].reported_status) == ("unknown", "running")
    assert found[101].status == "running"


def test_every_condition_of_a_selector_has_to_fit() -> None:
    guests = inventory()
    assert [g.vmid for g in select_guests(guests, Selector(names=("web*",)))] == [101]
    assert [g.vmid for g in select_guests(guests, Selector(tags=("prod",), kinds=("lxc",)))] == []
    assert [g.vmid for g in select_guests(guests, Selector(kinds=("lxc",), nodes=("pve1",)))] == [
        103
    ]
    assert Selector().is_empty


@pytest.mark.parametrize("selector", [Selector(nodes=("pve9",)), Selector(pools=("nope",))])
def test_a_node_or_pool_that_is_not_there_selects_nobody_by_mistake(selector: Selector) -> None:
    with pytest.raises(NotFoundError, match="there is no"):
        select_guests(inventory(), selector)
