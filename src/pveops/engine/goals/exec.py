"""Goals about commands inside guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.rows import flag_of, int_of, object_of, text_of
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought, unknown
from pveops.sanitize import frame_untrusted

if TYPE_CHECKING:
    from pveops.api.client import Client

_MAX_OUTPUT = 2_000


def _look_at_command(client: Client, sought: Sought) -> Sight:
    """Reached when the process that the call has started has ended, however it did.

    Its number is in the answer to the call alone: without that, nobody can say anything.
    """
    pid = sought.answer.get("pid")
    if pid is None:
        return unknown("the number of the process was in the answer that was lost")
    path = ref_of(sought.target).path("agent", "exec-status")
    row = object_of(client.get(path, {"pid": pid}))
    if not flag_of(row, "exited"):
        return Sight(False, f"still running the command (process {pid} inside)", {"pid": pid})
    code, signal = int_of(row, "exitcode"), text_of(row, "signal")
    word = f"ended by signal {signal}" if signal else f"exit status {code}"
    parts = [
        frame_untrusted(text_of(row, key), source, _MAX_OUTPUT)
        for key, source in (("out-data", "standard output"), ("err-data", "standard error"))
        if text_of(row, key)
    ]
    return Sight(True, f"command ended, {word}", {"exitcode": code}, said="\n".join(parts))


GOALS: dict[str, Look] = {"exec.ended": _look_at_command}
