"""Metrics: read by the official parser, never stale, and never out of the house."""

from __future__ import annotations

import builtins
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pveops.errors import ConfigError, UsageError
from pveops.monitor.book import Book
from pveops.monitor.metrics import Sample, make_registry, read_sample, write_openmetrics
from pveops.monitor.metrics_server import Address, MetricsServer, SharedLook, parse_listen
from pveops.sim.membership import power_off_node
from tests.commandline import run_line
from tests.world import World, make_world

Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples_of(text: str, parse: Any = parse_open) -> Samples:
    """By name, as Prometheus would keep them."""
    found: Samples = {}
    for family in parse(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value_of(found: Samples, name: str, /, **labels: str) -> float | None:
    """The one sample with these labels."""
    values = [value for each, value in found.get(name, []) if labels.items() <= each.items()]
    assert len(values) <= 1
    return values[0] if values else None


def export(world: World, folder: Path, words: str = "") -> Samples:
    outcome = run_line(world, folder, f"pve monitor export {words}")
    return samples_of(outcome.out)


def test_the_official_parser_reads_what_the_cluster_is(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    found = export(world, tmp_path)
    assert value_of(found, "pve_up", id="node/pve1") == 1
    assert value_of(found, "pve_up", id="lxc/202") == 0
    assert ({}, 1.0) in found["pve_up"]
    assert value_of(found, "pve_version_info", version="9.2.11") == 1
    assert value_of(found, "pve_guest_info", id="qemu/101", name="web01", node="pve1") == 1
    assert value_of(found, "pve_memory_size_bytes", id="qemu/101") == 4096 << 20
    assert value_of(found, "pve_disk_size_bytes", id="storage/pve2/fast") == 200 << 30
    assert value_of(found, "pve_network_receive_bytes_total", id="qemu/101") == 0
    assert value_of(found, "pve_ha_state", id="qemu/108", state="started") == 1
    assert value_of(found, "pve_lock_state", id="qemu/105", state="backup") == 1


def test_names_keep_to_the_conventions(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    units = ("_bytes", "_seconds", "_ratio", "_total", "_info")
    unitless = {
        *("pve_up", "pve_cpu_usage_limit", "pve_ha_state", "pve_lock_state", "pve_alert"),
        *("pve_storage_shared", "pve_ceph_health", "pve_monitor_blind_spots"),
        *("pve_replication_failed_syncs", "pve_alert_acknowledged"),
    }
    text = run_line(world, tmp_path, "pve monitor export").out
    for family in parse_open(text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.startswith("pve_")
            assert sample.name.endswith(units) or sample.name in unitless
        keys = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(keys) == len(set(keys))


def test_open_alerts_are_told_as_the_last_look_left_them(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert "pve_alert" not in export(world, tmp_path)
    run_line(world, tmp_path, "pve monitor run")
    found = export(world, tmp_path)
    assert value_of(
        found, "pve_alert", code="storage.full", severity="block", subject="storage/pve2/fast"
    )
    looked = value_of(found, "pve_monitor_last_look_timestamp_seconds")
    assert looked == int(world.cluster.timeline.now())
    assert run_line(world, tmp_path, "pve monitor run").out == ""


def test_a_cluster_that_is_down_is_down_and_has_no_figures(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    run_line(world, tmp_path, "pve monitor run")
    world.cluster.faults.add("refuse", path=r".*", status=595, times=0)
    outcome = run_line(world, tmp_path, "pve monitor export")
    found = samples_of(outcome.out)
    assert outcome.code == 12
    assert found["pve_up"] == [({}, 0.0)]
    assert {name for name in found if "alert" not in name and "monitor" not in name} == {"pve_up"}


def test_of_a_dead_node_nothing_is_told_but_that_it_is_dead(tmp_path: Path) -> None:
    """PVE repeats the last figures of its guests for five minutes (pve-cluster status.c)."""
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    found = export(world, tmp_path)
    assert value_of(found, "pve_up", id="node/pve3") == 0
    for name in ("pve_up", "pve_cpu_usage_ratio", "pve_network_receive_bytes_total"):
        assert value_of(found, name, id="qemu/104") is None
    assert value_of(found, "pve_guest_info", id="qemu/104") == 1


def test_what_the_token_may_not_see_is_missing_and_not_nought(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.access.roles["AgentOperate"] = frozenset({"VM.Audit"})
    found = export(world, tmp_path)
    assert value_of(found, "pve_memory_usage_bytes", id="node/pve1") is None
    assert value_of(found, "pve_up", id="node/pve1") == 1
    assert "pve_storage_info" not in found


HOSTILE = 'x"} 1\npve_up{id="forged"} 1\n# EOF \\ \u202e' + "y" * 500


def test_a_name_neither_forges_a_sample_nor_is_endless(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = world.cluster.guests[101]
    guest.config |= {"name": HOSTILE, "tags": "a\nb"}
    world.cluster.timeline.advance(20)
    for words, parse in (("", parse_open), (f"--textfile {tmp_path}/x.prom", parse_text)):
        text = run_line(world, tmp_path, f"pve monitor export {words}").out
        found = samples_of((tmp_path / "x.prom").read_text() if words else text, parse)
        (labels,) = (each for each, _ in found["pve_guest_info"] if each["id"] == "qemu/101")
        assert len(labels["name"]) <= 128
        assert "\n" not in labels["name"]
        assert value_of(found, "pve_up", id="forged") is None


def test_a_textfile_is_replaced_at_once_and_for_all_to_read(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    file = tmp_path / "metrics" / "pve.prom"
    file.parent.mkdir()
    file.write_text("old")
    before = file.stat().st_ino
    outcome = run_line(world, tmp_path, f"pve monitor export --textfile {file}")
    assert outcome.code == 0
    assert file.stat().st_ino != before
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [each.name for each in file.parent.iterdir()] == ["pve.prom"]
    text = file.read_text()
    assert "# EOF" not in text
    assert value_of(samples_of(text, parse_text), "pve_up", id="node/pve1") == 1
    wrong = run_line(world, tmp_path, f"pve monitor export --textfile {tmp_path}/pve.txt")
    assert wrong.code == 2
    assert f"--textfile {tmp_path}/pve.prom" in wrong.out
    nowhere = run_line(world, tmp_path, f"pve monitor export --textfile {tmp_path}/no/pve.prom")
    assert nowhere.code == 2


# -- over HTTP ---------------------------------------------------------------------


@contextmanager
def serving(world: World, look: SharedLook) -> Iterator[MetricsServer]:
    book = Book(world.session.store, "sim")
    server = MetricsServer(Address("127.0.0.1", 0), look, book.read)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def ask(server: MetricsServer, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", int(server.url.split(":")[2].partition("/")[0]))
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], text


def test_scrapes_share_a_look_however_many_come(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    clock = world.cluster.timeline
    looks: list[Sample] = []

    def take() -> Sample:
        looks.append(read_sample(world.session.reader))
        return looks[-1]

    with serving(world, SharedLook(take, clock, 15)) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(looks) == 1
        clock.advance(16)
        world.cluster.faults.add("refuse", path=r".*", status=595, times=0)
        assert samples_of(ask(server, Accept="application/openmetrics-text")[2])["pve_up"] == [
            ({}, 0.0)
        ]
        ask(server)
        assert len(looks) == 2


def test_whoever_asks_gets_the_format_asked_for(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    look = SharedLook(lambda: read_sample(world.session.reader), world.cluster.timeline, 15)
    with serving(world, look) as server:
        status, kind, text = ask(server, Accept="application/openmetrics-text;version=1.0.0")
        assert status == 200
        assert kind.startswith("application/openmetrics-text; version=1.0.0")
        assert samples_of(text)["pve_up"]
        _, kind, text = ask(server)
        assert kind.startswith("text/plain; version=0.0.4")
        assert samples_of(text, parse_text)["pve_up"]
        assert ask(server, "/")[0] == 404
        assert ask(server, Host="attacker.example")[0] == 403
        assert ask(server, Host="[::1]:9221")[0] == 200


@pytest.mark.parametrize(
    "text", ["0.0.0.0:9221", ":9221", "192.0.2.1:9221", "[::]:9221", "example.test:9221"]
)
def test_nobody_listens_where_others_reach(text: str, tmp_path: Path) -> None:
    outcome = run_line(make_world(tmp_path), tmp_path, f"pve monitor export --listen {text}")
    assert outcome.code == 2
    assert "reverse proxy" in outcome.out


@pytest.mark.parametrize("text", ["127.0.0.1", "9221", "localhost:99999", "localhost:x"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    look = SharedLook(Sample, world.cluster.timeline, 15)
    with serving(world, look) as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        with pytest.raises(ConfigError, match="cannot be listened on"):
            MetricsServer(Address("127.0.0.1", port), look, Book(world.session.store, "sim").read)


def test_without_the_library_the_way_to_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    outcome = run_line(make_world(tmp_path), tmp_path, "pve monitor export")
    assert outcome.code == 7
    assert "pip install prometheus-client" in outcome.out


def test_a_thousand_guests_take_a_bounded_number_of_series(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="scale-1000")
    sample = read_sample(world.session.reader)
    registry = make_registry(sample, Book(world.session.store, "sim").read())
    text = write_openmetrics(registry).decode()
    series = sum(len(family.samples) for family in parse_open(text))
    assert series <= 13 * 1000 + 200
