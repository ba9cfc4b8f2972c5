"""What a node is made of, and how it fares: disks, ZFS pools, certificates, load.

Everything here is broken from outside: by a seed, a test, or `POST /hardware/NODE` of the control
port.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from pveops.units import DAY_S

_LEAF_DAYS = 730
"""pve-cluster Setup.pm: a node's certificate is made for two years, the CA for ten."""
_CA_DAYS = 3650


@dataclass(slots=True)
class Disk:
    """A drive. health: SMART's word; wearout: percent that remains, as PVE shows it."""

    devpath: str
    size_bytes: int
    health: str = "PASSED"
    wearout: int | None = None
    """None: `N/A`, as of spinning disks."""
    kind: str = "ssd"
    model: str = "Simulated SSD"
    used: str = "LVM"


@dataclass(slots=True)
class ZfsPool:
    """A pool as `zpool list` shows it."""

    name: str
    size_bytes: int
    alloc_bytes: int = 0
    health: str = "ONLINE"
    fragmentation: int = 5


@dataclass(slots=True)
class CertificateFile:
    """One file of those that a node serves with. pem: empty: nobody made a real one."""

    filename: str
    not_before: int
    not_after: int
    subject: str
    pem: str = ""


@dataclass(slots=True)
class Load:
    """What the node is busy with. cpu None: what its guests take. pressures: percent by member."""

    cpu: float | None = None
    iowait: float = 0.0
    pressures: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Hardware:
    """All of it. disks None: a single virtual disk that tells nothing of itself."""

    disks: list[Disk] | None = None
    pools: list[ZfsPool] = field(default_factory=list)
    thin_metadata_share: float | None = None
    """Of every thin pool of the node; None: as full as its data."""
    certificates: dict[str, CertificateFile] = field(default_factory=dict)
    load: Load = field(default_factory=Load)


def installed_certificates(node: str, made_at: float) -> dict[str, CertificateFile]:
    """The CA's and the node's own, as an installation leaves them."""
    begun = int(made_at)
    return {
        "pve-root-ca.pem": CertificateFile(
            "pve-root-ca.pem",
            begun,
            begun + _CA_DAYS * DAY_S,
            "/CN=Proxmox Virtual Environment/OU=pve/O=PVE Cluster Manager CA",
        ),
        "pve-ssl.pem": CertificateFile(
            "pve-ssl.pem",
            begun,
            begun + _LEAF_DAYS * DAY_S,
            f"/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={node}.example.test",
        ),
    }


def disk_row(disk: Disk) -> dict[str, Any]:
    """A row of GET disks/list (pve-storage Diskmanage.pm)."""
    return {
        "devpath": disk.devpath,
        "size": disk.size_bytes,
        "used": disk.used,
        "gpt": 0,
        "mounted": 0,
        "health": disk.health,
        "wearout": "N/A" if disk.wearout is None else disk.wearout,
        "model": disk.model,
        "serial": hashlib.sha256(disk.devpath.encode()).hexdigest()[:10].upper(),
        "vendor": "ATA",
        "wwn": "unknown",
        "type": disk.kind,
        "rpm": 7200 if disk.kind == "hdd" else 0,
        "osdid": -1,
        "osdid-list": None,
    }


def pool_row(pool: ZfsPool) -> dict[str, Any]:
    """A row of GET disks/zfs (pve-storage API2/Disks/ZFS.pm)."""
    return {
        "name": pool.name,
        "size": pool.size_bytes,
        "alloc": pool.alloc_bytes,
        "free": max(0, pool.size_bytes - pool.alloc_bytes),
        "frag": pool.fragmentation,
        "dedup": 1,
        "health": pool.health,
    }


def certificate_row(node: str, cluster: str, file: CertificateFile) -> dict[str, Any]:
    """A row of GET certificates/info (pve-common Certificate.pm). The CA is the cluster's."""
    is_ca = file.filename == "pve-root-ca.pem"
    body = "".join(file.pem.splitlines()[1:-1])
    der = (
        base64.b64decode(body)
        if body
        else f"{cluster if is_ca else node}/{file.filename}".encode()
    )
    digest = hashlib.sha256(der).hexdigest().upper()
    row: dict[str, Any] = {
        "filename": file.filename,
        "fingerprint": ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)),
        "issuer": "/CN=Proxmox Virtual Environment/OU=pve/O=PVE Cluster Manager CA",
        "notbefore": file.not_before,
        "notafter": file.not_after,
        "public-key-bits": 4096 if is_ca else 2048,
        "public-key-type": "rsaEncryption",
        "san": [] if is_ca else ["127.0.0.1", "::1", "localhost", node],
        "subject": file.subject,
    }
    return row | ({"pem": file.pem} if file.pem else {})


def change_hardware(hardware: Hardware, now: float, change: dict[str, Any]) -> None:
    """What the control port may break. Raises KeyError, ValueError for what there is not."""
    if "disk" in change:
        disks = [each for each in hardware.disks or () if each.devpath == change["disk"]]
        disks[0].health = str(change.get("health", disks[0].health))
        disks[0].wearout = change.get("wearout", disks[0].wearout)
    if "pool" in change:
        pools = {each.name: each for each in hardware.pools}
        pool = pools[change["pool"]]
        pool.health = str(change.get("health", pool.health))
        pool.alloc_bytes = int(change.get("alloc_bytes", pool.alloc_bytes))
    if "certificate" in change:
        file = hardware.certificates[change["certificate"]]
        file.not_after = int(now + float(change["ends_in_s"]))
    if "load" in change:
        load = dict(change["load"])
        hardware.load = Load(load.pop("cpu", None), float(load.pop("iowait", 0)), load)
    if "thin_metadata_share" in change:
        hardware.thin_metadata_share = float(change["thin_metadata_share"])


def package_row(name: str, old: str = "1.0-1", new: str = "1.0-2") -> dict[str, Any]:
    """A row of GET apt/update: a package that waits (pve-manager API2/APT.pm)."""
    return {
        "Package": name,
        "Version": new,
        "OldVersion": old,
        "Arch": "amd64",
        "Section": "kernel" if "kernel" in name else "admin",
        "Priority": "optional",
        "Origin": "Proxmox" if name.startswith(("pve", "proxmox")) else "Debian",
        "Title": name,
        "Description": name,
    }
