"""Who listens to the monitor, and what each of them was not told yet. Pure.

There are three listeners: the person to whom `--tell` sends, the job that passes on what is
printed, and whoever looks by hand. Each is owed every piece of news, and none takes it from
another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from pveops.monitor.alerts import Alert, News, Silence, order_of

Listener = Literal["person", "job", "hand"]
_MOST = 1000
_SENDING_S = 120
"""So long one message may be on its way. Whoever took it and died has not told it."""


class Owed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one listener is owed: of each alert the newest.

    sending: since when somebody sends it, in seconds since the epoch; 0: nobody does.
    """

    news: tuple[News, ...] = ()
    sending: int = 0

    def is_on_its_way(self, now: int) -> bool:
        """Whether somebody else is sending it."""
        return bool(self.sending) and abs(now - self.sending) < _SENDING_S


def owe_all(owed: Mapping[str, Owed], news: Iterable[News]) -> dict[str, Owed]:
    """Owe the news to everybody who listens."""
    fresh = {each.alert.id: each for each in news}

    def add(mine: Owed) -> Owed:
        old = (each for each in mine.news if each.alert.id not in fresh)
        return Owed((*old, *fresh.values())[-_MOST:], mine.sending)

    return {listener: add(mine) for listener, mine in owed.items()}


def take(
    owed: Mapping[str, Owed],
    listener: Listener,
    alerts: Sequence[Alert],
    now: int,
    silences: Sequence[Silence] = (),
) -> tuple[dict[str, Owed], tuple[News, ...]]:
    """Give what the listener is owed, the worst first, to whoever is going to tell it.

    Nothing, while somebody else is telling it. Who listens for the first time is owed all that is
    open: nobody has told it to them. What was silenced since, or
    seems over, stays owed.
    """
    mine = owed.get(listener)
    if mine is None:
        mine = Owed(tuple(News("raised", each.raised, each) for each in alerts if each.is_active))
    if mine.is_on_its_way(now):
        return dict(owed), ()
    present = {alert.id: alert for alert in alerts}
    quiet = [each for each in silences if each.until > now]

    def is_held(each: News) -> bool:
        alert = present.get(each.alert.id, each.alert)
        is_quiet = any(silence.covers(alert) for silence in quiet)
        return each.kind != "cleared" and (is_quiet or bool(alert.gone))

    news = tuple(sorted((each for each in mine.news if not is_held(each)), key=order_of))
    return {**owed, listener: Owed(mine.news, now if news else 0)}, news


def settle(owed: Mapping[str, Owed], listener: Listener, told: Iterable[News]) -> dict[str, Owed]:
    """What was told is owed no more, and nobody is telling it."""
    done = {each.alert.id: each for each in told}
    news = owed.get(listener, Owed()).news
    rest = tuple(each for each in news if done.get(each.alert.id) != each)
    return {**owed, listener: Owed(rest)}
