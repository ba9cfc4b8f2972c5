"""The envelope: its members, its compactness, and no secret in it."""

from __future__ import annotations

import json
import secrets

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.jsonout import render_json, render_short_json
from pveops.operations.findings import Finding
from pveops.redact import MASK, register_secret


def envelope_of(answer: Answer) -> dict:
    text = render_json(answer)
    assert text.endswith("\n")
    assert "\n" not in text[:-1]
    return json.loads(text)


def test_a_list_tells_its_total_and_its_items():
    listing = Listing([{"a": 1}, {"a": 2}], dict, ("a",), (Column("a"),), total=9)
    envelope = envelope_of(Answer("v", operation="guest.list", blocks=(listing,)))
    assert envelope["ok"] is True
    assert envelope["operation"] == "guest.list"
    assert envelope["changed"] is False
    assert envelope["data"] == {"total": 9, "items": [{"a": 1}, {"a": 2}]}
    assert envelope["truncated"] == {"shown": 2, "total": 9}


def test_a_list_that_is_too_long_to_be_given_unasked_is_cut_and_says_so():
    rows = [{"name": f"guest-{number}"} for number in range(20_000)]
    answer = Answer("v", blocks=(Listing(rows, dict, ("name",), (Column("name"),)),))
    for is_full, limit in ((False, 12_000), (True, 400_000)):
        text = render_short_json(answer, is_full=is_full)
        envelope = json.loads(text)
        shown = len(envelope["data"]["items"])
        assert limit / 2 < len(text) <= limit
        assert envelope["data"]["total"] == 20_000
        assert envelope["truncated"] == {"shown": shown, "total": 20_000}
    short = answer._replace(blocks=(answer.blocks[0]._replace(rows=rows[:9]),))
    assert render_short_json(short, is_full=False) == render_json(short)


def test_data_that_is_too_long_to_be_given_unasked_is_cut_and_says_so():
    points = [[at, 0.5] for at in range(9_000)]
    lines = [{"label": "a", "points": points}, {"label": "b", "points": points[:70]}]
    answer = Answer("v", data={"unit": "share", "lines": lines, "text": "x" * 90_000})
    text = render_short_json(answer, is_full=False)
    envelope = json.loads(text)
    assert len(text) <= 12_000
    assert envelope["data"]["unit"] == "share"
    shown = len(envelope["data"]["lines"][0]["points"])
    assert 0 < shown < 9_000
    assert envelope["data"]["lines"][0]["points"] == points[:shown]
    assert envelope["truncated"]["lines.points"] == {"shown": shown, "total": 9_000}
    assert envelope["truncated"]["text"]["total"] == 90_000
    wide = answer._replace(data={f"key-{number}": number for number in range(9_000)})
    assert len(render_short_json(wide, is_full=False)) <= 12_000
    short = answer._replace(data={"unit": "share"})
    assert render_short_json(short, is_full=False) == render_json(short)


def test_the_codes_of_errors_and_findings_are_not_taken_for_secrets():
    finding = Finding("guest.locked", "block", "vm/1", "locked")
    answer = Answer("v", code=9, findings=(finding,), error={"code": "E_LOCKED", "message": "m"})
    envelope = envelope_of(answer)
    assert envelope["ok"] is False
    assert envelope["error"]["code"] == "E_LOCKED"
    assert envelope["findings"][0]["code"] == "guest.locked"
    assert envelope["meta"]["exit_code"] == 9


def test_secrets_in_what_pve_said_are_masked():
    secret = secrets.token_urlsafe(12)
    rows = [{"key": "cipassword", "value": secret}, {"key": "memory", "value": "512"}]
    text = render_json(Answer("v", data={"pending": rows, "config": {"password": secret}}))
    assert secret not in text
    data = json.loads(text)["data"]
    assert data["pending"][0]["value"] == MASK
    assert data["pending"][1] == {"key": "memory", "value": "512"}


def test_an_answer_without_anything_has_only_the_members_that_always_are():
    assert set(envelope_of(Answer("v"))) == {"ok", "operation", "changed", "meta"}


def test_a_known_secret_is_masked_wherever_it_turns_up():
    """Even where JSON writes it with backslashes; the rest of the envelope stays whole."""
    secret = secrets.token_urlsafe(9) + '"\\' + secrets.token_urlsafe(9)
    register_secret(secret)
    listing = Listing([{"name": f"x {secret} y"}], dict, ("name",), (Column("name"),))
    envelope = envelope_of(Answer("v", blocks=(listing,), next=(f"say {secret}",)))
    assert envelope["data"]["items"] == [{"name": f"x {MASK} y"}]
    assert envelope["next"] == [f"say {MASK}"]
