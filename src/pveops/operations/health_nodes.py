"""What is wrong with a node's hardware, load, certificates, packages and clock. Pure.

Each function takes what was read of one node, and gives findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from pveops.domain.node_clock import SKEW_BAD_S, describe_skew
from pveops.operations.findings import Finding, Severity
from pveops.operations.limits import Limits
from pveops.units import DAY_S, format_duration, format_percent

if TYPE_CHECKING:
    from pveops.domain.certificate import Certificate
    from pveops.domain.hardware import Drive, Pool, ThinPool
    from pveops.domain.kernel import Kernels
    from pveops.domain.rrd import Measured
    from pveops.domain.updates import Updates

_SUSTAINED_S = 900
_FEWEST_SAMPLES = 10
"""Of the fifteen that a quarter of an hour has."""
_PRESSURES = (
    ("pressurecpusome", "node.pressure-cpu", "CPU time"),
    ("pressureiofull", "node.pressure-io", "its disks"),
    ("pressurememoryfull", "node.pressure-memory", "memory"),
)
_WORN = 10
"""Percent of a drive's life."""
_SOUND_POOLS = frozenset({"ONLINE", ""})
_REDUNDANCY_LOST = "DEGRADED"


def check_load(node: str, measured: Measured, now: float, limits: Limits) -> Iterator[Finding]:
    """What lasted for a quarter of an hour, by the means of the node's own minutes."""
    recent = measured.since(now - _SUSTAINED_S)

    def mean(member: str) -> float | None:
        values = [value for _, value in recent.points(member)]
        return fmean(values) if len(values) >= _FEWEST_SAMPLES else None

    show = f"pve node show {node}"
    evidence = f"/nodes/{node}/rrddata"
    cpu = mean("cpu")
    if cpu is not None and cpu >= limits.cpu:
        text = f"{format_percent(cpu)} of its CPUs were busy for a quarter of an hour"
        yield Finding("node.cpu", "warn", f"node/{node}", text, evidence, show)
    has_pressure = False
    for member, code, what in _PRESSURES:
        percent = mean(member)
        has_pressure = has_pressure or percent is not None
        if percent is not None and percent / 100 >= limits.pressure:
            text = f"its work waited {percent:.0f}% of a quarter of an hour for {what}"
            yield Finding(code, "warn", f"node/{node}", text, evidence, show)
    waiting = mean("iowait")
    if not has_pressure and waiting is not None and waiting >= limits.io_wait:
        text = f"{format_percent(waiting)} of its CPU time went into waiting for disks"
        yield Finding("node.pressure-io", "warn", f"node/{node}", text, evidence, show)


def check_drives(node: str, drives: Iterable[Drive]) -> Iterator[Finding]:
    """What SMART says."""
    remedy = f"pve api get /nodes/{node}/disks/list"
    for drive in drives:
        subject = f"disk/{node}/{drive.name}"
        if drive.health == "FAILED":
            text = f"{drive.name} ({drive.model}) fails its own test (SMART): replace it"
            yield Finding("disk.failing", "block", subject, text, "SMART", remedy)
        elif drive.remaining is not None and drive.remaining <= _WORN:
            text = f"{drive.name} ({drive.model}) is worn: {drive.remaining}% of its life is left"
            yield Finding("disk.worn", "warn", subject, text, "SMART", remedy)


def check_pools(
    node: str, pools: Iterable[Pool], known: frozenset[str], limits: Limits
) -> Iterator[Finding]:
    """Health, and how full. known: pools that a storage tells of, so that nothing comes twice."""
    for pool in pools:
        subject = f"zfs/{node}/{pool.name}"
        remedy = f"pve api get /nodes/{node}/disks/zfs/{pool.name}"
        if pool.health not in _SOUND_POOLS:
            is_lost = pool.health == _REDUNDANCY_LOST
            text = f"the pool {pool.name} is {pool.health}"
            severity: Severity = "warn" if is_lost else "block"
            yield Finding("zfs.unhealthy", severity, subject, text, "zpool", remedy)
        if pool.name not in known and pool.used_share >= limits.nearly_full:
            is_full = pool.used_share >= limits.full
            yield Finding(
                "zfs.full" if is_full else "zfs.nearly-full",
                "block" if is_full else "warn",
                subject,
                f"the pool {pool.name} is {format_percent(pool.used_share)} full",
                "zpool",
                remedy,
            )


def check_thin_pools(node: str, pools: Iterable[ThinPool], limits: Limits) -> Iterator[Finding]:
    """Metadata that runs out stops every guest on the pool."""
    for pool in pools:
        if pool.metadata_share >= limits.nearly_full:
            is_full = pool.metadata_share >= limits.full
            share = format_percent(pool.metadata_share)
            yield Finding(
                "thin.metadata",
                "block" if is_full else "warn",
                f"thin/{node}/{pool.name}",
                f"the metadata of the thin pool {pool.name} is {share} full",
                f"/nodes/{node}/disks/lvmthin",
                f"pve api get /nodes/{node}/disks/lvmthin",
            )


def check_certificates(
    node: str, certificates: Iterable[Certificate], now: float, limits: Limits
) -> Iterator[Finding]:
    """PVE renews its own a fortnight before their end: one that is nearer was not renewed."""
    known = [each for each in certificates if each.ends and limits.certificate_days]
    for each in known:
        left_s = each.ends - now
        if left_s >= limits.certificate_days * DAY_S:
            continue
        is_over = left_s <= 0
        when = (
            f"ended {format_duration(-left_s)} ago"
            if is_over
            else (f"ends in {format_duration(left_s)}")
        )
        yield Finding(
            "certificate.ended" if is_over else "certificate.ending",
            "block" if is_over else "warn",
            f"certificate/{node}/{each.filename}",
            f"{each.filename} of {node} {when}",
            f"/nodes/{node}/certificates/info",
            f"pve api get /nodes/{node}/certificates/info",
        )


def check_updates(node: str, updates: Updates) -> Iterator[Finding]:
    """For information: what waits."""
    if updates.packages:
        kernel = ", a kernel among them" if updates.kernels else ""
        yield Finding(
            "node.updates",
            "info",
            f"node/{node}",
            f"{updates.packages} packages wait for an update{kernel}",
            f"/nodes/{node}/apt/update",
            f"pve api get /nodes/{node}/apt/update",
        )


def check_kernels(node: str, kernels: Kernels) -> Iterator[Finding]:
    """For information: whether a reboot is due."""
    if kernels.is_reboot_due:
        yield Finding(
            "node.reboot-due",
            "info",
            f"node/{node}",
            f"it runs {kernels.running}, and {kernels.newest} waits for a reboot",
            f"/nodes/{node}/apt/versions",
            "pve cluster rolling-reboot",
        )


def check_clock(node: str, ahead_s: float, limits: Limits) -> Iterator[Finding]:
    """Against this machine's."""
    if abs(ahead_s) > limits.clock_s:
        yield Finding(
            "node.clock",
            "block" if abs(ahead_s) > SKEW_BAD_S else "warn",
            f"node/{node}",
            describe_skew(node, ahead_s),
            f"{ahead_s:+.0f} s",
            "pve doctor",
        )


def merge_skews(findings: Sequence[Finding], nodes: int, limits: Limits) -> tuple[Finding, ...]:
    """When the clocks of all of several nodes agree, it is this machine's that is wrong."""
    skewed = [finding for finding in findings if finding.code == "node.clock"]
    if nodes <= 1 or len(skewed) < nodes:
        return tuple(findings)
    aheads = [int(each.evidence.removesuffix(" s")) for each in skewed]
    if max(aheads) - min(aheads) > limits.clock_s:
        return tuple(findings)
    text = f"{skewed[0].message}, and so are the others: this machine's clock is wrong"
    mine = Finding("clock.here", skewed[0].severity, "here", text, remedy="pve doctor")
    return (*(each for each in findings if each.code != "node.clock"), mine)
