from __future__ import annotations

import io
import os
import secrets as randomness

import pytest

from pveops.config.secret_input import ask_secret, parse_token, read_secret, read_secret_fd
from pveops.errors import SecretError
from pveops.redact import redact

TOKEN_ID = "ops@pve!agent"


def test_a_secret_alone_or_with_its_id_is_understood() -> None:
    secret = randomness.token_hex(16)
    assert parse_token(f"  {secret}\n") == ("", secret)
    assert parse_token(f"{TOKEN_ID}={secret}\n") == (TOKEN_ID, secret)
    assert parse_token(f"PVEAPIToken={TOKEN_ID}={secret}") == (TOKEN_ID, secret)
    assert parse_token(f"Authorization: PVEAPIToken={TOKEN_ID}={secret}") == (TOKEN_ID, secret)


def test_what_was_given_is_shown_nowhere() -> None:
    secret = randomness.token_hex(16)
    given = read_secret(io.StringIO(secret))
    assert secret not in f"{given} {given!r}"
    assert secret not in redact(f"oops {secret}")


@pytest.mark.parametrize("bad", ["", " \n", "{0} {0}", "{0}\n{0}", "{0}é", "{0}\x1b[0m"])
def test_what_no_token_looks_like_is_refused_without_being_repeated(bad: str) -> None:
    secret = randomness.token_hex(16)
    with pytest.raises(SecretError) as caught:
        parse_token(bad.format(secret))
    assert secret not in f"{caught.value.message} {caught.value.hint}"


def test_an_id_without_a_secret_is_refused() -> None:
    with pytest.raises(SecretError, match="no secret was given"):
        parse_token(f"{TOKEN_ID}=")


def test_an_endless_stream_is_refused() -> None:
    with pytest.raises(SecretError):
        read_secret(io.StringIO("x" * 100_000))


def test_a_file_descriptor_gives_the_secret_and_is_closed() -> None:
    secret = randomness.token_hex(16)
    reading, writing = os.pipe()
    os.write(writing, secret.encode())
    os.close(writing)
    assert read_secret_fd(reading).secret == secret
    with pytest.raises(SecretError, match="cannot be read"):
        read_secret_fd(reading)


def test_bytes_that_are_no_text_are_one_error() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\xff\xfe\xfd")
    os.close(writing)
    with pytest.raises(SecretError, match="no text"):
        read_secret_fd(reading)


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading standard input instead, `getpass` would show what is typed."""
    real = os.open

    def no_tty(path: str, *rest: int) -> int:
        if path == "/dev/tty":
            raise OSError(6, "No such device or address")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", no_tty)
    monkeypatch.setattr("sys.stdin", io.StringIO("typed in the clear\n"))
    with pytest.raises(SecretError, match="no terminal") as caught:
        ask_secret("secret: ")
    assert "--stdin" in caught.value.hint
