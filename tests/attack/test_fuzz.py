"""Ten thousand plans, receipts and policies that nobody issued: none of them is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pveops.config.documents import parse_document
from pveops.config.policy import Policy
from pveops.context import Actor
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.consent_receipt import check_receipt, make_receipt
from pveops.engine.gate import judge_targets
from pveops.engine.request import Ask
from pveops.engine.store import PlanRow
from pveops.errors import ConfigError, ConsentInvalidError, PveopsError
from pveops.operations.catalog import list_changes
from pveops.operations.operation import Tier
from pveops.operations.plan import Target, plan_hash, plan_id
from tests.world import World, make_world

KEY = b"k" * 64
NOW = 1_000_000.0
ROW = PlanRow("pl_1", b"{}", "a" * 64, "guest.stop", 0, 2_000_000, "open", None)
GOOD = make_receipt(KEY, ROW.hash, "anna", int(NOW) + 300)
RELAXED = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EDITS = st.lists(
    st.tuples(st.integers(0, 4000), st.sampled_from("=+-"), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def edit(content: bytes, edits: list[tuple[int, str, int]]) -> bytes:
    """Some bytes replaced, put in, or left out."""
    result = bytearray(content)
    for place, kind, value in edits:
        at = place % (len(result) or 1)
        if kind == "+":
            result.insert(at, value)
        elif kind == "-" and len(result) > 1:
            del result[at]
        elif result:
            result[at] = value
    return bytes(result)


# -- receipts ------------------------------------------------------------------------


@settings(RELAXED, max_examples=3000)
@given(EDITS)
def test_an_edited_receipt_is_never_accepted(edits: list[tuple[int, str, int]]) -> None:
    text = edit(GOOD.encode(), edits).decode("latin-1")
    if text.strip() == GOOD:
        return
    with pytest.raises(ConsentInvalidError):
        check_receipt(KEY, ROW, text, now=NOW)


@settings(RELAXED, max_examples=1500)
@given(
    st.binary(max_size=64),
    st.text(alphabet="0123456789abcdef", min_size=64, max_size=64),
    st.integers(-(10**6), 10**13),
    st.text(max_size=40),
)
def test_a_receipt_of_another_key_plan_or_time_is_never_accepted(
    key: bytes, plan: str, expires: int, who: str
) -> None:
    if plan == ROW.hash:
        return
    for made in (
        make_receipt(KEY, plan, who, expires),
        make_receipt(key, ROW.hash, who, expires),
    ):
        if key == KEY and NOW < expires <= NOW + 600 and ROW.hash in made:
            continue
        with pytest.raises(ConsentInvalidError):
            check_receipt(KEY, ROW, made, now=NOW)


# -- policies ------------------------------------------------------------------------

ACTIONS = st.sampled_from(["at_once", "consent", "deny", "always", "yes", 1, None])
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 200), ACTIONS, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "actors",
                    "person",
                    "agent",
                    "unattended",
                    "tier1",
                    "tier2",
                    "tier3",
                    "operations",
                    "guest.purge",
                    "grants",
                    "consent",
                    "min_level",
                    "protected",
                    "max_targets",
                    "until",
                    "guests",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


FINAL = tuple(each for each in list_changes() if each.tier == Tier.IRREVERSIBLE)[:3]


def check_no_final_at_once(policy: Policy) -> None:
    """Whatever stands in it: what cannot be undone is done at once for nobody."""
    target = Target("qemu", "102", "web02", "pve1", tags=("web",))
    for operation in FINAL:
        for kind in ("person", "agent", "unattended"):
            actor = Actor(kind, "tester", {})  # type: ignore[arg-type]
            verdict = judge_targets(
                policy,
                actor,
                operation,
                [target],
                {},
                now=NOW,
                grant=policy.grants[0] if policy.grants else None,
            )
            assert verdict.action != "at_once"


@settings(RELAXED, max_examples=2000)
@given(st.dictionaries(st.sampled_from(["actors", "grants", "consent", "operations"]), DOCUMENTS))
def test_no_policy_lets_through_what_cannot_be_undone(document: dict[str, Any]) -> None:
    try:
        policy = parse_document(json.dumps(document).encode(), Policy, "the policy")
    except ConfigError:
        return
    check_no_final_at_once(policy)


SAMPLE = b"""actors:
  agent: {tier1: at_once, tier2: consent, tier3: consent}
grants:
  - operations: [guest.reboot]
    until: "2099-01-01"
    guests: {tags: [web]}
consent: {tries: 3, min_level: {tier2: G1, tier3: G2}}
"""


@settings(RELAXED, max_examples=1500)
@given(EDITS)
def test_an_edited_policy_is_refused_or_as_strict(edits: list[tuple[int, str, int]]) -> None:
    try:
        policy = parse_document(edit(SAMPLE, edits), Policy, "the policy")
    except ConfigError:
        return
    check_no_final_at_once(policy)


# -- plans ---------------------------------------------------------------------------


class Issued:
    """A world in which a person has got the code for one plan; hypothesis shows all of a value."""

    def __init__(self, folder: Path) -> None:
        self.world: World = make_world(folder)
        change = request_change(self.world.session, Ask("guest.stop", ("web01",)))
        self.row = self.world.session.store.get_plan(change.plan_id)
        self.code = self.world.code

    def __repr__(self) -> str:
        return "Issued()"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("plans"))


@settings(RELAXED, max_examples=2000)
@given(edits=EDITS, is_renamed=st.booleans())
def test_an_edited_plan_is_never_carried_out(
    issued: Issued, edits: list[tuple[int, str, int]], is_renamed: bool
) -> None:
    """is_renamed: with the hash and the id that belong to the edited content."""
    world, row, code = issued.world, issued.row, issued.code
    content = edit(row.json, edits)
    if content == row.json:
        return
    store = world.session.store
    if is_renamed:
        made = row._replace(json=content, hash=plan_hash(content), id=plan_id(content))
        try:
            store.add_plan(made)
        except PveopsError:
            return
    else:
        made = row
        with store._transaction() as db:
            db.execute("UPDATE plans SET json = ? WHERE id = ?", (content, row.id))
    try:
        for consent in (Consent("code", code), Consent("policy"), Consent("terminal", "web01")):
            with pytest.raises(PveopsError):
                apply_plan(world.session, made.id, consent)
        assert world.writes() == []
    finally:
        with store._transaction() as db:
            db.execute("UPDATE plans SET json = ? WHERE id = ?", (row.json, row.id))
            db.execute("UPDATE consents SET tries_left = 3 WHERE plan = ?", (row.id,))


def test_what_was_issued_is_carried_out(issued: Issued) -> None:
    """The other tests are not green because nothing works."""
    consent = Consent("code", issued.code)
    assert apply_plan(issued.world.session, issued.row.id, consent).status == "done"


def test_the_receipt_that_was_issued_is_accepted(tmp_path: Path) -> None:
    del tmp_path
    assert check_receipt(KEY, ROW, GOOD, now=NOW) == "anna"
