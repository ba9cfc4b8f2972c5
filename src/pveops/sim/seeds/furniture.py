"""Small pieces that seeds are furnished with: nodes, storages, guests, past tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Literal

from pveops.ids import Upid
from pveops.sim.archive import make_archive
from pveops.sim.guest import Guest, Process, Temper
from pveops.sim.handlers.upload import checksum_of
from pveops.sim.hardware import Disk, installed_certificates
from pveops.sim.model import Cluster, Node
from pveops.sim.node_settings import installed_network
from pveops.sim.replication import schedule, state_of
from pveops.sim.storage import Backing
from pveops.sim.tasks import Task, TaskError
from pveops.sim.volume import Volume, disk_file, image_name

GIB = 1 << 30
_AGE_DAYS = 400
_RESTART_S = 300
NEW_KERNEL = "6.17.9-1-pve"
"""Installed where a seed says that a reboot is due."""
DAY_S = 86_400
_INSTALLED_DAYS_AGO = 200


def add_node(cluster: Cluster, number: int, *, cpus: int, memory_gib: int, up_days: int) -> Node:
    """A node `pveN` with local storages of its own."""
    node = Node(
        cluster=cluster,
        name=f"pve{number}",
        address=f"192.0.2.{10 + number}",
        node_id=number,
        version=cluster.version,
        cpus=cpus,
        memory_bytes=memory_gib * GIB,
        boot_time=cluster.timeline.now() - up_days * DAY_S,
        installed_at=cluster.timeline.now() - _AGE_DAYS * DAY_S,
    )
    node.settings.network = installed_network(node.address)
    node.hosts = f"127.0.0.1 localhost\n{node.address} {node.name}.example.test {node.name}\n"
    installed_at = cluster.timeline.now() - _INSTALLED_DAYS_AGO * DAY_S
    node.hardware.certificates = installed_certificates(node.name, installed_at)
    node.hardware.disks = [
        Disk("/dev/nvme0n1", 1 << 40, wearout=96, kind="nvme", model="Simulated NVMe"),
        Disk("/dev/sda", 4 << 40, kind="hdd", model="Simulated HDD"),
    ]
    cluster.nodes[node.name] = node
    return node


def add_storage(
    cluster: Cluster,
    name: str,
    kind: str,
    content: str,
    *,
    total_gib: int,
    used_gib: int = 0,
    grows_gib_day: int = 0,
    **options: Any,
) -> None:
    """A storage that every node has; on each node its own unless it is shared."""
    storage = cluster.storages.define(name, kind, {"content": content, **options})
    places = [""] if storage.is_shared else list(cluster.nodes)
    for place in places:
        cluster.storages.backings[name, place] = Backing(
            total_bytes=total_gib * GIB,
            used_elsewhere_bytes=used_gib * GIB,
            growth_bytes_s=grows_gib_day * GIB / DAY_S,
            grown_at=cluster.timeline.now(),
        )


def add_vm(
    cluster: Cluster,
    node: str,
    vmid: int,
    name: str,
    *,
    storage: str = "local-lvm",
    memory_mib: int = 2048,
    cores: int = 2,
    disk_gib: int = 32,
    up_days: float | None = 10,
    down_days: float | None = None,
    temper: Temper | None = None,
    **config: Any,
) -> Guest:
    """A VM with one disk; `up_days` None: it is stopped, since `down_days`, or never ran."""
    volume = _add_disk(cluster, node, storage, vmid, disk_gib)
    if config.get("template"):
        volume = cluster.storages.convert_to_base(cluster.nodes[node], volume).volid
    guest = Guest(
        vmid, "qemu", node, temper=replace(temper) if temper else Temper(agent="answers")
    )
    uuid_text = hashlib.sha256(f"{vmid}{name}".encode()).hexdigest()
    created = int(cluster.timeline.now() - 200 * DAY_S - vmid * 3600)
    guest.config = {
        "name": name,
        "memory": str(memory_mib),
        "cores": cores,
        "sockets": 1,
        "cpu": "x86-64-v2-AES",
        "ostype": "l26",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{volume},discard=on,iothread=1,size={disk_gib}G",
        "net0": f"virtio=BC:24:11:00:{vmid // 256:02X}:{vmid % 256:02X},bridge=vmbr0",
        "boot": "order=scsi0;net0",
        "agent": "1",
        "smbios1": f"uuid={_uuid(uuid_text)}",
        "vmgenid": _uuid(uuid_text[::-1]),
        "meta": f"creation-qemu=10.0.13,ctime={created}",
        **config,
    }
    return _settle(cluster, guest, up_days, down_days)


def add_cloud_init(cluster: Cluster, guest: Guest, storage: str = "local-lvm") -> None:
    """A drive from which cloud-init reads, and the user that it makes."""
    node = cluster.nodes[guest.node]
    volume = cluster.storages.allocate_disk(
        node, storage, guest.vmid, 4 << 20, "raw", label="cloudinit"
    )
    guest.config |= {"ide2": f"{volume.volid},media=cdrom", "ciuser": "admin"}


def add_container(
    cluster: Cluster,
    node: str,
    vmid: int,
    name: str,
    *,
    storage: str = "local-lvm",
    memory_mib: int = 512,
    cores: int = 1,
    disk_gib: int = 8,
    up_days: float | None = 10,
    down_days: float | None = None,
    **config: Any,
) -> Guest:
    """A container with a root file system; `up_days` and `down_days` as of VMs."""
    volume = _add_disk(cluster, node, storage, vmid, disk_gib)
    guest = Guest(vmid, "lxc", node, temper=Temper(boot_s=1, shutdown_s=1.0))
    guest.config = {
        "hostname": name,
        "arch": "amd64",
        "ostype": "debian",
        "unprivileged": 1,
        "memory": memory_mib,
        "swap": 512,
        "cores": cores,
        "rootfs": f"{volume},size={disk_gib}G",
        "net0": "name=eth0,bridge=vmbr0,ip=dhcp,type=veth",
        **config,
    }
    return _settle(cluster, guest, up_days, down_days)


def _settle(
    cluster: Cluster, guest: Guest, up_days: float | None, down_days: float | None
) -> Guest:
    cluster.guests[guest.vmid] = guest
    now = cluster.timeline.now()
    guest.created_at = now - 200 * DAY_S - guest.vmid * 3600
    if down_days is not None:
        guest.runs.append((guest.created_at, now - down_days * DAY_S))
    if up_days is not None:
        node = cluster.nodes[guest.node]
        started = now - up_days * DAY_S
        guest.runs.append((guest.created_at, started - _RESTART_S))
        guest.process = Process(node.next_pid(), started, dict(guest.config))
    return guest


def _uuid(digest: str) -> str:
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _add_disk(cluster: Cluster, node: str, storage: str, vmid: int, size_gib: int) -> str:
    definition = cluster.storages.get(storage)
    label = cluster.storages.next_disk_label(cluster.nodes[node], definition, vmid)
    format_ = "qcow2" if definition.type in {"dir", "nfs"} else "raw"
    file = disk_file(definition.type, vmid, label, format_)
    volume = Volume(
        storage=storage,
        name=image_name(definition.type, vmid, file),
        content="images",
        format=format_,
        size_bytes=size_gib * GIB,
        used_bytes=int(size_gib * GIB * 0.4),
        ctime=int(cluster.timeline.now() - 200 * DAY_S),
        vmid=vmid,
    )
    return cluster.storages.add_volume(cluster.nodes[node], volume).volid


def add_backup(
    cluster: Cluster, storage: str, guest: Guest, age_days: float, size_gib: float
) -> None:
    """A finished backup of a guest on a shared storage."""
    import time

    made = cluster.timeline.now() - age_days * DAY_S
    stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime(made))
    ending = "vma.zst" if guest.kind == "qemu" else "tar.zst"
    node = cluster.nodes[guest.node]
    size = int(size_gib * GIB)
    cluster.storages.add_volume(
        node,
        Volume(
            storage=storage,
            name=f"backup/vzdump-{guest.kind}-{guest.vmid}-{stamp}.{ending}",
            content="backup",
            format=ending,
            size_bytes=size,
            used_bytes=size,
            ctime=int(made),
            vmid=guest.vmid,
            subtype=guest.kind,
            notes=guest.name,
            archive=make_archive(node, guest.kind, guest.vmid, guest.config, made),
        ),
    )


def add_past_task(
    node: Node,
    kind: str,
    subject: str | int,
    *,
    hours_ago: float,
    lasted_s: float,
    log: tuple[str, ...] = (),
    error: str = "",
    user: str = "root@pam",
) -> Task:
    """A task that ended before anybody looked."""
    now = node.cluster.timeline.now()
    started = now - hours_ago * 3600

    def body(task: Task) -> Generator[float, None, None]:
        task.log(*log)
        yield from ()
        if error:
            raise TaskError(error)

    pstart = int((started - node.boot_time) * 100) & 0xFFFFFFFF
    upid = Upid(node.name, node.next_pid(), pstart, int(started), kind, str(subject), user)
    task = Task(node, upid, body)
    node.tasks[str(upid)] = task
    task.step()
    task.endtime = started + lasted_s
    return task


State = Literal["paused", "io-error"]


def add_replication(
    cluster: Cluster, vmid: int, target: str, *, minutes_ago: int = 10, error: str = ""
) -> None:
    """A replication job that has run before; with an error it fails each time."""
    job_id, now = f"{vmid}-0", cluster.timeline.now()
    cluster.replication_jobs[job_id] = {
        "id": job_id,
        "type": "local",
        "guest": vmid,
        "jobnum": 0,
        "source": cluster.guests[vmid].node,
        "target": target,
        "schedule": "*/15",
        **({"breaks": error} if error else {}),
    }
    state = state_of(cluster, job_id)
    state.last_sync = int(now) - 60 * minutes_ago
    state.last_try, state.duration = (int(now) - 60 if error else state.last_sync), 6.0
    if error:
        state.fail_count, state.error = 40, error
    schedule(cluster, job_id)


def freeze(guest: Guest, state: State) -> None:
    """The process stands still."""
    if guest.process is not None:
        guest.process.qmpstatus = state


def add_file(
    cluster: Cluster, node: str, storage: str, content: str, name: str, size_mib: int
) -> None:
    """An ISO, an image to import or a container template on a storage of a node."""
    cluster.storages.add_volume(
        cluster.nodes[node],
        Volume(
            storage=storage,
            name=f"{content}/{name}",
            content=content,
            format=name.rpartition(".")[2] if content != "vztmpl" else "tzst",
            size_bytes=size_mib << 20,
            used_bytes=size_mib << 20,
            ctime=int(cluster.timeline.now() - 60 * DAY_S),
        ),
    )


def offer(cluster: Cluster, url: str, size_mib: int) -> None:
    """A file of the simulated network; container templates are in the index, too."""
    cluster.web[url] = size_mib << 20
    name = url.rpartition("/")[2]
    if ".tar." in name:
        package, version = name.split("_")[:2]
        cluster.appliances.append(
            {
                "template": name,
                "location": url,
                "sha512sum": checksum_of(url, "sha512"),
                "package": package,
                "version": version,
                "section": "system",
                "type": "lxc",
                "os": package.rsplit("-", 1)[0],
                "architecture": "amd64",
            }
        )
