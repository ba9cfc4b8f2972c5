"""What a command came to, as a tool's result."""

from __future__ import annotations

import json

import pytest

from pveops.cli.broker_message import Told
from pveops.errors import UsageError
from pveops.exit_codes import EXIT_CODES
from pveops.mcp.admission import HELP, PLAN, READ
from pveops.mcp.result import result_of, result_of_error


@pytest.mark.parametrize("row", EXIT_CODES, ids=lambda row: row.meaning)
def test_consent_needed_and_pending_are_no_failures(row) -> None:
    assert result_of(PLAN, Told(row.code, "x\n")).is_error is (row.code not in {0, 3, 8})


def test_the_envelope_is_what_json_prints() -> None:
    told = Told(0, "1 guest\n", "", '{"ok":true,"operation":"guest.list"}')
    assert result_of(READ, told).data == {"ok": True, "operation": "guest.list"}


def test_what_has_no_envelope_is_told_in_one_all_the_same() -> None:
    found = result_of(READ, Told(0, "bytes to sign\n")).data
    assert found == {
        "ok": True,
        "operation": "",
        "changed": False,
        "data": {"text": "bytes to sign\n"},
        "meta": {"exit_code": 0},
    }
    unknown = result_of(PLAN, Told(0, "said by an older broker\n")).data
    assert unknown is not None
    assert unknown["changed"] is None


def test_help_is_text_alone() -> None:
    assert result_of(HELP, Told(0, "Usage: pve\n")).data is None


def test_half_a_character_can_be_sent() -> None:
    text = result_of(READ, Told(0, "web\udc80\n")).text
    assert json.dumps(text, ensure_ascii=False).encode()


def test_an_error_before_any_command_looks_like_one_of_a_command() -> None:
    found = result_of_error(READ, UsageError("no", hint="yes"))
    assert (found.is_error, found.text) == (True, "error E_USAGE: no\nnext: yes\n")
    assert found.data is not None
    assert found.data["error"]["code"] == "E_USAGE"
    assert found.data["meta"]["exit_code"] == 2
