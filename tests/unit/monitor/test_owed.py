"""What each listener of the monitor is told, and what is held back until it is true again."""

from __future__ import annotations

import msgspec

from pveops.monitor.alerts import Alert, News, Silence
from pveops.monitor.owed import Owed, settle, take

ALERT = Alert("al_1", "guest", "vm/101", "guest.paused", "warn", "is paused", 100, 100, raised=100)
RAISED = News("raised", 100, ALERT)
OWED = {"job": Owed((RAISED,)), "person": Owed((RAISED,))}


def test_each_listener_is_told_by_itself() -> None:
    owed, told = take(OWED, "job", (ALERT,), 200)
    assert told == (RAISED,)
    owed = settle(owed, "job", told)
    assert take(owed, "job", (ALERT,), 201)[1] == ()
    assert take(owed, "person", (ALERT,), 201)[1] == (RAISED,)


def test_what_was_silenced_before_it_was_told_is_told_when_the_silence_is_over() -> None:
    silences = (Silence("vm/*", 300),)
    owed, told = take(OWED, "job", (ALERT,), 200, silences)
    assert told == ()
    assert take(owed, "job", (ALERT,), 301, silences)[1] == (RAISED,)


def test_what_seems_over_is_not_told_as_new() -> None:
    gone = msgspec.structs.replace(ALERT, gone=190)
    owed, told = take(OWED, "job", (gone,), 200)
    assert told == ()
    assert take(owed, "job", (ALERT,), 210)[1] == (RAISED,)
