"""What the monitor remembers of a profile's cluster, between one look and the next."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from pveops.errors import NotFoundError, PolicyRefusedError, UsageError
from pveops.monitor.alerts import (
    Alert,
    News,
    Rules,
    Seen,
    Silence,
    advance,
    alert_id,
    family_of,
)
from pveops.monitor.breadth import fits_everything, is_narrow
from pveops.monitor.guest_notes import GuestNote
from pveops.monitor.owed import Listener, Owed, owe_all, settle, take
from pveops.monitor.parts import Part, merge_parts
from pveops.monitor.survey import NOTHING, Memory
from pveops.operations.findings import Finding
from pveops.units import DAY_S, format_duration

if TYPE_CHECKING:
    from pveops.engine.store import Store

_MAX_HISTORY = 1000
_SLACK_S = 60
"""A time that is further ahead than this was noted by a clock that went wrong."""
_WENT_BACK = "clock.went-back"
_LONGEST_SILENCE_S = 30 * DAY_S
_DEFAULT_RULES = Rules()


class Page(msgspec.Struct, frozen=True):
    """Everything that is remembered. looked: when the newest look began; 0: never."""

    looked: int = 0
    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    history: tuple[News, ...] = ()
    """The oldest first; the last thousand."""
    count: int = 0
    """How many pieces of news there ever were."""
    owed: dict[str, Owed] = {}
    """By listener: what was not told to them yet."""
    blind: tuple[str, ...] = ()
    parts: dict[str, Part] = {}
    """What the slow looks saw last."""

    def numbered_history(self) -> tuple[tuple[int, News], ...]:
        """With the number of each, which only grows; the newest look first, its worst first."""
        last = max(self.count, len(self.history))
        numbers = range(last - len(self.history) + 1, last + 1)
        looks = groupby(zip(numbers, self.history, strict=True), key=lambda each: each[1].at)
        newest_first = reversed([tuple(look) for _, look in looks])
        return tuple(each for look in newest_first for each in look)

    def is_ahead(self, now: int) -> bool:
        """Whether it was written by a clock that was wrong, and says what is still to come."""
        return self.looked > now + _SLACK_S


class Book:
    """The pages of one store."""

    def __init__(self, store: Store, profile: str) -> None:
        self._store = store
        self._key = f"monitor/{profile}"
        self._guests_key = f"monitor-guests/{profile}"

    def read(self) -> Page:
        """What is remembered; of a cluster that was never looked at, nothing."""
        return _page_of(self._store.recall(self._key))

    def read_memory(self, now: int) -> Memory:
        """What the next look goes on from. The notes on guests, which are many, lie apart."""
        notes = self._store.recall(self._guests_key)
        page = self.read()
        memory = Memory(
            page.parts, msgspec.convert(notes or {}, dict[int, GuestNote], strict=False)
        )
        return _pull_back_memory(memory, now) if page.is_ahead(now) else memory

    def enter(
        self,
        seen: Seen,
        blind: tuple[str, ...],
        rules: Rules = _DEFAULT_RULES,
        *,
        memory: Memory = NOTHING,
        now: int = 0,
    ) -> tuple[News, ...]:
        """Take a look into account, and give what is new. Of two at once the later begun counts.

        Everybody who listens is owed the news until `take` and `settle`. memory: what the look
        hands to the next. now: when the look was over; 0: at once.
        """
        told: list[News] = []
        kept: list[Memory] = []

        def change(page: Page) -> Page:
            look, known = seen, page.alerts
            if page.is_ahead(max(now, seen.at)):
                warning, page = _warn_of_clock(page, seen.at), _pull_back(page, seen.at)
                look = seen._replace(findings=(*seen.findings, warning))
                known = (*page.alerts, _make_known(warning, seen.at, rules))
            if seen.at < page.looked:
                return page
            kept.append(memory)
            alerts, news = advance(known, look, rules, page.silences)
            told.extend(news)
            return Page(
                looked=seen.at,
                alerts=alerts,
                silences=tuple(each for each in page.silences if each.until > seen.at),
                history=(*page.history, *news)[-_MAX_HISTORY:],
                count=max(page.count, len(page.history)) + len(news),
                owed=owe_all(page.owed, news),
                blind=blind,
                parts=merge_parts(memory.parts, page.parts),
            )

        self._change(change, seen.at)
        for each in kept:
            self._store.remember(self._guests_key, each.notes, seen.at)
        return tuple(told)

    def take(self, listener: Listener, now: int) -> tuple[News, ...]:
        """What the listener was not told yet, to be told now; nobody else is given it meanwhile.

        Call `settle` when it was told or could not be; who dies before that has told nothing.
        """
        taken: list[News] = []

        def change(page: Page) -> Page:
            owed, news = take(page.owed, listener, page.alerts, now, page.silences)
            taken.extend(news)
            return msgspec.structs.replace(page, owed=owed)

        self._change(change, now)
        return tuple(taken)

    def settle(self, listener: Listener, told: tuple[News, ...], now: int) -> None:
        """What was told is not owed any more; what was taken, and is not among it, still is."""

        def change(page: Page) -> Page:
            return msgspec.structs.replace(page, owed=settle(page.owed, listener, told))

        self._change(change, now)

    def acknowledge(
        self, name: str, why: str, now: int, *, is_person: bool = False
    ) -> tuple[Alert, ...]:
        """Say that an alert, or all of a subject, is known; only a worse one is told again.

        Who is no person acknowledges no problem: nobody else would look at it any more. Raises
        NotFoundError, PolicyRefusedError.
        """
        found: list[Alert] = []

        def change(page: Page) -> Page:
            alerts = _find(page, name)
            if not is_person and any(alert.severity == "block" for alert in alerts):
                raise PolicyRefusedError(
                    f"{name} is a problem; that it is known is for a person at a terminal to say",
                    hint=f"ask your human: pve monitor ack {name}",
                )
            known = {alert.id for alert in alerts}
            alerts = tuple(
                msgspec.structs.replace(each, acked=now, why=why) if each.id in known else each
                for each in page.alerts
            )
            found.extend(each for each in alerts if each.id in known)
            return msgspec.structs.replace(page, alerts=alerts)

        self._change(change, now)
        return tuple(found)

    def silence(
        self, pattern: str, until: int, why: str, now: int, *, is_person: bool = False
    ) -> None:
        """Keep what fits quiet until then; a time that is over ends it.

        Who is no person keeps problems from nobody, and silences one kind of trouble at once.
        Raises UsageError, PolicyRefusedError.
        """
        if until > now and fits_everything(pattern):
            raise UsageError(
                "that would silence everything, or nearly so",
                hint="name a code, a subject or an alert: storage.*, vm/101, al_...",
            )
        if until > now and not is_person and not is_narrow(pattern):
            raise PolicyRefusedError(
                f"{pattern} may fit several kinds of trouble; that is for a person at a terminal",
                hint="begin with the kind: storage.*, vm/*",
            )

        def change(page: Page) -> Page:
            others = tuple(each for each in page.silences if each.pattern != pattern)
            mine = (Silence(pattern, until, why, is_person),) if until > now else ()
            return msgspec.structs.replace(page, silences=(*others, *mine))

        self._change(change, now)

    def _change(self, change: Any, now: int) -> None:
        self._store.revise(self._key, lambda value: change(_page_of(value)), now)


def _page_of(value: Any) -> Page:
    return Page() if value is None else msgspec.convert(value, Page)


def _warn_of_clock(page: Page, now: int) -> Finding:
    text = (
        f"this machine's clock went back by {format_duration(page.looked - now)} since the last "
        "look; what was noted with later times counts as noted now"
    )
    return Finding(_WENT_BACK, "warn", "clock", text, remedy="timedatectl")


def _make_known(finding: Finding, now: int, rules: Rules) -> Alert:
    """An alert that has lasted long enough to be told at once: the next look finds it no more."""
    family = family_of(finding.code)
    return Alert(
        alert_id(family, finding.subject),
        family,
        finding.subject,
        finding.code,
        finding.severity,
        finding.message,
        since=now - rules.raise_after(family),
        seen=now,
    )


def _pull_back(page: Page, now: int) -> Page:
    """The page, without a time that is still to come."""

    def alert_of(alert: Alert) -> Alert:
        times = ("since", "seen", "raised", "gone", "acked")
        earlier = {name: min(getattr(alert, name), now) for name in times}
        return msgspec.structs.replace(alert, **earlier)

    def news_of(news: News) -> News:
        return News(news.kind, min(news.at, now), alert_of(news.alert))

    silences = (
        msgspec.structs.replace(each, until=min(each.until, now + _LONGEST_SILENCE_S))
        for each in page.silences
    )
    return Page(
        looked=min(page.looked, now),
        alerts=tuple(alert_of(each) for each in page.alerts if each.family != _WENT_BACK),
        silences=tuple(silences),
        history=tuple(news_of(each) for each in page.history),
        count=page.count,
        owed={
            name: Owed(tuple(news_of(each) for each in mine.news), min(mine.sending, now))
            for name, mine in page.owed.items()
        },
        blind=page.blind,
        parts=dict(_pull_back_memory(Memory(page.parts, {}), now).parts),
    )


def _pull_back_memory(memory: Memory, now: int) -> Memory:
    """What was looked at in times to come is looked at again; what it found stays until then."""
    parts = {
        key: msgspec.structs.replace(part, read=0, tried=0)
        if max(part.read, part.tried) > now
        else part
        for key, part in memory.parts.items()
    }
    notes = {
        vmid: msgspec.structs.replace(note, tried=0) if note.tried > now else note
        for vmid, note in memory.notes.items()
    }
    return Memory(parts, notes)


def _find(page: Page, name: str) -> tuple[Alert, ...]:
    named = tuple(alert for alert in page.alerts if name in {alert.id, alert.subject})
    found = tuple(alert for alert in named if alert.is_active)
    if named and not found:
        raise NotFoundError(
            f"{name} was seen, and nobody was told of it yet: it is too young, or silenced",
            hint="pve monitor status, in a minute",
        )
    if not found:
        raise NotFoundError(f"there is no alert {name!r}", hint="pve monitor status")
    return found
