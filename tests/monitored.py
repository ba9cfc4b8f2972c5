"""A small simulated cluster for the monitor, with all kinds of things that can go wrong in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from pveops.monitor.alerts import News, Rules
from pveops.monitor.book import Book
from pveops.monitor.survey import Survey, survey
from pveops.operations.limits import LIMITS
from pveops.sim.guest import Guest, Process
from pveops.sim.ha import Resource, add_resource
from pveops.sim.hardware import Disk, Load, ZfsPool, package_row
from pveops.sim.membership import power_off_node
from pveops.sim.model import Cluster, Node
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import (
    GIB,
    NEW_KERNEL,
    add_backup,
    add_container,
    add_node,
    add_past_task,
    add_replication,
    add_storage,
    add_vm,
)
from pveops.sim.storage import Backing
from pveops.sim.tasks import start_task
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS, Version
from pveops.units import DAY_S
from tests.world import START, World, join_world

Told = set[tuple[str, str]]
"""Codes and subjects."""
AWAKE, OFF_ON_PURPOSE, MANAGED = 101, 107, 106
LOCK_LASTS_S = 2000


def build_small(version: Version) -> Seed:
    """Three sound nodes and nine guests, each with a young backup."""
    cluster = Cluster(Timeline(START), version, "small")
    for number in (1, 2, 3):
        node = add_node(cluster, number, cpus=16, memory_gib=64, up_days=40)
        node.hardware.pools = [ZfsPool("tank", 1000 * GIB, 300 * GIB)]
    add_realms(cluster)
    password = add_root(cluster)
    add_storage(cluster, "local", "dir", "iso", total_gib=100, used_gib=20, path="/var/lib/vz")
    add_storage(
        cluster, "thin", "lvmthin", "images,rootdir", total_gib=900, vgname="pve", thinpool="data"
    )
    add_storage(
        cluster,
        "backups",
        "nfs",
        "backup",
        total_gib=8000,
        used_gib=1000,
        server="192.0.2.50",
        export="/backups",
        path="/mnt/pve/backups",
    )
    for vmid in range(AWAKE, 108):
        add_vm(
            cluster,
            f"pve{vmid % 3 + 1}",
            vmid,
            f"vm{vmid}",
            storage="thin",
            memory_mib=1024,
            up_days=None if vmid == OFF_ON_PURPOSE else 20,
            onboot=int(vmid != OFF_ON_PURPOSE),
        )
    for vmid in (201, 202):
        add_container(
            cluster, f"pve{vmid % 3 + 1}", vmid, f"ct{vmid}", storage="thin", up_days=20, onboot=1
        )
    add_resource(cluster, Resource(f"vm:{MANAGED}", "started", {}, current="started"))
    for guest in cluster.guests.values():
        add_backup(cluster, "backups", guest, 0.3, 2)
    token_id, secret = add_agent(cluster)
    cluster.auth_delay_s = 0.0
    return Seed(cluster, password, token_id, secret)


def make_small_world(folder: Path, version: str = "9.2") -> World:
    """The small cluster, and a session on it."""
    return join_world(folder, build_small(VERSIONS[version]))


class Watcher:
    """The monitor's looks at a world, one after the other."""

    def __init__(self, world: World, profile: str = "sim") -> None:
        self.world = world
        self.book = Book(world.session.store, profile)
        self.blind: tuple[str, ...] = ()

    def look(self, later_s: float = 90, *, is_whole: bool = False) -> tuple[News, ...]:
        """What is told then."""
        self.world.cluster.timeline.advance(later_s)
        found = self.see(is_whole=is_whole)
        self.blind = found.blind
        return self.book.enter(found.seen, found.blind, Rules(), memory=found.memory)

    def see(self, *, is_whole: bool = False) -> Survey:
        """A look of which nobody makes a note."""
        now = int(self.world.cluster.timeline.now())
        memory = self.book.read_memory(now)
        return survey(self.world.session.reader, now, LIMITS, memory, is_whole=is_whole)


def told(news: tuple[News, ...], kind: str = "raised") -> Told:
    """Codes and subjects of the news of a kind."""
    return {(each.alert.code, each.alert.subject) for each in news if each.kind == kind}


def subject_of(guest: Guest) -> str:
    """As findings name it."""
    return f"{'vm' if guest.kind == 'qemu' else 'ct'}/{guest.vmid}"


class Mischief:
    """Random troubles of a cluster that had none, each known by what it did.

    Of a dead node, and of what lies there, nothing is known: what is broken there is no part of
    the truth that can be seen. `heals` undoes it all.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._cluster = world.cluster
        self._now = world.cluster.timeline.now()
        self._random = random.Random(seed)
        self.heals: list[Callable[[], object]] = []
        self.truth: Told = set()
        self._silent = 0
        dead = self._random.choice([*[""] * 7, "pve3"])
        if dead:
            power_off_node(self._cluster, self._cluster.nodes[dead])
            self.truth.add(("node.not-online", f"node/{dead}"))
        self.is_whole = not dead
        for node in self._cluster.nodes.values():
            for break_node in (
                self._burden,
                self._turn_clock,
                self._wear,
                self._harm_pools,
                self._age_certificates,
                self._let_updates_wait,
                self._fill,
            ):
                self._add(break_node(node) if self._chance() else set(), node.name != dead)
            # The others know what a dead node's tasks came to.
            self._add(self._fail_task(node) if self._chance() else set(), is_seen=True)
        offsets = {each.clock_offset_s for each in self._cluster.nodes.values()}
        if not dead and len(offsets) == 1 and max(map(abs, offsets)) > 5:
            self.truth = {pair for pair in self.truth if pair[0] != "node.clock"}
            self.truth.add(("clock.here", "here"))
        for guest in list(self._cluster.guests.values()):
            self._add(self._harm_guest(guest), guest.node != dead)
            if self._chance(0.1):
                self._harm_backups(guest, is_dead=guest.node == dead)
        self._add(self._harm_share() if self._chance() else set(), is_seen=True)
        self._add(self._fail_replication(dead) if self._chance() else set(), is_seen=True)

    def _chance(self, share: float = 0.15) -> bool:
        return self._random.random() < share

    def _add(self, found: Told, is_seen: bool) -> None:
        if is_seen:
            self.truth |= found

    # -- nodes -------------------------------------------------------------------

    def _burden(self, node: Node) -> Told:
        """CPUs, disks or memory that work waits for; also as much as is still all right."""
        is_new = node.version.major >= 9
        what = self._random.choice(["cpu", "io", "memory", "fine"])
        subject = f"node/{node.name}"
        load = node.hardware.load = Load()
        self.heals.append(lambda: setattr(node.hardware, "load", Load()))
        if what == "cpu":
            load.cpu = 0.97
            return {("node.cpu", subject)}
        if what == "io":
            load.iowait, load.pressures = 0.3, {"pressureiofull": 62.0}
            return {("node.pressure-io", subject)}
        if what == "memory":
            load.pressures = {"pressurememoryfull": 55.0}
            return {("node.pressure-memory", subject)} if is_new else set()
        load.cpu, load.iowait, load.pressures = 0.7, 0.1, {"pressureiofull": 20.0}
        return set()

    def _turn_clock(self, node: Node) -> Told:
        node.clock_offset_s = self._random.choice([-90.0, -20.0, 2.0, 30.0, 200.0])
        self.heals.append(lambda: setattr(node, "clock_offset_s", 0.0))
        return {("node.clock", f"node/{node.name}")} if abs(node.clock_offset_s) > 5 else set()

    def _wear(self, node: Node) -> Told:
        disk = self._random.choice(node.hardware.disks or [])
        before = (disk.health, disk.wearout)
        self.heals.append(lambda: _restore(disk, before))
        subject = f"disk/{node.name}/{disk.devpath.removeprefix('/dev/')}"
        if self._chance(0.5):
            disk.health = "FAILED"
            return {("disk.failing", subject)}
        disk.wearout = self._random.choice([3, 40])
        return {("disk.worn", subject)} if disk.wearout == 3 else set()

    def _harm_pools(self, node: Node) -> Told:
        pool = node.hardware.pools[0]
        found: Told = set()

        def heal() -> None:
            pool.health, pool.alloc_bytes = "ONLINE", 300 * GIB
            node.hardware.thin_metadata_share = None

        self.heals.append(heal)
        pool.health = self._random.choice(["ONLINE", "DEGRADED", "FAULTED"])
        if pool.health != "ONLINE":
            found.add(("zfs.unhealthy", f"zfs/{node.name}/tank"))
        share = self._random.choice([0.4, 0.9, 0.98])
        pool.alloc_bytes = int(pool.size_bytes * share)
        if share > 0.5:
            found.add(("zfs.full" if share > 0.95 else "zfs.nearly-full", f"zfs/{node.name}/tank"))
        if self._chance(0.5):
            node.hardware.thin_metadata_share = 0.9
            found.add(("thin.metadata", f"thin/{node.name}/pve/data"))
        return found

    def _age_certificates(self, node: Node) -> Told:
        file = node.hardware.certificates["pve-ssl.pem"]
        before = file.not_after
        self.heals.append(lambda: setattr(file, "not_after", before))
        days = self._random.choice([-3, 5, 60])
        file.not_after = int(self._now + days * DAY_S)
        code = "certificate.ended" if days < 0 else "certificate.ending"
        return {(code, f"certificate/{node.name}/pve-ssl.pem")} if days < 14 else set()

    def _let_updates_wait(self, node: Node) -> Told:
        node.pending_updates = [package_row("pve-manager"), package_row("openssl")]
        node.installed_kernel = self._random.choice([node.kernel, NEW_KERNEL])
        found = {("node.updates", f"node/{node.name}")}

        def heal() -> None:
            node.pending_updates, node.installed_kernel = [], node.kernel

        self.heals.append(heal)
        if node.installed_kernel != node.kernel:
            found.add(("node.reboot-due", f"node/{node.name}"))
        return found

    def _fill(self, node: Node) -> Told:
        """A storage that is full, fills, or grows too slowly to matter."""
        backing = self._backing("local", node)
        how = self._random.choice(["full", "nearly", "grows", "slowly", "gone"])
        subject = f"storage/{node.name}/local"
        before = backing.used_elsewhere_bytes

        def heal() -> None:
            backing.used_elsewhere_bytes, backing.is_online = before, True
            backing.growth_bytes_s, backing.grown_at = 0.0, 0.0

        self.heals.append(heal)
        if how == "gone":
            backing.is_online = False
            return {("storage.not-available", subject)}
        if how in {"full", "nearly"}:
            share = 0.97 if how == "full" else 0.9
            backing.used_elsewhere_bytes = int(backing.total_bytes * share)
            return {("storage.full" if how == "full" else "storage.nearly-full", subject)}
        backing.used_elsewhere_bytes, backing.grown_at = int(backing.total_bytes * 0.6), self._now
        days = 4 if how == "grows" else 40
        backing.growth_bytes_s = backing.total_bytes * 0.4 / (days * DAY_S)
        return {("storage.filling", subject)} if how == "grows" else set()

    def _fail_task(self, node: Node) -> Told:
        """A task that failed; whether a later one of its kind went well decides."""
        node_tasks = set(node.tasks)
        add_past_task(node, "aptupdate", "", hours_ago=5, lasted_s=2, error="exit code 100")
        if heals := self._chance(0.5):
            add_past_task(node, "aptupdate", "", hours_ago=2, lasted_s=2)
        fresh = set(node.tasks) - node_tasks
        self.heals.append(lambda: [node.tasks.pop(each) for each in fresh])
        return set() if heals else {("task.failed", f"task/{node.name}/aptupdate/")}

    def _backing(self, name: str, node: Node) -> Backing:
        storages = self._cluster.storages
        return storages.backing(storages.definitions[name], node)

    # -- what the nodes share --------------------------------------------------------

    def _harm_share(self) -> Told:
        backing = self._backing("backups", self._cluster.nodes["pve1"])
        before = backing.used_elsewhere_bytes
        self.heals.append(lambda: setattr(backing, "used_elsewhere_bytes", before))
        backing.used_elsewhere_bytes = int(backing.total_bytes * 0.9)
        return {("storage.nearly-full", "storage/backups")}

    def _fail_replication(self, dead: str) -> Told:
        """A job's state is told by its source."""
        source = self._cluster.guests[102].node
        target = next(name for name in self._cluster.nodes if name != source)
        add_replication(self._cluster, 102, target, error="no route to host")
        self.heals.append(lambda: self._cluster.replication_jobs.pop("102-0"))
        return {("replication.failing", "replication/102-0")} if source != dead else set()

    # -- guests ------------------------------------------------------------------

    def _harm_guest(self, guest: Guest) -> Told:
        before = (dict(guest.config), dict(guest.snapshots), guest.process, guest.temper.agent)
        self.heals.append(lambda: _revive(guest, before))
        found = self._take_snapshot(guest)
        if guest.process is None:
            return found
        how = self._random.choice(
            ["", "", "", "paused", "io-error", "stopped", "locked", "busy", "silent"]
        )
        subject = subject_of(guest)
        if how in {"paused", "io-error"} and guest.kind == "qemu":
            guest.process = Process(guest.process.pid, guest.process.started_at, {}, how)
            found.add(("guest.paused" if how == "paused" else "guest.halted", subject))
        elif how == "stopped":
            guest.process = None
            if guest.vmid != MANAGED:
                # HA starts its own again.
                found.add(("guest.not-running", subject))
        elif how in {"locked", "busy"}:
            guest.config["lock"] = "backup"
            if how == "locked":
                found.add(("guest.locked", subject))
            else:
                self._work_on(guest)
        elif how == "silent" and guest.kind == "qemu" and not self._silent:
            self._silent += 1
            guest.temper.agent = "hangs"
            found.add(("guest.agent-silent", subject))
        return found

    def _take_snapshot(self, guest: Guest) -> Told:
        if not self._chance(0.3):
            return set()
        days = self._random.choice([2, 60])
        guest.snapshots["before"] = {"snaptime": int(self._now - days * DAY_S)}
        guest.config["parent"] = "before"
        return {("guest.snapshot-old", subject_of(guest))} if days > 14 else set()

    def _work_on(self, guest: Guest) -> None:
        """A backup that goes on for hours: its lock is no trouble."""

        def body(_: object):  # type: ignore[no-untyped-def]
            yield 50 * DAY_S

        node = self._cluster.nodes[guest.node]
        task = start_task(node, "vzdump", guest.vmid, "root@pam", body)
        self.heals.append(lambda: node.tasks.pop(str(task.upid)))

    def _harm_backups(self, guest: Guest, *, is_dead: bool) -> None:
        """None, an old one, or one of whoever had the vmid before.

        When a guest was made its configuration tells, which a dead node does not.
        """
        volumes = self._backing("backups", self._cluster.nodes["pve1"]).volumes
        mine = [name for name, volume in volumes.items() if volume.vmid == guest.vmid]
        before = {name: volumes.pop(name) for name in mine}
        how = self._random.choice(["none", "old", "foreign"])
        if how == "old":
            add_backup(self._cluster, "backups", guest, 5, 2)
        is_foreign = how == "foreign" and guest.kind == "qemu"
        if is_foreign:
            add_backup(self._cluster, "backups", guest, 0.5, 2)
            born = guest.config["meta"]
            guest.config["meta"] = f"creation-qemu=10.0.13,ctime={int(self._now - 3600)}"
            self.heals.append(lambda: guest.config.update(meta=born))

        def heal() -> None:
            for name in [each for each, kept in volumes.items() if kept.vmid == guest.vmid]:
                del volumes[name]
            volumes.update(before)

        self.heals.append(heal)
        found = {("backup.old" if how == "old" else "backup.none", subject_of(guest))}
        self._add(found, is_seen=not (is_foreign and is_dead))

    def heal(self) -> None:
        """Undo everything but a node's death."""
        for undo in reversed(self.heals):
            undo()


def _restore(disk: Disk, before: tuple[str, int | None]) -> None:
    disk.health, disk.wearout = before


def _revive(
    guest: Guest,
    before: tuple[dict[str, object], dict[str, dict[str, object]], Process | None, str],
) -> None:
    guest.config, guest.snapshots, guest.process = before[0], before[1], before[2]
    guest.temper.agent = before[3]  # type: ignore[assignment]
