"""Notification targets and matchers (texts of proxmox-notify; recorded in phase notifications)."""

from __future__ import annotations

import pytest

from pveops.sim.notification import Notifications
from pveops.sim.refusal import ApiError


@pytest.fixture
def notifications() -> Notifications:
    """The built-in ones and one endpoint with its matcher."""
    made = Notifications()
    made.create("gotify", "g1", {"server": "http://192.0.2.9", "token": "t"})
    made.create("matcher", "m1", {"target": ["g1"]})
    return made


def test_what_is_protected_is_not_shown(notifications: Notifications) -> None:
    shown = notifications.get("gotify", "g1").shown()
    assert shown == {"name": "g1", "server": "http://192.0.2.9", "origin": "user-created"}


@pytest.mark.parametrize(
    ("kind", "name", "values", "status", "text"),
    [
        (
            "gotify",
            "g1",
            {},
            400,
            "Cannot create 'g1', an entity with the same name already exists",
        ),
        ("matcher", "m2", {"target": ["nosuch"]}, 404, "endpoint 'nosuch' does not exist"),
    ],
)
def test_what_cannot_be_created_says_why(
    notifications: Notifications,
    kind: str,
    name: str,
    values: dict[str, object],
    status: int,
    text: str,
) -> None:
    with pytest.raises(ApiError) as refused:
        notifications.create(kind, name, values)
    assert (refused.value.status, refused.value.message) == (status, text)


def test_a_target_in_use_stays(notifications: Notifications) -> None:
    with pytest.raises(ApiError, match="cannot delete 'g1', referenced by: m1"):
        notifications.delete("gotify", "g1")
    notifications.delete("matcher", "m1")
    notifications.delete("gotify", "g1")
    assert "g1" not in notifications.entries


def test_a_built_in_entry_is_reset_instead_of_deleted(notifications: Notifications) -> None:
    notifications.update("sendmail", "mail-to-root", {"comment": "x"}, [], None)
    assert notifications.get("sendmail", "mail-to-root").origin == "modified-builtin"
    notifications.delete("sendmail", "mail-to-root")
    assert notifications.get("sendmail", "mail-to-root").origin == "builtin"


def test_a_stale_digest_is_refused(notifications: Notifications) -> None:
    with pytest.raises(ApiError) as refused:
        notifications.update("gotify", "g1", {"comment": "x"}, [], "0" * 64)
    assert refused.value.status == 400
