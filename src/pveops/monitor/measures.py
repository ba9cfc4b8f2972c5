"""What can be looked at of a guest, a node or a storage: names, members of rrddata, units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["guest", "node", "storage"]
Unit = Literal["share", "percent", "bytes", "rate", "load"]
"""share: of 1, shown as percent. percent: as it is. rate: bytes a second. load: processes."""


class Curve(NamedTuple):
    """One line: a member of rrddata, and what it is called beside others."""

    member: str
    label: str = ""


class Metric(NamedTuple):
    """One picture.

    words: what is on the axis. ceiling: the member that tells how much there is of it. since: the
    version of PVE that measures it.
    """

    name: str
    words: str
    unit: Unit
    curves: tuple[Curve, ...]
    ceiling: str = ""
    since: str = ""


_CPU = Metric("cpu", "CPU in use", "share", (Curve("cpu"),))
_NETWORK = (
    Metric("network", "network traffic", "rate", (Curve("netin", "in"), Curve("netout", "out"))),
    Metric("net-in", "network traffic in", "rate", (Curve("netin"),)),
    Metric("net-out", "network traffic out", "rate", (Curve("netout"),)),
)


def _pressure(what: str, words: str, *, has_full: bool = True) -> Metric:
    some = Curve(f"pressure{what}some", "some waited" if has_full else "")
    full = (Curve(f"pressure{what}full", "all waited"),) if has_full else ()
    return Metric(
        f"pressure-{what}", f"time waiting for {words}", "percent", (some, *full), since="9.0"
    )


METRICS: Mapping[Kind, tuple[Metric, ...]] = {
    "guest": (
        _CPU,
        Metric("memory", "memory in use", "bytes", (Curve("mem"),), "maxmem"),
        Metric(
            "disk",
            "disk traffic",
            "rate",
            (Curve("diskread", "read"), Curve("diskwrite", "written")),
        ),
        Metric("disk-read", "disk traffic, read", "rate", (Curve("diskread"),)),
        Metric("disk-write", "disk traffic, written", "rate", (Curve("diskwrite"),)),
        *_NETWORK,
        Metric("rootfs", "root file system in use", "bytes", (Curve("disk"),), "maxdisk"),
        _pressure("cpu", "CPU"),
        _pressure("io", "disks"),
        _pressure("memory", "memory"),
    ),
    "node": (
        _CPU,
        Metric("memory", "memory in use", "bytes", (Curve("memused"),), "memtotal"),
        Metric("load", "load average", "load", (Curve("loadavg"),), "maxcpu"),
        Metric("iowait", "CPU waiting for disks", "share", (Curve("iowait"),)),
        Metric("swap", "swap in use", "bytes", (Curve("swapused"),), "swaptotal"),
        Metric("rootfs", "root file system in use", "bytes", (Curve("rootused"),), "roottotal"),
        *_NETWORK,
        _pressure("cpu", "CPU", has_full=False),
        _pressure("io", "disks"),
        _pressure("memory", "memory"),
    ),
    "storage": (Metric("used", "space in use", "bytes", (Curve("used"),), "total"),),
}
"""By the kind of thing, the most asked for first."""

_OTHER_WORDS = {
    "mem": "memory",
    "ram": "memory",
    "net": "network",
    "traffic": "network",
    "netin": "net-in",
    "netout": "net-out",
    "io": "disk",
    "diskread": "disk-read",
    "diskwrite": "disk-write",
    "loadavg": "load",
    "wait": "iowait",
    "root": "rootfs",
    "psi": "pressure-io",
    "pressure": "pressure-io",
    "usage": "used",
    "space": "used",
}


def names_of(kind: Kind) -> tuple[str, ...]:
    """Every metric of such a thing."""
    return tuple(metric.name for metric in METRICS[kind])


def find_metric(kind: Kind, name: str) -> Metric | None:
    """The metric of that name, or of the member of rrddata, or of a common other word."""
    wanted = name.strip().lower()
    wanted = _OTHER_WORDS.get(wanted, wanted)
    named = (metric for metric in METRICS[kind] if metric.name == wanted)
    by_member = (metric for metric in METRICS[kind] if metric.curves[0].member == wanted)
    return next(named, None) or next(by_member, None)
