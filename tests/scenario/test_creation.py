"""New guests, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.config.policy import Policy
from pveops.errors import (
    ConfigError,
    NotFoundError,
    ParameterError,
    PreflightError,
    UsageError,
)
from pveops.operations.plan import Call, Plan, Scalar
from pveops.sim.guest import Guest
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, make_world

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleE me@desk"


def sent(plan: Plan, number: int = 0) -> dict[str, Scalar]:
    """The parameters of the plan's first calls."""
    calls = [step for step in plan.items[0].steps if isinstance(step, Call)]
    return calls[number].params


def test_a_container_with_two_cores_4_gb_and_20_gb_on_the_fastest_storage(
    tmp_path: Path,
) -> None:
    """`fast` is a ZFS pool, but full: the thin pool is the fastest with room."""
    world = make_world(tmp_path)
    params: dict[str, Scalar] = {"memory": 4096, "cores": 2, "disk": "20G", "storage": "auto"}
    change = ask(world, "guest.create", "tools", template="debian-ct", **params)
    plan = plan_of(change)
    assert plan.tier == 2
    why = next(finding.message for finding in plan.findings if finding.code == "create.place")
    assert "memory free" in why
    assert "storage on local-lvm (lvmthin)" in why
    assert "pve3 cannot" in why
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    guest = guest_of(world, "tools")
    assert guest.kind == "lxc"
    assert guest.node in {"pve1", "pve2"}
    assert (int(guest.config["memory"]), int(guest.config["cores"])) == (4096, 2)
    assert "size=20G" in str(guest.config["rootfs"])
    assert str(guest.config["rootfs"]).startswith("local-lvm:")


def test_a_cloud_vm_is_made_grown_started_and_its_address_told(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(create_pools=("sandbox",)))
    change = ask(
        world,
        "guest.create",
        "web03",
        template="debian-cloud-vm",
        pool="sandbox",
        disk="24G",
        ssh_keys=KEY,
        ip="198.51.100.20/24",
        gateway="198.51.100.1",
        start=True,
    )
    receipt = change.receipt
    assert receipt is not None, "inside of the pool an agent does it at once"
    assert receipt.status == "done", receipt
    assert receipt.items[0].message == "running at 198.51.100.20"
    guest = guest_of(world, "web03")
    assert guest.node == "pve1", "only there is the image"
    assert "size=24G" in str(guest.config["scsi0"])
    assert guest.config["ipconfig0"] == "ip=198.51.100.20/24,gw=198.51.100.1"
    assert guest.config["sshkeys"].startswith("ssh-ed25519%20AAAA")
    assert guest.config["boot"] == "order=scsi0"
    assert guest.process is not None


def test_keys_are_encoded_before_the_form_encodes_them_again(tmp_path: Path) -> None:
    """QemuServer/Cloudinit.pm takes `sshkeys` in the format `urlencoded`."""
    change = ask(
        make_world(tmp_path), "guest.create", "x", template="debian-cloud-vm", ssh_keys=KEY
    )
    assert sent(plan_of(change))["sshkeys"] == KEY.replace(" ", "%20").replace("@", "%40") + "%0A"


def test_what_is_not_given_is_left_out(tmp_path: Path) -> None:
    change = ask(make_world(tmp_path), "guest.create", "x", template="minimal-vm")
    params = sent(plan_of(change))
    assert "ide2" not in params
    assert params["boot"] == "order=scsi0;net0"
    assert params["cpu"] == "x86-64-v2-AES"
    assert params["scsi0"] == "local-lvm:32,discard=on,iothread=1,ssd=1"


def test_a_missing_template_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="has no alpine") as caught:
        ask(world, "guest.create", "tiny", template="alpine-ct", node="pve1")
    words = caught.value.hint.split()
    assert words[:4] == ["pve", "storage", "download", "local"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    params: dict[str, Scalar] = {
        key[2:].replace("-", "_"): value for key, value in given.items() if key.startswith("--")
    }
    fetched = ask(world, "storage.download", "local", **params)
    assert fetched.receipt is not None
    assert fetched.receipt.status == "done", fetched.receipt
    made = ask(world, "guest.create", "tiny", template="alpine-ct", node="pve1")
    assert agree(world, made).status == "done"


def test_options_are_checked_against_the_nodes_own_schema(tmp_path: Path) -> None:
    """A template of the user's own, with an option that the release does not have."""
    world = make_world(tmp_path)
    folder = tmp_path / "templates"
    folder.mkdir()
    text = "summary: mine\nkind: vm\nvariables: {}\nconfig: {memory: 512, cores: 0, colour: red}\n"
    (folder / "mine.yaml").write_text(text)
    world.session = world.session._replace(templates_dir=folder)
    with pytest.raises(ParameterError) as caught:
        ask(world, "guest.create", "new", template="mine")
    assert "colour: is not a parameter" in caught.value.message
    assert "cores: value must have a minimum value of 1" in caught.value.message
    assert world.writes() == []


def test_a_mistake_in_a_template_is_told_with_its_line(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    (tmp_path / "mine.yaml").write_text("summary: mine\nkind: vm\nvariables: {}\nconfg: {}\n")
    world.session = world.session._replace(templates_dir=tmp_path)
    with pytest.raises(ConfigError, match="line 4: unknown key 'confg'"):
        ask(world, "guest.create", "new", template="mine")


def test_a_lost_race_for_the_id_takes_another_one(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.create", "mine", template="debian-ct")
    planned = int(plan_of(change).items[0].target.id)
    stranger = Guest(planned, "lxc", "pve2")
    stranger.config = {"hostname": "stranger", "memory": 512}
    world.cluster.guests[planned] = stranger
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert guest_of(world, "mine").vmid != planned
    assert world.cluster.guests[planned] is stranger


def test_an_id_that_a_leftover_disk_carries_is_not_used(tmp_path: Path) -> None:
    """PVE would take `vm-100-disk-1` for the new disk, and later the old one for its own."""
    world = make_world(tmp_path)
    node = world.cluster.nodes["pve1"]
    world.cluster.storages.allocate_disk(node, "local-lvm", 100, 1 << 30)
    change = ask(world, "guest.create", "mine", template="debian-ct")
    assert plan_of(change).items[0].target.id != "100"


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({"template": "nope"}, NotFoundError, "there is no template"),
        ({"template": "debian-ct", "node": "pve9"}, NotFoundError, "there is no node"),
        ({"template": "debian-ct", "set": "colour=red"}, UsageError, "has no colour"),
        ({"template": "debian-ct", "set": "red"}, UsageError, "sets nothing"),
        ({"template": "debian-ct", "ip": "10.0.0.5"}, UsageError, "no address with a prefix"),
        ({"template": "debian-ct", "bridge": "vmbr0,tag=1"}, UsageError, "no single word"),
        ({"template": "debian-ct", "cores": 999}, UsageError, "from 1 to 128"),
        ({"template": "debian-ct", "ssh_keys": "hello"}, UsageError, "no SSH public key"),
        ({"template": "debian-ct", "memory": 999999}, PreflightError, "more than"),
        ({"template": "debian-ct", "cores": 64}, PreflightError, "cores are more than"),
        ({"template": "debian-ct", "bridge": "vmbr9"}, PreflightError, "no bridge"),
        ({"template": "debian-ct", "storage": "nope"}, NotFoundError, "there is no storage"),
        ({"template": "debian-ct", "storage": "backups"}, PreflightError, "no available storage"),
        ({"template": "debian-ct", "pool": "nope"}, PreflightError, "there is no pool"),
        ({"template": "windows-vm"}, PreflightError, "installation medium"),
        (
            {"template": "debian-ct", "ip": "10.0.0.5/24", "gateway": "10.1.0.1"},
            PreflightError,
            "not in the network",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    params: dict[str, Scalar], error: type[Exception], text: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(error, match=text):
        ask(world, "guest.create", "new", **params)
    assert world.writes() == []


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="called web01 already"):
        ask(world, "guest.create", "web01", template="debian-ct")
    for name in ("not a name", "-rf", "a\nb", "x" * 300, "\u202eabc"):
        with pytest.raises(UsageError, match="is no name"):
            ask(world, "guest.create", name, template="debian-ct")


# -- downloads --------------------------------------------------------------------


URL = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"


def download(world: World, **params: Scalar) -> None:
    ask(world, "storage.download", "local", **{"url": URL, "content": "import", **params})


def test_a_download_without_a_checksum_takes_a_person(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "storage.download", "local", url=URL, content="import", node="pve2")
    assert plan_of(change).tier == 2
    assert agree(world, change).status == "done"
    again = ask(world, "storage.download", "local", url=URL, content="import", node="pve2")
    assert again.proposal.plan is None


def test_a_wrong_checksum_is_a_failure_and_leaves_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(
        world,
        "storage.download",
        "local",
        url=URL,
        content="import",
        node="pve2",
        checksum="0" * 64,
    )
    assert change.receipt is not None
    assert change.receipt.status == "failed"
    assert "checksum mismatch" in change.receipt.items[0].message


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({}, UsageError, "of its own"),
        ({"node": "pve9"}, NotFoundError, "there is no node"),
        ({"node": "pve1", "url": "ftp://x/y.iso"}, UsageError, "is no URL"),
        ({"node": "pve1", "url": "https://me:pw@x/y.qcow2"}, UsageError, "password"),
        ({"node": "pve1", "content": "images"}, UsageError, "what is it"),
        ({"node": "pve1", "filename": "x.img"}, UsageError, "end with"),
        ({"node": "pve1", "filename": "../x.qcow2"}, UsageError, "is no file name"),
        ({"node": "pve1", "filename": "n.qcow2", "checksum": "xyz"}, UsageError, "checksum"),
    ],
)
def test_a_download_that_cannot_be_is_refused(
    params: dict[str, Scalar], error: type[Exception], text: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(error, match=text):
        download(world, **params)
    assert world.writes() == []


def test_a_template_that_cannot_be_read_hides_no_other_one(tmp_path: Path) -> None:
    from tests.commandline import run_line

    folder = tmp_path / "templates"
    (folder / "deep.yaml").mkdir(parents=True)
    (folder / "bad.yaml").write_text("summary: [")
    (folder / "debian-ct.yaml").write_text("a: &a [*a, *a]\n")
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve template list").out
    assert out.startswith("5 templates; 2 cannot be used\n")
    assert "alpine-ct" in out
    assert "bad.yaml, line" in out
    assert run_line(world, tmp_path, "pve template show deep").code == 5
    assert run_line(world, tmp_path, "pve template show debian-ct").code == 7
