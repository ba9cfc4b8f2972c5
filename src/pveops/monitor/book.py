"""What the monitor remembers of a profile's cluster, between one look and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pveops.errors import NotFoundError, UsageError
from pveops.monitor.alerts import Alert, News, Rules, Seen, Silence, advance
from pveops.monitor.guest_notes import GuestNote
from pveops.monitor.parts import Part, merge_parts
from pveops.monitor.survey import NOTHING, Memory

if TYPE_CHECKING:
    from pveops.engine.store import Store

_MAX_HISTORY = 1000
_DEFAULT_RULES = Rules()


class Page(msgspec.Struct, frozen=True):
    """Everything that is remembered. looked: when the newest look began; 0: never."""

    looked: int = 0
    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    history: tuple[News, ...] = ()
    """The oldest first; the last thousand."""
    untold: tuple[News, ...] = ()
    """What was to be sent to a person, and did not arrive yet."""
    blind: tuple[str, ...] = ()
    parts: dict[str, Part] = {}
    """What the slow looks saw last."""


class Book:
    """The pages of one store."""

    def __init__(self, store: Store, profile: str) -> None:
        self._store = store
        self._key = f"monitor/{profile}"
        self._guests_key = f"monitor-guests/{profile}"

    def read(self) -> Page:
        """What is remembered; of a cluster that was never looked at, nothing."""
        return _page_of(self._store.recall(self._key))

    def read_memory(self) -> Memory:
        """What the next look goes on from. The notes on guests, which are many, lie apart."""
        notes = self._store.recall(self._guests_key)
        return Memory(
            self.read().parts,
            msgspec.convert(notes or {}, dict[int, GuestNote], strict=False),
        )

    def enter(
        self,
        seen: Seen,
        blind: tuple[str, ...],
        rules: Rules = _DEFAULT_RULES,
        *,
        memory: Memory = NOTHING,
        is_sent: bool = False,
    ) -> tuple[News, ...]:
        """Take a look into account. Of two at once the later begun counts; no news come twice.

        memory: what the look hands to the next. is_sent: the news are going to be sent; they stay
        in `untold` until `settle`.
        """
        told: list[News] = []
        kept: list[Memory] = []

        def change(page: Page) -> Page:
            if seen.at < page.looked:
                return page
            kept.append(memory)
            alerts, news = advance(page.alerts, seen, rules, page.silences)
            told.extend(news)
            return Page(
                looked=seen.at,
                alerts=alerts,
                silences=tuple(each for each in page.silences if each.until > seen.at),
                history=(*page.history, *news)[-_MAX_HISTORY:],
                untold=(*page.untold, *(news if is_sent else ()))[-_MAX_HISTORY:],
                blind=blind,
                parts=merge_parts(memory.parts, page.parts),
            )

        self._change(change, seen.at)
        for each in kept:
            self._store.remember(self._guests_key, each.notes, seen.at)
        return tuple(told)

    def settle(self, sent: tuple[News, ...], now: int) -> None:
        """What was sent to the person is not owed any more."""

        def change(page: Page) -> Page:
            rest = tuple(news for news in page.untold if news not in sent)
            return msgspec.structs.replace(page, untold=rest)

        self._change(change, now)

    def acknowledge(self, name: str, why: str, now: int) -> Alert:
        """Say that an alert is known; only a worse one is told again. Raises NotFoundError."""
        found: list[Alert] = []

        def change(page: Page) -> Page:
            alert = _find(page, name)
            after = msgspec.structs.replace(alert, acked=now, why=why)
            found.append(after)
            rest = tuple(after if each is alert else each for each in page.alerts)
            return msgspec.structs.replace(page, alerts=rest)

        self._change(change, now)
        return found[0]

    def silence(self, pattern: str, until: int, why: str, now: int) -> None:
        """Keep what fits quiet until then; a time that is over ends it. Raises UsageError."""
        if not pattern.strip("*? "):
            raise UsageError(
                "that would silence everything",
                hint="name a code, a subject or an alert: storage.*, vm/101, al_...",
            )

        def change(page: Page) -> Page:
            others = tuple(each for each in page.silences if each.pattern != pattern)
            mine = (Silence(pattern, until, why),) if until > now else ()
            return msgspec.structs.replace(page, silences=(*others, *mine))

        self._change(change, now)

    def _change(self, change: Any, now: int) -> None:
        self._store.revise(self._key, lambda value: change(_page_of(value)), now)


def _page_of(value: Any) -> Page:
    return Page() if value is None else msgspec.convert(value, Page)


def _find(page: Page, name: str) -> Alert:
    for alert in page.alerts:
        if alert.is_active and name in {alert.id, alert.subject}:
            return alert
    raise NotFoundError(f"there is no alert {name!r}", hint="pve monitor status")
