"""HA, pools, replication and the content of storages, as an agent's shell sees them."""

from __future__ import annotations

from pathlib import Path

from tests.commandline import run_line
from tests.world import make_world


def test_what_ha_manages_and_what_is_in_trouble(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve ha list").out
    assert out.startswith("1 HA resource; manager: pve1 (active)\n")
    assert "vm:108\tvault\tpve2\tstarted\tstarted" in out
    world.cluster.ha.resources["vm:108"].current = "error"
    out = run_line(world, tmp_path, "pve ha list").out
    assert out.startswith("1 HA resource, 1 in trouble: vm:108")
    assert "next: pve guest doctor 108" in out


def test_pools_with_their_guests(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("create_pools: [sandbox]\n")
    out = run_line(make_world(tmp_path), tmp_path, "pve pool list").out
    assert out.startswith("2 pools; 24 guests in none\n")
    assert "sandbox\t4\t1\tyes" in out


def test_replication_tells_failures_and_what_is_not_known(tmp_path: Path) -> None:
    from pveops.sim.membership import power_off_node

    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve replication list").out.startswith("0 replication jobs")
    for number, (vmid, source) in enumerate(((102, "pve1"), (104, "pve3"))):
        job = {"id": f"{vmid}-0", "guest": vmid, "source": source, "target": "pve2"}
        world.cluster.replication_jobs[f"{vmid}-0"] = {**job, "type": "local", "jobnum": number}
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    told = run_line(world, tmp_path, "pve replication list --json").json
    assert "unknown: those of pve3" in run_line(world, tmp_path, "pve replication list").out
    by_id = {row["id"]: row for row in told["data"]["items"]}
    assert by_id["104-0"]["last_sync"] is None
    assert by_id["102-0"]["name"] == "web02"


def test_what_lies_on_a_storage(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve storage content local --content vztmpl").out
    assert out.startswith("local: 2 volumes")
    assert "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst\tpve2\tvztmpl\t124 MiB" in out
    world.cluster.storages.allocate_disk(world.cluster.nodes["pve1"], "local-lvm", 999, 1 << 30)
    out = run_line(world, tmp_path, "pve storage content local-lvm --node pve1").out
    assert "999 (no such guest)" in out
    assert run_line(world, tmp_path, "pve storage content nope").code == 5


def test_a_token_that_may_not_see_all_is_told_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    role = world.cluster.access.roles
    role["AgentOperate"] = role["AgentOperate"] - {"Datastore.Allocate"}
    out = run_line(world, tmp_path, "pve storage content backups").out
    assert "what the token may not use is not listed" in out.splitlines()[0]
