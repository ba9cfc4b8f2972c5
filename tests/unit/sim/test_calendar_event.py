"""Calendar events of jobs. Expected times of the first two are recorded (schedule analyze)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pveops.sim.calendar_event import next_event, parse_calendar_event

_MONDAY = datetime(2026, 11, 23, 16, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("daily", "2026-11-24 00:00"),
        ("mon..fri 08:30", "2026-11-24 08:30"),
        ("*/15", "2026-11-23 16:45"),
        ("sat 02:00", "2026-11-28 02:00"),
        ("sun,wed 21:00", "2026-11-25 21:00"),
        ("*-*-01 04:00", "2026-12-01 04:00"),
        ("22:00", "2026-11-23 22:00"),
        ("hourly", "2026-11-23 17:00"),
        ("monthly", "2026-12-01 00:00"),
        ("2027-1-2 03:04", "2027-01-02 03:04"),
    ],
)
def test_the_next_time_of_an_event(text: str, expected: str) -> None:
    event = parse_calendar_event(text)
    assert event is not None
    moment = next_event(event, _MONDAY)
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") == expected


@pytest.mark.parametrize("text", ["whenever", "sometimes", "", "25:00", "mon..xyz 1:00", "*/0"])
def test_what_is_no_event_is_refused(text: str) -> None:
    assert parse_calendar_event(text) is None


def test_an_event_in_the_past_never_comes_again() -> None:
    event = parse_calendar_event("2020-1-1 00:00")
    assert event is not None
    assert next_event(event, _MONDAY) is None
