"""The addresses that a running guest has, as it tells itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import Row, object_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import GuestRef


class Interface(NamedTuple):
    """A network card as seen inside."""

    name: str
    mac: str
    addresses: tuple[str, ...]
    """Without prefix lengths; those that others can use, link-local and loopback left out."""
    local_addresses: tuple[str, ...]
    """Loopback and link-local ones."""


def read_interfaces(client: Client, ref: GuestRef) -> tuple[Interface, ...]:
    """VMs tell by their agent (API2/Qemu/Agent.pm), containers by their namespace. One request.

    Raises what the API says where there is no agent, or where it does not answer.
    """
    if ref.kind == "lxc":
        return interfaces_of(rows_of(client.get(ref.path("interfaces"))))
    answer = object_of(client.get(ref.path("agent", "network-get-interfaces")))
    return interfaces_of(rows_of(answer.get("result")))


def interfaces_of(rows: list[Row]) -> tuple[Interface, ...]:
    """Both shapes: the agent's rows, and those of a container with `inet` and `inet6` before 9."""
    found = []
    for row in rows:
        addresses = list(dict.fromkeys(_addresses_of(row)))
        usable = tuple(str(each) for each in addresses if _is_usable(each))
        found.append(
            Interface(
                name=text_of(row, "name"),
                mac=(text_of(row, "hardware-address") or text_of(row, "hwaddr")).lower(),
                addresses=usable,
                local_addresses=tuple(str(each) for each in addresses if not _is_usable(each)),
            )
        )
    return tuple(found)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _addresses_of(row: Row) -> Iterator[_Address]:
    texts = [text_of(inner, "ip-address") for inner in rows_of(row.get("ip-addresses"))]
    texts += [text_of(row, "inet"), text_of(row, "inet6")]
    for text in texts:
        try:
            yield ipaddress.ip_address(text.partition("/")[0].partition("%")[0])
        except ValueError:
            continue


def _is_usable(address: _Address) -> bool:
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


def usable_addresses(interfaces: tuple[Interface, ...]) -> tuple[str, ...]:
    """Every address of every card that others can use."""
    return tuple(address for each in interfaces for address in each.addresses)
