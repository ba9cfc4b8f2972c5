"""What was measured of the simulated cluster: the course of load, memory, traffic and space.

Nothing is recorded. What was measured at a moment is computed from what is known of it: whether
the node was on and the guest ran, which volumes there were, and how the rest of a storage grew.
Load follows the hour of the day, with noise that is the same at each look, and backups at night;
its average is what /cluster/resources tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pveops.sim.figures import (
    cpus_of,
    disk_bytes,
    disk_used,
    load_of,
    memory_bytes,
    node_load,
    node_memory,
)
from pveops.units import DAY_S, HOUR_S, MINUTE_S

if TYPE_CHECKING:
    from pveops.sim.guest import Guest
    from pveops.sim.model import Cluster, Node
    from pveops.sim.storage import Storage

Values = Mapping[str, Any]
_SPANS = {
    "hour": (60, 60),
    "day": (60, 1440),
    "week": (1800, 336),
    "month": (1800, 1440),
    "year": (21600, 1440),
    "decade": (604800, 570),
}
"""Seconds of a row and number of rows since 9.0 (PVE::RRD)."""
_OLD_SPANS = {
    "hour": (60, 70),
    "day": (1800, 70),
    "week": (10800, 70),
    "month": (43200, 70),
    "year": (604800, 70),
}
_BOOT_S = 2 * MINUTE_S
_NIGHT_S = (2 * HOUR_S, 2 * HOUR_S + 25 * MINUTE_S)
"""When backups read the disks, in seconds of a day."""
_BUSY_HOUR = 14
_MASK = 0xFFFFFFFF
_PRESSURES = ("cpu", "io", "memory")


def list_moments(version_major: int, timeframe: str, now: float) -> list[tuple[int, int]]:
    """The beginnings of the rows, the oldest first, and how long a row is."""
    spans = _SPANS if version_major >= 9 else _OLD_SPANS
    step, count = spans.get(timeframe, _OLD_SPANS["year"])
    newest = int(now) // step * step
    return [(moment, step) for moment in range(newest - step * count, newest, step)]


# -- guests --------------------------------------------------------------------------


def measure_guest(cluster: Cluster, guest: Guest, *, is_max: bool) -> Callable[[int, int], Values]:
    """What there is of a guest at a moment; of one that was off only its sizes."""
    node = cluster.nodes[guest.node]
    is_new = node.version.major >= 9
    load = load_of(guest) or _usual_load(guest)
    sizes = {
        "maxcpu": cpus_of(guest, node),
        "maxmem": memory_bytes(guest),
        "maxdisk": disk_bytes(guest),
        "disk": 0,
    }
    inside = disk_used(guest) if guest.is_running else sizes["maxdisk"] // 3
    runs = [*guest.runs]
    if guest.process is not None:
        runs.append((guest.process.started_at, math.inf))

    def values(moment: int, step: int) -> Values:
        if moment + step <= guest.created_at or not _is_on(node, moment):
            return {}
        if not any(start <= moment < end for start, end in runs):
            return sizes
        shape = _shape(str(guest.vmid), moment, step, is_max=is_max)
        return {
            **sizes,
            "disk": inside if guest.kind == "lxc" else 0,
            "cpu": min(1.0, load * shape),
            "mem": int(sizes["maxmem"] * (0.54 + 0.06 * _shape(f"m{guest.vmid}", moment, step))),
            **({"memhost": int(sizes["maxmem"] * 0.7)} if is_new and guest.kind == "qemu" else {}),
            **_traffic(guest, load, moment, step),
            **(_pressures(f"g{guest.vmid}", moment, step, load * shape) if is_new else {}),
        }

    return values


def _usual_load(guest: Guest) -> float:
    return ((guest.vmid * 37) % 40 + 1) / 200


def _traffic(guest: Guest, load: float, moment: int, step: int) -> Values:
    """Bytes a second: by load, and what the nightly backup reads."""
    net = _shape(f"n{guest.vmid}", moment, step)
    disk = _shape(f"d{guest.vmid}", moment, step)
    backup = 90e6 if _is_night(moment, step) else 0.0
    return {
        "netin": 4e6 * load * net,
        "netout": 9e6 * load * net,
        "diskread": 2e6 * load * disk + backup,
        "diskwrite": 5e6 * load * disk,
    }


# -- nodes ---------------------------------------------------------------------------


def measure_node(cluster: Cluster, node: Node, *, is_max: bool) -> Callable[[int, int], Values]:
    """What there is of a node at a moment, by the guests that ran on it then."""
    guests = [guest for guest in cluster.guests.values() if guest.node == node.name]
    spells = [
        (start, end, memory_bytes(guest)) for guest in guests for start, end in _spells(guest)
    ]
    local = cluster.storages.definitions.get("local")
    root = cluster.storages.backing(local, node) if local else None
    is_new = node.version.major >= 9
    begin = node.installed_at or node.boot_time
    load = node.hardware.load

    def values(moment: int, step: int) -> Values:
        if moment < begin or not _is_on(node, moment):
            return {}
        running = [memory for start, end, memory in spells if start <= moment < end]
        shape = _shape(node.name, moment, step, is_max=is_max)
        cpu = min(1.0, node_load(len(running)) * shape) if load.cpu is None else load.cpu
        memory = node_memory(node, sum(running))
        memory = min(node.memory_bytes, int(memory * (0.95 + 0.05 * shape)))
        night = 0.08 if _is_night(moment, step) else 0.0
        measured = {
            "cpu": cpu,
            "maxcpu": node.cpus,
            "loadavg": round(cpu * node.cpus * 1.1, 2),
            "iowait": load.iowait or 0.002 * _shape(f"w{node.name}", moment, step) + night,
            "memtotal": node.memory_bytes,
            "memused": memory,
            "swaptotal": 0,
            "swapused": 0,
            "roottotal": root.total_bytes if root else 0,
            "rootused": root.used_bytes(moment) if root else 0,
            "netin": 4e5 * len(running) * _shape(f"i{node.name}", moment, step),
            "netout": 9e5 * len(running) * shape + 1e9 * night,
        }
        if is_new:
            measured |= {"memavailable": node.memory_bytes - memory, "arcsize": 0}
            pressures = _pressures(node.name, moment, step, cpu + 5 * night)
            measured |= {k: v for k, v in pressures.items() if k != "pressurecpufull"}
            measured |= load.pressures
        return measured

    return values


def _spells(guest: Guest) -> Iterator[tuple[float, float]]:
    yield from guest.runs
    if guest.process is not None:
        yield guest.process.started_at, math.inf


# -- storages ------------------------------------------------------------------------


def measure_storage(
    cluster: Cluster, storage: Storage, node: Node
) -> Callable[[int, int], Values]:
    """Its space at a moment, as the node saw it; nothing of one that it does not reach."""
    backing = cluster.storages.backing(storage, node)
    is_usable = storage.is_for(node.name) and not storage.is_disabled
    begin = node.installed_at or node.boot_time
    lost = 0.0 if backing.is_online else backing.offline_since

    def values(moment: int, step: int) -> Values:
        is_seen = is_usable and (backing.is_online or moment < lost)
        if moment < begin or not is_seen or not _is_on(node, moment):
            return {}
        return {"total": backing.total_bytes, "used": backing.used_bytes(moment + step)}

    return values


# -- courses -------------------------------------------------------------------------


def _is_on(node: Node, moment: float) -> bool:
    """Whether the node measured then. It was booted for the last time it was off."""
    for start, end in node.downtimes:
        if start <= moment and (end is None or moment < end):
            return False
    return not node.boot_time - _BOOT_S <= moment < node.boot_time


def _is_night(moment: int, step: int) -> bool:
    start, end = _NIGHT_S
    time = moment % DAY_S
    return step <= HOUR_S and time < end and time + step > start


def _shape(key: str, moment: int, step: int, *, is_max: bool = False) -> float:
    """Around 1: high in the afternoon, low at night, with noise of minutes and hours."""
    if step > MINUTE_S:
        parts = [_at(key, moment + step * part // 4) for part in (0, 1, 2, 3)]
        return max(parts) * 1.15 if is_max else sum(parts) / len(parts)
    return _at(key, moment)


def _at(key: str, moment: int) -> float:
    salt = crc32(key.encode())
    hour = (moment % DAY_S) / HOUR_S - _BUSY_HOUR + (salt % 5 - 2)
    day = 0.35 * math.cos(hour * math.pi / 12)
    return max(
        0.05,
        1.0 + day + 0.3 * _noise(salt, moment / HOUR_S) + 0.2 * _noise(salt ^ 7, moment / 300),
    )


def _noise(salt: int, time: float) -> float:
    """Between -1 and 1, without jumps, the same for the same moment."""
    whole = int(time)
    part = time - whole
    smooth = part * part * (3 - 2 * part)
    left, right = _chance(salt, whole), _chance(salt, whole + 1)
    return 2 * (left + (right - left) * smooth) - 1


def _chance(salt: int, number: int) -> float:
    """Between 0 and 1 (the finalizer of MurmurHash3)."""
    value = (number * 0x9E3779B1 ^ salt) & _MASK
    value = ((value ^ value >> 16) * 0x85EBCA6B) & _MASK
    value = ((value ^ value >> 13) * 0xC2B2AE35) & _MASK
    return (value ^ value >> 16) / _MASK


def _pressures(key: str, moment: int, step: int, load: float) -> dict[str, float]:
    """Percent of time in which tasks waited: some of them, and all of them at once."""
    found = {}
    for what in _PRESSURES:
        if what == "memory":
            some = 0.0
        else:
            calm = max(0.0, _shape(f"p{what}{key}", moment, step) - 0.8)
            some = round(100 * load * (0.05 if what == "cpu" else 0.03) * calm, 2)
        found[f"pressure{what}some"] = some
        found[f"pressure{what}full"] = round(some * 0.4, 2)
    return found
