"""What PVE would have asked for, from the facts of its API."""

from __future__ import annotations

import pytest

from pveops.api.classify import decode
from pveops.api.denial import describe_need
from pveops.api.port import Request, Response
from pveops.errors import PermissionDeniedError

BARE = Response(403, "Permission check failed", {}, b"", "pve1:8006")


@pytest.mark.parametrize(
    ("request_", "need"),
    [
        (
            Request("GET", "/nodes/pve1/query-url-metadata", (("url", "https://x/y"),)),
            "/: Sys.Audit, Sys.Modify or /nodes/pve1: Sys.AccessNetwork",
        ),
        (Request("POST", "/nodes/pve1/qemu", (("vmid", "100"),)), ""),
        (Request("GET", "/no/such/path"), ""),
    ],
)
def test_alternatives_are_told_with_their_paths(request_: Request, need: str) -> None:
    assert describe_need(request_) == need


def test_a_403_that_names_nothing_is_completed_and_leads_on() -> None:
    request = Request("GET", "/nodes/pve1/query-url-metadata", (("url", "https://x/y"),))
    with pytest.raises(PermissionDeniedError, match=r"or /nodes/pve1: Sys\.AccessNetwork") as told:
        decode(request, BARE)
    assert told.value.details["requires"].startswith("/: Sys.Audit")
    assert told.value.hint == "pve access check"
