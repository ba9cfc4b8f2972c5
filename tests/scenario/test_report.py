"""`pve report`: a digest that tells what is so, who did what, and what nobody could see."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pveops.config.paths import find_paths
from pveops.config.profiles import ConsentConfig, MonitorConfig
from pveops.sim.membership import power_off_node, power_on_node
from tests.commandline import Outcome, run_line
from tests.large import GUESTS, NODES, make_large_world
from tests.monitored import make_small_world
from tests.world import World, make_world

CHAT = 3500
SEEDS = ("homelab", "three-node-ceph", "two-node", "mixed-versions", "recorded")
EVIL = "<img src=//evil.example onerror=alert(1)> \"&' [pay](http://evil.example)"


def report(world: World, folder: Path, words: str = "") -> Outcome:
    return run_line(world, folder, f"pve report {words}")


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed != "recorded"])
@pytest.mark.parametrize("since", ["1d", "7d"])
def test_a_digest_of_each_seed_fits_into_a_chat_with_all_its_parts(
    seed: str, since: str, tmp_path: Path
) -> None:
    outcome = report(make_world(tmp_path, seed=seed), tmp_path, f"--since {since}")
    assert outcome.code == 0, outcome.err
    assert len(outcome.out) <= CHAT
    for part in ("HEALTH", "CAPACITY", "BACKUPS", "CHANGES", "TASKS"):
        assert f"\n{part}" in outcome.out
    assert "showing" not in outcome.out


def test_the_story_of_the_homelab_is_told(tmp_path: Path) -> None:
    out = report(make_world(tmp_path), tmp_path, "--since 7d").out
    assert out.startswith("homelab, the last 7d: 2 problems, 3 warnings; backups is full in about")
    assert "PROBLEM vm/120: mail01 stands still: io-error" in out
    assert "4 guests without a fresh backup" in out
    assert "101 web01: no backup" in out
    assert "root@pam: 3 (3 vzdump), 1 failed" in out
    # As docs/howto/report.md says.
    again = report(make_world(tmp_path), tmp_path, "--since 7d --json")
    assert again.json["meta"]["requests"] == 27


def test_changes_are_told_with_who_and_why_and_are_not_counted_as_others(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    done = run_line(world, tmp_path, 'pve guest start 901 --reason "the lab is needed"')
    assert done.code == 0, done.out
    data = report(world, tmp_path, "--json").json["data"]
    (change,) = data["changes"]
    assert change["operation"] == "guest.start"
    assert change["result"] == "done"
    assert change["reason"] == "the lab is needed"
    assert change["actor"]
    assert not any("qmstart" in each["kinds"] for each in data["others"])
    out = report(world, tmp_path).out
    assert "guest.start windows-lab on pve2: done, by " in out
    assert '"the lab is needed"' in out


def test_what_is_older_than_the_time_is_not_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve guest start 901").code == 0
    world.cluster.timeline.advance(3 * 86_400)
    assert report(world, tmp_path, "--since 1d --json").json["data"]["changes"] == []
    assert len(report(world, tmp_path, "--since 7d --json").json["data"]["changes"]) == 1


def test_alerts_carry_since_when_and_that_they_are_known(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert "the monitor never ran" in report(world, tmp_path).out
    for _ in range(3):
        world.cluster.timeline.advance(3600)
        run_line(world, tmp_path, "pve monitor run")
    assert run_line(world, tmp_path, "pve monitor ack vm/105 --why known").code == 0
    out = report(world, tmp_path).out
    assert (
        "gitlab is locked (backup), and no task that can be seen works on it, for 2h, ack" in out
    )
    assert "raised" in out


def test_all_is_well_only_where_everything_was_looked_at(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    data = report(world, tmp_path, "--json").json["data"]
    assert (data["level"], data["troubles"]) == ("unknown", [])
    never = [each for each in data["blind_spots"] if each.startswith("not looked at yet: load, ")]
    assert "courses of 7 storages" in never[0]
    assert run_line(world, tmp_path, "pve monitor run --all").code == 0
    page = tmp_path / "page.html"
    data = report(world, tmp_path, f"--json --html {page}").json["data"]
    assert (data["level"], data["blind_spots"]) == ("good", [])
    assert "All is well" in page.read_text()
    world.cluster.timeline.advance(36 * 3600)
    data = report(world, tmp_path, "--json").json["data"]
    assert data["level"] == "unknown"
    assert data["blind_spots"] == ["the monitor has not looked for 1d"]


def test_what_a_slow_look_found_is_told_also_while_its_node_is_down(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    (world.cluster.nodes["pve3"].hardware.disks or [])[1].health = "FAILED"
    run_line(world, tmp_path, "pve monitor run --all")
    world.cluster.timeline.advance(3600)
    (trouble,) = report(world, tmp_path, "--json").json["data"]["troubles"]
    assert (trouble["severity"], trouble["subject"]) == ("block", "disk/pve3/sda")
    assert "disk/pve3/sda" in report(world, tmp_path).out
    assert ", for 1h" in report(world, tmp_path).out
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    world.cluster.timeline.advance(600)
    troubles = report(world, tmp_path, "--json").json["data"]["troubles"]
    assert {"disk/pve3/sda", "node/pve3"} <= {each["subject"] for each in troubles}


def test_what_is_over_is_no_trouble_though_the_monitor_has_not_looked_since(
    tmp_path: Path,
) -> None:
    world = make_small_world(tmp_path)
    node = world.cluster.nodes["pve3"]
    power_off_node(world.cluster, node)
    world.cluster.timeline.advance(600)
    run_line(world, tmp_path, "pve monitor run --all")
    power_on_node(world.cluster, node)
    world.cluster.timeline.advance(600)
    subjects = {e["subject"] for e in report(world, tmp_path, "--json").json["data"]["troubles"]}
    assert "node/pve3" not in subjects


def test_old_backups_are_a_warning_and_the_profile_says_what_is_old(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    run_line(world, tmp_path, "pve monitor run --all")
    world.cluster.timeline.advance(10 * 3600)

    def level(days: int) -> tuple[str, int]:
        config = MonitorConfig(backup_days=days)
        answer = run_line(world, tmp_path, "pve report --json", monitor=config)
        return answer.json["data"]["level"], answer.json["data"]["backups"]["limit_s"]

    assert level(2) == ("good", 2 * 86_400)
    world.cluster.timeline.advance(20 * 3600)
    run_line(world, tmp_path, "pve monitor run", monitor=MonitorConfig(backup_days=3))
    assert level(1) == ("warn", 86_400)
    assert level(3) == ("good", 3 * 86_400)


def test_records_that_cannot_be_read_are_a_blind_spot(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    run_line(world, tmp_path, "pve monitor run --all")
    log = find_paths({"PVE_HOME": str(tmp_path), "HOME": str(tmp_path)}).audit_file
    log.unlink(missing_ok=True)
    log.mkdir(parents=True)
    data = report(world, tmp_path, "--json").json["data"]
    assert data["changes"] is None
    assert data["level"] == "unknown"
    assert any(each.startswith("changes through pve") for each in data["blind_spots"])


def test_the_page_says_how_long_its_courses_are(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for since, words in (("7d", "CPU, a week"), ("14d", "CPU, a month")):
        page = tmp_path / f"{since}.html"
        report(world, tmp_path, f"--since {since} --html {page}")
        assert words in page.read_text()


def test_a_digest_takes_no_alert_away_from_the_monitor(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    report(world, tmp_path)
    world.cluster.timeline.advance(60)
    assert "PROBLEM" in run_line(world, tmp_path, "pve monitor run").out


def test_what_a_dead_node_held_is_unknown_and_not_fine(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    world.cluster.timeline.advance(600)
    out = report(world, tmp_path).out
    assert "- node pve3: offline" in out
    assert "- storage local on pve3: unknown" in out
    assert "tasks of pve3" in out


def test_what_the_token_may_not_see_is_said(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.access.roles["AgentOperate"] = frozenset({"VM.Audit"})
    outcome = report(world, tmp_path)
    assert outcome.code == 0
    assert "NOT SEEN" in outcome.out
    assert "every guest has a fresh backup" not in outcome.out
    assert "nothing wrong in what can be seen" in outcome.out or "problem" in outcome.out


def test_many_nodes_and_guests_cost_few_requests_and_little_room(tmp_path: Path) -> None:
    """Per node its tasks, and at most 24 series of nodes and of storages."""
    world = make_large_world(tmp_path)
    page = tmp_path / "page.html"
    outcome = report(world, tmp_path, f"--since 7d --html {page} --json")
    assert outcome.code == 0
    data, meta = outcome.json["data"], outcome.json["meta"]
    assert meta["requests"] <= NODES + 2 * 24 + 14
    assert len(data["nodes"]) == NODES
    assert data["backups"]["states"] == {"ok": GUESTS // 2, "none": GUESTS // 2}
    text = report(world, tmp_path).out
    assert len(text) <= CHAT
    for part in ("HEALTH", "CAPACITY", "BACKUPS", "CHANGES", "TASKS"):
        assert f"\n{part}" in text
    assert f"and {GUESTS // 2 - 1}" in text or " more: pve backup audit --bad" in text
    assert page.stat().st_size < 160_000
    assert f"{NODES - 24} more are not shown" in page.read_text()
    assert f"{GUESTS // 2 - 24} more are not shown" in page.read_text()


# -- to a person ---------------------------------------------------------------------


def test_what_a_job_prints_can_neither_link_nor_mention(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.guests[105].config["name"] = "x [pay](http://evil.example) @all"
    world.cluster.timeline.advance(20)
    shown, passed_on = (report(world, tmp_path, words).out for words in ("", "--job"))
    assert "](http" in shown
    assert "@all" in shown
    for each in ("](http", "@all", "http://"):
        assert each not in passed_on
    assert passed_on.count("CAPACITY") == 1


def test_the_person_is_sent_the_text_once_and_nothing_that_links(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.guests[105].config["name"] = "x [pay](http://evil.example)"
    world.cluster.timeline.advance(20)
    inbox = tmp_path / "inbox"
    consent = ConsentConfig(("sh", "-c", f"cat >> {shlex.quote(str(inbox))}"))
    outcome = run_line(world, tmp_path, "pve report --tell", consent=consent)
    assert outcome.code == 0
    sent = inbox.read_text()
    assert sent.startswith("homelab, the last day: 2 problems")
    assert sent.count("CAPACITY") == 1
    assert "](http" not in sent


def test_that_the_cluster_is_not_reached_is_told_and_is_a_failure(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("refuse", path=r".*", status=595, times=0)
    inbox = tmp_path / "inbox"
    consent = ConsentConfig(("sh", "-c", f"cat >> {shlex.quote(str(inbox))}"))
    outcome = run_line(world, tmp_path, "pve report --tell", consent=consent)
    assert outcome.code == 12
    assert inbox.read_text().startswith("PROBLEM: no report, the cluster is not reached")


def test_where_a_broker_keeps_the_records_changes_are_unknown_and_not_none(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve report", broker="/run/nowhere.sock").out
    assert "changes unknown" in out
    assert "CHANGES through pve: unknown" in out


def test_without_a_person_to_tell_that_is_said_first(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = report(world, tmp_path, "--tell")
    assert outcome.code == 7
    assert "nobody to tell" in outcome.out
    assert world.cluster.journal == []


# -- the page ------------------------------------------------------------------------


def hostile_page(world: World, folder: Path) -> str:
    """The page of a cluster whose names attack it."""
    world.cluster.guests[105].config["name"] = EVIL
    world.cluster.guests[101].config["name"] = EVIL
    world.cluster.name = EVIL
    node = world.cluster.nodes["pve1"]
    task = next(iter(node.tasks.values()))
    task.upid = task.upid._replace(user="<b>x</b>@pam")
    world.cluster.timeline.advance(20)
    path = folder / "page.html"
    outcome = report(world, folder, f"--html {path}")
    assert outcome.code == 0, outcome.out
    assert f"page: {path}" in outcome.out.splitlines()
    return path.read_text()


def test_nothing_that_pve_says_becomes_markup(tmp_path: Path) -> None:
    page = hostile_page(make_world(tmp_path), tmp_path)
    assert "<img" not in page
    assert "<b>x" not in page
    assert "&lt;img src=//evil.example" in page
    assert "onerror=alert(1)&gt;" in page


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = hostile_page(make_world(tmp_path), tmp_path)
    assert "<script" not in page
    assert not re.search(r"""<[^>]*\s(?:src|href|srcset|data|poster|on\w+)=""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "style=" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "default-src 'none'" in page


def test_only_a_page_of_ours_is_replaced(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = tmp_path / "r.html"
    assert report(world, tmp_path, f"--html {path}").code == 0
    assert report(world, tmp_path, f"--html {path}").code == 0
    path.write_text("<!doctype html><p>a wedding")
    assert report(world, tmp_path, f"--html {path}").code == 9
    assert "a wedding" in path.read_text()
    assert report(world, tmp_path, f"--html {path} --replace").code == 0
    assert report(world, tmp_path, f"--html {tmp_path}/notes.txt").code == 2


@pytest.mark.parametrize("since", ["soon", "1m", "90d"])
def test_a_time_that_is_none_is_refused(since: str, tmp_path: Path) -> None:
    assert report(make_world(tmp_path), tmp_path, f"--since {since}").code == 2
