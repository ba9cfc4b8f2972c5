"""Asking for a change: the one way from a command to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from pveops.cli.answer import Answer, Written
from pveops.cli.detach import carry

if TYPE_CHECKING:
    from pveops.cli.call import Call
    from pveops.cli.detach import OnClaimed
    from pveops.domain.selection import Selector
    from pveops.operations.plan import Scalar


def ask_for(
    call: Call,
    operation: str,
    names: tuple[str, ...] = (),
    selector: Selector | None = None,
    params: Mapping[str, Scalar] = MappingProxyType({}),
) -> Answer | Written:
    """Ask for an operation; a person at a terminal may be asked in place."""

    def work(claimed: OnClaimed) -> Answer:
        from pveops.cli.changes import answer_of_change
        from pveops.cli.confirm import confirm_at_terminal
        from pveops.domain.selection import Selector
        from pveops.engine.change import request_change
        from pveops.engine.request import Ask

        ask = Ask(operation, names, selector or Selector(), params, call.options.reason)
        confirm = confirm_at_terminal(call) if call.is_person else None
        change = request_change(
            call.wiring.session(),
            ask,
            confirm=confirm,
            on_claimed=claimed,
            sends_code=not call.options.no_code,
        )
        return answer_of_change(call, change)

    return carry(call, work)
