"""Names and addresses that are numbered: `k8s-{n}`, `10.0.0.{n+10}/24`."""

from __future__ import annotations

import re

_PLACE = re.compile(r"\{n([+-]\d{1,6})?\}")


def has_number(pattern: str) -> bool:
    """Whether the pattern differs from one number to the next."""
    return _PLACE.search(pattern) is not None


def fill_number(pattern: str, number: int) -> str:
    """The pattern with `{n}` as the number, and `{n+10}`, `{n-1}` as what they come to."""
    return _PLACE.sub(lambda found: str(number + int(found[1] or 0)), pattern)
