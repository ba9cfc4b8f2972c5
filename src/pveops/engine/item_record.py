"""What one target's way through a run leaves behind, in the journal and in the audit log."""

from __future__ import annotations

from typing import Any

import msgspec

from pveops.engine.outcome import ItemOutcome
from pveops.engine.reconcile import Sent
from pveops.engine.tools import Tools
from pveops.errors import AuditError
from pveops.operations.plan import Call, Item, Plan, Scalar, plain


class ItemRecord:
    """Writes for one item of one run."""

    def __init__(self, tools: Tools, run_id: str, plan: Plan, index: int) -> None:
        self._tools = tools
        self._run_id = run_id
        self._plan = plan
        self._index = index

    def write(self, kind: str, **data: Any) -> None:
        """One entry of the journal, on disk when this returns."""
        self._tools.store.write_entry(
            self._run_id, self._index, kind, self._tools.clock.now(), data
        )

    def intend(self, item: Item, number: int, call: Call, sent: Sent, identity: str = "") -> None:
        """That a call is about to be sent, in both books. Raises AuditError: then it must not.

        identity: what the guest was like, where an earlier call of the run has made it.
        """
        self._tools.audit.append(
            "intent",
            {
                **self._facts(item),
                "call": f"{call.method} {call.path}",
                "params": call.params,
                "before": item.before,
                "guards": item.guards,
            },
        )
        # The id that a new guest is to have, and what is seen of it, for whoever picks the run up.
        new = {"vmid": item.target.id} if item.target.is_new else {}
        new |= {"identity": identity} if identity else {}
        told = {"sent": sent._asdict(), "auth_id": self._tools.auth_id, **new}
        self.write("intent", step=number, call=call.path, **told)

    def end(self, item: Item, outcome: ItemOutcome) -> ItemOutcome:
        """The outcome, in both books; given back with where it stands in the audit log."""
        self.write("outcome", **plain(outcome))
        try:
            head = self._tools.audit.append(
                "outcome",
                {
                    **self._facts(item),
                    "outcome": outcome.status,
                    "message": outcome.message,
                    "error": outcome.error,
                    "upid": outcome.upid,
                    "exitstatus": outcome.exitstatus,
                    "before": outcome.before,
                    "after": outcome.after,
                    "duration_s": outcome.duration_s,
                },
            )
        except AuditError as error:
            # With a number, the record is on disk, and its head alone did not get elsewhere.
            seq, hash_ = error.details.get("seq", 0), error.details.get("hash", "")
            where = "" if seq else "the outcome is not in the audit log: "
            return msgspec.structs.replace(
                outcome,
                message=f"{outcome.message}; but {where}{error.message}",
                exit_code=outcome.exit_code or error.exit_code,
                error=outcome.error or error.code,
                hint=outcome.hint or error.hint,
                audit_seq=seq,
                audit_head=hash_,
            )
        problem = self._tools.audit.anchor_problem
        message = f"{outcome.message}; {problem}" if problem else outcome.message
        return msgspec.structs.replace(
            outcome, message=message, audit_seq=head.seq, audit_head=head.hash
        )

    def _facts(self, item: Item) -> dict[str, Any]:
        target = item.target
        return {
            "run": self._run_id,
            "plan": self._tools.store.get_run(self._run_id).plan,
            "operation": self._plan.operation,
            "tier": self._plan.tier,
            "profile": self._plan.profile,
            "auth_id": self._tools.auth_id,
            "actor": self._plan.actor,
            "reason": self._plan.reason,
            "target": {
                "kind": target.kind,
                "id": target.id,
                "name": target.name,
                "node": target.node,
            },
        }


def scalars_of(data: object) -> dict[str, Scalar]:
    """The plain members of an answer that is an object; of any other, nothing."""
    if not isinstance(data, dict):
        return {}
    return {
        str(key): value
        for key, value in data.items()
        if value is None or isinstance(value, str | int | float)
    }
