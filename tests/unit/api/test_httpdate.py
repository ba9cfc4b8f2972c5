from __future__ import annotations

import pytest

from pveops.api.httpdate import parse_http_date


def test_a_date_header_is_seconds_since_the_epoch() -> None:
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777.0


@pytest.mark.parametrize(
    "text", ["", "yesterday", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"]
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_http_date(text) is None
