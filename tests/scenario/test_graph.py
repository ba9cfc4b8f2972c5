"""`pve graph`: as text for a chat, as a PNG for a message, and never over somebody's file."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pveops.sim.membership import power_off_node
from tests.commandline import Outcome, run_line
from tests.world import World, make_world

CHAT = 3500


def graph(world: World, folder: Path, words: str) -> Outcome:
    return run_line(world, folder, f"pve graph {words}")


@pytest.mark.parametrize("version", ["8.4", "9.0", "9.1", "9.2"])
@pytest.mark.parametrize(
    "words",
    [
        "guest web01",
        "guest 103 --metric memory --since 7d",
        "guest dns01 --metric rootfs --since 30d",
        "guest 103 --metric disk --peak --since 3h",
        "node pve1 pve2 pve3 --metric load",
        "node pve1 --metric memused",
        "guest 103 --metric diskread",
        "node pve1 --metric swap --since 200d",
        "storage backups --since 30d",
        "storage local",
        "storage pve2/fast --since 7d",
    ],
)
def test_a_graph_fits_into_a_chat_with_axis_unit_and_numbers(
    words: str, version: str, tmp_path: Path
) -> None:
    outcome = graph(make_world(tmp_path, version=version), tmp_path, words)
    assert outcome.code == 0, outcome.err
    assert len(outcome.out) <= CHAT
    assert "UTC" in outcome.out
    assert "┤" in outcome.out
    assert "avg" in outcome.out
    assert "Traceback" not in outcome.err


def test_pressure_is_measured_since_9_and_before_that_is_told_so(tmp_path: Path) -> None:
    new = graph(make_world(tmp_path), tmp_path, "guest 101 --metric pressure-io")
    assert new.code == 0
    (tmp_path / "old").mkdir()
    old = make_world(tmp_path / "old", version="8.4")
    outcome = graph(old, tmp_path / "old", "guest 101 --metric pressure-io")
    assert outcome.code == 5
    assert "9.0" in outcome.out


def test_a_guest_that_was_off_has_a_gap_that_is_named(tmp_path: Path) -> None:
    outcome = graph(make_world(tmp_path), tmp_path, "guest dns02 --since 7d")
    assert "· not measured" in outcome.out
    assert "now not measured" in outcome.out
    gone = graph(make_world(tmp_path), tmp_path, "guest windows-lab")
    assert gone.code == 5
    assert "nothing was measured" in gone.out


def test_how_full_the_disks_of_a_vm_are_is_unknown_and_not_zero(tmp_path: Path) -> None:
    outcome = graph(make_world(tmp_path), tmp_path, "guest web01 --metric rootfs")
    assert outcome.code == 5
    assert "does not know" in outcome.out


def test_a_dead_node_is_graphed_by_the_others_up_to_its_death(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    world.cluster.timeline.advance(4 * 3600)
    outcome = graph(world, tmp_path, "node pve3 --since 1d")
    assert outcome.code == 0
    assert "now not measured" in outcome.out


def test_a_storage_that_fills_is_told_with_its_day(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert "backups: full in about" in graph(world, tmp_path, "storage backups --since 7d").out
    assert "it is full" in graph(world, tmp_path, "storage fast --since 7d").out
    assert "unknown" in graph(world, tmp_path, "storage backups --since 1h").out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("guest web01 --metric mem0ry", 2, "did you mean memory?"),
        ("node pve1 --metric unheard", 2, "there are: cpu, memory, load"),
        ("guest nobody", 5, "no guest is called"),
        ("node pve9", 5, "the nodes are: pve1, pve2, pve3"),
        ("storage nowhere", 5, "backups"),
        ("guest web01 --since soon", 2, "no duration"),
        ("guest web01 --since 9999d", 2, "no duration"),
        ("guest 101 102 --metric network", 2, "net-in"),
        ("guest 101 102 103 104 105 106 107", 2, "too many"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_what_can(
    words: str, code: int, told: str, tmp_path: Path
) -> None:
    outcome = graph(make_world(tmp_path), tmp_path, words)
    assert outcome.code == code
    assert told in outcome.out


def test_a_graph_costs_one_request_a_thing_and_the_inventory(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    data = graph(world, tmp_path, "guest 101 102 103 --json").json
    assert data["meta"]["requests"] == 4


def test_json_holds_the_points_and_nulls_for_gaps(tmp_path: Path) -> None:
    data = graph(make_world(tmp_path), tmp_path, "guest dns02 --since 7d --json").json["data"]
    (line,) = data["lines"]
    assert data["unit"] == "%"
    assert line["points"][-1][1] is None
    assert line["points"][0][1] > 0


# -- pictures ------------------------------------------------------------------------


def test_a_picture_is_written_and_its_path_is_the_first_line(tmp_path: Path) -> None:
    outcome = graph(make_world(tmp_path), tmp_path, f"guest web01 --out {tmp_path}/a.png")
    assert outcome.code == 0, outcome.out
    path = Path(outcome.out.splitlines()[0])
    assert path == tmp_path / "a.png"
    head = path.read_bytes()[:24]
    assert struct.unpack(">II", head[16:24]) == (1200, 630)
    assert "CPU in use: web01 (VM 101 on pve1)" in outcome.out
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".a.png")]


def test_in_a_folder_the_picture_gets_a_plain_name(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = world.cluster.guests[101]
    guest.config["name"] = "../../etc/x y"
    world.cluster.timeline.advance(20)
    outcome = graph(world, tmp_path, f"guest 101 --out {tmp_path}")
    path = Path(outcome.out.splitlines()[0])
    assert path.parent == tmp_path
    assert path.suffix == ".png"
    assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")


def test_only_a_picture_of_ours_is_replaced(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    mine, photo, diary = (tmp_path / name for name in ("mine.png", "photo.png", "diary.png"))
    assert graph(world, tmp_path, f"guest web01 --out {mine}").code == 0
    assert graph(world, tmp_path, f"guest web02 --out {mine}").code == 0
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + b"a holiday")
    assert graph(world, tmp_path, f"guest web01 --out {photo}").code == 9
    assert photo.read_bytes().endswith(b"a holiday")
    assert graph(world, tmp_path, f"guest web01 --out {photo} --replace").code == 0
    diary.write_text("dear diary")
    assert graph(world, tmp_path, f"guest web01 --out {diary} --replace").code == 9
    assert diary.read_text() == "dear diary"


@pytest.mark.parametrize("name", ["/etc/passwd", "{}/a.jpg", "{}/none/a.png"])
def test_a_path_that_cannot_be_is_refused_before_anything_is_asked(
    name: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    outcome = graph(world, tmp_path, f"guest web01 --out {name.format(tmp_path)}")
    assert outcome.code == 2


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    target, link = tmp_path / "target.txt", tmp_path / "link.png"
    target.write_text("precious")
    link.symlink_to(target)
    assert graph(world, tmp_path, f"guest web01 --out {link}").code == 9
    assert target.read_text() == "precious"


def test_without_the_extra_the_way_to_it_and_the_way_without_it_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = graph(make_world(tmp_path), tmp_path, f"guest web01 --out {tmp_path}/a.png")
    assert outcome.code == 7
    assert "pip install matplotlib" in outcome.out
    assert "without --out" in outcome.out
    assert graph(make_world(tmp_path), tmp_path, "guest web01").code == 0


def test_text_needs_nothing_heavy(tmp_path: Path) -> None:
    """Matplotlib takes longer to load than all the rest of a call."""
    code = (
        "import sys; from pathlib import Path; from tests.commandline import run_line;"
        "from tests.world import make_world; folder = Path(sys.argv[1]);"
        "assert run_line(make_world(folder), folder, 'pve graph guest 101').code == 0;"
        "assert run_line(make_world(folder), folder, 'pve report').code == 0;"
        "print([name for name in ('matplotlib', 'numpy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_graph_in_text_is_a_look(tmp_path: Path) -> None:
    assert run_line(make_world(tmp_path), tmp_path, "pve --look-only graph guest web01").code == 0
