"""/cluster/notifications: endpoints, matchers and targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.notification import ENDPOINTS, Entry
from pveops.sim.refusal import ApiError
from pveops.sim.router import Routes, Waiting

routes = Routes()
_BASE = "/cluster/notifications"
_LISTS = frozenset(
    {"target", "match-field", "match-calendar", "match-severity", "mailto", "mailto-user"}
    | {"header", "secret"}
)


def _values(call: Call) -> dict[str, Any]:
    """What is stored of the parameters; lists stay lists, whoever sent them as text."""
    values = {}
    for name, value in call.params.items():
        if name in ("name", "delete", "digest"):
            continue
        if name in _LISTS and not isinstance(value, list):
            value = [part for part in str(value).split(",") if part]
        values[name] = value
    return values


@routes.get(f"{_BASE}/targets")
def list_targets(call: Call) -> list[dict[str, Any]]:
    """Endpoints of all kinds."""
    rows = []
    for entry in call.cluster.notifications.of_kind(*ENDPOINTS):
        optional = {k: entry.values[k] for k in ("comment", "disable") if k in entry.values}
        rows.append({"name": entry.name, "type": entry.kind, "origin": entry.origin} | optional)
    return rows


@routes.post(f"{_BASE}/targets/{{name}}/test")
def test_target(call: Call) -> None:
    """Send a test message: nothing that the simulated cluster could reach answers."""
    name = call.params["name"]
    entry = call.cluster.notifications.entries.get(name)
    if entry is None or entry.kind not in ENDPOINTS:
        raise ApiError(404, f"endpoint '{name}' does not exist")
    failure = failure_of(entry.kind)
    raise ApiError(
        500, f"Could not test target: could not notify via endpoint(s): {name}: {failure}"
    )


def failure_of(kind: str) -> str:
    """Why a notification does not leave the simulated cluster."""
    if kind == "sendmail":
        return "no recipients provided for the mail, cannot send it."
    return "io: Connection refused"


def notices_of_backup(call: Call) -> list[str]:
    """What the log of a backup says about its notification, target by target."""
    notifications = call.cluster.notifications
    lines = []
    for matcher in notifications.of_kind("matcher"):
        if matcher.values.get("disable"):
            continue
        for name in matcher.values.get("target") or ():
            entry = notifications.entries.get(name)
            if entry is not None and not entry.values.get("disable"):
                lines += _notices(call, entry)
    return lines


def _email_of(call: Call, userid: str) -> str:
    """The address in a user's account; empty when there is none."""
    user = call.cluster.access.users.get(userid)
    return user.details.get("email", "") if user else ""


def _notices(call: Call, entry: Entry) -> list[str]:
    """Mails leave the cluster when their recipient has an address; nothing else does."""
    name = entry.name
    if entry.kind not in ("sendmail", "smtp"):
        failure = f"could not notify via endpoint(s): {name}: {failure_of(entry.kind)}"
        return [f"ERROR: could not notify via target `{name}`: {failure}"]
    users = list(entry.values.get("mailto-user") or ())
    addresses = [address for user in users if (address := _email_of(call, user))]
    lines = [
        f"WARN: '{user}' does not have a configured email address in the user configuration - "
        "not sending an email to this user"
        for user in users
        if not _email_of(call, user)
    ]
    if addresses or entry.values.get("mailto"):
        return [*lines, f"INFO: notified via target `{name}`"]
    failure = f"could not notify via endpoint(s): {name}: {failure_of('sendmail')}"
    return [*lines, f"ERROR: could not notify via target `{name}`: {failure}"]


@routes.get(f"{_BASE}/matcher-fields")
def list_matcher_fields(_call: Call) -> list[dict[str, str]]:
    """Fields that a matcher may look at."""
    return [{"name": name} for name in ("type", "hostname", "job-id")]


@routes.get(f"{_BASE}/matcher-field-values")
def list_matcher_values(call: Call) -> list[dict[str, Any]]:
    """Values that these fields can have here."""
    kinds = ("package-updates", "fencing", "replication", "vzdump", "system-mail")
    rows: list[dict[str, Any]] = [{"field": "type", "value": kind} for kind in kinds]
    for job in call.cluster.backup_jobs.values():
        rows.append({"field": "job-id", "value": job["id"], "comment": job.get("comment")})
    return rows + [{"field": "hostname", "value": name} for name in call.cluster.nodes]


def _serve(kind: str, path: str) -> None:
    """Register list, read, create, update and delete of one kind."""

    def list_entries(call: Call) -> list[dict[str, Any]]:
        return [entry.shown() for entry in call.cluster.notifications.of_kind(kind)]

    def get_entry(call: Call) -> dict[str, Any]:
        notifications = call.cluster.notifications
        return notifications.get(kind, call.params["name"]).shown() | {
            "digest": notifications.digest
        }

    def create_entry(call: Call) -> Waiting:
        yield from lock_file(call.receiver, "notifications.cfg")
        call.cluster.notifications.create(kind, call.params["name"], _values(call))

    def update_entry(call: Call) -> Waiting:
        yield from lock_file(call.receiver, "notifications.cfg")
        delete = call.get("delete") or []
        names = delete if isinstance(delete, list) else str(delete).split(",")
        call.cluster.notifications.update(
            kind, call.params["name"], _values(call), names, call.get("digest")
        )

    def delete_entry(call: Call) -> Waiting:
        yield from lock_file(call.receiver, "notifications.cfg")
        call.cluster.notifications.delete(kind, call.params["name"])

    methods: tuple[tuple[str, str, Callable[[Call], Any]], ...] = (
        ("GET", path, list_entries),
        ("POST", path, create_entry),
        ("GET", f"{path}/{{name}}", get_entry),
        ("PUT", f"{path}/{{name}}", update_entry),
        ("DELETE", f"{path}/{{name}}", delete_entry),
    )
    for method, template, function in methods:
        routes.add(method, template)(function)


for _kind in ENDPOINTS:
    _serve(_kind, f"{_BASE}/endpoints/{_kind}")
_serve("matcher", f"{_BASE}/matchers")
