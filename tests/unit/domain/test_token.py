"""Tokens and users that expire: who is warned of, when, and how urgently."""

from __future__ import annotations

from pveops.domain.token import Expiry, list_expiry_warnings
from pveops.units import DAY_S

NOW = 1_800_000_000.0


def at(days: float) -> int:
    return int(NOW + days * DAY_S)


def test_what_ends_within_two_weeks_is_warned_of_the_nearest_first() -> None:
    found = list_expiry_warnings(
        [
            Expiry("a@pve!late", at(15)),
            Expiry("a@pve!soon", at(13.5)),
            Expiry("a@pve", at(2.5)),
            Expiry("a@pve!gone", at(-1)),
            Expiry("a@pve!never", 0),
        ],
        NOW,
    )
    assert [(each.subject, each.is_urgent) for each in found] == [
        ("a@pve!gone", True),
        ("a@pve", True),
        ("a@pve!soon", False),
    ]


def test_a_warning_says_what_to_do() -> None:
    token, user = list_expiry_warnings([Expiry("a@pve!t", at(5)), Expiry("a@pve", at(6))], NOW)
    assert token.message.startswith("the token a@pve!t expires in 5 days, on 2027-")
    assert token.remedy == "pve secrets rotate"
    assert user.message.startswith("the user a@pve expires in 6 days, on ")
    assert user.remedy.startswith("pveum user modify a@pve")
    gone = list_expiry_warnings([Expiry("a@pve!t", at(-1))], NOW)[0]
    assert "expired on " in gone.message
