"""Any sequence of plans, codes, faults, kills and resumes: never more effects than plans applied.

Hypothesis chooses the sequence; the simulated cluster's journal is the truth.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import PveopsError
from pveops.sim.membership import power_off_node, power_on_node
from tests.fault.test_matrix import CALL, EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, join_world, make_world

GUESTS = ("web02", "proxy", "photos", "dns02", "vault")
VERBS = ("start", "stop", "shutdown", "reboot", "suspend", "resume")
FAULTS = {**EXECUTED, **NEVER_EXECUTED}
UNSETTLED = frozenset({"unknown", "pending"})


class Operating(RuleBasedStateMachine):
    """An impatient agent at an unreliable cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world: World = make_world(self.folder)
        self.plans: dict[str, str] = {}
        """Open plans with their codes."""
        self.refusals: list[int] = []
        """The exit codes of what was refused."""

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(verb=st.sampled_from(VERBS), guest=st.sampled_from(GUESTS))
    def ask(self, verb: str, guest: str) -> None:
        try:
            change = request_change(self.world.session, Ask(f"guest.{verb}", (guest,)))
        except PveopsError:
            return
        if change.plan_id and change.receipt is None:
            self.plans[change.plan_id] = self.world.code

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), is_right=st.booleans())
    def apply(self, data: st.DataObject, is_right: bool) -> None:
        plan = data.draw(st.sampled_from(list(self.plans)))
        code = self.plans[plan] if is_right else "AAAA-2222"
        try:
            apply_plan(self.world.session, plan, Consent("code", code))
        except PveopsError as error:
            self.refusals.append(error.exit_code)

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), line=st.integers(1, 4), before=st.booleans())
    def apply_and_die(self, data: st.DataObject, line: int, before: bool) -> None:
        plan = data.draw(st.sampled_from(list(self.plans)))
        kill_at(self.world, line, before=before)
        with contextlib.suppress(KilledError, PveopsError):
            apply_plan(self.world.session, plan, Consent("code", self.plans[plan]))
        messages = self.world.messages
        self.world = join_world(self.folder, self.world.seed)
        self.world.messages.extend(messages)

    @rule()
    def resume_everything(self) -> None:
        for run in self.world.session.store.list_runs():
            try:
                resume_run(self.world.session, run.id)
            except PveopsError as error:
                self.refusals.append(error.exit_code)

    @rule(fault=st.sampled_from(sorted(FAULTS)))
    def break_the_next_call(self, fault: str) -> None:
        conditions = {**FAULTS[fault], "times": 1}
        self.world.cluster.faults.add(method="POST", path=CALL, **conditions)

    @rule(name=st.sampled_from(["pve2", "pve3"]), up=st.booleans())
    def switch_a_node(self, name: str, up: bool) -> None:
        node = self.world.cluster.nodes[name]
        (power_on_node if up else power_off_node)(self.world.cluster, node)

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.world.cluster.timeline.advance(seconds)

    @invariant()
    def no_plan_had_two_effects(self) -> None:
        runs = self.world.session.store.list_runs()
        assert len({run.plan for run in runs}) == len(runs)
        assert len(self.world.effects()) <= len(runs)

    @invariant()
    def refusals_are_conflicts_or_consent(self) -> None:
        assert set(self.refusals) <= {3, 4, 9, 12}

    @invariant()
    def the_record_is_whole(self) -> None:
        assert self.world.session.audit.verify().is_whole

    @invariant()
    def every_lock_belongs_to_a_run_that_is_not_settled(self) -> None:
        from pveops.engine.apply import read_receipt

        for run in self.world.session.store.list_runs():
            receipt = read_receipt(run)
            is_settled = receipt is not None and not UNSETTLED & {i.status for i in receipt.items}
            if run.state == "ended" and is_settled:
                held = self.world.session.store._all("SELECT 1 FROM locks WHERE run = ?", run.id)
                assert held == []


Operating.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOperating = Operating.TestCase
