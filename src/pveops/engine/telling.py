"""Telling the person how a run ended that took longer than its caller waited.

A caller that was there at the end has the answer, and nobody else is told. A run that outlived
its caller is *promised*: whoever brings it to its end, its own worker or a later `pve run resume`,
sends one message. The mark is changed before the message goes out, so that a process killed in
between never tells twice; the price is that such a message may be lost, and the mark says so.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pveops.engine.senders import Sender
from pveops.engine.store import Store
from pveops.redact import redact
from pveops.sanitize import neutralize_markup

State = Literal["promised", "sending", "sent", "failed", "seen"]
_MAX_PROBLEM = 300
_MAX_LINE = 600


class Telling(NamedTuple):
    """What became of the message about a run.

    state: `promised` (it comes at the end), `sending` (on its way; after a crash it stays so, and
        nobody knows whether it arrived), `sent`, `failed`, or `seen` (a person was there).
    at: when that was.
    """

    state: State
    at: int
    problem: str = ""
    """Why it failed."""


def find_telling(store: Store, run: str) -> Telling | None:
    """What is known of the message about a run; None: none was called for."""
    kept = store.recall(_key(run))
    return Telling(**kept) if kept else None


def promise(store: Store, run: str, now: float) -> None:
    """Owe the person a message about the run's end.

    A run that was told of and is picked up again ends anew, and may be owed anew.
    """

    def change(kept: Any) -> Any:
        if kept and kept["state"] == "promised":
            return kept
        return _pack(Telling("promised", int(now)))

    store.revise(_key(run), change, now)


def keep_promise(store: Store, run: str, sender: Sender, message: str, now: float) -> bool:
    """Send the message about a run's end if one is owed, and only this once; whether it was owed.

    Raises nothing but StoreError: how a message fares changes nothing about the run.
    """
    if not _take(store, run, "sending", now):
        return False
    try:
        sender(message)
        told = Telling("sent", int(now))
    except Exception as error:  # noqa: BLE001 - of libraries as of our own; the run is over
        told = Telling("failed", int(now), redact(str(error))[:_MAX_PROBLEM])
    store.remember(_key(run), _pack(told), now)
    return True


def waive(store: Store, run: str, now: float) -> None:
    """Nobody has to be told any more: a person was there at the end."""
    _take(store, run, "seen", now)


def compose(verdict: str, run: str, next_: str = "") -> str:
    """The message: the answer's first line, the run, and what to do next where it is not done.

    Names of the cluster can neither link nor mention in a chat.
    """
    lines = (verdict, f"run {run}", f"next: {next_}" if next_ else "")
    return neutralize_markup("\n".join(redact(line)[:_MAX_LINE] for line in lines if line))


def _take(store: Store, run: str, state: State, now: float) -> bool:
    """Whether a message was owed; from now on it is not."""
    before = find_telling(store, run)
    if before is None or before.state != "promised":
        return False
    won = False

    def change(kept: Any) -> Any:
        nonlocal won
        won = bool(kept) and kept["state"] == "promised"
        return _pack(Telling(state, int(now))) if won else kept

    store.revise(_key(run), change, now)
    return won


def _pack(telling: Telling) -> dict[str, Any]:
    return telling._asdict()


def _key(run: str) -> str:
    return f"telling:{run}"
