"""The life of an alert. Pure: what was known and what is seen in, what is known now and news out.

An alert is raised when a condition has lasted, told once, told again only when it grows worse,
and cleared when the condition was gone for a while. What could not be looked at changes nothing:
nobody knows whether it still holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

from pveops.operations.findings import Finding, Severity

Kind = Literal["raised", "worse", "cleared"]
Told = Literal["", "info", "warn", "block"]
_RANK: Mapping[str, int] = {"": -1, "info": 0, "warn": 1, "block": 2}
_FAMILIES = {
    "guest.halted": "guest.state",
    "guest.paused": "guest.state",
    "storage.full": "storage.usage",
    "storage.nearly-full": "storage.usage",
}
"""Findings that are stages of one trouble."""


class Rules(NamedTuple):
    """How long a condition lasts before it is told, and is gone before that is told. Seconds."""

    raise_after_s: int = 60
    clear_after_s: int = 60


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One trouble of one thing. Times are seconds since the epoch.

    id: stable for its trouble and subject. raised: when it was told first; 0: it is too young, or
    silenced. told: how severe it was then. gone: since when it is not seen; 0: it is. acked: when
    a person said that it is known.
    """

    id: str
    family: str
    subject: str
    code: str
    severity: Severity
    message: str
    since: int
    seen: int
    evidence: str = ""
    remedy: str = ""
    raised: int = 0
    told: Told = ""
    gone: int = 0
    acked: int = 0
    why: str = ""
    """What the person said when acknowledging it."""

    @property
    def is_active(self) -> bool:
        """Told, and not cleared."""
        return bool(self.raised)


class Silence(msgspec.Struct, frozen=True):
    """Alerts whose code or subject fits are kept, and not told, until then."""

    pattern: str
    until: int
    why: str = ""

    def covers(self, alert: Alert) -> bool:
        """Whether it is about the alert: `storage.*`, `vm/101`, or its id."""
        names = (alert.code, alert.family, alert.subject, alert.id)
        return any(fnmatchcase(name, self.pattern) for name in names)


class News(msgspec.Struct, frozen=True):
    """What became of an alert."""

    kind: Kind
    at: int
    alert: Alert


class Seen(NamedTuple):
    """One look at a cluster.

    findings: what is wrong. held: what keeps an alert that is there already, by thresholds that
    are a little lower, so that nothing flaps around one. unseen: patterns of families and of
    subjects that could not be looked at.
    """

    at: int
    findings: tuple[Finding, ...]
    held: tuple[Finding, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()


def alert_id(family: str, subject: str) -> str:
    """A short name that a person can type."""
    return "al_" + hashlib.sha256(f"{family} {subject}".encode()).hexdigest()[:8]


def family_of(code: str) -> str:
    """What a finding is a stage of."""
    return _FAMILIES.get(code, code)


def advance(
    alerts: Iterable[Alert], seen: Seen, rules: Rules, silences: Iterable[Silence] = ()
) -> tuple[tuple[Alert, ...], tuple[News, ...]]:
    """The alerts after a look, and what is to be told of it, the worst first."""
    quiet = [silence for silence in silences if silence.until > seen.at]
    known = {(alert.family, alert.subject): alert for alert in alerts}
    found = _worst(seen.findings)
    held = {key: finding for key, finding in _worst(seen.held).items() if key in known}
    now_so = {
        key: _refresh(known.get(key), key, finding, seen.at)
        for key, finding in {**held, **found}.items()
    }
    faded = {key: _fade(alert, seen) for key, alert in known.items() if key not in now_so}
    kept: list[Alert] = []
    news: list[News] = []
    for _, alert in sorted({**now_so, **faded}.items()):
        kind = _kind_of(alert, rules, seen.at)
        is_told = kind is not None and not any(silence.covers(alert) for silence in quiet)
        after = _mark_told(alert, kind, seen.at) if kind is not None and is_told else alert
        if kind is not None and is_told:
            news.append(News(kind, seen.at, after))
        if not _is_over(after, rules, seen.at):
            kept.append(after)
    return tuple(kept), tuple(sorted(news, key=_order))


def _fade(alert: Alert, seen: Seen) -> Alert:
    """What is not seen any more, unless nobody could look."""
    if _is_unseen(alert, seen.unseen):
        return alert
    return msgspec.structs.replace(alert, gone=alert.gone or seen.at)


def _kind_of(alert: Alert, rules: Rules, now: int) -> Kind | None:
    """What there is to tell; None: nothing that was not told before."""
    if alert.is_active:
        if _is_over(alert, rules, now):
            return "cleared"
        return "worse" if _RANK[alert.severity] > _RANK[alert.told] else None
    if alert.gone:
        return None
    lasted = now - alert.since >= rules.raise_after_s
    return "raised" if lasted or alert.severity == "block" else None


def _mark_told(alert: Alert, kind: Kind, now: int) -> Alert:
    """Growing worse undoes an acknowledgement: that was of something smaller."""
    if kind == "cleared":
        return alert
    acked = 0 if kind == "worse" else alert.acked
    return msgspec.structs.replace(
        alert, raised=alert.raised or now, told=alert.severity, acked=acked
    )


def _is_over(alert: Alert, rules: Rules, now: int) -> bool:
    return bool(alert.gone) and now - alert.gone >= rules.clear_after_s


def _worst(findings: Iterable[Finding]) -> dict[tuple[str, str], Finding]:
    worst: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (family_of(finding.code), finding.subject)
        if key not in worst or _RANK[finding.severity] > _RANK[worst[key].severity]:
            worst[key] = finding
    return worst


def _refresh(before: Alert | None, key: tuple[str, str], finding: Finding, now: int) -> Alert:
    family, subject = key
    fresh = Alert(
        id=alert_id(family, subject),
        family=family,
        subject=subject,
        code=finding.code,
        severity=finding.severity,
        message=finding.message,
        evidence=finding.evidence,
        remedy=finding.remedy,
        since=now,
        seen=now,
    )
    if before is None:
        return fresh
    return msgspec.structs.replace(
        fresh,
        since=before.since,
        raised=before.raised,
        told=before.told,
        acked=before.acked,
        why=before.why,
    )


def _is_unseen(alert: Alert, unseen: Iterable[tuple[str, str]]) -> bool:
    return any(
        fnmatchcase(alert.family, family) and fnmatchcase(alert.subject, subject)
        for family, subject in unseen
    )


def _order(news: News) -> tuple[bool, int, str]:
    return (news.kind == "cleared", -_RANK[news.alert.severity], news.alert.subject)
