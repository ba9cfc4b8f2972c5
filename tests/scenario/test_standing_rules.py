"""Whom the policy's rules hold for is no caller's to choose; what they count holds in a race."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.cli.confirm import confirm_at_terminal
from pveops.config.policy import (
    Actors,
    ConsentRules,
    Grant,
    GuestCommands,
    Policy,
    Protected,
    TierActions,
)
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change, send_consent_code
from pveops.engine.gate import judge_plan
from pveops.engine.process import own_mark
from pveops.engine.request import Ask
from pveops.engine.store import RunRow
from pveops.errors import (
    ConflictError,
    ConsentInvalidError,
    ConsentRequiredError,
    PolicyRefusedError,
    StalePlanError,
)
from tests.commandline import call_of, run_line
from tests.scenario.test_configuration import ask, guest_of, plan_of
from tests.world import World, join_world, make_world

UNTIL = "2027-03-31"


def granted(**guests: tuple[str, ...]) -> Grant:
    return Grant(("guest.stop",), UNTIL, Protected(**({"tags": ()} | guests)), per_day=1)  # type: ignore[arg-type]


def world_with(folder: Path, policy: Policy) -> World:
    world = make_world(folder, policy=policy)
    world.session = world.session._replace(grants=policy.grants)
    return world


# -- marks that rules go by --------------------------------------------------------------


def test_an_agent_does_not_tag_a_guest_into_a_grant(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"grants: [{{operations: [guest.stop], guests: {{tags: [web]}}, until: '{UNTIL}'}}]\n"
    )
    policy.chmod(0o600)
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve guest tag nextcloud --add blue").code == 0
    outcome = run_line(world, tmp_path, "pve guest tag nextcloud --add WEB")
    assert outcome.code == 3
    assert "`grants` goes by the tag 'web', which it changes" in outcome.out
    assert run_line(world, tmp_path, "pve guest stop nextcloud").code == 3
    assert len(world.effects()) == 1


@pytest.mark.parametrize(
    ("policy", "operation", "guest", "params"),
    [
        (Policy(grants=(granted(tags=("web",)),)), "guest.tag", "web02", {"remove": "web"}),
        (Policy(grants=(granted(tags=("web",)),)), "guest.tag", "web02", {"set": "blue"}),
        (Policy(), "guest.tag", "web02", {"add": "prod"}),
        (Policy(), "guest.tag", "mail01", {"add": "Production"}),
        (
            Policy(guest_commands=(GuestCommands(("uptime",), tags=("lab",)),)),
            "guest.tag",
            "web02",
            {"add": "lab"},
        ),
    ],
    ids=["grant-lost", "grant-lost-by-set", "protected", "any-case", "commands"],
)
def test_a_tag_that_a_rule_names_is_added_and_removed_with_consent(
    policy: Policy, operation: str, guest: str, params: dict[str, str], tmp_path: Path
) -> None:
    world = world_with(tmp_path, policy)
    change = ask(world, operation, guest, **params)
    assert change.receipt is None
    assert plan_of(change).tier == 2
    assert world.effects() == []


def test_what_the_configuration_says_counts_and_not_the_older_list(tmp_path: Path) -> None:
    """A tag that was just taken away by somebody else is not free to be given back."""
    world = world_with(tmp_path, Policy(grants=(granted(tags=("web",)),)))
    guest_of(world, "web02").config["tags"] = "blue"
    assert ask(world, "guest.tag", "web02", add="web").receipt is None


@pytest.mark.parametrize(
    ("rule", "name"), [({"names": ("web*",)}, "web99"), ({"names": ("batch",)}, "other")]
)
def test_a_name_that_a_rule_names_is_given_and_left_one_tier_higher(
    rule: dict[str, tuple[str, ...]], name: str, tmp_path: Path
) -> None:
    loose = Actors(agent=TierActions(tier2="at_once"))
    world = world_with(tmp_path, Policy(actors=loose, grants=(granted(**rule),)))
    assert plan_of(ask(world, "guest.set", "batch", rename=name)).tier == 3
    assert world.effects() == []


@pytest.mark.parametrize("way", ["add", "remove", "move-out"])
def test_a_pool_that_a_rule_names_is_joined_and_left_one_tier_higher(
    way: str, tmp_path: Path
) -> None:
    loose = Actors(agent=TierActions(tier2="at_once"))
    policy = Policy(actors=loose, grants=(granted(pools=("sandbox",)),))
    world = world_with(tmp_path, policy)
    ask(world, "pool.create", "lab")
    ask(world, "pool.create", "sandbox/inner")
    number = guest_of(world, "web02").vmid
    start = "lab" if way == "add" else "sandbox"
    write = world.session.make_writer().write
    write("PUT", f"/pools/{start}", {"vms": str(number), "allow-move": 1})
    pool = {"add": "sandbox/inner", "remove": "sandbox", "move-out": "lab"}[way]
    verb = "pool.remove" if way == "remove" else "pool.add"
    before = len(world.effects())
    change = ask(world, verb, pool, members="web02", move=verb == "pool.add")
    assert plan_of(change).tier == 3
    assert "`grants` goes by the pool 'sandbox', which it changes" in plan_of(change).tier_reasons
    assert len(world.effects()) == before
    assert ask(world, "pool.add", "lab", members="mail01", move=True).receipt is not None


def test_a_clone_that_bears_a_tag_of_a_rule_takes_consent(tmp_path: Path) -> None:
    """PVE gives a clone the tags of its source."""
    policy = Policy(create_pools=("sandbox",), grants=(granted(tags=("web",)),))
    world = world_with(tmp_path, policy)
    change = ask(world, "guest.clone", "web02", name="twin", pool="sandbox")
    assert change.receipt is None
    assert "`grants` goes by the tag 'web'" in str(plan_of(change).tier_reasons)


def test_guests_are_made_at_once_where_both_rules_say_so(tmp_path: Path) -> None:
    """A pool in `create_pools` and in a grant is where an agent may make and stop guests."""
    policy = Policy(create_pools=("sandbox",), grants=(granted(pools=("sandbox",), names=("*",)),))
    world = world_with(tmp_path, policy)
    change = ask(world, "guest.clone", "debian-13-template", name="try", pool="sandbox")
    assert change.receipt is not None


# -- a grant, and what is denied -----------------------------------------------------------


@pytest.mark.parametrize(
    "actors",
    [
        Actors(agent=TierActions(tier2="deny")),
        Actors(unattended=TierActions(tier2="deny", tier3="deny")),
    ],
    ids=["agent", "unattended"],
)
def test_a_grant_is_not_stronger_than_a_denial(actors: Actors, tmp_path: Path) -> None:
    world = world_with(tmp_path, Policy(actors=actors, grants=(granted(names=("web*",)),)))
    if actors.agent.tier2 != "deny":
        actor = world.session.actor._replace(kind="unattended")
        world.session = world.session._replace(actor=actor)
    with pytest.raises(PolicyRefusedError):
        ask(world, "guest.stop", "web02")
    assert world.effects() == []


def test_a_command_that_is_listed_no_more_is_refused_to_an_older_plan(tmp_path: Path) -> None:
    """Also where the plan was held higher than the operation is by itself."""
    rule = GuestCommands(("uptime",), names=("web02",))
    world = make_world(tmp_path, policy=Policy(guest_commands=(rule,)))
    tainted = world.session.actor._replace(has_read_free_text=True)
    own = world.session
    world.session = own._replace(actor=tainted)
    change = ask(world, "guest.exec", "web02", command="uptime")
    world.session = own._replace(policy=Policy())
    with pytest.raises(PolicyRefusedError, match="lists no such command"):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))


# -- what is counted -----------------------------------------------------------------------


def race(world: World, folder: Path, asks: list[Ask]) -> list[Change]:
    """Each of these is judged before the one that came before it has begun."""
    done: list[Change] = []
    open_writer = world.session.make_writer

    def let_others_go_first(tier: int = 3) -> object:
        if asks:
            other = join_world(folder, world.seed, policy=world.session.policy)
            other.session = other.session._replace(
                grants=world.session.grants, make_writer=let_others_go_first
            )
            done.append(request_change(other.session, asks.pop()))
        return open_writer(tier)

    world.session = world.session._replace(make_writer=let_others_go_first)  # type: ignore[arg-type]
    done.append(request_change(world.session, asks.pop()))
    return done


def test_a_grant_for_one_a_day_is_used_once_by_callers_at_the_same_time(tmp_path: Path) -> None:
    world = world_with(tmp_path, Policy(grants=(granted(names=("*",)),)))
    asks = [Ask("guest.stop", (name,)) for name in ("web02", "mail01")]
    with pytest.raises(ConsentRequiredError):
        race(world, tmp_path, asks)
    assert len(world.effects()) == 1


def test_the_limit_of_an_hour_holds_for_callers_at_the_same_time(tmp_path: Path) -> None:
    world = world_with(tmp_path, Policy(max_changes_per_hour=1))
    asks = [Ask("guest.tag", (name,), params={"add": "blue"}) for name in ("web02", "mail01")]
    with pytest.raises(ConsentRequiredError, match="within the last hour"):
        race(world, tmp_path, asks)
    assert len(world.effects()) == 1


def test_plans_that_met_a_lock_are_counted_when_they_are_applied(tmp_path: Path) -> None:
    world = world_with(tmp_path, Policy(max_changes_per_hour=1))
    for name in ("web02", "mail01"):
        held = request_change(world.session, Ask("guest.stop", (name,)))
        world.session.store.claim(
            run_of(world, held.plan_id), (f"sim/qemu/{guest_of(world, name).vmid}",), False
        )
        with pytest.raises(ConflictError):
            ask(world, "guest.tag", name, add="blue")
    for row in world.session.store.list_runs():
        world.session.store.close_run(row, 0.0)
    plans = [row.id for row in world.session.store.list_plans() if row.state == "open"]
    assert len(plans) == 2
    apply_plan(world.session, plans[0], Consent("policy"))
    with pytest.raises(ConsentRequiredError, match="within the last hour"):
        apply_plan(world.session, plans[1], Consent("policy"))
    assert len(world.effects()) == 1


def run_of(world: World, plan: str) -> RunRow:
    mark = own_mark()
    now = int(world.session.clock.now())
    return RunRow(
        f"run_of_{plan}", plan, "running", "code", now, None, mark.pid, mark.started, "x", None
    )


# -- what changes between a plan and its consent ---------------------------------------------


def test_a_guest_that_joins_a_protected_pool_refuses_its_older_plan(tmp_path: Path) -> None:
    policy = Policy(protected=Protected(tags=(), pools=("sandbox",)))
    world = make_world(tmp_path, policy=policy)
    change = ask(world, "guest.stop", "web02")
    assert plan_of(change).tier == 2
    number = guest_of(world, "web02").vmid
    world.session.make_writer().write(
        "PUT", "/pools/sandbox", {"vms": str(number), "allow-move": 1}
    )
    before = len(world.effects())
    with pytest.raises(StalePlanError, match="that the policy goes by"):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    assert len(world.effects()) == before
    assert plan_of(ask(world, "guest.stop", "web02")).tier == 3


def test_a_right_code_is_not_used_up_by_a_guest_that_is_being_worked_on(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = ask(world, "guest.reboot", "web02")
    change = ask(world, "guest.stop", "web02")
    key = f"sim/qemu/{guest_of(world, 'web02').vmid}"
    row = run_of(world, first.plan_id)
    world.session.store.claim(row, (key,), False)
    for _ in range(5):
        with pytest.raises(ConflictError, match="another run works on"):
            apply_plan(world.session, change.plan_id, Consent("code", world.code))
    world.session.store.close_run(row, 0.0)
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    assert receipt.status == "done"


# -- how much a person is asked ---------------------------------------------------------------


def test_a_caller_has_only_so_many_plans_waiting_for_a_person(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(consent=ConsentRules(max_open=3)))
    plans = [ask(world, "guest.stop", "web02").plan_id for _ in range(3)]
    with pytest.raises(PolicyRefusedError, match="3 plans of agent:tester wait") as refused:
        ask(world, "guest.stop", "web02")
    assert "pve plan cancel pl_" in refused.value.hint
    assert len(world.messages) == 3
    assert ask(world, "guest.start", "windows-lab").receipt is not None
    other = world.session.actor._replace(os_user="another")
    own = world.session
    world.session = own._replace(actor=other)
    assert ask(world, "guest.stop", "web02").code == "sent"
    world.session = own
    assert world.session.store.cancel_plan(plans[0])
    assert ask(world, "guest.stop", "web02").code == "sent"
    world.cluster.timeline.advance(world.session.policy.plan_ttl_s)
    assert ask(world, "guest.stop", "web02").code == "sent"


def test_only_so_many_messages_go_out_within_an_hour(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(consent=ConsentRules(max_messages_per_hour=4)))
    changes = [ask(world, "guest.stop", "web02") for _ in range(3)]
    store = world.session.store
    row = store.get_plan(changes[0].plan_id)
    assert send_consent_code(world.session, row, plan_of(changes[0])) == "sent"
    refused = ask(world, "guest.stop", "web02")
    assert refused.code == "failed"
    assert "4 codes were sent within the last hour" in refused.code_problem
    assert len(world.messages) == 4
    assert store.find_consent(refused.plan_id) is None
    world.cluster.timeline.advance(3601)
    assert ask(world, "guest.stop", "web02").code == "sent"


# -- what comes next -----------------------------------------------------------------------------


def test_without_a_sender_the_next_step_is_a_terminal(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = run_line(world, tmp_path, "pve guest stop web02 --json").json["plan"]["id"]
    refused = run_line(world, tmp_path, f"pve-apply {plan}")
    assert refused.code == 3
    assert f"next: a person at a terminal: `pve-apply {plan}`" in refused.out


def test_where_only_a_signature_is_enough_no_weaker_way_is_told(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "consent: {allowed_signers: /etc/signers, min_level: {tier2: G4, tier3: G4}}\n"
    )
    policy.chmod(0o600)
    world = make_world(tmp_path)
    asked = run_line(world, tmp_path, "pve guest stop web02 --json")
    plan = asked.json["plan"]["id"]
    assert asked.json["next"] == [f"pve plan challenge {plan}"]
    for line in (f"pve-apply {plan}", f"pve-apply {plan} --code A", f"pve plan code {plan}"):
        refused = run_line(world, tmp_path, line)
        assert f"next: pve plan challenge {plan}" in refused.out, line
        assert "--code CODE" not in refused.out


def test_after_the_last_wrong_code_a_fresh_one_is_the_next_step(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.stop", "web02")
    for hint in ("ask the person", "ask the person", f"`pve plan code {change.plan_id}`"):
        with pytest.raises(ConsentInvalidError) as refused:
            apply_plan(world.session, change.plan_id, Consent("code", "AAAA-AAAA"))
        assert refused.value.hint.startswith(hint)


def test_no_code_is_sent_for_what_was_applied(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.stop", "web02")
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    refused = run_line(world, tmp_path, f"pve plan code {change.plan_id}")
    assert "was applied already" in refused.out
    assert f"next: pve run show {receipt.run}" in refused.out


def test_a_guest_that_is_held_higher_is_not_called_irreversible(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_of(ask(world, "guest.stop", "web01"))
    assert plan.tier == 3
    asked: list[str] = []
    call = call_of(world, tmp_path)
    call.ask = lambda question: asked.append(question) or ""  # type: ignore[method-assign]
    confirm_at_terminal(call)(plan, "pl_0", judge_plan(world.session, plan))
    assert asked == ["this is held one tier higher: type the name of the guest (web01)"]


def test_rules_are_explained_for_nodes_too(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    checked = run_line(world, tmp_path, "pve policy check node.reboot pve1")
    assert checked.code == 0, checked.out
    assert run_line(world, tmp_path, "pve policy check node.reboot nowhere").code == 5
    looked = run_line(world, tmp_path, "pve access check node.reboot pve1")
    assert looked.code in {0, 6}
    assert "no guest is called" not in looked.out


def test_a_grant_that_does_not_cover_says_so(tmp_path: Path) -> None:
    grants = (granted(names=("web*",)),)
    world = world_with(tmp_path, Policy(grants=grants))
    tainted = world.session.actor._replace(has_read_free_text=True, free_text="until 06:43 UTC")
    world.session = world.session._replace(actor=tainted)
    reasons = plan_of(ask(world, "guest.stop", "web02")).tier_reasons
    assert reasons[1:] == (
        "the caller has just read text that others wrote (until 06:43 UTC)",
        "a standing grant would cover it, were it not for that",
    )


def test_more_fingerprints_than_servers_are_refused(tmp_path: Path) -> None:
    line = "pve init pve1 --fingerprint AB:CD --fingerprint EF:01 --name other"
    refused = run_line(make_world(tmp_path), tmp_path, line)
    assert refused.code == 2
    assert "2 fingerprints for 1 server" in refused.out
