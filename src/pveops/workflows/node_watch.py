"""Looking at the cluster while guests of a node move: is it still as it was when they began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pveops.api.tasks import list_tasks
from pveops.domain.ceph import read_ceph
from pveops.domain.ha import read_ha
from pveops.domain.inventory import ClusterView, read_cluster_view
from pveops.domain.selection import resolve_guest
from pveops.engine.course import Ending
from pveops.engine.past_moves import EVACUATE, destination_of
from pveops.errors import NotFoundError, PveopsError
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.engine.outcome import ItemOutcome
    from pveops.operations.plan import Plan

_MOVES = frozenset({"qmigrate", "vzmigrate", "hamigrate"})


class NodeWatch:
    """For one run of an evacuation or a return.

    The first look is what the later ones are compared with: what was down before does not stop
    the moves, unless they need it.
    """

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self._plan = plan
        sources = {item.target.node for item in plan.items}
        self._needed = (sources | {destination_of(item) for item in plan.items}) - {""}
        self._online: frozenset[str] | None = None
        self._active: frozenset[tuple[str, str]] = frozenset()

    def find_trouble(self) -> str:
        """No quorum, a node or a storage gone; or nobody can look. Two requests."""
        try:
            view = read_cluster_view(self._client)
        except PveopsError as error:
            return f"the cluster cannot be looked at: {error.message}"
        return self._judge(view) or self._find_more(view)

    def _find_more(self, _view: ClusterView) -> str:
        return ""

    def _judge(self, view: ClusterView) -> str:
        if view.membership is not None and not view.membership.is_quorate:
            return "the cluster has no quorum"
        online = frozenset(node.name for node in view.inventory.nodes if node.is_online)
        active = frozenset(
            (each.node, each.storage)
            for each in view.inventory.storages
            if each.status == "available" and each.node in self._needed
        )
        before = self._online if self._online is not None else online
        gone = sorted((before | self._needed) - online)
        if gone:
            return f"{', '.join(gone)} is not online"
        lost = sorted(self._active - active)
        if lost:
            return "; ".join(f"storage {name} is not active on {node}" for node, name in lost)
        if self._online is None:
            self._online, self._active = online, active
        return ""

    def judge_end(self, outcomes: Sequence[ItemOutcome]) -> Ending:
        """An evacuation is done when nothing runs on the node and no move is active."""
        if self._plan.operation != EVACUATE:
            back = sum(outcome.status in {"done", "already"} for outcome in outcomes)
            return Ending(True, f"{back} of {len(outcomes)} are back")
        source = self._plan.items[0].target.node
        try:
            return self._judge_empty(source)
        except PveopsError as error:
            return Ending(False, f"nobody knows what is on {source}: {error.message}")

    def _judge_empty(self, source: str) -> Ending:
        inventory = read_cluster_view(self._client).inventory
        left = set()
        for word in filter(None, str(self._plan.params.get("leave") or "").split(",")):
            try:
                left.add(resolve_guest(inventory, word).vmid)
            except NotFoundError:
                continue
        there = [guest for guest in inventory.guests if guest.node == source]
        running = [guest for guest in there if guest.status != "stopped"]
        unasked = [guest.ref.label for guest in running if guest.vmid not in left]
        moves = [
            task
            for task in list_tasks(self._client, source, source="active")
            if task.is_running and task.upid.type in _MOVES
        ]
        if unasked:
            return Ending(False, f"still running on {source}: {', '.join(unasked)}")
        if moves:
            return Ending(False, f"a move is still active: {moves[0].upid}")
        if running:
            names = ", ".join(guest.ref.label for guest in running)
            return Ending(True, f"as asked, these stay on {source} and run: {names}")
        stopped = f"; {len(there)} stopped guests are still there" if there else ""
        return Ending(
            True,
            f"nothing runs on {source} and no move is active: it can be switched off{stopped}; "
            f"back later: `pve node return {shell_word(source)}`",
        )


class RollingWatch(NodeWatch):
    """For one run of a rolling reboot: Ceph and HA are looked at, too."""

    def _find_more(self, view: ClusterView) -> str:
        ceph = read_ceph(self._client, view.inventory)
        if ceph is not None and ceph.status and not ceph.is_healthy:
            return f"Ceph is not healthy: {ceph.told}"
        try:
            resources = read_ha(self._client).resources
        except PveopsError:
            return ""
        bad = [each.sid for each in resources if each.state == "error"]
        return f"HA is in trouble: {', '.join(bad)}" if bad else ""

    def judge_end(self, outcomes: Sequence[ItemOutcome]) -> Ending:
        """How many nodes were rebooted; each is back, or the run would have ended there."""
        nodes = [outcome for outcome in outcomes if outcome.target.kind == "node"]
        done = sum(outcome.status == "done" for outcome in nodes)
        told = f"{done} of {len(nodes)} nodes were rebooted"
        away = [
            outcome.target.name
            for outcome in outcomes
            if outcome.target.kind != "node" and outcome.status not in {"done", "already"}
        ]
        if away:
            told += f"; not as planned: {', '.join(dict.fromkeys(away))}"
        return Ending(done == len(nodes) and not away, told)
