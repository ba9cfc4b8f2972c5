"""Configuration of guests, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import NotFoundError, PreflightError, UsageError
from pveops.operations.plan import Call, Plan, Scalar
from pveops.sim.guest import Guest
from tests.world import World, make_world


def ask(world: World, operation: str, guest: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(operation, (guest,), params=params))


def agree(world: World, change: Change) -> Receipt:
    """The person agrees to what was asked for."""
    assert change.receipt is None
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def plan_of(change: Change) -> Plan:
    assert change.proposal.plan is not None
    return change.proposal.plan


def guest_of(world: World, name: str) -> Guest:
    return next(guest for guest in world.cluster.guests.values() if guest.name == name)


def test_more_memory_for_a_running_vm_waits_for_a_restart_and_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.set", "web02", memory=8192, onboot="off")
    plan = plan_of(change)
    assert plan.tier == 2
    assert "memory 4.0 GiB -> 8.0 GiB, onboot 1 -> 0" in plan.items[0].headline
    assert plan.items[0].undo == "pve guest set 102 --memory 4096 --onboot on"
    waiting = [finding.message for finding in plan.findings if finding.code == "config.waits"]
    assert len(waiting) == 1
    assert "memory" in waiting[0]
    assert "onboot" not in waiting[0]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "waits for a full stop and start: memory" in receipt.items[0].message
    guest = guest_of(world, "web02")
    assert str(guest.pending["memory"]) == "8192"
    assert str(guest.config["onboot"]) == "0"
    again = ask(world, "guest.set", "web02", memory=8192)
    assert again.proposal.plan is None


def test_what_waits_can_be_reverted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "guest.set", "web02", memory=8192, cores=4))
    change = ask(world, "guest.revert", "web02", key="memory")
    assert plan_of(change).items[0].undo == "pve guest set 102 --memory 8192"
    assert agree(world, change).status == "done"
    guest = guest_of(world, "web02")
    assert "memory" not in guest.pending
    assert guest.pending["cores"] == 4
    assert ask(world, "guest.revert", "web02", key="memory").proposal.plan is None


def test_the_digest_is_always_sent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = ask(world, "guest.set", "web02", cores=4)
    agree(world, first)
    second = ask(world, "guest.tag", "web02", add="blue")
    calls = [plan_of(change).items[0].steps[0] for change in (first, second)]
    digests = {call.params["digest"] for call in calls if isinstance(call, Call)}
    assert len(digests) == 2
    assert all(digests)


def test_taking_the_protection_away_needs_a_tier_more(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "web02").config["protection"] = 1
    for params in ({"protection": "off"}, {"unset": "protection"}):
        change = ask(world, "guest.set", "web02", **params)
        assert plan_of(change).tier == 3
    assert agree(world, change).status == "done"
    assert not guest_of(world, "web02").config.get("protection")


def test_a_tag_is_added_and_removed_at_once_and_others_stay(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.tag", "web02", add="Blue,alpha", remove="nothing")
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    assert guest_of(world, "web02").config["tags"] == "alpha;blue;web"
    assert plan_of(change).items[0].undo == "pve guest tag 102 --set web"
    assert ask(world, "guest.tag", "web02", add="BLUE").proposal.plan is None


def test_the_last_tag_can_go(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.tag", "web02", remove="web")
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    assert not guest_of(world, "web02").config.get("tags")


def test_losing_the_tag_that_protects_needs_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert plan_of(ask(world, "guest.tag", "web01", remove="prod")).tier == 2
    assert world.writes() == []


def test_notes_are_added_at_once_and_replaced_with_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = ask(world, "guest.note", "web02", text="owner: web group\nrack 3")
    assert first.receipt is not None
    assert first.receipt.status == "done", first.receipt
    more = ask(world, "guest.note", "web02", append="moved: ümlaut")
    assert more.receipt is not None
    assert more.receipt.status == "done", more.receipt
    text = str(guest_of(world, "web02").config["description"])
    assert text.rstrip("\n") == "owner: web group\nrack 3\n\nmoved: ümlaut"
    over = ask(world, "guest.note", "web02", text="new")
    assert plan_of(over).tier == 2
    assert "notes" in plan_of(over).items[0].losses[0]
    assert agree(world, over).status == "done"


def test_notes_of_others_are_not_repeated_in_plan_or_receipt(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.note", "wiki", text="nothing to see")
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "obsolete" not in repr(change.proposal.plan)
    assert "obsolete" not in repr(receipt)


def test_a_locked_guest_is_not_configured(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(Exception, match="locked"):
        ask(world, "guest.set", "gitlab", cores=2)
    assert world.writes() == []


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("guest.set", {}),
        ("guest.set", {"swap": 512}),
        ("guest.set", {"rename": "no name"}),
        ("guest.set", {"unset": "scsi0"}),
        ("guest.set", {"unset": "cores", "cores": 2}),
        ("guest.tag", {}),
        ("guest.tag", {"add": "a!"}),
        ("guest.tag", {"add": "a", "set": "b"}),
        ("guest.note", {}),
        ("guest.note", {"text": "x" * 9000}),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    operation: str, params: dict[str, Scalar], tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError):
        ask(world, operation, "web02", **params)
    assert world.writes() == []


def test_a_balloon_above_the_memory_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="balloon"):
        ask(world, "guest.set", "web02", balloon=8192)


def test_an_unknown_guest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        ask(make_world(tmp_path), "guest.set", "nowhere", cores=2)


def test_a_network_card_keeps_its_address_when_its_bridge_changes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    network = world.cluster.nodes["pve1"].settings.network
    network.change({**network.current(), "vmbr1": {"type": "bridge"}}, 0)
    network.apply()
    before = str(guest_of(world, "web02").config["net0"])
    change = ask(world, "guest.set", "web02", option="net0=bridge=vmbr1,firewall=1")
    plan = plan_of(change)
    assert any(finding.code == "config.card" for finding in plan.findings)
    assert not any(finding.code == "config.waits" for finding in plan.findings)
    assert f"--option net0={before}" in plan.items[0].undo
    assert agree(world, change).status == "done"
    after = str(guest_of(world, "web02").config["net0"])
    assert before.split(",", maxsplit=1)[0] in after, "the MAC address stays"
    assert "bridge=vmbr1" in after
    assert "firewall=1" in after
    again = ask(world, "guest.set", "web02", option="net0=bridge=vmbr1")
    assert again.proposal.plan is None


def test_a_second_card_gets_a_model_or_a_name(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert (
        agree(world, ask(world, "guest.set", "web02", option="net1=bridge=vmbr0")).status == "done"
    )
    assert str(guest_of(world, "web02").config["net1"]).startswith("virtio=")
    assert (
        agree(world, ask(world, "guest.set", "proxy", option="net1=bridge=vmbr0,ip=dhcp")).status
        == "done"
    )
    assert "name=eth1" in str(guest_of(world, "proxy").config["net1"])
    gone = ask(world, "guest.set", "web02", unset="net1")
    assert agree(world, gone).status == "done"
    assert "net1" not in guest_of(world, "web02").config


def test_cloud_init_is_set_with_its_keys_encoded(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    key = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleE me@desk"
    )
    change = ask(
        world,
        "guest.set",
        "windows-lab",
        option="ipconfig0=ip=10.0.0.9/24,gw=10.0.0.1\nciuser=admin\nnameserver=10.0.0.1",
        ssh_keys=f"# mine\n{key}\n",
    )
    assert "sshkeys unset -> 1 keys" in plan_of(change).items[0].headline
    assert agree(world, change).status == "done"
    config = guest_of(world, "windows-lab").config
    assert config["ipconfig0"] == "ip=10.0.0.9/24,gw=10.0.0.1"
    assert config["ciuser"] == "admin"
    assert str(config["sshkeys"]).startswith("ssh-ed25519%20")
    more = ask(world, "guest.set", "windows-lab", option="ipconfig0=ip=dhcp")
    assert "ip=dhcp,gw=10.0.0.1" in plan_of(more).items[0].headline


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("cipassword=hunter", "would stand in plans"),
        ("scsi0=local-lvm:100", "does not set 'scsi0'"),
        ("args=-device x", "does not set 'args'"),
        ("net0", "sets nothing"),
    ],
)
def test_what_is_not_an_option_is_refused(option: str, text: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError, match=text):
        ask(world, "guest.set", "web02", option=option)


def test_a_bridge_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="no bridge or vnet 'vmbr7'"):
        ask(make_world(tmp_path), "guest.set", "web02", option="net0=bridge=vmbr7")


def test_one_name_is_for_one_guest(tmp_path: Path) -> None:
    from pveops.domain.selection import Selector

    world = make_world(tmp_path)
    asked = Ask("guest.set", selector=Selector(tags=("web",)), params={"rename": "same"})
    with pytest.raises(UsageError, match="one guest is renamed"):
        request_change(world.session, asked)


def test_notes_with_control_characters_are_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for verb, word in (
        ("guest.note", "text"),
        ("guest.note", "append"),
        ("guest.set", "description"),
    ):
        with pytest.raises(UsageError, match="control characters"):
            ask(world, verb, "web02", **{word: "x\x1b[31mred"})


def test_an_absurd_amount_of_memory_is_a_slip(tmp_path: Path) -> None:
    from tests.commandline import run_line

    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, "pve guest set web02 --memory 999999999999999999G")
    assert outcome.code == 2
    assert "at most" in outcome.out
    assert run_line(world, tmp_path, "pve snapshot create web02 before").out.endswith(
        "next: was it meant as --snapname before?\n"
    )
