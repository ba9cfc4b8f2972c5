"""prometheus-pve-exporter, which others wrote, scrapes the simulated cluster."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Home
from tests.served import Cluster

pytest.importorskip("pve_exporter", reason="installed by `make test`")

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from pve_exporter.collector import CollectorsOptions, collect_pve


def scrape(cluster: Cluster) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample by its name, from all collectors, as Prometheus would read them."""
    user, _, name = cluster.ready["token"]["id"].partition("!")
    config = {
        "user": user,
        "token_name": name,
        "token_value": cluster.ready["token"]["secret"],
        "verify_ssl": cluster.ready["ca_file"],
    }
    every = CollectorsOptions(**dict.fromkeys(CollectorsOptions._fields, True))
    text = collect_pve(config, cluster.host, True, True, every).decode()
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def test_every_collector_finds_what_it_looks_for(cluster: Cluster) -> None:
    samples = scrape(cluster)
    assert {
        "pve_up",
        "pve_version_info",
        "pve_node_info",
        "pve_cluster_info",
        "pve_guest_info",
        "pve_storage_info",
        "pve_cpu_usage_ratio",
        "pve_memory_size_bytes",
        "pve_ha_state",
        "pve_onboot_status",
        "pve_not_backed_up_total",
        "pve_subscription_info",
    } <= set(samples)


def test_what_it_finds_is_what_the_cluster_is(cluster: Cluster) -> None:
    samples = scrape(cluster)
    up = {labels["id"]: value for labels, value in samples["pve_up"]}
    assert up["node/pve1"] == up["qemu/101"] == 1
    names = {labels["name"] for labels, _ in samples["pve_guest_info"]}
    state = cluster.control("/state")
    assert names == {guest["name"] for guest in state["guests"]}


SHARED = (
    "pve_cpu_usage_limit",
    "pve_memory_size_bytes",
    "pve_disk_size_bytes",
    "pve_storage_shared",
    "pve_network_receive_bytes_total",
    "pve_disk_written_bytes_total",
)
"""What does not change while both look."""


def test_our_own_metrics_tell_the_same_under_the_same_names(cluster: Cluster, home: Home) -> None:
    theirs = scrape(cluster)
    code, text = home.run("pve monitor export")
    assert code == 0
    ours: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in parse_openmetrics(text):
        for sample in family.samples:
            ours.setdefault(sample.name, []).append((sample.labels, sample.value))
    for name in SHARED:
        mine = {labels["id"]: value for labels, value in ours[name]}
        assert mine
        for labels, value in theirs[name]:
            # We leave the traffic of what is off out; they say 0.
            assert mine.get(labels["id"], 0.0) == value, (name, labels)
    for name in ("pve_guest_info", "pve_storage_info"):
        assert {tuple(sorted(labels.items())) for labels, _ in ours[name]} == {
            tuple(sorted(labels.items())) for labels, _ in theirs[name]
        }
    up = {labels["id"]: value for labels, value in theirs["pve_up"]}
    assert {labels["id"]: value for labels, value in ours["pve_up"] if labels} == up
