"""The scanner finds what it has to find."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests import secrets_scan


@pytest.mark.parametrize("form", ["token", "code", "password"])
def test_a_planted_secret_is_found_wherever_it_lies(form: str, tmp_path: Path) -> None:
    secret = {"token": str(uuid.uuid4()), "code": "ABCD-2345", "password": "aB3_-xYz09QwErTy"}[
        form
    ]
    secrets_scan.note_secret(secret)
    try:
        for name, content in (
            ("log.jsonl", f'{{"text": "value {secret}"}}'),
            ("store.sqlite3", f"\0\0{secret}\0"),
            ("url", f"x={secret}&y=1"),
        ):
            (tmp_path / name).write_text(content)
            leaks = secrets_scan.find_leaks(tmp_path)
            assert [Path(leak.partition(": ")[0]).name for leak in leaks] == [name]
            assert secret not in leaks[0]
            (tmp_path / name).unlink()
        (tmp_path / "other").write_text("nothing of the kind, AAAA-0000")
        assert secrets_scan.find_leaks(tmp_path) == []
    finally:
        secrets_scan._KNOWN.discard(secret.encode())
