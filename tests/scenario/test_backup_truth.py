"""The audit against the simulated cluster's own state, in random worlds.

What is expected is counted here from what lies on the storages, which of them answer, and which
rights the token has; PVE's rules of sight are Storage.pm's check_volume_access and the privileges
of its API methods.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.api.client import Client
from pveops.api.decorators import ReadOnly
from pveops.domain.inventory import read_inventory
from pveops.engine.pool import run_bounded
from pveops.operations.backup_audit import read_audit
from pveops.sim.guest import Guest
from pveops.sim.handlers.jobs import included_vmids
from pveops.sim.inprocess import InProcess
from pveops.sim.membership import power_off_node
from pveops.sim.model import Cluster
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import add_container, add_node, add_storage, add_vm
from pveops.sim.storage import Storage
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from pveops.sim.volume import Volume
from tests.world import START, SimTransport

DAY_S, HOUR_S = 86_400, 3600
LIMIT_S = 2 * DAY_S
VMIDS = (100, 101, 102, 200, 201)
NODES = ("pve1", "pve2")
STORAGES = ("local", "share", "vault")
PRIVILEGES = ("VM.Backup", "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit")


class Archive(NamedTuple):
    """A backup to be put somewhere."""

    vmid: int
    kind: str
    storage: str
    node: str
    age_h: int
    verification: str


@dataclass
class Plan:
    """A random world."""

    archives: list[Archive]
    ages_d: dict[int, int]
    """How many days ago each guest was made."""
    offline: set[tuple[str, str]]
    disabled: set[str]
    dropped: set[str]
    dead: bool
    """Whether pve2 has no power."""
    jobs: list[dict[str, object]] = field(default_factory=list)


archives = st.builds(
    Archive,
    vmid=st.sampled_from(VMIDS),
    kind=st.sampled_from(("qemu", "lxc")),
    storage=st.sampled_from(STORAGES),
    node=st.sampled_from(NODES),
    age_h=st.integers(0, 120),
    verification=st.sampled_from(("", "", "ok", "failed")),
)
jobs = st.fixed_dictionaries(
    {
        "enabled": st.sampled_from((0, 1)),
        "storage": st.sampled_from(STORAGES),
        "whom": st.one_of(
            st.fixed_dictionaries(
                {"all": st.just(1)},
                optional={"exclude": st.sampled_from(("100", "101,200"))},
            ),
            st.fixed_dictionaries({"vmid": st.sampled_from(("100", "102,201"))}),
            st.fixed_dictionaries({"pool": st.sampled_from(("first", "empty"))}),
        ),
        "node": st.sampled_from(("", "", *NODES)),
    }
)
plans = st.builds(
    Plan,
    archives=st.lists(archives, max_size=8),
    ages_d=st.fixed_dictionaries({vmid: st.integers(0, 6) for vmid in VMIDS}),
    offline=st.sets(
        st.sampled_from([("local", "pve1"), ("share", ""), ("vault", "")]), max_size=2
    ),
    disabled=st.sets(st.sampled_from(("share", "vault")), max_size=1),
    dropped=st.sets(st.sampled_from(PRIVILEGES)),
    dead=st.booleans(),
    jobs=st.lists(jobs, max_size=3),
)


def build(plan: Plan) -> tuple[Cluster, Client]:
    """The world, and a token's sight of it."""
    cluster = Cluster(Timeline(START), VERSIONS["9.2"], "random")
    cluster.auth_delay_s = 0.0
    for number in (1, 2):
        add_node(cluster, number, cpus=4, memory_gib=16, up_days=9)
    add_realms(cluster)
    add_root(cluster)
    add_storage(cluster, "local", "dir", "backup", total_gib=99, path="/var/lib/vz")
    add_storage(cluster, "disks", "lvmthin", "images,rootdir", total_gib=900)
    add_storage(cluster, "share", "nfs", "backup", total_gib=99, path="/mnt/pve/share")
    add_storage(cluster, "vault", "pbs", "backup", total_gib=99, server="x", datastore="y")
    for vmid in VMIDS:
        node = NODES[vmid % 2]
        if vmid < 200:
            created = int(START) - plan.ages_d[vmid] * DAY_S
            guest = add_vm(cluster, node, vmid, f"vm{vmid}", storage="disks")
            guest.config["meta"] = f"creation-qemu=10.0.13,ctime={created}"
        else:
            add_container(cluster, node, vmid, f"ct{vmid}", storage="disks")
    cluster.pools.create("first", "")
    cluster.pools.create("empty", "")
    cluster.pools.by_id["first"].vmids |= {100, 200}
    for number, archive in enumerate(plan.archives):
        put(cluster, archive, number)
    for number, job in enumerate(plan.jobs):
        add_job(cluster, job, f"job{number}")
    for place in plan.offline:
        cluster.storages.backings[place].is_online = False
    for name in plan.disabled:
        cluster.storages.definitions[name].options["disable"] = 1
    token_id, secret = add_agent(cluster)
    cluster.access.roles["AgentOperate"] -= plan.dropped
    if plan.dead:
        power_off_node(cluster, cluster.nodes["pve2"])
    transport = Authenticated(
        SimTransport(InProcess(cluster, "pve1"), "pve1"), TokenAuth(token_id, Secret(secret))
    )
    return cluster, Client(ReadOnly(transport), cluster.timeline)


def put(cluster: Cluster, archive: Archive, number: int) -> None:
    """Each has a name of its own; only a Proxmox Backup Server verifies."""
    is_pbs = archive.storage == "vault"
    stamp = f"2026-01-01T00:00:{number:02}Z" if is_pbs else f"2026_01_01-00_00_{number:02}"
    short = "vm" if archive.kind == "qemu" else "ct"
    ending = "vma.zst" if archive.kind == "qemu" else "tar.zst"
    name = (
        f"backup/{short}/{archive.vmid}/{stamp}"
        if is_pbs
        else f"backup/vzdump-{archive.kind}-{archive.vmid}-{stamp}.{ending}"
    )
    volume = Volume(
        storage=archive.storage,
        name=name,
        content="backup",
        format=ending,
        size_bytes=1 << 20,
        used_bytes=1 << 20,
        ctime=int(START) - archive.age_h * HOUR_S,
        vmid=archive.vmid,
        subtype=archive.kind,
        verification=archive.verification if is_pbs else "",
    )
    cluster.storages.add_volume(cluster.nodes[archive.node], volume)


def add_job(cluster: Cluster, job: dict[str, object], name: str) -> None:
    whom = job["whom"]
    assert isinstance(whom, dict)
    row = {"id": name, "type": "vzdump", "schedule": "02:00", **whom}
    row |= {"enabled": job["enabled"], "storage": job["storage"]}
    if job["node"]:
        row["node"] = job["node"]
    cluster.backup_jobs[name] = row


# -- what is expected ------------------------------------------------------------------


class Seen(NamedTuple):
    """What the token can know of one guest's backups."""

    volumes: list[Volume]
    has_gaps: bool


def sight_of(cluster: Cluster, plan: Plan, guest: Guest) -> Seen:
    """Every place by the rules of sight."""
    has_gaps = "Datastore.Audit" in plan.dropped
    volumes: list[Volume] = []
    for name in STORAGES:
        storage = cluster.storages.definitions[name]
        for node in [""] if storage.is_shared else NODES:
            if "Datastore.Audit" in plan.dropped:
                continue
            if not is_reachable(cluster, storage, node):
                has_gaps = True
                continue
            mine = [
                volume
                for volume in cluster.storages.backings[name, node].volumes.values()
                if volume.vmid == guest.vmid and volume.subtype == guest.kind
            ]
            may_restore = "Datastore.Allocate" not in plan.dropped or not (
                {"Datastore.AllocateSpace", "VM.Backup"} & plan.dropped
            )
            if not may_restore and name == "vault":
                # By name and time alone, without what a verification came to.
                has_gaps |= any(is_own(guest, volume) for volume in mine)
                continue
            volumes += mine
    return Seen([volume for volume in volumes if is_own(guest, volume)], has_gaps)


def is_own(guest: Guest, volume: Volume) -> bool:
    created = str(guest.config.get("meta", "")).rpartition("ctime=")[2]
    return volume.ctime >= int(created or 0)


def is_reachable(cluster: Cluster, storage: Storage, node: str) -> bool:
    if storage.is_disabled or not cluster.storages.backings[storage.name, node].is_online:
        return False
    return not node or cluster.nodes[node].is_online


def expected_state(cluster: Cluster, plan: Plan, guest: Guest) -> str:
    """Of the guests on a dead node nobody knows when they were made."""
    seen = sight_of(cluster, plan, guest)
    good = [volume.ctime for volume in seen.volumes if volume.verification != "failed"]
    is_young = bool(good) and START - max(good) <= LIMIT_S
    if not cluster.nodes[guest.node].is_online:
        any_kind = has_any(cluster, plan, guest)
        return "unknown" if any_kind or seen.has_gaps else "none"
    if is_young:
        return "ok"
    if seen.has_gaps:
        return "unknown"
    return "old" if good else "none"


def has_any(cluster: Cluster, plan: Plan, guest: Guest) -> bool:
    """Whether a good backup of its id and kind can be seen, whenever it was made."""
    stranger = Guest(guest.vmid, guest.kind, guest.node, {})
    seen = sight_of(cluster, plan, stranger)
    return seen.has_gaps or any(volume.verification != "failed" for volume in seen.volumes)


def expected_jobs(cluster: Cluster, plan: Plan, guest: Guest) -> list[str]:
    """The enabled ones that PVE itself would let take the guest to a storage that answers."""
    found = []
    for name, job in cluster.backup_jobs.items():
        storage = cluster.storages.definitions[str(job["storage"])]
        node = "" if storage.is_shared else guest.node
        is_up = is_reachable(cluster, storage, node) and cluster.nodes[guest.node].is_online
        is_seen = is_up and "Datastore.Audit" not in plan.dropped
        if job["enabled"] and is_seen and guest.vmid in taken(cluster, job):
            found.append(name)
    return found


def taken(cluster: Cluster, job: dict[str, object]) -> list[int]:
    class Asked:
        def __init__(self) -> None:
            self.cluster = cluster

    return included_vmids(Asked(), job)  # type: ignore[arg-type]


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(plans)
def test_the_audit_is_the_truth_or_says_that_it_does_not_know(plan: Plan) -> None:
    cluster, client = build(plan)
    inventory = read_inventory(client)
    found = read_audit(client, inventory, inventory.guests, run_bounded, since=None)
    rows = found.judge(limit_s=LIMIT_S, now=int(START))
    assert len(rows) == len(VMIDS)
    for facts, coverage in rows:
        guest = cluster.guests[facts.guest.vmid]
        assert coverage.state == expected_state(cluster, plan, guest), (guest, coverage)
        assert list(coverage.jobs or ()) == expected_jobs(cluster, plan, guest)
        check_against_everything(cluster, guest, coverage.state)


def check_against_everything(cluster: Cluster, guest: Guest, state: str) -> None:
    """Whatever the token sees: what is said of a guest is never wrong."""
    good = [
        volume.ctime
        for backing in cluster.storages.backings.values()
        for volume in backing.volumes.values()
        if (volume.vmid, volume.subtype, volume.content) == (guest.vmid, guest.kind, "backup")
        and is_own(guest, volume)
        and volume.verification != "failed"
    ]
    age_s = START - max(good) if good else None
    if state == "ok":
        assert age_s is not None
        assert age_s <= LIMIT_S
    if state == "none":
        assert age_s is None
    if state == "old":
        assert age_s is not None
        assert age_s > LIMIT_S
