"""What a cluster is and how it fares, as metrics that Prometheus reads.

Names and labels are those of prometheus-pve-exporter where both tell the same, so that its
dashboards go on working; docs/howto/metrics.md says where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.domain.ceph import CephHealth, read_ceph
from pveops.domain.inventory import Inventory, Membership, inventory_of, read_membership
from pveops.domain.replication import ReplicationView, read_replication_or_none
from pveops.domain.rows import Row, int_of, rows_of, text_of
from pveops.errors import ConfigError, PveopsError
from pveops.sanitize import sanitize_text

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from pveops.api.client import Client
    from pveops.api.client import Version as PveVersion
    from pveops.monitor.book import Page

_MAX_LABEL = 128
_COUNTERS = (
    ("netin", "pve_network_receive_bytes", "Bytes that the guest received since its start."),
    ("netout", "pve_network_transmit_bytes", "Bytes that the guest sent since its start."),
    ("diskread", "pve_disk_read_bytes", "Bytes that the guest read since its start."),
    ("diskwrite", "pve_disk_written_bytes", "Bytes that the guest wrote since its start."),
)
_CEPH = {"HEALTH_OK": 0, "HEALTH_WARN": 1, "HEALTH_ERR": 2}


class Sample(NamedTuple):
    """One look for metrics.

    rows: of the guests in /cluster/resources, for what the inventory does not keep. problem: why
    there is nothing; then all else is empty, and `code` is the exit code of that.
    """

    inventory: Inventory | None = None
    rows: tuple[Row, ...] = ()
    membership: Membership | None = None
    version: PveVersion | None = None
    ceph: CephHealth | None = None
    replication: ReplicationView | None = None
    problem: str = ""
    code: int = 0


def read_sample(client: Client) -> Sample:
    """Four requests, one where Ceph is used and one for each node that replicates; never raises.

    What the token may not see is missing from it, and from the metrics, never 0.
    """
    try:
        version = client.version()
        rows = rows_of(client.get("/cluster/resources"))
        inventory = inventory_of(rows)
        guests = tuple(row for row in rows if text_of(row, "type") in {"qemu", "lxc"})
        return Sample(
            inventory,
            guests,
            read_membership(client),
            version,
            read_ceph(client, inventory),
            read_replication_or_none(client),
        )
    except PveopsError as error:
        return Sample(problem=error.message, code=error.exit_code)


def make_registry(sample: Sample, page: Page) -> CollectorRegistry:
    """The metrics of a look and of what the monitor knows, for prometheus_client to write.

    Raises ConfigError where prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise ConfigError(
            "prometheus-client is not installed", hint="pip install prometheus-client"
        ) from None

    class Collected:
        def collect(self) -> Iterator[Metric]:
            return list_metrics(sample, page)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return registry


def list_metrics(sample: Sample, page: Page) -> Iterator[Metric]:
    """Every family that has something to tell."""
    families = [*_list_cluster(sample), *_list_alerts(page)]
    if sample.inventory is not None:
        families += _list_objects(sample, sample.inventory)
    return (family for family in families if family.samples)


def _gauge(name: str, text: str, labels: Iterable[str] = ("id",)) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, text, labels=list(labels))


def _info(name: str, text: str) -> Any:
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily(name, text, labels=[])


def _label(value: object) -> str:
    """Names are given by people: one line, nothing invisible, and not endless."""
    return sanitize_text(str(value)).replace("\n", " ")[:_MAX_LABEL]


# -- the cluster -----------------------------------------------------------------------


def _list_cluster(sample: Sample) -> Iterator[Any]:
    up = _gauge("pve_up", "1: it is up. Without a label: the API answers and takes the token.")
    up.add_sample("pve_up", {}, int(not sample.problem))
    if sample.version is not None:
        version = _info("pve_version", "The version of the node that answered.")
        version.add_metric([], {"version": sample.version.text, "release": sample.version.release})
        yield version
    if sample.membership is not None and sample.membership.cluster:
        cluster_id = f"cluster/{_label(sample.membership.cluster)}"
        quorate = int(sample.membership.is_quorate)
        up.add_metric([cluster_id], quorate)
        info = _info("pve_cluster", "The cluster's configuration.")
        nodes = len(sample.inventory.nodes) if sample.inventory else 0
        labels = {"id": cluster_id, "nodes": str(nodes), "quorate": str(quorate)}
        info.add_metric([], labels | {"version": str(sample.membership.version)})
        yield info
    for each in sample.inventory.nodes if sample.inventory else ():
        up.add_metric([f"node/{_label(each.name)}"], int(each.is_online))
    for row in _known(sample):
        up.add_metric([_label(row.get("id"))], int(row.get("status") == "running"))
    gone = sample.inventory.nodes_not_online if sample.inventory else ()
    for place in sample.inventory.storages if sample.inventory else ():
        if place.node not in gone:
            name = f"storage/{_label(place.node)}/{_label(place.storage)}"
            up.add_metric([name], int(place.status == "available"))
    yield up
    if sample.ceph is not None and sample.ceph.status in _CEPH:
        health = _gauge("pve_ceph_health", "0: HEALTH_OK, 1: HEALTH_WARN, 2: HEALTH_ERR.", ())
        health.add_metric([], _CEPH[sample.ceph.status])
        yield health
    yield from _list_replication(sample)


def _known(sample: Sample) -> Iterator[Row]:
    """The guests of which somebody knows how they are: not those of dead nodes."""
    gone = sample.inventory.nodes_not_online if sample.inventory else ()
    for row in sample.rows:
        if row.get("node") not in gone and text_of(row, "status", "unknown") != "unknown":
            yield row


def _list_replication(sample: Sample) -> Iterator[Any]:
    synced = _gauge(
        "pve_replication_last_sync_timestamp_seconds", "When the job last succeeded; 0: never."
    )
    failed = _gauge("pve_replication_failed_syncs", "How often the job failed since it succeeded.")
    for job in sample.replication.jobs if sample.replication else ():
        if job.last_sync is not None:
            synced.add_metric([_label(job.id)], job.last_sync)
        if job.fail_count is not None:
            failed.add_metric([_label(job.id)], job.fail_count)
    yield synced
    yield failed


# -- nodes, guests, storages --------------------------------------------------------------


def _list_objects(sample: Sample, inventory: Inventory) -> list[Any]:
    figures = _Figures()
    nodes, guests, storages = (
        _info("pve_node", "Nodes."),
        _info("pve_guest", "Guests."),
        _info("pve_storage", "Storages, as each node sees them."),
    )
    for node in inventory.nodes:
        name = f"node/{_label(node.name)}"
        nodes.add_metric([], {"id": name, "name": _label(node.name)})
        if node.is_online and node.has_figures:
            figures.add_computer(name, node)
            figures.add_disk(name, node.disk_bytes, node.maxdisk_bytes)
    known = {row.get("id") for row in _known(sample)}
    for guest in inventory.guests:
        name = f"{guest.kind}/{guest.vmid}"
        labels = {"id": name, "node": guest.node, "name": guest.name, "type": guest.kind}
        labels |= {"template": str(int(guest.is_template)), "tags": ";".join(guest.tags)}
        guests.add_metric([], {key: _label(value) for key, value in labels.items()})
        if name in known:
            figures.add_computer(name, guest)
            figures.add_disk(name, guest.disk_bytes, guest.maxdisk_bytes)
            figures.add_states(name, guest.hastate, guest.lock)
    for storage in inventory.storages:
        name = f"storage/{_label(storage.node)}/{_label(storage.storage)}"
        labels = {"id": name, "node": storage.node, "storage": storage.storage}
        labels |= {"plugintype": storage.type, "content": ",".join(storage.content)}
        storages.add_metric([], {key: _label(value) for key, value in labels.items()})
        figures.shared.add_metric([name], int(storage.is_shared))
        if storage.has_figures:
            figures.add_disk(name, storage.used_bytes, storage.total_bytes)
    return [nodes, guests, storages, *figures.families, *_list_traffic(sample)]


class _Figures:
    """The families that nodes, guests and storages share."""

    def __init__(self) -> None:
        of_all = "of nodes and guests."
        self.cpu = _gauge("pve_cpu_usage_ratio", f"Share of its CPUs in use, {of_all}")
        self.cpus = _gauge("pve_cpu_usage_limit", f"CPUs, {of_all}")
        self.memory = _gauge("pve_memory_usage_bytes", f"Memory in use, {of_all}")
        self.memory_size = _gauge("pve_memory_size_bytes", f"Memory, {of_all}")
        self.disk = _gauge(
            "pve_disk_usage_bytes", "Used of storages, nodes' root and containers' root."
        )
        self.disk_size = _gauge(
            "pve_disk_size_bytes", "Size of storages, nodes' root and guests' first disk."
        )
        self.uptime = _gauge("pve_uptime_seconds", f"Time since the start, {of_all}")
        self.shared = _gauge("pve_storage_shared", "1: every node sees the same.")
        self.ha = _gauge("pve_ha_state", "The HA state that a guest is in.", ("id", "state"))
        self.lock = _gauge("pve_lock_state", "The lock that a guest has.", ("id", "state"))

    @property
    def families(self) -> tuple[Any, ...]:
        return tuple(vars(self).values())

    def add_computer(self, name: str, each: Any) -> None:
        """A node or a guest."""
        self.cpu.add_metric([name], each.cpu)
        self.cpus.add_metric([name], each.maxcpu)
        self.memory.add_metric([name], each.mem_bytes)
        self.memory_size.add_metric([name], each.maxmem_bytes)
        self.uptime.add_metric([name], each.uptime_s)

    def add_disk(self, name: str, used: int, size: int) -> None:
        """PVE does not know how much of a VM's disk is used, and says 0."""
        if used or not name.startswith("qemu/"):
            self.disk.add_metric([name], used)
        self.disk_size.add_metric([name], size)

    def add_states(self, name: str, hastate: str, lock: str) -> None:
        """Only what is so: a state that it is not in has no sample."""
        if hastate:
            self.ha.add_metric([name, _label(hastate)], 1)
        if lock:
            self.lock.add_metric([name, _label(lock)], 1)


def _list_traffic(sample: Sample) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    running = [row for row in _known(sample) if row.get("status") == "running"]
    for member, name, text in _COUNTERS:
        family = CounterMetricFamily(name, text, labels=["id"])
        for row in running:
            if member in row:
                family.add_metric([_label(row.get("id"))], int_of(row, member))
        yield family


# -- the monitor ---------------------------------------------------------------------------


def _list_alerts(page: Page) -> Iterator[Any]:
    """Open alerts, as the monitor's newest look left them."""
    alerts = _gauge("pve_alert", "An open alert of the monitor.", ("code", "severity", "subject"))
    acked = _gauge(
        "pve_alert_acknowledged", "A person said that it is known.", ("code", "subject")
    )
    for alert in page.alerts:
        if alert.is_active:
            labels = [_label(alert.code), alert.severity, _label(alert.subject)]
            alerts.add_metric(labels, 1)
            if alert.acked:
                acked.add_metric([labels[0], labels[2]], 1)
    yield alerts
    yield acked
    looked = _gauge("pve_monitor_last_look_timestamp_seconds", "When the monitor last looked.", ())
    if page.looked:
        looked.add_metric([], page.looked)
    yield looked
    blind = _gauge("pve_monitor_blind_spots", "What the monitor could not see.", ())
    blind.add_metric([], len(page.blind))
    yield blind


Encode = Callable[["CollectorRegistry"], bytes]


def write_openmetrics(registry: CollectorRegistry) -> bytes:
    """OpenMetrics 1.0, as Prometheus asks for it over HTTP."""
    from prometheus_client.openmetrics.exposition import generate_latest

    written: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return written


def write_text(registry: CollectorRegistry) -> bytes:
    """Prometheus's own text format 0.0.4, which the textfile collector reads."""
    from prometheus_client import generate_latest

    return generate_latest(registry)
