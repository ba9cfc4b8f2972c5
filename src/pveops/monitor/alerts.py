"""The life of an alert. Pure: what was known and what is seen in, what is known now and news out.

An alert is raised when a condition has lasted, told once, told again only when it grows worse,
and cleared when the condition was gone for a while. What could not be looked at changes nothing:
nobody knows whether it still holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from pveops.operations.findings import Finding, Severity
from pveops.units import DAY_S

Kind = Literal["raised", "worse", "cleared"]
Told = Literal["", "info", "warn", "block"]
_RANK: Mapping[str, int] = {"": -1, "info": 0, "warn": 1, "block": 2}
_FAMILIES = {
    "guest.halted": "guest.state",
    "guest.paused": "guest.state",
    "storage.full": "storage.usage",
    "storage.nearly-full": "storage.usage",
    "node.root-full": "node.root",
    "node.root-nearly-full": "node.root",
    "zfs.full": "zfs.usage",
    "zfs.nearly-full": "zfs.usage",
    "certificate.ending": "certificate",
    "certificate.ended": "certificate",
    "backup.none": "backup.age",
    "backup.old": "backup.age",
}
"""Findings that are stages of one trouble."""


LOCK_S = 1800
_HIDDEN_S = DAY_S
"""How long something counts as still so that may have got out of sight, or may be gone."""


class Rules(NamedTuple):
    """How long a condition lasts before it is told, and is gone before that is told. Seconds."""

    raise_after_s: int = 60
    clear_after_s: int = 60
    slow_to_raise: Mapping[str, int] = MappingProxyType({"guest.locked": LOCK_S})
    """By family, for conditions that are usual for a while."""
    slow_to_clear: Mapping[str, int] = MappingProxyType({"storage.filling": DAY_S})
    """By family, for conditions that are estimated, and come and go with the estimate."""

    def raise_after(self, family: str) -> int:
        """Of that family."""
        return max(self.raise_after_s, self.slow_to_raise.get(family, 0))

    def clear_after(self, family: str) -> int:
        """Of that family."""
        return max(self.clear_after_s, self.slow_to_clear.get(family, 0))


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
    with_problems: bool = True
    """False: what is a problem is told all the same."""

    def covers(self, alert: Alert) -> bool:
        """Whether it is about the alert: `storage.*`, `vm/101`, or its id."""
        if alert.severity == "block" and not self.with_problems:
            return False
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
    subjects that could not be looked at. filtered: patterns of families of whose subjects the
    token may be shown a part only, with those that it was shown.
    """

    at: int
    findings: tuple[Finding, ...]
    held: tuple[Finding, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()
    filtered: tuple[tuple[str, frozenset[str]], ...] = ()


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
    darkness = _Darkness(seen)
    missing = {key: alert for key, alert in known.items() if key not in now_so}
    # What could not be looked at is neither over nor there: it stays, and is not told.
    kept = [alert for alert in missing.values() if darkness.hides(alert)]
    hidden = {(alert.family, alert.subject) for alert in kept}
    faded = {key: _fade(alert, seen.at) for key, alert in missing.items() if key not in hidden}
    news: list[News] = []
    for _, alert in sorted({**now_so, **faded}.items()):
        kind = _kind_of(alert, rules, seen.at)
        is_told = kind is not None and not any(silence.covers(alert) for silence in quiet)
        after = _mark_told(alert, kind, seen.at) if kind is not None and is_told else alert
        if kind is not None and is_told:
            news.append(News(kind, seen.at, after))
        if not _is_over(after, rules, seen.at):
            kept.append(after)
    kept.sort(key=lambda alert: (alert.family, alert.subject))
    return tuple(kept), tuple(sorted(news, key=order_of))


def _fade(alert: Alert, now: int) -> Alert:
    """What is not seen any more."""
    return msgspec.structs.replace(alert, gone=alert.gone or now)


class _Darkness:
    """What a look could not see. A dead node may hide thousands of subjects by name."""

    def __init__(self, seen: Seen) -> None:
        self._now = seen.at
        self._filtered = seen.filtered
        self._exact: dict[str, list[str]] = {}
        self._patterns: list[tuple[str, str]] = []
        for family, subject in seen.unseen:
            if any(each in subject for each in "*?["):
                self._patterns.append((family, subject))
            else:
                self._exact.setdefault(subject, []).append(family)

    def hides(self, alert: Alert) -> bool:
        """Whether nobody could see that the alert is over."""
        if any(fnmatchcase(alert.family, each) for each in self._exact.get(alert.subject, ())):
            return True
        if any(
            fnmatchcase(alert.family, family) and fnmatchcase(alert.subject, subject)
            for family, subject in self._patterns
        ):
            return True
        return self._now - alert.seen < _HIDDEN_S and any(
            fnmatchcase(alert.family, family) and alert.subject not in shown
            for family, shown in self._filtered
        )


def _kind_of(alert: Alert, rules: Rules, now: int) -> Kind | None:
    """What there is to tell; None: nothing that was not told before."""
    if alert.is_active:
        if _is_over(alert, rules, now):
            return "cleared"
        return "worse" if _RANK[alert.severity] > _RANK[alert.told] else None
    if alert.gone:
        return None
    lasted = now - alert.since >= rules.raise_after(alert.family)
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
    return bool(alert.gone) and now - alert.gone >= rules.clear_after(alert.family)


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


def order_of(news: News) -> tuple[bool, int, str]:
    """The worst first, and at last what is over."""
    return (news.kind == "cleared", -_RANK[news.alert.severity], news.alert.subject)
