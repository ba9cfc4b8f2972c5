"""Each recorded answer of a real PVE is decoded, or raised as the right error.

What is right is told here by the status and, for the sentences of handlers, by a table that was
written by hand from the recordings (handler_errors.json): a sentence that is not in it fails.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import pveops.errors
from pveops.api.classify import decode
from pveops.api.client import Client
from pveops.api.tasks import LogPage, OutcomeKind, get_status, judge_exitstatus, read_log
from pveops.clock import VirtualClock
from pveops.errors import PveopsError
from pveops.ids import parse_upid
from pveops.sanitize import sanitize_value

from .recorded import VERSIONS, Exchange, Replay, load, load_or_skip

HANDLER_ERRORS: dict[str, str] = json.loads(
    Path(__file__).with_name("handler_errors.json").read_text(encoding="utf-8")
)
BY_STATUS = {
    101: "ProtocolError",
    301: "ProtocolError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    501: "NotImplementedByServerError",
    506: "NotImplementedByServerError",
    595: "NodeUnreachableError",
}
ONE_PARAMETER = {
    "no such task": "NotFoundError",
    "interface does not exist": "NotFoundError",
    "VM 100 already exists": "ExistsError",
    "Only root may use this option.": "RootOnlyError",
}
WITHOUT_PARAMETERS = {
    "Cannot create 'g1', an entity with the same name already exists": "ExistsError",
    "detected modified configuration - file changed by other user? Try again.": "DigestError",
    "Bad Request": "RejectedError",
}

EXCHANGES = [
    pytest.param(exchange, id=f"{version}: {exchange.name}")
    for version in VERSIONS
    for exchange in load(version)
]


def expected_error(exchange: Exchange) -> str | None:
    """The class that this answer has to be raised as, or None for data."""
    status, body = exchange.answer["status"], exchange.body or {}
    if status == 200:
        is_envelope = isinstance(exchange.body, dict) and "data" in exchange.body
        if is_envelope and body.get("success", 1) == 1:
            return None
        if not is_envelope:
            return "ProtocolError"
        status = int(body["status"])
    message = (body.get("message") or exchange.answer["reason"]).strip().split("\n")[0]
    if status == 400:
        return _expected_of_parameters(body.get("errors") or {}, message)
    if status == 500:
        return HANDLER_ERRORS[re.sub(r"line \d+\.?$", "line N", message)]
    return BY_STATUS[status]


def _expected_of_parameters(errors: dict[str, str], message: str) -> str:
    if not errors:
        return WITHOUT_PARAMETERS[message]
    (first, *others) = errors.values()
    return "ParameterError" if others else ONE_PARAMETER.get(first.strip(), "ParameterError")


@pytest.mark.skipif(not EXCHANGES, reason="the recorded exchanges are not beside the repository")
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_answer_is_data_or_the_right_error(exchange: Exchange) -> None:
    expected = expected_error(exchange)
    if expected is None:
        answer = decode(exchange.request, exchange.response())
        assert answer.data == sanitize_value(exchange.body["data"])
        assert answer.total == exchange.body.get("total")
        assert answer.changes == sanitize_value(exchange.body.get("changes"))
        return
    with pytest.raises(PveopsError) as caught:
        decode(exchange.request, exchange.response())
    error = caught.value
    assert type(error) is getattr(pveops.errors, expected)
    assert error.message
    _check_details(exchange, error)


def _check_details(exchange: Exchange, error: PveopsError) -> None:
    """PVE's own words are all there, whatever was made of them."""
    body = exchange.body if isinstance(exchange.body, dict) else {}
    if body.get("message"):
        assert error.details["server"] == sanitize_value(body["message"].strip())
    for name, text in (body.get("errors") or {}).items():
        assert error.details["errors"][name] == str(sanitize_value(text)).strip()
    if "Permission check failed (/" in exchange.answer["reason"]:
        path, privileges = re.findall(r"\((/[^,]*), (.*)\)", exchange.answer["reason"])[0]
        assert error.details["path"] == path
        assert error.details["privileges"] == privileges.split("|")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recordings_hold_answers_of_every_kind(version: str) -> None:
    """Otherwise the test above would say less than it seems to."""
    kinds = {expected_error(exchange) for exchange in load_or_skip(version)}
    assert {None, "ParameterError", "NodeUnreachableError", "LockedError", "BusyError"} <= kinds
    assert len(load_or_skip(version)) > 700


def _of_tasks(ending: str) -> list[Any]:
    return [
        pytest.param(version, exchange, id=f"{version}: {exchange.name}")
        for version in VERSIONS
        for exchange in load(version)
        if exchange.name.endswith(ending) and exchange.answer["status"] == 200
    ]


@pytest.mark.parametrize(("version", "exchange"), _of_tasks("| task status"))
def test_a_recorded_task_is_judged(version: str, exchange: Exchange) -> None:
    data = exchange.body["data"]
    client = Client(Replay(version, exchange.credentials), VirtualClock())
    status = get_status(client, data["upid"])
    assert str(status.upid) == data["upid"]
    assert not status.is_running
    kind = {"OK": OutcomeKind.OK, "unexpected status": OutcomeKind.UNKNOWN}.get(
        data["exitstatus"], OutcomeKind.FAILED
    )
    assert judge_exitstatus(status.upid, status.exitstatus).kind is kind


class _One:
    """Gives one recorded answer to whatever is asked."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def send(self, request: object) -> Any:
        return self.exchange.response()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("version", "exchange"), _of_tasks("| task log"))
def test_a_recorded_log_is_read(version: str, exchange: Exchange) -> None:
    upid = parse_upid(unquote(exchange.url.split("/")[6]))
    assert upid is not None
    page = read_log(Client(_One(exchange), VirtualClock()), upid)
    lines = tuple(str(sanitize_value(row["t"])) for row in exchange.body["data"])
    if lines == ("no content",):
        assert page == LogPage((), 0)
    else:
        assert page == LogPage(lines, exchange.body["total"])
