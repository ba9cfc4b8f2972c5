from __future__ import annotations

import base64
import json
import secrets as randomness
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.redact import (
    MASK,
    Redactor,
    mask_lines,
    redact,
    redact_params,
    redact_value,
    register_secret,
    tells_secret,
)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "query": lambda text: quote(text, safe=""),
    "path": quote,
    "lower-case percents": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "form": quote_plus,
    "whole form": lambda text: urlencode({"a": "b", "password": text}),
    "header of a token": lambda text: f"PVEAPIToken=a@pve!b={quote(text, safe='-._~')}",
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps({"x": text}),
    "json in unicode": lambda text: json.dumps({"x": text}, ensure_ascii=False),
    "json of msgspec": lambda text: msgspec.json.encode([text]).decode(),
    "json in json": lambda text: json.dumps({"x": json.dumps([text])}),
    "repr": repr,
    "repr in repr": lambda text: repr([repr(text)]),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a form": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic authorization": lambda text: base64.b64encode(f"anna:{text}".encode()).decode(),
    "base64 of json": lambda text: base64.b64encode(f'{{"a":"{text}","b":1}}'.encode()).decode(),
    "within words": lambda text: f"before {text}: after",
}
SECRETS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc"]),
    min_size=8,
    max_size=40,
).filter(lambda text: text.strip() == text and text not in MASK and MASK not in text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(secret=SECRETS)
def test_no_registered_secret_survives_in_any_encoding(encoding: str, secret: str) -> None:
    redactor = Redactor()
    redactor.register(secret)
    encode = ENCODINGS[encoding]
    written = encode(secret)
    clean = redactor.redact(f"[{written}]")
    assert MASK in clean
    assert secret not in clean.replace(MASK, "\0")
    if written != secret:
        assert written not in clean


@given(secrets=st.lists(SECRETS, min_size=2, max_size=4, unique=True))
def test_secrets_that_contain_each_other_are_all_masked(secrets: list[str]) -> None:
    redactor = Redactor()
    for secret in (*secrets, secrets[0] + secrets[1]):
        redactor.register(secret)
    text = redactor.redact(" | ".join((secrets[0] + secrets[1], *secrets)))
    assert not [each for each in secrets if each in text.replace(MASK, "\0")]


def test_a_secret_of_this_process_is_masked_everywhere() -> None:
    secret = randomness.token_hex(16)
    register_secret(secret)
    assert redact(f"a {secret} b") == f"a {MASK} b"
    assert redact_params({"note": f"x{secret}", "count": 3}) == {"note": f"x{MASK}", "count": 3}
    assert redact_value({secret: [secret, None, 1.5]}) == {MASK: [MASK, None, 1.5]}


def test_a_code_is_masked_as_it_is_written_for_people() -> None:
    redactor = Redactor()
    redactor.register("ABCDEFGH")
    assert redactor.redact("code ABCD-EFGH or ABCDEFGH") == f"code {MASK} or {MASK}"


def test_what_is_too_short_is_not_registered() -> None:
    redactor = Redactor()
    redactor.register("vm")
    redactor.register("")
    assert redactor.redact("the vm runs") == "the vm runs"


def signature() -> str:
    return base64.b64encode(randomness.token_bytes(256)).decode()


def uuid() -> str:
    digits = randomness.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def ticket(prefix: str = "PVE:root@pam") -> str:
    return f"{prefix}:65A1B2C3::{signature()}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: (f"PVEAPIToken=ops@pve!agent={uuid()}", uuid),
        ticket,
        lambda: ticket("PVEVNC"),
        lambda: ticket("PVEVNC:root@pam"),
        lambda: ticket("PVE:!tfa!%7B%22totp%22%3Atrue%7D"),
        lambda: quote(ticket(), safe=""),
        lambda: f"vncticket={quote(ticket('PVEVNC'), safe='')}",
        lambda: "65A1B2C3:" + base64.b64encode(randomness.token_bytes(32)).decode().rstrip("="),
        lambda: f"ops@pve!agent={uuid()}",
        lambda: f"ops%40pve%21agent%3D{uuid()}",
        lambda: f"-----BEGIN PRIVATE KEY-----\n{signature()}\n-----END PRIVATE KEY-----",
        lambda: f"-----BEGIN RSA PRIVATE KEY-----\n{signature()}",
        lambda: f"AGE-SECRET-KEY-1{randomness.token_hex(29).upper()}",
        lambda: (
            f"eyJ{randomness.token_hex(9)}.eyJ{randomness.token_hex(9)}.{randomness.token_hex(20)}"
        ),
    ],
)
def test_the_shapes_of_secrets_are_masked_without_knowing_them(make: Callable[[], object]) -> None:
    made = make()
    text = made[0] if isinstance(made, tuple) else str(made)
    for written in (text, json.dumps(text)):
        clean = redact(f"said: {written} end")
        assert MASK in clean
        assert not any(text[at : at + 20] in clean for at in range(len(text) - 40, len(text) - 20))


def test_the_end_of_the_line_after_a_secret_stays() -> None:
    assert redact(f"Cookie {ticket()} next word").endswith("next word")
    assert redact(f"PVEAPIToken=a@pve!b={uuid()} next word").endswith("next word")


@pytest.mark.parametrize(
    "text",
    [
        "UPID:pve1:0001E4F2:00AB12CD:65A1B2C3:qmstop:100:root@pam!ops:",
        "smbios1: uuid=6f1d9a30-1c2b-4e5f-8a9b-0123456789ab",
        "SHA256 " + ":".join(["AB"] * 32),
        "local-lvm:vm-100-disk-0,size=32G",
        "-----BEGIN CERTIFICATE-----",
        "PVE 9.1.2 on pve1:8006",
    ],
)
def test_identifiers_are_no_secrets(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "cipassword",
        "new-password",
        "sshkeys",
        "ticket",
        "vncticket",
        "CSRFPreventionToken",
        "Authorization",
        "Cookie",
        "otp",
        "tfa-challenge",
        "encryption-key",
        "eab-hmac-key",
        "value",
        "secret",
    ],
)
def test_what_a_name_tells_to_be_secret_is_masked_whole(name: str) -> None:
    assert redact_params({name: "short"}) == {name: MASK}
    assert redact_value([{name: ["a", {"x": "kept"}]}]) == [{name: [MASK, {"x": "kept"}]}]


@pytest.mark.parametrize("name", ["name", "vmid", "token_id", "digest", "keyboard", "pool"])
def test_ordinary_names_tell_nothing(name: str) -> None:
    assert not tells_secret(name)


UNITS = [
    *("PVE", "PVE:", "PVE%3A", "PVEA:a", "PVE:AAAAAAAA", "PVE:a%3A", "PVE:AAAAAAAA%3A%3A"),
    *("PVEToken", "PVEAPIToken=", "ABCDEF01:", "ABCDEF01%3A", "ticket=", "!a", "!a=", "%21a"),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY ", "-----BEGIN PRIVATE KEY----------END "),
    *(
        "AGE-",
        "AGE-PLUGIN-",
        "AGE-PLUGIN-A-1",
        "eyJ",
        "eyJ-",
        "eyJa.",
        "eyJ-.",
        "-eyJ",
        "a-",
        "\\",
    ),
]


def least_s(action: Callable[[str], object], text: str) -> float:
    """The processor's time, of several tries the least: what else runs does not count."""
    tries = []
    for _ in range(4):
        began = time.process_time()
        action(text)
        tries.append(time.process_time() - began)
    return min(tries)


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_eight_times_as_long_takes_about_eight_times_as_long(unit: str) -> None:
    """With a pattern that begins anew within itself it is 64 times; others write these texts."""
    redactor = Redactor()
    redactor.register("!hostile \\\n text?")
    short, long = (unit * (size // len(unit)) for size in (5_000, 40_000))
    assert least_s(redactor.redact, long) < 24 * least_s(redactor.redact, short) + 0.005


@pytest.mark.parametrize(
    "text",
    [
        "PVE:agent@pve:6A1B2C3D::" + "a" * 40,
        "PVEVNC:6A1B2C3D::" + "a" * 40,
        "PVE%3Aagent%40pve%3A6A1B2C3D%3A%3A" + "a" * 40,
        "eyJhbGciOi.eyJzdWIi.c2ln-_x",
        "bearer-eyJhbGciOi.eyJzdWIi.c2ln-_x",
        "eyJ-eyJhbGciOi.eyJzdWIi.c2ln-_x",
        "AGE-PLUGIN-YUBIKEY-1" + "Q" * 30,
    ],
)
def test_shapes_are_masked_after_other_text_too(text: str) -> None:
    for before in ("", "x ", "PVE:", "AGE-", '"'):
        assert text[-9:] not in redact(before + text)


def test_named_lines_lose_what_is_secret() -> None:
    text = (
        "#cloud-config\nhostname: web01\nuser: ada\npassword: $5$abc$def\n"
        "chpasswd:\n  expire: False\n  - passwd: hidden\nssh_authorized_keys:\n  - ssh-ed25519 A\n"
    )
    masked = mask_lines(text)
    assert "$5$abc" not in masked
    assert "hidden" not in masked
    assert f"password: {MASK}\n" in masked
    assert "hostname: web01\nuser: ada\n" in masked
    assert "expire: False" in masked
